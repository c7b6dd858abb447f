"""Very many numbers in decimal: the answer to SEARCH (RFC 3501 7.2.5) and sets (RFC 4731 3.1).

What was found is a mask over all messages, and the numbers of messages, or UIDs, mostly follow one
another: a run of them is cut out of a text that was written once. So an answer costs what its
octets cost, not what its numbers do.

Rules: pure; answers come in pieces of `SLICE` messages or `SETS` intervals at most, so that who
sends them can let others have their turn.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import accumulate, compress
from typing import Final

from bridge.imap.protocol.numbers import format_ranges

SLICE: Final = 5_000
SETS: Final = 2_000
_RUN: Final = re.compile(rb"\x01++")
_LONG: Final = 6  # messages in the average run, from which on runs are looked for
_THOUSAND: Final = [b"%03d" % number for number in range(1_000)]
_FIRST: Final = b"".join(b" %d" % number for number in range(1_000))
_FIRST_AT: Final = list(accumulate((len(b" %d" % n) for n in range(1_000)), initial=0))


def spelled(numbers: Sequence[int], mask: bytes) -> Iterator[bytes]:
    """The rising numbers that the mask has 1 for: b" 2 84", b" 882"."""
    for start in range(0, len(mask), SLICE):
        some = mask[start : start + SLICE]
        count = some.count(1)
        if count > _LONG * (some.count(b"\0\1") + 1):
            yield b"".join(
                _run(numbers, start + run.start(), start + run.end()) for run in _RUN.finditer(some)
            )
        elif count:
            yield _each(tuple(compress(numbers[start : start + SLICE], some)))


def in_ranges(numbers: Sequence[int], mask: bytes) -> Iterator[bytes]:
    """The same as a set: b"2,84:90", b",882"."""
    sets: list[bytes] = []
    comma = b""
    for run in _RUN.finditer(mask):
        for first, last in _following_ones(numbers, run.start(), run.end()):
            sets.append(b"%d" % first if first == last else b"%d:%d" % (first, last))
            if len(sets) == SETS:
                yield comma + b",".join(sets)
                sets, comma = [], b","
    if sets:
        yield comma + b",".join(sets)


def ordered(numbers: Sequence[int], order: Sequence[int]) -> Iterator[bytes]:
    """The numbers at these positions: b" 7 3 12", b" 5"."""
    for start in range(0, len(order), SLICE):
        yield _each(tuple(map(numbers.__getitem__, order[start : start + SLICE])))


def ordered_ranges(numbers: Sequence[int], order: Sequence[int]) -> Iterator[bytes]:
    """The same as a set; an interval does not go beyond a piece."""
    for start in range(0, len(order), SLICE):
        some = map(numbers.__getitem__, order[start : start + SLICE])
        yield b"," * bool(start) + format_ranges(some)


def _run(numbers: Sequence[int], start: int, end: int) -> bytes:
    """Of neighbours in the mailbox."""
    first, last = numbers[start], numbers[end - 1]
    if last - first == end - 1 - start:
        return _following(first, last)
    return _each(tuple(numbers[start:end]))


def _following_ones(numbers: Sequence[int], start: int, end: int) -> Iterator[tuple[int, int]]:
    """Those from `start` up to `end` as closed intervals; long ones are found by doubling steps."""
    while start < end:
        first, reached = numbers[start], 0
        if numbers[end - 1] - first == end - 1 - start:
            yield first, numbers[end - 1]
            return
        step, growing = 1, True
        while step:
            at = reached + step
            if start + at < end and numbers[start + at] - first == at:
                reached = at
                step = step * 2 if growing else step // 2
            else:
                growing, step = False, step // 2
        yield first, first + reached
        start += reached + 1


def _each(numbers: tuple[int, ...]) -> bytes:
    return b" %d" * len(numbers) % numbers


def _following(first: int, last: int) -> bytes:
    """All numbers from the first to the last."""
    pieces = []
    for thousand in range(first // 1_000, last // 1_000 + 1):
        low = max(first - thousand * 1_000, 0)
        past = min(last - thousand * 1_000 + 1, 1_000)
        if thousand:
            text, width = _text(thousand), len(b" %d000" % thousand)
            pieces.append(text[low * width : past * width])
        else:
            pieces.append(_FIRST[_FIRST_AT[low] : _FIRST_AT[past]])
    return b"".join(pieces)


@lru_cache(maxsize=256)
def _text(thousand: int) -> bytes:
    """7 -> b" 7000 7001 ... 7999"."""
    before = b" %d" % thousand
    return before + before.join(_THOUSAND)
