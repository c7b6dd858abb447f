"""IMAP seen from a client (RFC 3501 7 and 9), sans I/O: octets -> responses, commands -> octets.

Why our own: imapclient and imaplib block and hold whole messages in memory; neither pipelines,
streams a literal from disk or knows MULTIAPPEND.

    b"* 3 FETCH (UID 7 FLAGS (\\\\Seen) BODY[] {2}\\r\\nhi)\\r\\n"
    -> Response(b"*", (b"3", b"FETCH", [b"UID", b"7", b"FLAGS", [b"\\\\Seen"], b"BODY[]", b"hi"]))

Rules: a line, a literal and the depth of lists are capped; a literal over `SMALL` goes into a sink
as it comes. What is no response raises `BadResponse`: the connection is of no use then.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TypeAlias

from bridge import limits
from bridge.imap.protocol import utf7
from bridge.imap.protocol.errors import ParseError
from bridge.imap.protocol.scanner import MONTHS
from bridge.model import Flag, Octets, Sink

SMALL = 64 * 1024  # octets of a literal that is kept in memory
_DEPTH = 20
_LITERAL = re.compile(rb"\{([0-9]{1,10})\}$")
_CODE = re.compile(rb"\[([A-Za-z0-9-]+)(?: ([^\]]*))?\]")
_DATE = re.compile(
    rb"([ 0-9][0-9])-([A-Za-z]{3})-([0-9]{4}) ([0-9]{2}):([0-9]{2}):([0-9]{2}) ([+-])([0-9]{4})"
)
_QUOTABLE = re.compile(rb"[\x20-\x7e]*")
_SYSTEM = {
    b"\\ANSWERED": Flag.ANSWERED,
    b"\\FLAGGED": Flag.FLAGGED,
    b"\\DELETED": Flag.DELETED,
    b"\\SEEN": Flag.SEEN,
    b"\\DRAFT": Flag.DRAFT,
}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Token: TypeAlias = "bytes | Octets | list[Token] | None"  # noqa: S105  of a grammar


class BadResponse(ValueError):
    """The server does not speak IMAP, or more of it than we bear."""


@dataclass(frozen=True, slots=True)
class Response:
    """`tag` is b"*", b"+" or that of a command. Of OK, NO, BAD, BYE, PREAUTH and + the text is one
    token, `code` the word in brackets (upper case) and `argument` what follows it there."""

    tag: bytes
    tokens: Sequence[Token]
    code: bytes = b""
    argument: bytes = b""

    def word(self, index: int) -> bytes:
        """A token that is an atom or string, b"" where it is none; the kind in upper case."""
        if 0 <= index < len(self.tokens):
            token = self.tokens[index]
            if isinstance(token, bytes):
                return token
        return b""

    @property
    def kind(self) -> bytes:
        """b"FETCH", b"LIST", b"OK" ..."""
        first = self.word(0)
        return (self.word(1) if first.isdigit() else first).upper()

    @property
    def text(self) -> str:
        return self.word(len(self.tokens) - 1).decode("utf-8", "replace")


class ResponseParser:
    """`feed` takes what comes; sinks for large literals are made by `new_sink`."""

    def __init__(self, new_sink: Callable[[], Sink]) -> None:
        self._new_sink = new_sink
        self._buffer = bytearray()
        self._scanned = 0
        self._lines: list[bytes] = []
        self._literals: list[Octets] = []
        self._size = 0  # octets of the lines of this response
        self._left = 0  # octets of a literal that are to come
        self._sink: Sink | None = None
        self._sinks: list[Sink] = []

    @property
    def is_idle(self) -> bool:
        """Whether nothing has come that is not answered for."""
        return not self._buffer and not self._lines

    def close(self) -> None:
        """Frees what was made of literals so far."""
        for sink in self._sinks:
            sink.close()
        self._sinks.clear()

    def feed(self, data: bytes) -> Iterator[Response]:
        """Responses that are complete; octets of their sinks last until the next is asked for.
        Raises BadResponse."""
        self._buffer += data
        while True:
            if self._left and not self._literal():
                return
            end = self._buffer.find(b"\n", self._scanned)
            if end < 0:
                self._scanned = len(self._buffer)
                self._count(len(self._buffer))
                return
            line = bytes(self._buffer[:end]).removesuffix(b"\r")
            del self._buffer[: end + 1]
            self._scanned = 0
            self._count(len(line))
            self._size += len(line)
            announced = _LITERAL.search(line)
            if announced is None or _is_text(self._lines or [line]):
                yield self._whole(line)
                self.close()
                continue
            self._lines.append(line[: announced.start()])
            self._begin(int(announced[1]))

    def _count(self, more: int) -> None:
        if self._size + more > limits.TRANSFER_IMAP_LINE:
            raise BadResponse("a line of the server is too long")

    def _begin(self, size: int) -> None:
        if size > 2 * limits.TRANSFER_MESSAGE:
            raise BadResponse("a literal of the server is too large")
        if size > SMALL:
            self._sink = self._new_sink()
            self._sinks.append(self._sink)
        self._left = size
        if not size:
            self._literals.append(b"")

    def _literal(self) -> bool:
        """Takes octets of a literal; whether it is complete."""
        if self._sink is None:
            if len(self._buffer) < self._left:
                return False
            self._literals.append(bytes(self._buffer[: self._left]))
            del self._buffer[: self._left]
            self._left = 0
            return True
        piece = bytes(self._buffer[: self._left])
        self._sink.write(piece)
        del self._buffer[: len(piece)]
        self._left -= len(piece)
        if self._left:
            return False
        self._literals.append(self._sink.finish())
        self._sink = None
        return True

    def _whole(self, last: bytes) -> Response:
        lines, literals = [*self._lines, last], self._literals
        self._lines, self._literals, self._size = [], [], 0
        tag, _, rest = lines[0].partition(b" ")
        if not tag:
            raise BadResponse("a response without a tag")
        lines[0] = rest
        word = rest.partition(b" ")[0].upper()
        if tag == b"+" or word in (b"OK", b"NO", b"BAD", b"BYE", b"PREAUTH"):
            text = rest if tag == b"+" else rest[len(word) + 1 :]
            found = _CODE.match(text)
            code, argument = (found[1].upper(), found[2] or b"") if found else (b"", b"")
            return Response(tag, (word, text) if tag != b"+" else (text,), code, argument)
        return Response(tag, _tokens(lines, literals))


def _is_text(lines: Sequence[bytes]) -> bool:
    """Whether the response is one whose end is text, where "{5}" announces nothing."""
    tag, _, rest = lines[0].partition(b" ")
    words = (b"OK ", b"NO ", b"BAD ", b"BYE ", b"PREAUTH ")
    return tag == b"+" or rest[:8].upper().startswith(words)


def _tokens(lines: Sequence[bytes], literals: Sequence[Octets]) -> list[Token]:
    found: list[Token] = []
    stack: list[list[Token]] = [found]
    for number, line in enumerate(lines):
        if number:
            stack[-1].append(literals[number - 1])
        at = 0
        while at < len(line):
            octet = line[at : at + 1]
            if octet == b" ":
                at += 1
            elif octet == b"(":
                inner: list[Token] = []
                stack[-1].append(inner)
                stack.append(inner)
                if len(stack) > _DEPTH:
                    raise BadResponse("lists are too deep in each other")
                at += 1
            elif octet == b")":
                if len(stack) == 1:
                    raise BadResponse("a list is closed that was not opened")
                stack.pop()
                at += 1
            elif octet == b'"':
                string, at = _quoted(line, at + 1)
                stack[-1].append(string)
            else:
                end = _atom_end(line, at)
                atom = line[at:end]
                stack[-1].append(None if atom.upper() == b"NIL" else atom)
                at = end
    if len(stack) > 1:
        raise BadResponse("a list is not closed")
    return found


def _quoted(line: bytes, at: int) -> tuple[bytes, int]:
    parts = bytearray()
    while at < len(line):
        octet = line[at]
        if octet == 0x22:
            return bytes(parts), at + 1
        if octet == 0x5C:
            at += 1
            if at == len(line):
                break
            octet = line[at]
        parts.append(octet)
        at += 1
    raise BadResponse("a quoted string is not closed")


def _atom_end(line: bytes, at: int) -> int:
    """BODY[HEADER.FIELDS (TO)] is one: what is in brackets belongs to it."""
    start = at
    brackets = 0
    while at < len(line):
        octet = line[at]
        if octet == 0x5B:
            brackets += 1
        elif octet == 0x5D and brackets:
            brackets -= 1
        elif not brackets and octet in b' ()"':
            break
        at += 1
    return max(at, start + 1)


def pairs(token: Token) -> dict[bytes, Token]:
    """The items of a FETCH: [b"UID", b"7"] -> {b"UID": b"7"}."""
    if not isinstance(token, list):
        raise BadResponse("a FETCH without a list")
    names = token[::2]
    if len(token) % 2 or not all(isinstance(name, bytes) for name in names):
        raise BadResponse("a FETCH that is no list of names and values")
    return {
        name.upper(): value
        for name, value in zip(names, token[1::2], strict=True)
        if isinstance(name, bytes)
    }


def number(token: Token) -> int:
    """Raises BadResponse."""
    if isinstance(token, bytes) and token.isdigit() and len(token) <= 19:
        return int(token)
    raise BadResponse("a number is wanted here")


def flags(token: Token) -> tuple[int, tuple[str, ...]]:
    """(\\\\Seen work) -> (8, ("work",)); other system flags, as \\\\Recent, do not count."""
    found = 0
    words = []
    for word in token if isinstance(token, list) else ():
        if isinstance(word, bytes):
            found |= _SYSTEM.get(word.upper(), 0)
            if not word.startswith(b"\\"):
                words.append(word.decode("ascii", "replace"))
    return found, tuple(words)


def date(token: Token) -> int | None:
    """INTERNALDATE in seconds; None where it is none."""
    found = _DATE.fullmatch(token) if isinstance(token, bytes) else None
    if found is None or found[2].upper() not in MONTHS:
        return None
    zone = int(found[8][:2]) * 60 + int(found[8][2:])
    try:
        month = MONTHS.index(found[2].upper()) + 1
        local = datetime(
            int(found[3]), month, int(found[1]), int(found[4]), int(found[5]), int(found[6]),
            tzinfo=UTC,
        )  # fmt: skip
        instant = local - timedelta(minutes=-zone if found[7] == b"-" else zone)
    except (ValueError, OverflowError):
        return None
    return int((instant - _EPOCH).total_seconds())


def uid_set(text: bytes) -> list[int]:
    """b"3:5,9" of APPENDUID -> [3, 4, 5, 9]. Raises BadResponse."""
    found: list[int] = []
    for part in text.split(b","):
        low, colon, high = part.partition(b":")
        first = number(low)
        last = number(high) if colon else first
        if last < first or len(found) + last - first > 100_000:
            raise BadResponse("a set of UIDs that cannot be")
        found += range(first, last + 1)
    return found


# --- what we send -------------------------------------------------------------------------


def quoted(text: bytes) -> bytes | None:
    """A quoted string, or None where only a literal will do."""
    if not _QUOTABLE.fullmatch(text):
        return None
    return b'"%b"' % text.replace(b"\\", b"\\\\").replace(b'"', b'\\"')


def mailbox(name: str) -> bytes:
    """A mailbox name as we send it: quoted, in modified UTF-7."""
    return quoted(utf7.encode(name)) or b'""'


def mailbox_of(token: Token) -> str:
    """The name that a server shows; UTF-8 where it is no modified UTF-7. Raises BadResponse."""
    if not isinstance(token, bytes):
        raise BadResponse("a mailbox without a name")
    try:
        return utf7.decode(token)
    except ParseError:
        return token.decode("utf-8", "replace")


def append_head(flag_bits: int, keywords: Sequence[str], instant: int | None) -> bytes:
    """ " (\\\\Seen work) "17-Jul-1996 02:44:25 +0000" " of an APPEND (RFC 3501 6.3.11)."""
    words = [name.capitalize() for name, flag in _SYSTEM.items() if flag & flag_bits]
    words += [word.encode("ascii") for word in keywords]
    said = b" (%b)" % b" ".join(words)
    if instant is not None:
        when = _EPOCH + timedelta(seconds=min(max(instant, -62135596800), 253402300799))
        said += b' "%2d-%b-%04d %02d:%02d:%02d +0000"' % (
            when.day,
            MONTHS[when.month - 1].capitalize(),
            when.year,
            when.hour,
            when.minute,
            when.second,
        )
    return said + b" "


def plain(user: str, password: str) -> bytes:
    """SASL PLAIN (RFC 4616), in base64."""
    return base64.b64encode(b"\0%b\0%b" % (user.encode(), password.encode()))
