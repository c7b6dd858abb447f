"""Framing: octets as they arrive become whole commands, under the caps of `limits.py`.

Rules:
- Sans-IO: `receive_data` stores, `next_event` works; how the octets were cut into segments
  changes nothing. Work is linear in the octets received.
- A line ends with CR LF and with nothing else. A line with a bare LF, a bare CR or a NUL in it
  is answered with BAD and thrown away whole, up to its CR LF: what stands behind the bare LF is
  never run (Dovecot 2.3 ends a line at a bare LF; then a LF that a client let through in a
  mailbox name or a search text would start a command).
- A literal is announced before its octets are read, so that it can be refused unread. One that
  breaks a cap is BAD; if its octets are on their way already ("{9+}", RFC 7888), the connection
  is over. An owner handles each event before it asks for the next.
- The end of every line is checked for "{n+}", also of a line that is refused for another reason
  (RFC 7888 3): octets of a literal never become commands.
- What is thrown away is not kept in memory first.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NamedTuple, TypeAlias

from bridge import limits
from bridge.imap.protocol.numbers import LARGEST_NUMBER
from bridge.imap.protocol.scanner import LARGEST_MODSEQ, Scanner
from bridge.model import Octets, Sink

# RFC 3501 9: tag = 1*<any ASTRING-CHAR except "+">; a command's name is an atom.
_TAG = re.compile(rb'[^\x00-\x20\x7f-\xff(){%*"\\+]++')
_NAME = re.compile(rb'[^\x00-\x20\x7f-\xff(){%*"\\\]]++')
_COMMAND = re.compile(rb"(%b) ((?:UID )?%b)" % (_TAG.pattern, _NAME.pattern), re.IGNORECASE)
# What stands before the mailbox name in commands that bring a message.
_NAME_FOLLOWS: Final = {
    "APPEND": re.compile(rb" "),
    "REPLACE": re.compile(rb" [^ ]*+ "),
    "UID REPLACE": re.compile(rb" [^ ]*+ "),
}
LARGEST_SIZE: Final = LARGEST_MODSEQ  # of a literal (RFC 9051 9, number64)
_TAG_SEARCH: Final = limits.IMAP_TAG + 1  # octets in which a tag and its space must be
_SHORT: Final = 32  # octets of a command's name; others are of no command of ours
_COMPACT: Final = 64 * 1024  # consumed octets at the front of the buffer that we tolerate


@dataclass(frozen=True, slots=True)
class LiteralAnnounced:
    """A literal of `size` octets comes next: `accept_literal` or `refuse_literal` is due.

    `message` tells a message of an APPEND or REPLACE from every other literal: it alone may be
    larger than `limits.IMAP_LITERAL`, even larger than `limits.IMAP_APPEND`.
    """

    tag: bytes
    name: str
    size: int
    synchronizing: bool
    message: bool = False


class CommandReady(NamedTuple):
    """A whole command. `name` is upper-case ("UID FETCH"); `arguments` start right behind it."""

    tag: bytes
    name: str
    arguments: Scanner


@dataclass(frozen=True, slots=True)
class Line:
    """The line that `expect_line` asked for, without its CRLF."""

    octets: bytes


@dataclass(frozen=True, slots=True)
class Malformed:
    """Not a command: BAD with this text, tagged if there is a tag. `fatal`: then BYE and close.

    It also ends what `expect_line` was called for.
    """

    tag: bytes | None
    text: str
    fatal: bool


Event: TypeAlias = LiteralAnnounced | CommandReady | Line | Malformed


class _Mode(enum.Enum):
    LINE = enum.auto()  # a line of a command, or an expected line
    DECISION = enum.auto()  # a literal was announced
    LITERAL = enum.auto()  # its octets
    SKIPPED_LITERAL = enum.auto()  # octets of a literal that nobody wants
    SKIPPED_LINE = enum.auto()  # the rest of a command that nobody wants
    OVER = enum.auto()  # after a fatal error


class _Memory:
    """The sink of literals that stay in memory."""

    __slots__ = ("_octets",)

    def __init__(self) -> None:
        self._octets = bytearray()

    def write(self, data: bytes, /) -> None:
        self._octets += data

    def finish(self) -> bytes:
        return bytes(self._octets)

    def close(self) -> None:
        self._octets.clear()


class Connection:
    """One client's octets. `authenticated` chooses between the limits before and after login,
    `utf8` and `rev2` the grammar of the commands to come (see `Scanner`)."""

    def __init__(self) -> None:
        self.authenticated = False
        self.utf8 = self.rev2 = False
        self._buffer = bytearray()
        self._start = 0  # of what is not consumed yet
        self._searched = 0  # where the search for LF goes on
        self._mode = _Mode.LINE
        self._expected: int | None = None  # limit of the line asked for by expect_line
        self._skipped = 0  # octets of the line that is thrown away
        self._left = 0  # octets of the literal still to come
        self._sink: Sink = _Memory()
        self._forget()

    def _forget(self) -> None:
        """Ready for the next command."""
        self._tag: bytes | None = None
        self._name = ""
        self._lines: list[bytes] = []
        self._literals: list[Octets] = []
        self._octets = 0  # of lines and literals of this command
        self._messages = 0

    # --- what the owner calls -----------------------------------------------------------

    def receive_data(self, data: bytes) -> None:
        """Keeps the octets for `next_event`; nothing is looked at yet."""
        if self._mode is not _Mode.OVER:
            self._buffer += data

    @property
    def buffered(self) -> int:
        """Octets received and not consumed."""
        return len(self._buffer) - self._start

    def expect_line(self, limit: int) -> None:
        """The next line, of at most `limit` octets with its CRLF, comes as a `Line`."""
        self._expected = limit

    def accept_literal(self, sink: Sink | None = None) -> None:
        """Reads the announced literal into the sink, or into memory without one.

        The command carries `sink.finish()`. The sink stays the owner's to close. If it raises
        from `write`, so does `next_event`, once, and the rest of the command is thrown away.
        """
        self._decide()
        self._sink = _Memory() if sink is None else sink
        self._mode = _Mode.LITERAL

    def refuse_literal(self) -> None:
        """The owner has answered the command: it is over.

        A synchronizing literal was never sent, nor was the rest of its line; of a
        non-synchronizing one the octets and the rest of the command are thrown away.
        """
        self._decide()
        if self._synchronizing:
            self._mode = _Mode.LINE
        else:
            self._mode = _Mode.SKIPPED_LITERAL
        self._forget()

    def _decide(self) -> None:
        if self._mode is not _Mode.DECISION:
            raise RuntimeError("no literal was announced")

    def next_event(self) -> Event | None:
        """The next event; None when it needs more data or a decision on a literal."""
        event = None
        while event is None:
            match self._mode:
                case _Mode.LINE:
                    line = self._take_line(self._line_limit())
                    if line is None:
                        return None
                    event = line if isinstance(line, Malformed) else self._line(line)
                case _Mode.LITERAL:
                    if not self._read_literal():
                        return None
                case _Mode.SKIPPED_LITERAL:
                    if not self._skip_literal():
                        return None
                case _Mode.SKIPPED_LINE:
                    line = self._take_line(self._line_limit())
                    if line is None:
                        return None
                    event = line if isinstance(line, Malformed) else self._skip_line(line)
                case _Mode.DECISION | _Mode.OVER:
                    return None
        return event

    # --- lines --------------------------------------------------------------------------

    def _line_limit(self) -> int:
        if self._expected is not None:
            return self._expected
        return limits.IMAP_LINE if self.authenticated else limits.IMAP_LINE_BEFORE_LOGIN

    def _take_line(self, limit: int) -> bytes | Malformed | None:
        """The octets up to and with the next LF."""
        limit -= self._skipped
        stop = self._start + limit
        end = self._buffer.find(b"\n", max(self._searched, self._start), stop)
        if end < 0:
            self._searched = len(self._buffer)
            if self.buffered < limit:
                return None
            if self._mode is _Mode.LINE and self._expected is None and self._tag is None:
                self._tag = _tag(bytes(self._buffer[self._start : self._start + _TAG_SEARCH]))
            return self._fatal("The line is too long")
        line = bytes(memoryview(self._buffer)[self._start : end + 1])
        self._consume(len(line))
        return line

    def _consume(self, octets: int) -> None:
        self._start += octets
        if self._start == len(self._buffer):
            self._buffer.clear()
        elif self._start >= _COMPACT:
            del self._buffer[: self._start]
        else:
            self._searched = self._start
            return
        self._start = self._searched = 0

    def _line(self, line: bytes) -> Event | None:
        if not line.endswith(b"\r\n"):
            self._skipped = len(line)
            self._mode = _Mode.SKIPPED_LINE
            return self._malformed(line, "A line ends with CR LF; all up to the next is ignored")
        line = line[:-2]
        literal = _announced_literal(line)
        if b"\0" in line or b"\r" in line:
            return self._refuse(line, literal, "A line has no NUL and no bare CR")
        if self._expected is not None and literal is None:
            self._expected = None
            return Line(line)
        if self._expected is not None:
            return self._refuse(line, literal, "There is no literal here")
        self._octets += len(line) + 2
        rest = line[: literal.start] if literal else line
        if not self._lines:
            problem = self._read_name(line)
            if problem:
                return self._refuse(line, literal, problem)
            assert self._tag is not None
            spoken = len(self._tag) + 1 + len(self._name)
            rest = rest[spoken:]
        self._lines.append(rest)
        if literal:
            return self._announce(literal)
        assert self._tag is not None
        scanner = Scanner(self._lines, self._literals, utf8=self.utf8, rev2=self.rev2)
        ready = CommandReady(self._tag, self._name, scanner)
        self._forget()
        return ready

    def _read_name(self, line: bytes) -> str:
        """Sets tag and name; says what is wrong with them, or nothing."""
        found = _COMMAND.match(line)
        if found is None or found.end(1) > limits.IMAP_TAG:
            if _tag(line) is None:
                return "A command starts with a tag and one space"
            return "A command's name follows the tag and one space"
        name = _upper(found[2]) if len(found[2]) <= _SHORT else found[2].decode("ascii").upper()
        if name == "UID":
            return "UID goes before the name of a command"
        self._tag, self._name = found[1], name
        return ""

    # --- literals -----------------------------------------------------------------------

    def _announce(self, literal: _Literal) -> Event:
        # The first literal may be the mailbox name; any later one is the message.
        name_follows = _NAME_FOLLOWS.get(self._name)
        message = (
            self.authenticated
            and name_follows is not None
            and not (len(self._lines) == 1 and name_follows.fullmatch(self._lines[0]))
        )
        problem = self._over_cap(literal, message)
        if problem:
            return self._fatal(problem) if not literal.synchronizing else self._drop(problem)
        if message:
            self._messages += 1
        else:
            self._octets += literal.size
        self._left = literal.size
        self._synchronizing = literal.synchronizing
        self._mode = _Mode.DECISION
        assert self._tag is not None
        return LiteralAnnounced(self._tag, self._name, literal.size, literal.synchronizing, message)

    def _over_cap(self, literal: _Literal, message: bool) -> str:
        login = self.authenticated
        if message:
            largest = LARGEST_SIZE if self.rev2 else LARGEST_NUMBER
        else:
            largest = limits.IMAP_LITERAL if login else limits.IMAP_LITERAL_BEFORE_LOGIN
        if literal.size > largest:
            return "The literal is too large"
        if message and self._messages >= limits.IMAP_APPEND_MESSAGES:
            return f"One APPEND has at most {limits.IMAP_APPEND_MESSAGES} messages"
        octets = self._octets + (0 if message else literal.size)
        if octets > (limits.IMAP_COMMAND if login else limits.IMAP_COMMAND_BEFORE_LOGIN):
            return "The command is too long"
        if len(self._literals) >= limits.IMAP_LITERALS_PER_COMMAND:
            return "Too many literals in one command"
        return ""

    def _read_literal(self) -> bool:
        octets = self._take(self._left)
        self._left -= len(octets)
        try:
            if octets:
                self._sink.write(octets)
            if self._left:
                return False
            self._literals.append(self._sink.finish())
        except BaseException:
            self._mode = _Mode.SKIPPED_LITERAL
            self._forget()
            raise
        self._mode = _Mode.LINE
        return True

    def _skip_literal(self) -> bool:
        skipped = min(self._left, self.buffered)
        self._consume(skipped)
        self._left -= skipped
        if self._left:
            return False
        self._mode = _Mode.SKIPPED_LINE
        return True

    def _take(self, most: int) -> bytes:
        octets = bytes(memoryview(self._buffer)[self._start : self._start + most])
        self._consume(len(octets))
        return octets

    # --- what goes wrong ----------------------------------------------------------------

    def _malformed(self, line: bytes, text: str) -> Malformed:
        tag = self._tag
        if tag is None and self._expected is None:
            tag = _tag(line)
        self._forget()
        self._expected = None
        return Malformed(tag, text, fatal=False)

    def _refuse(self, line: bytes, literal: _Literal | None, text: str) -> Malformed:
        """The line is complete and wrong; a literal behind it is read over."""
        malformed = self._malformed(line, text)
        self._mode = _Mode.LINE
        if literal and not literal.synchronizing:
            if literal.size > limits.IMAP_LITERAL:
                self._tag = malformed.tag
                return self._fatal(text)
            self._left = literal.size
            self._mode = _Mode.SKIPPED_LITERAL
        return malformed

    def _skip_line(self, line: bytes) -> Malformed | None:
        if not line.endswith(b"\r\n"):
            self._skipped += len(line)
            return None
        self._skipped = 0
        literal = _announced_literal(line[:-2])
        if literal is None or literal.synchronizing:
            # The client had its answer: it sends no literal that it would have to wait for.
            self._mode = _Mode.LINE
            return None
        if literal.size > limits.IMAP_LITERAL:
            return self._fatal("The literal is too large")
        self._left = literal.size
        self._mode = _Mode.SKIPPED_LITERAL
        return None

    def _drop(self, text: str) -> Malformed:
        """The command ends here: its client waits for our answer before it goes on."""
        malformed = Malformed(self._tag, text, fatal=False)
        self._forget()
        self._mode = _Mode.LINE
        return malformed

    def _fatal(self, text: str) -> Malformed:
        tag = self._tag
        self._forget()
        self._buffer.clear()
        self._start = self._searched = 0
        self._mode = _Mode.OVER
        return Malformed(tag, text, fatal=True)


@lru_cache(maxsize=256)
def _upper(name: bytes) -> str:
    return name.decode("ascii").upper()


@dataclass(frozen=True, slots=True)
class _Literal:
    start: int  # of "{" in its line
    size: int
    synchronizing: bool


def _announced_literal(line: bytes) -> _Literal | None:
    """b'a LOGIN {3}' and b'a LOGIN {3+}' announce literals (RFC 3501 4.3, RFC 7888 3)."""
    if not line.endswith(b"}"):
        return None
    start = line.rfind(b"{")
    digits = line[start + 1 : -1]
    synchronizing = not digits.endswith(b"+")
    if not synchronizing:
        digits = digits[:-1]
    if start < 0 or not digits.isdigit():
        return None
    # Counted first: int() of 4,300 digits and more raises ValueError of its own.
    size = int(digits) if len(digits) <= 19 else LARGEST_SIZE + 1
    return _Literal(start, size, synchronizing)


def _tag(line: bytes) -> bytes | None:
    """The tag that the line starts with, if it is one that can be repeated in an answer."""
    tag = _TAG.match(line)
    if tag is None or len(tag[0]) > limits.IMAP_TAG:
        return None
    return tag[0] if tag.end() == len(line) or line[tag.end()] in b" \r\n\0" else None
