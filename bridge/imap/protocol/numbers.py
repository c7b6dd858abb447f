"""Sequence sets: message numbers or UIDs as intervals (RFC 3501 9, sequence-set).

Rules: interval arithmetic only. "1:4294967295" costs what "1:2" costs, whatever is in the
mailbox; 20,000 items that all overlap merge in one sort.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from bridge import limits
from bridge.imap.protocol.errors import ParseError

LARGEST_NUMBER: Final = 2**32 - 1
_STAR: Final = 0


@dataclass(frozen=True, slots=True)
class NumberSet:
    """What the client wrote, unresolved: `items` are pairs as sent, 0 stands for "*".

    `saved` is "$", the messages that the last SEARCH saved (RFC 5182); it stands alone, and only
    the view knows them: here it has no numbers.
    """

    items: tuple[tuple[int, int], ...]
    saved: bool = False

    @classmethod
    def parse(cls, octets: bytes) -> NumberSet:
        """b"2,4:7,9,12:*" -> NumberSet. Raises ParseError."""
        if octets.count(b",") >= limits.IMAP_NUMBER_RANGES:
            raise ParseError("Too many items in the sequence set")
        items = []
        for item in octets.split(b","):
            first, colon, last = item.partition(b":")
            low = _seq_number(first)
            items.append((low, _seq_number(last) if colon else low))
        return cls(tuple(items))

    @property
    def has_star(self) -> bool:
        """Whether "*" occurs."""
        return any(_STAR in item for item in self.items)

    def ranges(self, largest: int) -> tuple[tuple[int, int], ...]:
        """Closed intervals, rising, disjoint and not even touching: ((1, 3), (7, 7)).

        `largest` is what "*" means: the highest number in use, or 0 in an empty mailbox, where
        every item with "*" means nothing. Numbers above `largest` stay in; the last interval
        tells whether there are any.
        """
        # RFC 3501 9, seq-range: 4:2 is 2:4; 3291:* includes the largest even if it is lower.
        resolved = sorted(
            (low, high) if low <= high else (high, low)
            for low, high in ((low or largest, high or largest) for low, high in self.items)
            if low and high
        )
        merged: list[tuple[int, int]] = []
        for low, high in resolved:
            if merged and low <= merged[-1][1] + 1:
                if high > merged[-1][1]:
                    merged[-1] = (merged[-1][0], high)
            else:
                merged.append((low, high))
        return tuple(merged)


def _seq_number(octets: bytes) -> int:
    if octets == b"*":
        return _STAR
    # RFC 3501 9, nz-number: no leading zero, 32 bits. Digits are counted before int() sees them.
    if octets.isdigit() and octets[0] != 0x30 and len(octets) <= 10:
        number = int(octets)
        if number <= LARGEST_NUMBER:
            return number
    raise ParseError("A sequence set has numbers from 1 to 4294967295, or *")


def format_ranges(numbers: Iterable[int]) -> bytes:
    """1, 2, 3, 7 -> b"1:3,7", in the order given (RFC 4315 3: COPYUID pairs by position)."""
    parts = []
    first = last = 0
    for number in numbers:
        if number == last + 1 and last:
            last = number
            continue
        if last:
            parts.append(b"%d" % first if first == last else b"%d:%d" % (first, last))
        first = last = number
    if last:
        parts.append(b"%d" % first if first == last else b"%d:%d" % (first, last))
    return b",".join(parts)


def part_of(found: Sequence[int], partial: tuple[int, int]) -> Sequence[int]:
    """RFC 9394 3.1: 1:100 are the first hundred, -1:-100 the last hundred."""
    low, high = sorted(partial)
    if low > 0:
        return found[low - 1 : high]
    return found[max(len(found) + low, 0) : max(len(found) + high + 1, 0)]
