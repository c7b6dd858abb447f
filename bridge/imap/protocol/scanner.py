"""The terminals of the IMAP grammar (RFC 3501 9) over one complete command.

Rules: one space where the grammar has one; names of the protocol in any case; every method
either consumes exactly its token or raises `ParseError`. Each regular expression is a class
repeated possessively, so none can backtrack. Text of the client is never repeated in an error.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Sequence
from typing import Final

from bridge import limits
from bridge.imap.protocol import utf7
from bridge.imap.protocol.errors import BadCharset, ParseError
from bridge.imap.protocol.numbers import LARGEST_NUMBER, NumberSet
from bridge.model import Flag, Octets

__all__ = ["BadCharset", "ParseError", "Scanner"]

LARGEST_MODSEQ: Final = 2**63 - 1
MONTHS: Final = (
    b"JAN", b"FEB", b"MAR", b"APR", b"MAY", b"JUN",
    b"JUL", b"AUG", b"SEP", b"OCT", b"NOV", b"DEC",
)  # fmt: skip
_EPOCH: Final = datetime.date(1970, 1, 1).toordinal()
_EARLIEST: Final = (datetime.date.min.toordinal() - _EPOCH) * 86400
_LATEST: Final = (datetime.date.max.toordinal() - _EPOCH + 1) * 86400 - 1

# RFC 3501 9: ATOM-CHAR, ASTRING-CHAR (with "]"), list-char (with "]" "%" "*").
_ATOM = re.compile(rb'[^\x00-\x20\x7f-\xff(){%*"\\\]]++')
_ASTRING = re.compile(rb'[^\x00-\x20\x7f-\xff(){%*"\\]++')
_LIST = re.compile(rb'[^\x00-\x20\x7f-\xff(){"\\]++')
_QUOTED = re.compile(rb'"([^"\\]*+(?:\\["\\][^"\\]*+)*+)"')
_ESCAPED = re.compile(rb"\\(.)")
_WORD = re.compile(rb"[A-Za-z0-9.\-]++")
_DIGITS = re.compile(rb"[0-9]++")
_SET = re.compile(rb"[0-9*:,]++")
_DATE = re.compile(rb"([0-9]{1,2})-([A-Za-z]{3})-([0-9]{4})(?![0-9])")
_DATE_TIME = re.compile(
    rb'"([ 0-9]?[0-9])-([A-Za-z]{3})-([0-9]{4}) '
    rb'([0-9]{2}):([0-9]{2}):([0-9]{2}) ([+-])([0-9]{2})([0-9]{2})"'
)
# Controls of both sets, and the line ends of Unicode, never belong in a name (RFC 9051 5.1).
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_SYSTEM_FLAGS: Final = {
    "ANSWERED": Flag.ANSWERED,
    "FLAGGED": Flag.FLAGGED,
    "DELETED": Flag.DELETED,
    "SEEN": Flag.SEEN,
    "DRAFT": Flag.DRAFT,
}


class Scanner:
    """Reads a command from left to right.

    `lines` are the pieces between literals without CRLF and without the "{5}" announcements,
    one more than there are `literals`: LOGIN {3} joe x is [b" ", b" x"] and [b"joe"].

    `utf8` and `rev2` say that the client enabled UTF8=ACCEPT or IMAP4rev2. With either, mailbox
    names are UTF-8, not modified UTF-7 (RFC 6855 3, RFC 9051 5.1); with `rev2` the grammar is that
    of RFC 9051, which lacks some words of RFC 3501 and has numbers of 63 bits.
    """

    __slots__ = ("_index", "_line", "_lines", "_literals", "_position", "rev2", "utf8")

    def __init__(
        self,
        lines: Sequence[bytes],
        literals: Sequence[Octets] = (),
        *,
        utf8: bool = False,
        rev2: bool = False,
    ) -> None:
        self.utf8 = utf8
        self.rev2 = rev2
        self._lines = lines
        self._literals = literals
        self._index = 0
        self._line = lines[0]
        self._position = 0

    @property
    def alone(self) -> bytes | None:
        """All of the command behind its name, where no literal is in it."""
        return None if self._literals else self._lines[0]

    # --- where we are -------------------------------------------------------------------

    @property
    def peek(self) -> bytes:
        """The next octet, b"{" before a literal, b"" at the end."""
        if self._position < len(self._line):
            return self._line[self._position : self._position + 1]
        return b"{" if self._at_literal else b""

    @property
    def at_end(self) -> bool:
        return self._position == len(self._line) and not self._at_literal

    @property
    def _at_literal(self) -> bool:
        return self._position == len(self._line) and self._index < len(self._literals)

    def end(self) -> None:
        """Nothing may follow."""
        if not self.at_end:
            raise ParseError("Unexpected text after the command")

    def take(self, octet: bytes) -> bool:
        """Consumes the octet if it is next."""
        if self._line.startswith(octet, self._position):
            self._position += len(octet)
            return True
        return False

    def take_name(self, octets: bytes) -> bool:
        """Consumes the octets if they are next, letters in any case."""
        here = self._line[self._position : self._position + len(octets)]
        if here.upper() != octets.upper():
            return False
        self._position += len(octets)
        return True

    def expect(self, octet: bytes) -> None:
        if not self.take(octet):
            raise ParseError(f"Expected {octet.decode('ascii')}")

    def space(self) -> None:
        """Exactly one space (RFC 3501 9, rule 2)."""
        if not self.take(b" "):
            raise ParseError("Missing argument" if self.at_end else "Expected one space")

    # --- strings ------------------------------------------------------------------------

    def atom(self) -> str:
        return self._match(_ATOM, "Expected an atom").decode("ascii")

    def word(self) -> str:
        """A name of the protocol in upper case: letters, digits, "." and "-"."""
        return self._match(_WORD, "Expected a name").decode("ascii").upper()

    def astring(self) -> bytes:
        if self.peek in (b'"', b"{"):
            return self.string()
        return self._match(_ASTRING, "Expected an atom or a string")

    def string(self) -> bytes:
        if self._at_literal:
            literal = self.literal_octets()
            octets = literal[0 : len(literal)]
            # RFC 3501 9, rule 3: NUL must not be used at any time.
            if b"\0" in octets:
                raise ParseError("NUL in a string")
            return octets
        quoted = _QUOTED.match(self._line, self._position)
        if quoted is None:
            closed = self.peek != b'"'
            raise ParseError("Expected a string" if closed else "The quoted string is not closed")
        self._position = quoted.end()
        octets = quoted[1]
        if not octets.isascii():
            # RFC 9051 4.3: a quoted string may be UTF-8. We take that from everybody; other 8-bit
            # octets, which no RFC allows there, are refused.
            try:
                octets.decode("utf-8")
            except UnicodeDecodeError:
                raise ParseError("A quoted string is ASCII or UTF-8") from None
        return _ESCAPED.sub(rb"\1", octets) if b"\\" in octets else octets

    def nstring(self) -> bytes | None:
        if self.peek in (b'"', b"{"):
            return self.string()
        if self._match(_ATOM, "Expected a string or NIL").upper() != b"NIL":
            raise ParseError("Expected a string or NIL")
        return None

    def literal_octets(self) -> Octets:
        """A literal as it came: `bytes`, or what its sink made of it; NULs may be inside."""
        if not self._at_literal:
            raise ParseError("Expected a literal")
        octets = self._literals[self._index]
        self._index += 1
        self._line = self._lines[self._index]
        self._position = 0
        return octets

    def _match(self, token: re.Pattern[bytes], otherwise: str) -> bytes:
        found = token.match(self._line, self._position)
        if found is None:
            raise ParseError(otherwise)
        self._position = found.end()
        return found[0]

    # --- numbers ------------------------------------------------------------------------

    def number(self) -> int:
        """0 to 4294967295."""
        return self._number(10, LARGEST_NUMBER, "Expected a number from 0 to 4294967295")

    def nz_number(self) -> int:
        """1 to 4294967295, without a leading zero (RFC 3501 9, nz-number)."""
        if self.peek == b"0":
            raise ParseError("Expected a number from 1 to 4294967295")
        return self._number(10, LARGEST_NUMBER, "Expected a number from 1 to 4294967295")

    def size(self) -> int:
        """A number of octets: 63 bits in RFC 9051 (Appendix D), 32 in RFC 3501."""
        return self.mod_sequence() if self.rev2 else self.number()

    def nz_size(self) -> int:
        """The same, at least 1."""
        if not self.rev2 or self.peek == b"0":
            return self.nz_number()
        return self.mod_sequence()

    def mod_sequence(self) -> int:
        """0 to 2**63 - 1 (RFC 7162 7, mod-sequence-valzer)."""
        return self._number(19, LARGEST_MODSEQ, "Expected a mod-sequence of at most 63 bits")

    def _number(self, digits: int, largest: int, otherwise: str) -> int:
        octets = self._match(_DIGITS, otherwise)
        # Counted first: int() of 4,300 digits and more raises ValueError of its own.
        if len(octets) > digits or (number := int(octets)) > largest:
            raise ParseError(otherwise)
        return number

    def partial_range(self) -> tuple[int, int]:
        """1:100, or -1:-100 (RFC 5267 5 and RFC 9394 4, partial-range)."""
        sign = -1 if self.take(b"-") else 1
        first = sign * self.nz_number()
        self.expect(b":")
        if sign < 0:
            self.expect(b"-")
        return first, sign * self.nz_number()

    def sequence_set(self) -> NumberSet:
        # RFC 5182 3: sequence-set =/ "$"
        if self.take(b"$"):
            return NumberSet((), saved=True)
        return NumberSet.parse(self._match(_SET, "Expected a sequence set"))

    # --- names --------------------------------------------------------------------------

    def mailbox(self) -> str:
        """A mailbox name in Unicode; INBOX is spelt so, alone and as the first level."""
        return _mailbox_name(self.astring(), self.utf8 or self.rev2)

    def list_mailbox(self) -> str:
        """A LIST pattern in Unicode: a mailbox name with "%" and "*" in it."""
        if self.peek in (b'"', b"{"):
            return _mailbox_name(self.string(), self.utf8 or self.rev2)
        pattern = self._match(_LIST, "Expected a mailbox name or pattern")
        return _mailbox_name(pattern, self.utf8 or self.rev2)

    # --- flags --------------------------------------------------------------------------

    def flag_list(self) -> tuple[int, tuple[str, ...]]:
        """(\\Seen $Forwarded) -> (Flag.SEEN, ("$Forwarded",)); the list may be empty."""
        self.expect(b"(")
        if self.take(b")"):
            return 0, ()
        found = self._flags()
        self.expect(b")")
        return found

    def flags(self) -> tuple[int, tuple[str, ...]]:
        """The same with or without parentheses (RFC 3501 9, store-att-flags)."""
        return self.flag_list() if self.peek == b"(" else self._flags()

    def _flags(self) -> tuple[int, tuple[str, ...]]:
        flags = 0
        keywords: dict[str, str] = {}
        while True:
            if self.take(b"\\"):
                name = self.atom().upper()
                if name == "RECENT":
                    # RFC 3501 2.3.2: no client can alter it. Dovecot 2.3 answers BAD, too.
                    raise ParseError("\\Recent can not be set by a client")
                if name not in _SYSTEM_FLAGS:
                    raise ParseError("There is no such system flag")
                flags |= _SYSTEM_FLAGS[name]
            else:
                keyword = self.keyword()
                # RFC 5788 2: keywords are case-insensitive; the first spelling counts.
                keywords.setdefault(keyword.lower(), keyword)
            if not self.take(b" "):
                return flags, tuple(keywords.values())

    def keyword(self) -> str:
        """A flag-keyword: an atom of at most KEYWORD_NAME octets."""
        keyword = self.atom()
        if len(keyword) > limits.KEYWORD_NAME:
            raise ParseError(f"A keyword has at most {limits.KEYWORD_NAME} octets")
        return keyword

    # --- dates --------------------------------------------------------------------------

    def date(self) -> int:
        """1-Feb-1994, quoted or not, as a day: `datetime.date.toordinal`."""
        quoted = self.take(b'"')
        found = _DATE.match(self._line, self._position)
        if found is None:
            raise ParseError("Expected a date like 1-Feb-1994")
        self._position = found.end()
        if quoted:
            self.expect(b'"')
        return _day(found[1], found[2], found[3])

    def date_time(self) -> int:
        """ "17-Jul-1996 02:44:25 -0700" in quotes, as seconds since the epoch in UTC."""
        found = _DATE_TIME.match(self._line, self._position)
        if found is None:
            raise ParseError('Expected a date and time like "17-Jul-1996 02:44:25 -0700"')
        self._position = found.end()
        hour, minute, second = int(found[4]), int(found[5]), int(found[6])
        east, minutes_east = int(found[8]), int(found[9])
        if hour > 23 or minute > 59 or second > 60 or east > 23 or minutes_east > 59:
            raise ParseError("There is no such time")
        offset = (east * 60 + minutes_east) * 60
        seconds = (_day(found[1], found[2], found[3]) - _EPOCH) * 86400
        seconds += hour * 3600 + minute * 60 + second + (-offset if found[7] == b"+" else offset)
        if not _EARLIEST <= seconds <= _LATEST:
            raise ParseError("There is no such date")
        return seconds


def _day(day: bytes, month: bytes, year: bytes) -> int:
    try:
        number = MONTHS.index(month.upper()) + 1
        return datetime.date(int(year), number, int(day)).toordinal()
    except ValueError:
        raise ParseError("There is no such date") from None


def _mailbox_name(octets: bytes, utf8: bool) -> str:
    # RFC 3501 5.1: INBOX is special in every case. Compared as ASCII octets, before decoding:
    # str.upper() would also make INBOX of a name with a dotless i.
    if octets[:5].upper() == b"INBOX" and octets[5:6] in (b"", b"/"):
        octets = b"INBOX" + octets[5:]
    name = _utf8_name(octets) if utf8 else utf7.decode(octets)
    if len(name.encode("utf-8")) > limits.MAILBOX_NAME:
        raise ParseError(f"A mailbox name has at most {limits.MAILBOX_NAME} octets")
    if _CONTROL.search(name):
        raise ParseError("Control characters in a mailbox name")
    return name


def _utf8_name(octets: bytes) -> str:
    """ "&" is no shift here: Thunderbird sends it bare once it has enabled UTF8=ACCEPT."""
    try:
        return octets.decode("utf-8")
    except UnicodeDecodeError:
        raise ParseError("A mailbox name is UTF-8 here, as you asked with ENABLE") from None
