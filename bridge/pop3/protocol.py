"""POP3 replies as values: framing over bytes, and parsers for what the replies say. Sans-IO.

Rules:
- Whoever sends a command says what it expects (`ReplyParser.expect`); replies come in the order
  of the commands, and any split of the bytes gives the same events.
- A status line may end with a bare LF. A multi-line reply ends with CRLF "." CRLF and with
  nothing else: a dot between bare LFs is content (poplib cuts the message there).
- Content is exact: one leading dot is taken off each line that has one (RFC 1939 3), nothing
  else is touched. It passes through in slices: no line of a message is ever looked at alone.
- UIDLs are opaque octets; sizes are hints. What makes no sense is left out and counted.
"""

from __future__ import annotations

import enum
import hashlib
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from bridge import limits
from bridge.model import ListedItem

_END = b"\r\n.\r\n"
_MOST_NUMBER = 2**31 - 1


class ProtocolError(Exception):
    """The peer does not speak POP3, or we are out of step with it. `sample` is what came."""

    def __init__(self, problem: str, sample: bytes = b"") -> None:
        super().__init__(problem)
        self.sample = sample[:200]


class TooLong(ProtocolError):
    """A cap of `limits.py` was reached."""


class Expect(enum.Enum):
    """The shape of the reply to a command."""

    LINE = "line"  # one status line
    MULTI = "multi"  # lines after a +OK, one line after a -ERR (RFC 1939 3)
    CHALLENGE = "challenge"  # "+ base64" may come before the status line (RFC 5034 4)


@dataclass(frozen=True, slots=True)
class Status:
    """The first line of a reply. `text` is what stands after +OK or -ERR; `code` is the
    response code in upper case, "IN-USE" or "SYS/TEMP", or "" (RFC 2449 8)."""

    ok: bool
    text: bytes
    code: str


@dataclass(frozen=True, slots=True)
class Challenge:
    """A "+ ..." line: the server waits for our next line (RFC 5034 4)."""

    text: bytes


@dataclass(frozen=True, slots=True)
class Body:
    """Some octets of a multi-line reply, unstuffed. Never empty."""

    data: bytes


@dataclass(frozen=True, slots=True)
class End:
    """The end mark of a multi-line reply."""


@dataclass(frozen=True, slots=True)
class Broken:
    """Nothing after this is understood; what came before it holds. The last event there is."""

    error: ProtocolError


Event = Status | Challenge | Body | End | Broken


class ReplyParser:
    """Bytes from the server -> events, for the replies that were announced by `expect`."""

    def __init__(self) -> None:
        self._expected: deque[Expect] = deque()
        self._buffer = b""
        self._start = 0  # of what belongs to no event yet
        self._in_body = False
        self._broken = False
        self._skip = 0  # octets of the line end that stands before the first line of a body

    def expect(self, shape: Expect) -> None:
        """A command was sent whose reply has this shape."""
        self._expected.append(shape)

    @property
    def outstanding(self) -> int:
        """Replies that were announced and are not complete."""
        return len(self._expected)

    @property
    def in_body(self) -> bool:
        """Whether we stand inside a multi-line reply."""
        return self._in_body

    @property
    def unread(self) -> bytes:
        """What came and belongs to no event yet; after the last reply: what nobody asked for."""
        return self._buffer

    def feed(self, data: bytes) -> list[Event]:
        """Takes what the socket gave; what is not understood becomes one `Broken`, at its place."""
        self._buffer = self._buffer + data if self._buffer else data
        events: list[Event] = []
        try:
            while self._expected and self._start < len(self._buffer) and not self._broken:
                done = self._body(events) if self._in_body else self._status(events)
                if not done:
                    break
        except ProtocolError as error:
            self._broken = True
            events.append(Broken(error))
        self._buffer = self._buffer[self._start :]
        self._start = 0
        return events

    def _status(self, events: list[Event]) -> bool:
        buffer, start = self._buffer, self._start
        end = buffer.find(b"\n", start, start + limits.POP3_LINE)
        if end < 0:
            _check_start(buffer[start : start + 200])
            if len(buffer) - start >= limits.POP3_LINE:
                raise TooLong("the server sent a line without end", buffer[start:])
            return False
        shape = self._expected[0]
        event = parse_status(
            buffer[start:end].removesuffix(b"\r"), challenge=shape is Expect.CHALLENGE
        )
        self._start = end + 1
        events.append(event)
        if isinstance(event, Status) and event.ok and shape is Expect.MULTI:
            # With the line end of the status line before it, a dot on the first line of the
            # body is a dot like any other.
            self._in_body = True
            self._skip = 2
            self._start -= 2
            if buffer[end - 1 : end] != b"\r":
                self._buffer = b"\r\n" + buffer[end + 1 :]
                self._start = 0
        elif isinstance(event, Status):
            self._expected.popleft()
        return True

    def _body(self, events: list[Event]) -> bool:
        buffer, start = self._buffer, self._start
        end = buffer.find(_END, start)
        stop = end + 2 if end >= 0 else len(buffer) - _held_back(buffer, start)
        content = buffer[start:stop]
        glued = -1
        if b"\r\n." in content:
            # Cyrus issue 4717: an end mark without its LF. A reply glued to one must not
            # become part of this message.
            if len(self._expected) > 1:
                places = [content.find(mark) for mark in (b"\r\n.\r+", b"\r\n.\r-")]
                glued = min((place for place in places if place >= 0), default=-1)
            content = content[:glued] if glued >= 0 else content
            content = content.replace(b"\r\n.", b"\r\n")
        if self._skip and content:
            content = content[self._skip :]
            self._skip = 0
        if content:
            events.append(Body(content))
        if glued >= 0:
            raise ProtocolError("an end mark lacks its line end", buffer[start + glued : stop])
        if end < 0:
            self._start = stop
            return False
        self._start = end + 5
        self._end(events)
        return True

    def _end(self, events: list[Event]) -> None:
        self._in_body = False
        self._skip = 0
        self._expected.popleft()
        events.append(End())

    @property
    def half_ended(self) -> bool:
        """Whether what is unread is CRLF "." CR, an end mark that lacks its last octet. When
        nothing follows for a while it is taken for one: see `accept_end`."""
        return self._in_body and self._buffer == b"\r\n.\r"

    def accept_end(self) -> list[Event]:
        """Takes CRLF "." CR for the end mark (Cyrus issue 4717)."""
        events: list[Event] = []
        if self._skip == 0:
            events.append(Body(b"\r\n"))
        self._buffer = b""
        self._end(events)
        return events


def _held_back(buffer: bytes, start: int) -> int:
    """How many octets at the end of `buffer[start:]` may be the start of an end mark."""
    for length in range(min(4, len(buffer) - start), 0, -1):
        if buffer.endswith(_END[:length]):
            return length
    return 0


def _check_start(start: bytes) -> None:
    """Raises ProtocolError when no status line starts like this: no need to wait for its end."""
    head = start[:4].upper()
    challenge = head.startswith((b"+ ", b"+\r"))
    if not (b"+OK".startswith(head[:3]) or b"-ERR".startswith(head) or challenge):
        raise ProtocolError("the answer is not POP3", start)


def parse_status(line: bytes, *, challenge: bool = False) -> Status | Challenge:
    """b"-ERR [IN-USE] busy" -> Status(False, b"[IN-USE] busy", "IN-USE"). Raises ProtocolError.

    RFC 1939 3 wants upper case; servers exist that do not know. "+OKAY" is junk.
    """
    if challenge and (line == b"+" or line.startswith(b"+ ")):
        return Challenge(line[2:])
    for word, ok in ((b"+OK", True), (b"-ERR", False)):
        rest = line[len(word) :]
        if line[: len(word)].upper() == word and not rest[:1].isalnum():
            text = rest.strip(b" \t")
            return Status(ok, text, _response_code(text))
    raise ProtocolError("the answer is not POP3", line)


def _response_code(text: bytes) -> str:
    """RFC 2449 8: "[" code "]" right after +OK or -ERR."""
    if not text.startswith(b"["):
        return ""
    code, closed, _ = text[1:64].partition(b"]")
    if not closed or not code or any(octet <= 0x20 or octet >= 0x7F for octet in code):
        return ""
    return code.decode("ascii").upper()


def timestamp(greeting: bytes) -> bytes | None:
    """The APOP timestamp of a greeting, angle brackets included, or None (RFC 1939 7).

    Only a strict msg-id counts: looser ones let a server in the middle learn the password by
    MD5 collisions (CVE-2007-1558).
    """
    start = greeting.rfind(b"<")
    end = greeting.find(b">", start)
    if start < 0 or end < 0:
        return None
    stamp = greeting[start : end + 1]
    left, at, right = stamp[1:-1].partition(b"@")
    clean = all(0x21 <= octet <= 0x7E for octet in stamp)
    return stamp if clean and at and left and right and b"@" not in right else None


def apop_digest(stamp: bytes, password: str) -> str:
    """The proof that APOP sends instead of the password (RFC 1939 7); MD5 is its choice."""
    return hashlib.md5(stamp + password.encode(), usedforsecurity=False).hexdigest()


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What CAPA announced (RFC 2449 6); of a server without CAPA nothing is known.

    `login_delay` is in seconds, `expire` in days; None is "never" or "not told".
    """

    known: bool = False
    pipelining: bool = False
    stls: bool = False
    top: bool = False
    uidl: bool = False
    user: bool = False
    utf8_user: bool = False  # RFC 6856 2.2: user names and passwords may be UTF-8
    sasl: frozenset[str] = frozenset()
    login_delay: int | None = None
    expire: int | None = None
    implementation: str = ""


def parse_capabilities(lines: Iterable[bytes]) -> Capabilities:
    """Lines of a CAPA reply: b"SASL PLAIN XOAUTH2", b"EXPIRE NEVER", ... (RFC 2449 5)."""
    found: dict[str, list[str]] = {}
    for line in lines:
        words = line.decode("ascii", "replace").split()
        if words:
            found.setdefault(words[0].upper(), words[1:])
    return Capabilities(
        known=True,
        pipelining="PIPELINING" in found,
        stls="STLS" in found,
        top="TOP" in found,
        uidl="UIDL" in found,
        user="USER" in found,
        utf8_user="USER" in (word.upper() for word in found.get("UTF8", ())),
        sasl=frozenset(word.upper() for word in found.get("SASL", ())),
        login_delay=_first_number(found.get("LOGIN-DELAY")),
        expire=_first_number(found.get("EXPIRE")),
        implementation=" ".join(found.get("IMPLEMENTATION", ()))[:200],
    )


def _first_number(words: Sequence[str] | None) -> int | None:
    if words and words[0].isascii() and words[0].isdigit() and len(words[0]) < 10:
        return int(words[0])
    return None


class LineSplitter:
    """Body slices -> whole lines without their ends, bounded in length and number."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._seen = 0
        self._rest = b""

    def feed(self, data: bytes) -> list[bytes]:
        """Raises TooLong at a line over POP3_LINE, or at the first line over `most`."""
        lines = (self._rest + data).split(b"\n")
        self._rest = lines.pop()
        self._seen += len(lines)
        if self._seen > self._most:
            raise TooLong(f"the server lists more than {self._most} lines", self._rest)
        if len(self._rest) > limits.POP3_LINE:
            raise TooLong("the server sent a line without end", self._rest)
        return [line.removesuffix(b"\r") for line in lines]

    def finish(self) -> list[bytes]:
        """The last line where it had no line end."""
        return [self._rest] if self._rest else []


class NumberedLines:
    """The lines of a LIST or UIDL listing as number -> what stands after it.

    A number that makes no sense, or comes twice, is rejected: `rejected` counts such lines. What
    comes twice is not believed at all (its value is empty), since nobody knows which is right.
    """

    def __init__(self) -> None:
        self._splitter = LineSplitter(limits.POP3_LISTING_ITEMS)
        self.values: dict[int, bytes] = {}
        self.rejected = 0

    def feed(self, data: bytes) -> None:
        """Raises TooLong, and ProtocolError where -ERR breaks the listing off."""
        self._take(self._splitter.feed(data))

    def finish(self) -> None:
        self._take(self._splitter.finish())

    def _take(self, lines: Sequence[bytes]) -> None:
        values = self.values
        for line in lines:
            # Spaces around the number and the value mean nothing (K-9 pull 323: three spaces).
            words = line.split(None, 1)
            digits = words[0] if words else b""
            if not digits.isdigit() or len(digits) > 10 or not 0 < int(digits) <= _MOST_NUMBER:
                if line[:4].upper() == b"-ERR":
                    raise ProtocolError("the server broke its listing off", line)
                self.rejected += 1
            elif int(digits) in values:
                values[int(digits)] = b""
                self.rejected += 1
            else:
                values[int(digits)] = words[1].strip(b" \t") if len(words) > 1 else b""


def join_listing(
    sizes: Mapping[int, bytes] | None, uidls: Mapping[int, bytes] | None
) -> Iterator[ListedItem]:
    """The `values` of LIST (asked first) and UIDL (asked after it), by number; None is an -ERR.

    A number that only UIDL has came in between, or is nonsense: it waits for the next poll. One
    that only LIST has is a message without UIDL.
    """
    numbers = uidls if sizes is None else sizes
    for number in sorted(numbers or ()):
        uidl = uidls.get(number) if uidls is not None else None
        size = sizes.get(number) if sizes is not None else None
        yield ListedItem(number, _uidl(uidl), _size(size))


def _uidl(value: bytes | None) -> bytes | None:
    """RFC 1939 7 allows 70 printable octets; others are kept as they are, long ones as a hash."""
    if not value:
        return None
    if len(value) > limits.POP3_UIDL:
        return b"sha256:" + hashlib.sha256(value).hexdigest().encode()
    return value


def _size(value: bytes | None) -> int | None:
    """The first word as a number of octets; 0 and what does not fit 31 bits say nothing."""
    digits = value.split(b" ", 1)[0] if value else b""
    if not digits.isdigit() or len(digits) > 10:
        return None
    return int(digits) if 0 < int(digits) <= _MOST_NUMBER else None
