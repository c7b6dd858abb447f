"""Every response is read again by a parser that is not ours: imap-codec, written in Rust.

    accept(b"* 1 FETCH (FLAGS (\\\\Seen) UID 4 MODSEQ (12))\\r\\n")

imap-codec 0.1 knows RFC 3501 and many extensions, not all of ours. A word that it has never heard
of is replaced, where its RFC allows it and as long as it follows the grammar of that RFC, by one
that imap-codec knows: "MODSEQ (12)" by "UID 1", the UIDs of VANISHED by those of a COPYUID. So the
frame, strings, literals, flags, number sets and structures are always judged by imap-codec, and
only the new words by the tables here. What no table covers must be accepted as it stands, but for
a NUL in the octets of a message, which no literal may hold (RFC 3501 9) and which we send all the
same, because another octet in its place would be another message.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from imap_codec import DecodeError, GreetingCodec, ResponseCodec

NUMBER = rb"(?:0|[1-9]\d{0,18})"
MODSEQ = rb"[1-9]\d{0,18}"  # RFC 7162 7: 63 bits
RANGE = rb"[1-9]\d*(?::[1-9]\d*)?"
SET = RANGE + rb"(?:," + RANGE + rb")*"  # RFC 4315 4: a server's sets have no "*"
STRING = rb"\x01+"  # a quoted string or literal, masked
ASTRING = rb"(?:\x01+|[^\x00-\x20\x7f-\xff(){%*\"\\]+)"
ID = rb"[A-Za-z0-9_-]{1,255}"  # RFC 8474 7

# Data items of FETCH, and the RFC that has them; "UID 1" takes their place (BINARY loses <n>).
FETCH_ITEMS = {
    rb"MODSEQ \(" + MODSEQ + rb"\)": "7162 3.1.4.2",
    rb"PREVIEW (?:NIL|" + STRING + rb")": "8970 3.2",
    rb"SAVEDATE (?:NIL|" + STRING + rb")": "8514 4.2",
    rb"EMAILID \(" + ID + rb"\)": "8474 5.1",
    rb"THREADID (?:NIL|\(" + ID + rb"\))": "8474 5.2",
    rb"(?P<binary>BINARY\[(?:[1-9][\d.]*)?\])<" + NUMBER + rb">": "3516 4.3",  # not in its ABNF
}
# Data items of STATUS; "UNSEEN 1" takes their place.
STATUS_ITEMS = {
    rb"HIGHESTMODSEQ " + NUMBER: "7162 3.1.7",
    rb"SIZE " + NUMBER: "8438 3",
    rb"APPENDLIMIT (?:NIL|" + NUMBER + rb")": "7889 4",
    rb"MAILBOXID \(" + ID + rb"\)": "8474 4.3",
    rb"DELETED " + NUMBER: "9208 4.1.4",
    rb"DELETED-STORAGE " + NUMBER: "9208 4.1.4",
}
# Response codes that imap-codec takes for "other", with the grammar of what follows their name.
CODES = {
    "APPENDUID": (rb" [1-9]\d* " + SET, "3502 4"),
    "BADEVENT": (rb" \([A-Za-z]+(?: [A-Za-z]+)*\)", "5465 8"),
    "NOTIFICATIONOVERFLOW": (rb"", "5465 5.8"),
    "CLOSED": (rb"", "7162 3.2.11"),
    "HIGHESTMODSEQ": (rb" " + MODSEQ, "7162 7"),
    "MODIFIED": (rb" " + SET, "7162 7"),
    "MAILBOXID": (rb" \(" + ID + rb"\)", "8474 4.1"),
    "UNDEFINED-FILTER": (rb" [^\]]+", "5466 4"),
    "METADATA": (rb" (?:LONGENTRIES \d+|MAXSIZE \d+|TOOMANY|NOPRIVATE)", "5464 5"),
    "INPROGRESS": (rb"(?: \(\S+(?: \S+){2}\))?", "9585 3"),
    "BADCHARSET": (rb"(?: \([^\]]+\))?", "3501 7.1"),
    "NOTSAVED": (rb"", "5182 2.1"),
    "READ-ONLY": (rb"", "3501 7.1"),
    "UIDNOTSTICKY": (rb"", "4315 3"),
    "HASCHILDREN": (rb"", "9051 7.1"),
    "NOUPDATE": (rb" .+", "5267 4.3"),
    "UNKNOWN-CTE": (rb"", "3516 4.3"),
    "TOOBIG": (rb"", "4469 3"),
    "USEATTR": (rb"", "6154 6"),
    "COMPRESSIONACTIVE": (rb"", "4978 3"),
}
RFC5530 = {
    "UNAVAILABLE", "AUTHENTICATIONFAILED", "AUTHORIZATIONFAILED", "EXPIRED", "PRIVACYREQUIRED",
    "CONTACTADMIN", "NOPERM", "INUSE", "EXPUNGEISSUED", "CORRUPTION", "SERVERBUG", "CLIENTBUG",
    "CANNOT", "LIMIT", "OVERQUOTA", "ALREADYEXISTS", "NONEXISTENT",
}  # fmt: skip
_CODED = re.compile(rb"(?:\S+) (?:OK|NO|BAD|BYE|PREAUTH) \[", re.IGNORECASE)
_STRINGS = re.compile(rb'"(?:[^"\\\r\n\x00]|\\["\\])*"|~?\{(\d+)\}\r\n')
_MESSAGE = re.compile(rb"(?:BODY\[[^\]]*\](?:<\d+>)?|RFC822(?:\.HEADER|\.TEXT)?) (\x01+)")
_FETCH = re.compile(rb"(?<=[( ])(?:" + b"|".join(FETCH_ITEMS) + rb")(?=[ )])")
_STATUS = re.compile(rb"(?<=[( ])(?:" + b"|".join(STATUS_ITEMS) + rb")(?=[ )])")


class Rejected(AssertionError):
    """The other parser does not take this for IMAP."""


def accept(
    octets: bytes, *, greeting: bool = False, utf8: bool = False, rev2: bool = False
) -> None:
    """`octets` is one whole response with its literals and its CRLF; `utf8`: the client enabled
    UTF8=ACCEPT (RFC 6855 3) or IMAP4rev2 (`rev2`), and quoted strings may hold it."""
    if rev2:
        # RFC 9051 9, media-message; imap-codec knows that of RFC 3501.
        octets = re.sub(rb'(?i)"message" "global"', b'"message" "rfc822"', octets)
    if utf8:
        octets = _as_ascii(octets)
    for each in reduced(octets):
        try:
            rest, value = (GreetingCodec if greeting else ResponseCodec).decode(each)
        except DecodeError:
            raise Rejected(f"imap-codec rejects {each[:2000]!r}, from {octets[:2000]!r}") from None
        if rest:
            raise Rejected(f"imap-codec leaves {rest[:200]!r} of {octets[:2000]!r}")
        if _CODED.match(each):
            _check_code(value.as_dict(), octets)


def _check_code(value: object, octets: bytes) -> None:
    """A code that imap-codec does not know must be in our table."""
    found = _find(value, "Other")
    if found is None:
        return
    assert isinstance(found, list), found
    name, space, arguments = bytes(found).partition(b" ")
    known = name.decode("ascii", "replace").upper()
    row = (rb"", "5530 3") if known in RFC5530 else CODES.get(known)
    if row is None or re.fullmatch(row[0], space + arguments) is None:
        raise Rejected(f"nobody knows the code of {octets[:2000]!r}")


def _find(value: object, key: str) -> object:
    """The code of a status response: {"Status": {"Untagged": {"code": {"Other": [...]}}}}."""
    while isinstance(value, dict):
        if "code" in value:
            code = value["code"]
            return code.get(key) if isinstance(code, dict) else None
        value = next(iter(value.values()), None)
        if isinstance(value, dict) and "body" in value:
            value = value["body"]
    return None


def reduced(octets: bytes) -> Iterator[bytes]:
    """Responses that imap-codec must accept, so that this one is right."""
    word = octets.split(b" ", 3)[1].rstrip(b"\r\n").upper() if octets.startswith(b"* ") else b""
    if word.isdigit():
        word = octets.split(b" ", 3)[2].rstrip(b"\r\n").upper()
    rule = _RULES.get(word)
    if rule is None:
        yield octets
    else:
        yield from rule(octets, _masked(octets))


def _masked(octets: bytes) -> bytes:
    """Strings and literals as \\x01, octet by octet."""
    out, at = bytearray(octets), 0
    while (found := _STRINGS.search(octets, at)) is not None:
        at = found.end() + int(found[1] or 0)
        out[found.start() : at] = b"\x01" * (at - found.start())
    return bytes(out)


def _replaced(pattern: re.Pattern[bytes], by: bytes) -> Callable[[bytes, bytes], Iterator[bytes]]:
    def rule(octets: bytes, masked: bytes) -> Iterator[bytes]:
        out, at = [], 0
        for found in pattern.finditer(masked):
            out += [octets[at : found.start()], found.groupdict().get("binary") or by]
            at = found.end()
            yield from _strings(octets, masked, found.start(), found.end())
        yield b"".join((*out, octets[at:]))

    return rule


def _fetch(octets: bytes, masked: bytes) -> Iterator[bytes]:
    """FETCH; the octets of messages may hold a NUL, and stand here with 0x80 for it."""
    judged = bytearray(octets)
    for found in _MESSAGE.finditer(masked):
        start, end = found.span(1)
        judged[start:end] = judged[start:end].replace(b"\0", b"\x80")
    yield from _replaced(_FETCH, b"UID 1")(bytes(judged), masked)


def _strings(octets: bytes, masked: bytes, start: int, end: int) -> Iterator[bytes]:
    """Each string between the two places as a string that imap-codec must read."""
    for found in re.finditer(STRING, masked[start:end]):
        yield b"* 1 FETCH (RFC822 %b)\r\n" % octets[start + found.start() : start + found.end()]


def _whole(pattern: bytes) -> Callable[[bytes, bytes], Iterator[bytes]]:
    """A response whose frame imap-codec does not know: its strings and sets it does."""
    compiled = re.compile(pattern)

    def rule(octets: bytes, masked: bytes) -> Iterator[bytes]:
        found = compiled.fullmatch(masked)
        if found is None:
            raise Rejected(f"not the grammar of its RFC: {octets[:2000]!r}")
        yield from _strings(octets, masked, 0, len(octets))
        for numbers in re.findall(rb"(?:VANISHED|\(EARLIER\)|ALL|\d) (" + SET + rb")\b", masked):
            yield b"a OK [COPYUID 1 %b %b] .\r\n" % (numbers, numbers)

    return rule


def _without(pattern: bytes) -> Callable[[bytes, bytes], Iterator[bytes]]:
    """The response less what stands at its end."""
    compiled = re.compile(pattern + rb"(?=\r\n\Z)")

    def rule(octets: bytes, masked: bytes) -> Iterator[bytes]:
        found = compiled.search(masked)
        if found is None:
            yield octets
            return
        yield from _strings(octets, masked, found.start(), found.end())
        yield octets[: found.start()] + b"\r\n"

    return rule


_NAMESPACE = rb"(?:NIL|\((?:\(" + STRING + rb" (?:NIL|" + STRING + rb")\))+\))"
_PARTIAL = rb"PARTIAL \(-?[1-9]\d*:-?[1-9]\d* (?:NIL|" + SET + rb")\)"
_UPDATED = rb"(?:ADDTO|REMOVEFROM) \(0 " + SET + rb"\)"  # RFC 5267 5
_RETURNED = rb" (?:(?:MIN|MAX) [1-9]\d*|COUNT \d+|ALL " + SET + rb"|MODSEQ " + MODSEQ
_RULES: dict[bytes, Callable[[bytes, bytes], Iterator[bytes]]] = {
    b"FETCH": _fetch,
    b"STATUS": _replaced(_STATUS, b"UNSEEN 1"),
    b"SEARCH": _without(rb" \(MODSEQ " + MODSEQ + rb"\)"),  # RFC 7162 3.1.5
    b"SORT": _without(rb" \(MODSEQ " + MODSEQ + rb"\)"),
    # RFC 5258 6: extended data items
    b"LIST": _without(
        rb" \(" + ASTRING + rb" \(" + ASTRING + rb"(?: " + ASTRING + rb")*\)"
        rb"(?: " + ASTRING + rb" \(" + ASTRING + rb"\))*\)"
    ),
    b"VANISHED": _whole(rb"\* VANISHED (?:\(EARLIER\) )?" + SET + rb"\r\n"),  # RFC 7162 7
    # RFC 4731 4, RFC 9394 3
    b"ESEARCH": _whole(
        rb"\* ESEARCH(?: \(TAG " + STRING + rb"\))?(?: UID)?(?:"
        + _RETURNED + rb"|" + _PARTIAL + rb"|" + _UPDATED + rb"))*\r\n"
    ),
    b"NAMESPACE": _whole(rb"\* NAMESPACE" + (rb" " + _NAMESPACE) * 3 + rb"\r\n"),  # RFC 2342 6
    # RFC 4314 4
    b"ACL": _whole(rb"\* ACL " + ASTRING + rb"(?: " + ASTRING + rb" " + ASTRING + rb")*\r\n"),
    b"MYRIGHTS": _whole(rb"\* MYRIGHTS " + ASTRING + rb" " + ASTRING + rb"\r\n"),
    b"LISTRIGHTS": _whole(
        rb"\* LISTRIGHTS " + ASTRING + rb" " + ASTRING + rb"(?: " + ASTRING + rb")+\r\n"
    ),
}  # fmt: skip


def _as_ascii(octets: bytes) -> bytes:
    """Valid UTF-8 in quoted strings and texts becomes "u"s; literals stay. Raises Rejected."""
    out, at = bytearray(), 0
    for found in re.finditer(rb"\{(\d+)\}\r\n", octets):
        if found.start() < at:
            continue  # inside a literal
        out += _plain(octets[at : found.end()])
        at = found.end() + int(found[1])
        out += octets[found.end() : at]
    return bytes(out + _plain(octets[at:]))


def _plain(octets: bytes) -> bytes:
    try:
        text = octets.decode("utf-8")
    except UnicodeDecodeError:
        raise Rejected(f"neither ASCII nor UTF-8: {octets[:2000]!r}") from None
    return "".join(char if char.isascii() else "u" for char in text).encode()
