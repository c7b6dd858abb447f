"""Is this message what SEARCH asked for? (RFC 3501 6.4.4)

A search is compiled once. What the open mailbox knows (flags, numbers, MODSEQ) is decided for all
its messages at once: a mask has an octet a message, 0 or 1, and AND, OR and NOT work on masks as
integers. Only messages that no mask settles are looked at one by one, cheap tests first: the
stored row (dates, size), its header, and last the text of the body, piece by piece.

Rules: pure; substring search over decoded text, blind to case; the grammar holds the nesting of
keys under the limit, so recursion is safe here.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from typing import TypeAlias

from bridge.imap.objectids import email_id, thread_id
from bridge.imap.planes import LEAST, PAST, at_least, mask_within, number, positions, those
from bridge.imap.protocol.search import (
    All,
    And,
    BodyHas,
    HasFlag,
    HasId,
    HasKeyword,
    HeaderHas,
    Internal,
    Key,
    Larger,
    ModSeq,
    Not,
    Numbers,
    Older,
    Op,
    Or,
    Recent,
    Saved,
    Sent,
    Smaller,
    TextHas,
    leaves,
)
from bridge.mime.text import body_texts, fold, header_text, header_texts, header_values
from bridge.model import EntryRow, Octets
from bridge.store.api import Columns

SECONDS_A_DAY = 86_400
EPOCH = 719_163  # date(1970, 1, 1).toordinal()
LAST_DAY = 3_652_059  # date.max.toordinal()


@dataclass(frozen=True, slots=True)
class Known:
    """What the open mailbox knows: one element a message of the view, in its order.

    `column` gives a mask for a leaf that columns answer, None for others; `may_hold` for a folded
    needle one of the messages whose texts may hold it, None where nobody knows.
    `keywords` gives the names of an interned set, `places` the closed intervals of positions of a
    number set, `recent` those of what is \\Recent. `gone` are positions of messages that were
    expunged and still have their number. `now` is in seconds since the epoch.
    """

    flags: bytes
    keyword_sets: array[int]
    modseqs: array[int]
    keywords: Callable[[int], tuple[str, ...]]
    places: Callable[[Numbers], Iterable[tuple[int, int]]]
    recent: Callable[[], Iterable[tuple[int, int]]]
    gone: Iterable[int]
    now: int
    column: Callable[[Key], bytes | None] = lambda _: None
    may_hold: Callable[[str], bytes | None] = lambda _: None


class Stored:
    """What the store adds of one message: its row, and on demand its octets.

    `needles` are all texts, folded, that the search looks for in bodies: the body is read once
    for all of them, and no more of it is in memory than a piece.
    """

    def __init__(
        self, row: EntryRow, octets: Callable[[EntryRow], Octets], needles: frozenset[str]
    ) -> None:
        self.row = row
        self._octets = octets
        self._needles = needles
        self._message: Octets | None = None
        self._own_header: str | None = None
        self._headers: tuple[str, ...] | None = None
        self._in_body: frozenset[str] | None = None

    @property
    def message(self) -> Octets:
        if self._message is None:
            self._message = self._octets(self.row)
        return self._message

    def header_has(self, name: bytes, needle: str) -> bool:
        return any(needle in fold(value) for value in header_values(self.row.header, name))

    def body_has(self, needle: str) -> bool:
        if self._in_body is None:
            left = set(self._needles)
            for text in body_texts(self.message, self.row.parts):
                folded = fold(text)
                left = {needle for needle in left if needle not in folded}
                if not left:
                    break
            self._in_body = self._needles - left
        return needle in self._in_body

    def text_has(self, needle: str) -> bool:
        """In a header of the message or of a part of it, or in the body."""
        if self._own_header is None:
            self._own_header = fold(header_text(self.row.header))
        if needle in self._own_header or self.body_has(needle):
            return True
        if self._headers is None:
            self._headers = tuple(map(fold, header_texts(self.message, self.row.parts)))
        return any(needle in text for text in self._headers)


class Cost(IntEnum):
    """What it takes to decide: nothing, a stored row, a parsed header, the octets."""

    NOTHING = 0
    ROW = 1
    HEADER = 2
    BODY = 3


Test: TypeAlias = Callable[[int, Stored], bool]


@dataclass(frozen=True, slots=True)
class _Node:
    """A compiled key. `yes` and `no` are masks of what is settled; `test` decides the rest."""

    yes: int
    no: int
    cost: Cost
    test: Test


class Plan:
    """A compiled search over the messages of a view: `found` is the mask of what is known to match,
    `left` tells how many messages must be looked at."""

    def __init__(self, key: Key, known: Known) -> None:
        self._count = len(known.flags)
        self._full = number(b"\x01" * self._count)
        self._known = known
        self.needles = frozenset(
            fold(leaf.needle) for leaf in leaves(key) if isinstance(leaf, BodyHas | TextHas)
        )
        node = self._compile(key)
        self.cost = node.cost
        self.columns = _extra_columns(key)
        self._test = node.test
        gone = bytearray(self._count)
        for at in known.gone:
            gone[at] = 1
        here = self._full & ~number(gone)
        self.found = (node.yes & here).to_bytes(self._count, "little")
        self._left = (here & ~(node.yes | node.no)).to_bytes(self._count, "little")
        self.left = self._left.count(1)

    @property
    def open(self) -> list[int]:
        """The positions of what must be looked at, rising."""
        return positions(self._left)

    def matches(self, at: int, stored: Stored) -> bool:
        """Whether the message at a position of `open` is one."""
        return self._test(at, stored)

    def _compile(self, key: Key) -> _Node:
        match key:
            case And():
                return _all_of([self._compile(inner) for inner in key.keys])
            case Or():
                return _any_of([self._compile(key.left), self._compile(key.right)])
            case Not():
                node = self._compile(key.key)
                test = node.test
                return _Node(node.no, node.yes, node.cost, lambda at, m: not test(at, m))
        mask = self._mask(key)
        if mask is None:
            no = 0
            if isinstance(key, BodyHas | TextHas):
                maybe = self._known.may_hold(fold(key.needle))
                no = 0 if maybe is None else self._full ^ number(maybe)
            return _Node(0, no, *_by_row(key, self._known.now))
        yes = number(mask)
        return _Node(yes, self._full ^ yes, Cost.NOTHING, lambda at, _: bool(mask[at]))

    def _mask(self, key: Key) -> bytes | None:
        """For every message 0 or 1; None where the mailbox does not know."""
        known = self._known
        match key:
            case All():
                return b"\x01" * self._count
            case HasFlag():
                return known.flags.translate(_having(int(key.flag)))
            case HasKeyword():
                name = key.name.lower()
                return those(
                    known.keyword_sets,
                    lambda numbered: name in (each.lower() for each in known.keywords(numbered)),
                )
            case Recent():
                return mask_within(known.recent(), self._count)
            case ModSeq():
                return at_least(known.modseqs, key.modseq)
            case Numbers():
                return mask_within(known.places(key), self._count)
        return known.column(key)


@lru_cache(maxsize=32)
def _having(flag: int) -> bytes:
    """For each octet of flags 1 where the flag is among them."""
    return bytes(bool(flags & flag) for flags in range(256))


def _extra_columns(key: Key) -> tuple[Columns, ...]:
    """What the few keys need that are not asked for every day."""
    columns: set[Columns] = set()
    for leaf in leaves(key):
        if isinstance(leaf, Saved):
            columns.add("savedate")
        elif isinstance(leaf, HasId):
            columns.update(("digest", "links") if leaf.thread else ("digest",))
    return tuple(sorted(columns))


def _all_of(nodes: list[_Node]) -> _Node:
    nodes.sort(key=lambda node: node.cost)
    tests = [node.test for node in nodes]
    yes, no = nodes[0].yes, nodes[0].no
    for node in nodes[1:]:
        yes &= node.yes
        no |= node.no
    return _Node(yes, no, nodes[-1].cost, lambda at, m: all(test(at, m) for test in tests))


def _any_of(nodes: list[_Node]) -> _Node:
    nodes.sort(key=lambda node: node.cost)
    tests = [node.test for node in nodes]
    yes, no = nodes[0].yes, nodes[0].no
    for node in nodes[1:]:
        yes |= node.yes
        no &= node.no
    return _Node(yes, no, nodes[-1].cost, lambda at, m: any(test(at, m) for test in tests))


@dataclass(frozen=True, slots=True)
class Figure:
    """What a key asks about a number of each message: `name` is its attribute in `EntryRow`; right
    is what is at least `low` and below `past`."""

    name: str
    low: int
    past: int

    def has(self, row: EntryRow) -> bool:
        return self.low <= value(self.name, row) < self.past


def value(name: str, row: EntryRow) -> int:
    """The number that is compared; 0 stands for no Date."""
    found = int(getattr(row, name) or 0)
    # Dovecot and Cyrus keep it in 32 bits without a sign: what claims to be older than 1970
    # counts as of the far future.
    return LAST_DAY if name == "sent_day" and 0 < found < EPOCH else found


def figure(key: Key, now: int) -> Figure | None:
    """The number that a key asks about; None where it is another kind of key."""
    match key:
        case Larger(octets):
            return Figure("size", octets + 1, PAST)
        case Smaller(octets):
            return Figure("size", 0, octets)
        case Older(seconds):
            return Figure("internaldate", LEAST, now - seconds + 1)
        case Internal(op, day):
            return Figure("internaldate", *_seconds(op, day))
        case Saved(op, day):
            return Figure("savedate", *_seconds(op, day))
        case Sent(op, day):
            low, past = _days(op, day)
            return Figure("sent_day", max(low, 1), past)
    return None


def _days(op: Op, day: int) -> tuple[int, int]:
    match op:
        case "before":
            return LEAST, day
        case "on":
            return day, day + 1
    return day, PAST


def _seconds(op: Op, day: int) -> tuple[int, int]:
    low, past = _days(op, day)
    start = (day - EPOCH) * SECONDS_A_DAY
    return (
        start if low == day else LEAST,
        start if past == day else start + SECONDS_A_DAY if past == day + 1 else PAST,
    )


def _by_row(key: Key, now: int) -> tuple[Cost, Test]:
    if (asked := figure(key, now)) is not None:
        return Cost.ROW, lambda _, m: asked.has(m.row)
    match key:
        case HasId(objectid, thread):
            id_of = thread_id if thread else email_id
            return Cost.ROW, lambda _, m: id_of(m.row) == objectid
        case HeaderHas(field, needle):
            folded = fold(needle)
            return Cost.HEADER, lambda _, m: m.header_has(field, folded)
        case BodyHas(needle):
            folded = fold(needle)
            return Cost.BODY, lambda _, m: m.body_has(folded)
        case TextHas(needle):
            folded = fold(needle)
            return Cost.BODY, lambda _, m: m.text_has(folded)
    raise AssertionError(key)
