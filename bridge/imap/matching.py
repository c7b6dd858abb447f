"""Is this message what SEARCH asked for? (RFC 3501 6.4.4)

A key is tried in three rounds, each dearer than the one before: with what the open mailbox
knows (flags, numbers), with the stored row (dates, size, header), with the text of the body.
A round answers True, False, or None where it cannot know; most keys end in the first.

Rules: pure; substring search over decoded text, blind to case; bounded depth (the grammar
holds the nesting under the limit, so recursion is safe here).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from bridge.imap.protocol.search import (
    All,
    And,
    BodyHas,
    HasFlag,
    HasKeyword,
    HeaderHas,
    Internal,
    Key,
    Larger,
    ModSeq,
    Not,
    Numbers,
    Or,
    Recent,
    Sent,
    Smaller,
    TextHas,
)
from bridge.mime.text import body_texts, fold, header_text, header_texts, header_values
from bridge.model import EntryRow, Octets

SECONDS_A_DAY = 86_400
EPOCH = 719_163  # date(1970, 1, 1).toordinal()


@dataclass(frozen=True, slots=True)
class Facts:
    """What the open mailbox knows of a message. `keywords` are in lower case."""

    number: int
    uid: int
    flags: int
    keywords: frozenset[str]
    recent: bool
    modseq: int


class Stored:
    """What the store adds: the row with its header, and on demand the whole message."""

    def __init__(self, row: EntryRow, octets: Callable[[], Octets] | None = None) -> None:
        self.row = row
        self._octets = octets

    @property
    def has_body(self) -> bool:
        return self._octets is not None

    @cached_property
    def _message(self) -> Octets:
        assert self._octets is not None
        return self._octets()

    @cached_property
    def body(self) -> tuple[str, ...]:
        """The folded text parts."""
        return tuple(fold(text) for text in body_texts(self._message, self.row.parts))

    def header(self, name: bytes) -> list[str]:
        return header_values(self.row.header, name)

    @cached_property
    def headers(self) -> tuple[str, ...]:
        """The folded header blocks that TEXT looks into: of all parts where the message is at
        hand, else the message's own."""
        if self._octets is None:
            return (fold(header_text(self.row.header)),)
        return tuple(fold(text) for text in header_texts(self._message, self.row.parts))


@dataclass(frozen=True, slots=True)
class Sets:
    """The number sets of a search, resolved once: positions in the view."""

    places: dict[Numbers, tuple[tuple[int, int], ...]]

    def holds(self, key: Numbers, number: int) -> bool:
        return any(first <= number - 1 <= last for first, last in self.places[key])


def matches(key: Key, facts: Facts, sets: Sets, stored: Stored | None = None) -> bool | None:
    """True or False, or None where `stored` (or its body) is needed to tell."""
    match key:
        case All():
            return True
        case And():
            return _all(key.keys, facts, sets, stored)
        case Or():
            left = matches(key.left, facts, sets, stored)
            if left:
                return True
            right = matches(key.right, facts, sets, stored)
            return True if right else None if left is None or right is None else False
        case Not():
            inner = matches(key.key, facts, sets, stored)
            return None if inner is None else not inner
        case Numbers():
            return sets.holds(key, facts.number)
        case HasFlag():
            return bool(facts.flags & key.flag)
        case HasKeyword():
            return key.name.lower() in facts.keywords
        case Recent():
            return facts.recent
        case ModSeq():
            return facts.modseq >= key.modseq
    if stored is None:
        return None
    return _by_row(key, stored)


def _all(keys: tuple[Key, ...], facts: Facts, sets: Sets, stored: Stored | None) -> bool | None:
    unknown = False
    for key in keys:
        verdict = matches(key, facts, sets, stored)
        if verdict is False:
            return False
        unknown = unknown or verdict is None
    return None if unknown else True


def _by_row(key: Key, stored: Stored) -> bool | None:
    row = stored.row
    match key:
        case Larger():
            return row.size > key.octets
        case Smaller():
            return row.size < key.octets
        case Internal():
            return _on(key.op, row.internaldate // SECONDS_A_DAY + EPOCH, key.day)
        case Sent():
            return row.sent_day is not None and _on(key.op, row.sent_day, key.day)
        case HeaderHas():
            needle = fold(key.needle)
            return any(needle in fold(value) for value in stored.header(key.name))
        case BodyHas():
            needle = fold(key.needle)
            if not stored.has_body:
                return None
            return any(needle in text for text in stored.body)
        case TextHas():
            needle = fold(key.needle)
            if any(needle in text for text in stored.headers):
                return True
            if not stored.has_body:
                return None
            return any(needle in text for text in stored.body)
    raise AssertionError(key)


def _on(op: str, day: int, wanted: int) -> bool:
    if op == "before":
        return day < wanted
    return day == wanted if op == "on" else day >= wanted
