"""SEARCH (RFC 3501 6.4.4), with RETURN (RFC 4731, 5182, 5267, 9394), OLDER and YOUNGER (RFC 5032),
MODSEQ (RFC 7162 3.1.5), SAVEDATE (RFC 8514 4.3), EMAILID and THREADID (RFC 8474 6).

Rules: the keys are a tree no deeper than `limits.IMAP_NESTING`, parsed with a stack of our own;
who walks it may recurse. Texts are decoded here, by codecs of our own choice: Python knows
"idna", "unicode_escape" and worse by name, so no name of the client reaches its lookup.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from bridge import limits
from bridge.imap.protocol.errors import BadCharset, ParseError
from bridge.imap.protocol.fetch import Item, items
from bridge.imap.protocol.numbers import NumberSet
from bridge.imap.protocol.scanner import Scanner
from bridge.model import Flag

__all__ = [
    "CHARSETS", "All", "And", "BadCharset", "BodyHas", "HasFlag", "HasId", "HasKeyword",
    "HeaderHas", "Internal", "Key", "Larger", "ModSeq", "Not", "Numbers", "Older", "Or", "Recent",
    "Refused", "Returns", "Saved", "Search", "Sent", "Smaller", "TextHas", "Update", "criteria",
    "leaves", "parse", "returns",
]  # fmt: skip

CHARSETS: Final[dict[str, str]] = {
    "UTF-8": "utf-8",
    "US-ASCII": "ascii",
    **{f"ISO-8859-{part}": f"iso8859-{part}" for part in (*range(1, 12), *range(13, 17))},
    **{f"WINDOWS-{page}": f"cp{page}" for page in range(1250, 1259)},
    "KOI8-R": "koi8-r",
    "KOI8-U": "koi8-u",
    "ISO-2022-JP": "iso2022_jp",
    "SHIFT_JIS": "cp932",
    "EUC-JP": "euc_jp",
    "EUC-KR": "euc_kr",
    "GB2312": "gb2312",
    "GBK": "gbk",
    "GB18030": "gb18030",
    "BIG5": "big5",
}
"""The charsets that we read, and Python's codec for each."""

Op: TypeAlias = Literal["before", "on", "since"]


@dataclass(frozen=True, slots=True)
class All:
    """Every message."""


@dataclass(frozen=True, slots=True)
class And:
    """At least two keys."""

    keys: tuple[Key, ...]


@dataclass(frozen=True, slots=True)
class Or:
    left: Key
    right: Key


@dataclass(frozen=True, slots=True)
class Not:
    key: Key


@dataclass(frozen=True, slots=True)
class Numbers:
    """`uid` tells UIDs from message numbers, which UID SEARCH too may be given."""

    numbers: NumberSet
    uid: bool


@dataclass(frozen=True, slots=True)
class HasFlag:
    flag: Flag


@dataclass(frozen=True, slots=True)
class HasKeyword:
    """Keywords are case-insensitive (RFC 5788 2)."""

    name: str


@dataclass(frozen=True, slots=True)
class Recent:
    """\\Recent in this session."""


@dataclass(frozen=True, slots=True)
class Larger:
    octets: int


@dataclass(frozen=True, slots=True)
class Smaller:
    octets: int


@dataclass(frozen=True, slots=True)
class Internal:
    """INTERNALDATE, its day as `date.toordinal`, disregarding time and zone."""

    op: Op
    day: int


@dataclass(frozen=True, slots=True)
class Sent:
    """The Date header, its day as `date.toordinal`, disregarding time and zone."""

    op: Op
    day: int


@dataclass(frozen=True, slots=True)
class Saved:
    """SAVEDATE (RFC 8514 4.3), its day as `date.toordinal`."""

    op: Op
    day: int


@dataclass(frozen=True, slots=True)
class HasId:
    """EMAILID or THREADID (RFC 8474 6), as `thread` says. The case of `objectid` counts."""

    objectid: str
    thread: bool


@dataclass(frozen=True, slots=True)
class Older:
    """INTERNALDATE at least `seconds` ago (RFC 5032 2); YOUNGER is Not(Older(seconds + 1))."""

    seconds: int


@dataclass(frozen=True, slots=True)
class HeaderHas:
    """`name` is lower-case; an empty needle asks whether the header is there at all."""

    name: bytes
    needle: str


@dataclass(frozen=True, slots=True)
class BodyHas:
    needle: str


@dataclass(frozen=True, slots=True)
class TextHas:
    """In the header or the body."""

    needle: str


@dataclass(frozen=True, slots=True)
class ModSeq:
    """MODSEQ equal or greater."""

    modseq: int


Key: TypeAlias = (
    All | And | Or | Not | Numbers | HasFlag | HasKeyword | Recent | Larger | Smaller
    | Internal | Sent | Saved | HasId | Older | HeaderHas | BodyHas | TextHas | ModSeq
)  # fmt: skip


Option: TypeAlias = Literal["MIN", "MAX", "ALL", "PARTIAL", "COUNT", "SAVE"]
_OPTIONS: Final[tuple[Option, ...]] = ("MIN", "MAX", "ALL", "PARTIAL", "COUNT", "SAVE")


@dataclass(frozen=True, slots=True)
class Update:
    """UPDATE: what is added and removed is told (RFC 5267 4.3), and of what is added because it
    came the `items` (RFC 5465 7)."""

    items: tuple[Item, ...] = ()


@dataclass(frozen=True, slots=True)
class Returns:
    """What RETURN asked for, each once and in our order. `partial` is the range as sent: (1, 100),
    or (-1, -100) counted from the end (RFC 9394 3.1). `context` is True with CONTEXT or UPDATE."""

    options: tuple[Option, ...]
    partial: tuple[int, int] | None = None
    update: Update | None = None
    context: bool = False


@dataclass(frozen=True, slots=True)
class Search:
    """`charset` is a name of `CHARSETS` or None. `returns` is None without RETURN, when the answer
    is an untagged SEARCH."""

    key: Key
    charset: str | None = None
    returns: Returns | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """A search with SAVE in a charset that we do not read: what was saved before goes, too
    (RFC 5182 2.1)."""

    error: BadCharset


def parse(scanner: Scanner) -> Search | Refused:
    """Raises ParseError, BadCharset among them."""
    scanner.space()
    asked = None
    name = _word(scanner)
    if name == "RETURN":
        scanner.space()
        asked = returns(scanner)
        scanner.space()
        name = _word(scanner)
    if asked is None and scanner.rev2:
        # RFC 9051 6.4.4: the answer is always an ESEARCH, with ALL where nothing else is asked for.
        asked = Returns(("ALL",))
    charset = None
    if name == "CHARSET":
        scanner.space()
        charset = scanner.astring()
        scanner.space()
        name = _word(scanner)
    return criteria(scanner, name, charset, asked)


def criteria(
    scanner: Scanner, name: str | None, charset: bytes | None, asked: Returns | None
) -> Search | Refused:
    """The keys up to the end of the command; `name` is the first one's where it is read already.
    Raises ParseError."""
    known = None
    if charset is not None:
        known = charset.decode("ascii", "replace").upper()
        if known not in CHARSETS:
            error = BadCharset(tuple(CHARSETS))
            if asked is None or "SAVE" not in asked.options:
                raise error
            return Refused(error)
        # RFC 6855 3: another charset is refused; the name of the one in use does no harm.
        if scanner.utf8 and known not in ("UTF-8", "US-ASCII"):
            raise ParseError("All texts are UTF-8 after ENABLE UTF8=ACCEPT")
    if name is None:
        name = _word(scanner)
    key = _Keys(scanner, CHARSETS[known or "UTF-8"]).read(name)
    scanner.end()
    return Search(key, known, asked)


def leaves(key: Key) -> Iterator[Key]:
    """Every key that holds no other."""
    waiting = [key]
    while waiting:
        match waiting.pop():
            case And(keys):
                waiting += keys
            case Or(left, right):
                waiting += (left, right)
            case Not(inner):
                waiting.append(inner)
            case leaf:
                yield leaf


def _word(scanner: Scanner) -> str:
    """The name of a key; "" before a sequence set or a parenthesis."""
    return "" if scanner.peek == b"(" or _at_numbers(scanner) else scanner.word()


def _at_numbers(scanner: Scanner) -> bool:
    return scanner.peek in (b"*", b"$") or scanner.peek.isdigit()


def returns(scanner: Scanner) -> Returns:
    """(MIN PARTIAL 1:100 UPDATE): search-return-opts (RFC 4466 6)."""
    scanner.expect(b"(")
    words: set[str] = set()
    partial = update = None
    while not scanner.take(b")"):
        if words:
            scanner.space()
        word = scanner.word()
        if word == "PARTIAL":
            if partial is not None:
                raise ParseError("PARTIAL is given twice")
            scanner.space()
            partial = scanner.partial_range()
        elif word == "UPDATE":
            if update is not None:
                raise ParseError("UPDATE is given twice")
            update = Update(items(scanner) if scanner.take(b" (") else ())
        elif word != "CONTEXT" and word not in _OPTIONS:
            raise ParseError("There is no such SEARCH return option")
        words.add(word)
    # RFC 9394 3.1
    if partial is not None and "ALL" in words:
        raise ParseError("ALL and PARTIAL exclude each other")
    asked = tuple(option for option in _OPTIONS if option in words)
    # RFC 4731 3.1: RETURN () is RETURN (ALL). CONTEXT alone is a hint (RFC 5267 4.2).
    if not asked and update is None:
        asked = ("ALL",)
    return Returns(asked, partial, update, bool(words & {"CONTEXT", "UPDATE"}))


@dataclass(slots=True)
class _Frame:
    """Keys read so far of what is open: "all" the whole, "(" a group, "OR", "NOT"."""

    kind: Literal["all", "(", "OR", "NOT"]
    keys: list[Key]


class _Keys:
    """One run over the keys of a SEARCH."""

    def __init__(self, scanner: Scanner, codec: str) -> None:
        self._scanner = scanner
        self._codec = codec

    def read(self, name: str) -> Key:
        """All keys up to the end; `name` is the first one's, which is read already."""
        stack = [_Frame("all", [])]
        while True:
            opened = self._open(name)
            if opened is not None:
                stack.append(opened)
                if len(stack) > limits.IMAP_NESTING:
                    raise ParseError(f"Search keys nest at most {limits.IMAP_NESTING} deep")
            else:
                found = self._close(stack, self._leaf(name))
                if found is not None:
                    return found
                self._scanner.space()
            name = _word(self._scanner)

    def _open(self, name: str) -> _Frame | None:
        if name == "" and self._scanner.take(b"("):
            return _Frame("(", [])
        if name not in ("NOT", "OR"):
            return None
        self._scanner.space()
        return _Frame("NOT" if name == "NOT" else "OR", [])

    def _close(self, stack: list[_Frame], key: Key) -> Key | None:
        """Gives the key to what is open; the whole when nothing is open any more."""
        while True:
            frame = stack[-1]
            frame.keys.append(key)
            if frame.kind == "NOT":
                key = Not(key)
            elif frame.kind == "OR":
                if len(frame.keys) < 2:
                    return None
                key = Or(*frame.keys)
            elif frame.kind == "(":
                if not self._scanner.take(b")"):
                    return None
                key = _all_of(frame.keys)
            else:
                return _all_of(frame.keys) if self._scanner.at_end else None
            stack.pop()

    def _leaf(self, name: str) -> Key:
        if name == "":
            return Numbers(self._scanner.sequence_set(), uid=False)
        if name in _PLAIN and not (self._scanner.rev2 and name in REV1_KEYS):
            return _PLAIN[name]
        if name not in _WITH_ARGUMENT:
            raise ParseError("There is no such search key")
        self._scanner.space()
        return _WITH_ARGUMENT[name](self)

    def _text(self) -> str:
        octets = self._scanner.astring()
        try:
            return octets.decode(self._codec)
        except UnicodeDecodeError:
            raise ParseError("A search text is not in the charset of the command") from None

    def _header(self) -> Key:
        name = self._scanner.astring().lower()
        self._scanner.space()
        return HeaderHas(name, self._text())

    def _modseq(self) -> Key:
        if self._scanner.peek == b'"':
            # RFC 7162 3.1.5: we keep one mod-sequence a message, so the entry is ignored.
            self._scanner.string()
            self._scanner.space()
            if self._scanner.word() not in ("PRIV", "SHARED", "ALL"):
                raise ParseError("Expected priv, shared or all")
            self._scanner.space()
        return ModSeq(self._scanner.mod_sequence())


def _all_of(keys: list[Key]) -> Key:
    return keys[0] if len(keys) == 1 else And(tuple(keys))


REV1_KEYS: Final = frozenset({"RECENT", "NEW", "OLD"})  # RFC 9051, Appendix E 12
_SEEN: Final = HasFlag(Flag.SEEN)
_PLAIN: Final[dict[str, Key]] = {
    "ALL": All(),
    "RECENT": Recent(),
    "NEW": And((Recent(), Not(_SEEN))),
    "OLD": Not(Recent()),
    "SAVEDATESUPPORTED": All(),  # RFC 8514 4.3: in every mailbox
    **{flag.name or "": HasFlag(flag) for flag in Flag},
    **{f"UN{flag.name}": Not(HasFlag(flag)) for flag in Flag},
}

# Each reads what follows its name and the space.
_WITH_ARGUMENT: Final[dict[str, Callable[[_Keys], Key]]] = {
    "BCC": lambda keys: HeaderHas(b"bcc", keys._text()),
    "CC": lambda keys: HeaderHas(b"cc", keys._text()),
    "FROM": lambda keys: HeaderHas(b"from", keys._text()),
    "SUBJECT": lambda keys: HeaderHas(b"subject", keys._text()),
    "TO": lambda keys: HeaderHas(b"to", keys._text()),
    "HEADER": _Keys._header,
    "BODY": lambda keys: BodyHas(keys._text()),
    "TEXT": lambda keys: TextHas(keys._text()),
    "BEFORE": lambda keys: Internal("before", keys._scanner.date()),
    "ON": lambda keys: Internal("on", keys._scanner.date()),
    "SINCE": lambda keys: Internal("since", keys._scanner.date()),
    "SENTBEFORE": lambda keys: Sent("before", keys._scanner.date()),
    "SENTON": lambda keys: Sent("on", keys._scanner.date()),
    "SENTSINCE": lambda keys: Sent("since", keys._scanner.date()),
    "KEYWORD": lambda keys: HasKeyword(keys._scanner.keyword()),
    "UNKEYWORD": lambda keys: Not(HasKeyword(keys._scanner.keyword())),
    "OLDER": lambda keys: Older(keys._scanner.nz_number()),
    # RFC 5032 2: a message of just that age is both.
    "YOUNGER": lambda keys: Not(Older(keys._scanner.nz_number() + 1)),
    "LARGER": lambda keys: Larger(keys._scanner.size()),
    "SMALLER": lambda keys: Smaller(keys._scanner.size()),
    "MODSEQ": _Keys._modseq,
    "SAVEDBEFORE": lambda keys: Saved("before", keys._scanner.date()),
    "SAVEDON": lambda keys: Saved("on", keys._scanner.date()),
    "SAVEDSINCE": lambda keys: Saved("since", keys._scanner.date()),
    "EMAILID": lambda keys: HasId(keys._scanner.atom(), thread=False),
    "THREADID": lambda keys: HasId(keys._scanner.atom(), thread=True),
    "UID": lambda keys: Numbers(keys._scanner.sequence_set(), uid=True),
}
