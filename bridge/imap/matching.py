"""Is this message what SEARCH asked for? (RFC 3501 6.4.4)

A search is compiled once. What the open mailbox knows (flags, numbers, MODSEQ) is decided for all
its messages at once: a mask has an octet a message, 0 or 1, and AND, OR and NOT work on masks as
integers. Only messages that no mask settles are looked at one by one, cheap tests first: the
stored row (dates, size), its header, and last the text of the body, piece by piece.

Rules: pure; substring search over decoded text, blind to case; the grammar holds the nesting of
keys under the limit, so recursion is safe here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from itertools import compress
from typing import TypeAlias

from bridge.imap.objectids import email_id, thread_id
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
    keyword_sets: Sequence[int]
    modseqs: Sequence[int]
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
    """A compiled search over the messages of a view."""

    def __init__(self, key: Key, known: Known) -> None:
        self._count = len(known.flags)
        self._full = _number(b"\x01" * self._count)
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
        here = self._full & ~_number(gone)
        self.found = self._positions(node.yes & here)
        self.open = self._positions(here & ~(node.yes | node.no))

    def matches(self, at: int, stored: Stored) -> bool:
        """Whether the message at a position of `open` is one."""
        return self._test(at, stored)

    def _positions(self, mask: int) -> list[int]:
        return list(compress(range(self._count), mask.to_bytes(self._count, "little")))

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
                no = 0 if maybe is None else self._full ^ _number(maybe)
            return _Node(0, no, *_by_row(key, self._known.now))
        yes = _number(mask)
        return _Node(yes, self._full ^ yes, Cost.NOTHING, lambda at, _: bool(mask[at]))

    def _mask(self, key: Key) -> bytes | None:
        """For every message 0 or 1; None where the mailbox does not know."""
        known = self._known
        match key:
            case All():
                return b"\x01" * self._count
            case HasFlag():
                return known.flags.translate(bytes(bool(f & key.flag) for f in range(256)))
            case HasKeyword():
                name = key.name.lower()
                named = {
                    number: name in (each.lower() for each in known.keywords(number))
                    for number in set(known.keyword_sets)
                }
                return bytes(map(named.__getitem__, known.keyword_sets))
            case Recent():
                return self._within(known.recent())
            case ModSeq():
                return bytes(modseq >= key.modseq for modseq in known.modseqs)
            case Numbers():
                return self._within(known.places(key))
        return known.column(key)

    def _within(self, places: Iterable[tuple[int, int]]) -> bytes:
        mask = bytearray(self._count)
        for first, last in places:
            mask[first : last + 1] = b"\x01" * (last + 1 - first)
        return bytes(mask)


def _extra_columns(key: Key) -> tuple[Columns, ...]:
    """What the few keys need that are not asked for every day."""
    columns: set[Columns] = set()
    for leaf in leaves(key):
        if isinstance(leaf, Saved):
            columns.add("savedate")
        elif isinstance(leaf, HasId):
            columns.update(("digest", "links") if leaf.thread else ("digest",))
    return tuple(sorted(columns))


def _number(mask: bytes | bytearray) -> int:
    return int.from_bytes(mask, "little")


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


def figure(key: Key, now: int) -> tuple[str, Callable[[int], bool]] | None:
    """The number that a key asks about, by its name in `EntryRow`, and what of it is right. A
    message without a date has 0."""
    match key:
        case Larger(octets):
            return "size", lambda size: size > octets
        case Smaller(octets):
            return "size", lambda size: size < octets
        case Older(seconds):
            return "internaldate", lambda date: date <= now - seconds
        case Internal(op, day):
            on = _DAYS[op]
            return "internaldate", lambda date: on(date // SECONDS_A_DAY + EPOCH, day)
        case Saved(op, day):
            on = _DAYS[op]
            return "savedate", lambda date: on(date // SECONDS_A_DAY + EPOCH, day)
        case Sent(op, day):
            on = _DAYS[op]
            # Dovecot and Cyrus keep it in 32 bits without a sign: what claims to be older than
            # 1970 counts as of the far future.
            return (
                "sent_day",
                lambda sent: bool(sent) and on(sent if sent >= EPOCH else LAST_DAY, day),
            )
    return None


def _by_row(key: Key, now: int) -> tuple[Cost, Test]:
    if (asked := figure(key, now)) is not None:
        name, right = asked
        return Cost.ROW, lambda _, m: right(getattr(m.row, name) or 0)
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


_DAYS: Mapping[str, Callable[[int, int], bool]] = {
    "before": lambda day, wanted: day < wanted,
    "on": lambda day, wanted: day == wanted,
    "since": lambda day, wanted: day >= wanted,
}
