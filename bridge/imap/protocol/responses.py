"""Values to octets: what every response is built from (RFC 3501 4, 7 and 9).

Rules: all octets that came from outside pass through one encoder, `string`: quoted if they are
printable ASCII without quote and backslash, else a literal. Nothing that a mail, a mailbox name
or an error text contains can end a response or start another.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Final

from bridge.imap.protocol import utf7
from bridge.model import Flag

CRLF: Final = b"\r\n"
_SAFE = re.compile(rb"[\x20\x21\x23-\x5b\x5d-\x7e]*+")
_ASTRING = re.compile(rb'[^\x00-\x20\x7f-\xff(){%*"\\]++')
_TEXT = re.compile(rb"[^\x20-\x7e]")
_MONTHS: Final = (
    b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun",
    b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec",
)  # fmt: skip
_EPOCH: Final = datetime.date(1970, 1, 1).toordinal()
_FLAGS: Final = (
    (Flag.ANSWERED, b"\\Answered"),
    (Flag.FLAGGED, b"\\Flagged"),
    (Flag.DELETED, b"\\Deleted"),
    (Flag.SEEN, b"\\Seen"),
    (Flag.DRAFT, b"\\Draft"),
)
_SYSTEM_FLAGS: Final = tuple(
    b" ".join(name for flag, name in _FLAGS if flags & flag) for flags in range(32)
)


# --- strings ----------------------------------------------------------------------------


def quoted(octets: bytes) -> bytes:
    """b'a"b' -> b'"a\\"b"', where a literal is not allowed. Raises ValueError if it needs one."""
    if _TEXT.search(octets):
        raise ValueError("only printable ASCII can be quoted")
    return b'"' + octets.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'


def literal(octets: bytes) -> bytes:
    """b"{3}\\r\\nabc"."""
    return b"{%d}\r\n%b" % (len(octets), octets)


def string(octets: bytes) -> bytes:
    """b'"abc"', or a literal when anything in it is not plain."""
    return b'"%b"' % octets if _SAFE.fullmatch(octets) else literal(octets)


def nstring(octets: bytes | None) -> bytes:
    return b"NIL" if octets is None else string(octets)


def astring(octets: bytes) -> bytes:
    """b"abc" as it is where that is an atom, else a string."""
    if _ASTRING.fullmatch(octets) and octets.upper() != b"NIL":
        return octets
    return string(octets)


@lru_cache(maxsize=2_048)
def mailbox_name(name: str, utf8: bool = False) -> bytes:
    """ "Entwürfe" -> b"Entw&APw-rfe" (RFC 3501 5.1.3), or with `utf8`, once the client enabled
    UTF8=ACCEPT, b'"Entw\xc3\xbcrfe"' (RFC 6855 3)."""
    if not utf8:
        return astring(utf7.encode(name))
    octets = name.encode("utf-8")
    if octets.isascii():
        return astring(octets)
    # A name has no control characters: nothing in it needs a literal.
    return b'"' + octets.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'


# --- data items -------------------------------------------------------------------------


def flag_list(flags: int, keywords: Sequence[str] = (), recent: bool = False) -> bytes:
    """b"(\\Seen $Forwarded)"; `flags` is a sum of `model.Flag`."""
    system = _SYSTEM_FLAGS[flags & 31]
    if not keywords and not recent:
        return b"(%b)" % system
    parts = [system] if system else []
    if recent:
        parts.append(b"\\Recent")
    parts += [keyword.encode("ascii") for keyword in keywords]
    return b"(%b)" % b" ".join(parts)


def internaldate(seconds: int) -> bytes:
    """0 -> b'" 1-Jan-1970 00:00:00 +0000"', in UTC, the day padded with a space (RFC 3501 9,
    date-day-fixed): iOS 18 Mail shows no message whose date is written otherwise."""
    days, rest = divmod(seconds, 86400)
    minutes, second = divmod(rest, 60)
    hour, minute = divmod(minutes, 60)
    return b'%b%b:%b:%b +0000"' % (_day(days), _TWO[hour], _TWO[minute], _TWO[second])


_TWO: Final = tuple(b"%02d" % number for number in range(60))


@lru_cache(maxsize=1024)  # the messages of a mailbox share their days
def _day(days: int) -> bytes:
    ordinal = min(max(days + _EPOCH, 1), datetime.date.max.toordinal())
    day = datetime.date.fromordinal(ordinal)
    return b'"%2d-%b-%04d ' % (day.day, _MONTHS[day.month - 1], day.year)


# --- responses --------------------------------------------------------------------------


def lines(template: bytes, *columns: Sequence[object]) -> bytes:
    """The template once for each row of the columns, which are all as long: b"* %d EXISTS\r\n",
    [1, 2] -> b"* 1 EXISTS\r\n* 2 EXISTS\r\n"."""
    rows, width = len(columns[0]), len(columns)
    values: list[object] = [None] * (rows * width)
    for at, column in enumerate(columns):
        values[at::width] = column
    # One formatting for all costs two thirds of one for each.
    return template * rows % tuple(values)


def tagged(tag: bytes, status: bytes, text: str | bytes, code: str | bytes | None = None) -> bytes:
    """b"a1 NO [TRYCREATE] No such mailbox\\r\\n"; `code` goes without its brackets."""
    return b"%b %b %b\r\n" % (tag, status, resp_text(text, code))


def untagged(status: bytes, text: str | bytes, code: str | bytes | None = None) -> bytes:
    """b"* OK [UIDNEXT 7] Predicted\\r\\n"."""
    return b"* %b %b\r\n" % (status, resp_text(text, code))


def data(*parts: bytes) -> bytes:
    """b"3", b"EXISTS" -> b"* 3 EXISTS\\r\\n". The parts are wire octets already."""
    return b"* %b\r\n" % b" ".join(parts)


def continuation(text: str | bytes = b"") -> bytes:
    """b"+ text\\r\\n"; the space stays when there is no text (RFC 3501 9, continue-req)."""
    return b"+ %b\r\n" % _plain(text)


def search_result(
    numbers: Iterable[bytes], modseq: int | None = None, name: bytes = b"SEARCH"
) -> Iterator[bytes]:
    """b" 2 84", b" 882" -> b"* SEARCH 2 84 882\r\n", in pieces; with MODSEQ only if a number was
    found (RFC 7162 3.1.5)."""
    yield b"* " + name
    found = False
    for some in numbers:
        found = True
        yield some
    if found and modseq is not None:
        yield b" (MODSEQ %d)" % modseq
    yield CRLF


def resp_text(text: str | bytes, code: str | bytes | None = None) -> bytes:
    """b"[CODE] text": one line of printable ASCII, whatever the text was."""
    if code is not None:
        return b"[%b] %b" % (_plain(code), _plain(text) or b"-")
    return _alone(text)


@lru_cache(maxsize=256)
def _alone(text: str | bytes) -> bytes:
    plain = _plain(text)
    # RFC 3501 9, resp-text: a text that starts with "[" would be read as a code.
    return b"(" + plain[1:] if plain.startswith(b"[") else plain or b"-"


def _plain(text: str | bytes) -> bytes:
    octets = text.encode("ascii", "replace") if isinstance(text, str) else text
    return _TEXT.sub(b"?", octets)
