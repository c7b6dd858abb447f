"""Numbers of all messages of a mailbox compared with one number, at the speed of memory.

The numbers stand in planes: the lowest octet of each number, the next ones, and so on. An octet is
compared with another by a table of 256 answers, a whole plane in one step; what the planes say is
put together as integers. So a hundred thousand dates are looked through without a loop in Python.

Rules: pure and exact; a mask has an octet a message, 0 or 1.
"""

from __future__ import annotations

import re
import sys
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import compress
from typing import Final

RUN: Final = re.compile(rb"\x01++")
ONE_IN: Final = 16  # messages: of more than that all are looked at rather than searched for
_OCTETS: Final = 5
LEAST: Final = -(2 ** (8 * _OCTETS - 1))
PAST: Final = -LEAST


class Planes:
    """Numbers that only grow in number, e.g. dates in seconds. They are at least `LEAST` and below
    `PAST`, which are beyond all dates that IMAP can write; others count as the nearest of these."""

    def __init__(self, numbers: Iterable[int] = ()) -> None:
        places = array("Q", [min(max(number, LEAST), PAST - 1) - LEAST for number in numbers])
        self._planes = list(map(bytearray, planes_of(places)[:_OCTETS]))

    def __len__(self) -> int:
        return len(self._planes[0])

    def extend(self, more: Planes) -> None:
        for plane, behind in zip(self._planes, more._planes, strict=True):
            plane += behind

    def within(self, low: int, past: int) -> bytes:
        """The mask of the numbers from `low` up to, not including, `past`."""
        count = len(self)
        mask = self._at_least(low) & ~self._at_least(past)
        return mask.to_bytes(count, "little")

    def _at_least(self, bound: int) -> int:
        if bound >= PAST:
            return 0
        if bound <= LEAST:
            return number(b"\x01" * len(self))
        return _at_least(self._planes, bound - LEAST)


def planes_of(numbers: array[int]) -> list[bytes]:
    """The planes of an array of numbers without a sign, the lowest first."""
    if sys.byteorder == "big":
        numbers = numbers[:]
        numbers.byteswap()
    octets = numbers.tobytes()
    return [octets[at :: numbers.itemsize] for at in range(numbers.itemsize)]


def at_least(numbers: array[int], bound: int) -> bytes:
    """The mask of the numbers (without a sign) that are `bound` or greater."""
    if bound >> (8 * numbers.itemsize):
        return bytes(len(numbers))
    return _at_least(planes_of(numbers), bound).to_bytes(len(numbers), "little")


def those(numbers: array[int], chosen: Callable[[int], bool]) -> bytes:
    """The mask of the numbers (of up to 32 bits, without a sign) of which `chosen` is True; it is
    asked once for each number that there is: of many messages and few numbers."""
    lowest, *higher = planes_of(numbers)
    if any(plane.count(0) < len(plane) for plane in higher):
        answers = {number: chosen(number) for number in set(numbers)}
        return bytes(map(answers.__getitem__, numbers))
    there = set(lowest)
    return lowest.translate(bytes(octet in there and chosen(octet) for octet in range(256)))


def _at_least(planes: Sequence[bytes | bytearray], bound: int) -> int:
    """Of numbers as long as the planes are many."""
    mask = number(b"\x01" * len(planes[0]))
    for plane in planes:
        octet = bound & 255
        bound >>= 8
        above = bytes(octet + 1) + b"\x01" * (255 - octet)
        same = bytes(octet) + b"\x01" + bytes(255 - octet)
        mask = number(plane.translate(above)) | number(plane.translate(same)) & mask
    return mask


def number(mask: bytes | bytearray) -> int:
    """A mask as an integer, for AND, OR and NOT."""
    return int.from_bytes(mask, "little")


def positions(mask: bytes) -> list[int]:
    """Where the mask has 1, rising."""
    return list(compress(range(len(mask)), mask))


def ones(places: Iterable[int], count: int) -> bytes:
    """The mask, over so many messages, that has 1 at these positions."""
    mask = bytearray(count)
    for at in places:
        mask[at] = 1
    return bytes(mask)


def intervals(mask: bytes) -> list[tuple[int, int]]:
    """The positions as closed intervals, rising."""
    return [(run.start(), run.end() - 1) for run in RUN.finditer(mask)]


def runs(numbers: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Rising numbers, positions or UIDs, as closed intervals."""
    first = last = -1
    for at in numbers:
        if at == last + 1 and last >= 0:
            last = at
            continue
        if last >= 0:
            yield first, last
        first = last = at
    if last >= 0:
        yield first, last


def mask_of(uids: array[int], found: Iterable[int]) -> bytes:
    """The mask of those of the (rising) UIDs that were found."""
    there = list(found)
    if len(there) > len(uids) // ONE_IN:
        return bytes(map(set(there).__contains__, uids))
    mask = bytearray(len(uids))
    for uid in there:
        at = bisect_left(uids, uid)
        if at < len(uids) and uids[at] == uid:
            mask[at] = 1
    return bytes(mask)


def places_of(uids: array[int], found: Sequence[int]) -> list[tuple[int, int]]:
    """Where those of the (rising) UIDs stand that were found, as closed intervals: a step for each
    of few, whatever the number of all."""
    if len(found) > len(uids) // ONE_IN:
        return intervals(mask_of(uids, found))
    places = ((bisect_left(uids, uid), uid) for uid in sorted(found))
    return list(runs(at for at, uid in places if at < len(uids) and uids[at] == uid))


def common(
    one: Sequence[tuple[int, int]], other: Sequence[tuple[int, int]]
) -> list[tuple[int, int]]:
    """What two rows of closed intervals, rising and apart, have both."""
    out: list[tuple[int, int]] = []
    here = there = 0
    while here < len(one) and there < len(other):
        first, last = max(one[here][0], other[there][0]), min(one[here][1], other[there][1])
        if first <= last:
            out.append((first, last))
        if one[here][1] < other[there][1]:
            here += 1
        else:
            there += 1
    return out


def mask_within(places: Iterable[tuple[int, int]], count: int) -> bytes:
    """The mask, over so many messages, of the positions in these closed intervals."""
    mask = bytearray(count)
    for first, last in places:
        mask[first : last + 1] = b"\x01" * (last + 1 - first)
    return bytes(mask)
