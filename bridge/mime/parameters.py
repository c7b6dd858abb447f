"""Structured MIME fields: a value and its parameters (RFC 2045 5.1, RFC 2183, RFC 2231).

Rules: what can be read of a broken field is kept, the rest of it up to the next semicolon is
skipped; parameters stay as they were written (RFC 2231 values undecoded), only the pieces of a
continued one are joined.
"""

from __future__ import annotations

import re

from bridge.limits import MIME_COMMENT_DEPTH, MIME_PARAMETERS

Pairs = list[tuple[bytes, bytes]]

# RFC 2045 5.1, token; in parameters octets over 127 are let through, as mail programs write them
_ASCII = rb"!#$%&'*+\-.0-9A-Z^_`a-z{|}~"
_NAME = rb"([" + _ASCII + rb"]++)"
_TOKEN = rb"[" + _ASCII + rb"\x80-\xff]*+"
_WS = rb"[ \t\r\n]*+"
_TYPE = re.compile(_WS + _NAME + _WS + rb"/" + _WS + _NAME + _WS)
_VALUE = re.compile(_WS + rb"(" + _TOKEN + rb")" + _WS)
_PARAMETER = re.compile(
    rb";" + _WS + rb"(" + _TOKEN + rb")" + _WS + rb"=" + _WS + rb"(?:"
    rb'"((?:[^"\\]++|\\.)*+)"'
    rb"|(=[^; \t\r\n]*+)"  # name==?utf-8?b?...?= of mail programs that encode bare
    rb'|(?!")(' + _TOKEN + rb"))" + _WS,
    re.DOTALL,
)
_ESCAPE = re.compile(rb"\\(.)", re.DOTALL)
_FOLD = re.compile(rb"\r?\n")
_MARK = re.compile(rb'["()\\]')
_SECTION = re.compile(rb"([^*]++)\*(?:(\d{1,9}+)(\*?+))?+")


def content_type(value: bytes) -> tuple[bytes, bytes, Pairs] | None:
    """Content-Type -> (type, subtype, parameters), in the case that they came in.

    None when it is no type at all. RFC 2045 5.1 wants a semicolon after the subtype; where other
    text stands there, a discrete type counts without parameters, a multipart does not count:
    its boundary is unknown.
    """
    value = _without_comments(value)
    match = _TYPE.match(value)
    if match is None:
        return None
    if match.end() == len(value) or value.startswith(b";", match.end()):
        return match[1], match[2], _parameters(value, match.end())
    return None if match[1].lower() == b"multipart" else (match[1], match[2], [])


def disposition(value: bytes) -> tuple[bytes, Pairs]:
    """Content-Disposition -> (disposition, parameters); RFC 2183 2."""
    value = _without_comments(value)
    match = _VALUE.match(value)
    return (match[1], _parameters(value, match.end())) if match else (b"", [])


def token(value: bytes) -> bytes | None:
    """The token that is all of a field's value (Content-Transfer-Encoding), or None."""
    match = _VALUE.fullmatch(_without_comments(value))
    return match[1] or None if match else None


def _parameters(value: bytes, pos: int) -> Pairs:
    """The parameters from the semicolon at `pos` on."""
    found: Pairs = []
    pieces: dict[bytes, list[tuple[int, bool, bytes]]] = {}
    end = len(value)
    count = 0
    while pos < end and count < MIME_PARAMETERS:
        match = _PARAMETER.match(value, pos)
        if match is None:
            pos = value.find(b";", pos + 1)
            if pos < 0:
                break
            continue
        pos, count = match.end(), count + 1
        name, quoted, bare, plain = match.groups()
        if not name:
            continue
        text = _unquote(quoted) if quoted is not None else bare or plain
        section = _SECTION.fullmatch(name) if b"*" in name else None
        if section is None:
            found.append((name, text))
        else:
            key, number, star = section.groups()
            extended = number is None or bool(star)
            pieces.setdefault(key, []).append((int(number or 0), extended, text))
    for key, several in sorted(pieces.items()) if pieces else ():
        found += _joined(key, several)
    return found


def _joined(key: bytes, pieces: list[tuple[int, bool, bytes]]) -> Pairs:
    """RFC 2231 3: name*0, name*1* ... become one name or name*; with gaps they stay apart."""
    pieces.sort(key=lambda piece: piece[0])
    if [number for number, _, _ in pieces] != list(range(len(pieces))):
        return [
            (b"%b*%d%b" % (key, number, b"*" if extended else b""), text)
            for number, extended, text in pieces
        ]
    if not any(extended for _, extended, _ in pieces):
        return [(key, b"".join(text for _, _, text in pieces))]
    # RFC 2231 4.1: extended and plain pieces may be mixed; the charset stands in the first
    parts = [text if extended else text.replace(b"%", b"%25") for _, extended, text in pieces]
    return [(key + b"*", (b"" if pieces[0][1] else b"''") + b"".join(parts))]


def _unquote(text: bytes) -> bytes:
    """The content of a quoted string (RFC 5322 3.2.4) without escapes and folds."""
    if b"\n" in text:
        text = _FOLD.sub(b"", text)
    return _ESCAPE.sub(rb"\1", text) if b"\\" in text else text


def _without_comments(value: bytes) -> bytes:
    """RFC 2045 5.1 allows comments (RFC 5322 3.2.2) between tokens; quoted strings keep theirs.

    An unclosed comment, or one nested deeper than the limit, runs to the end.
    """
    if b"(" not in value:
        return value
    kept: list[bytes] = []
    level = start = pos = 0
    quoted = False
    while match := _MARK.search(value, pos):
        pos = match.end()
        mark = match[0]
        if mark == b"\\":
            pos += 1
        elif level == 0 and mark == b'"':
            quoted = not quoted
        elif quoted or mark == b'"':
            continue
        elif mark == b"(":
            if level == 0:
                kept.append(value[start : pos - 1])
            level += 1
            if level > MIME_COMMENT_DEPTH:
                return b" ".join(kept)
        elif level:
            level -= 1
            start = pos
    if level == 0:
        kept.append(value[start:])
    return b" ".join(kept)
