"""Sequence sets as intervals."""

from __future__ import annotations

import time

import pytest

from bridge import limits
from bridge.imap.protocol.errors import ParseError
from bridge.imap.protocol.numbers import NumberSet, format_ranges


@pytest.mark.parametrize(
    ("written", "largest", "ranges"),
    [
        (b"1", 3, ((1, 1),)),
        (b"2,4:7,9,12:*", 15, ((2, 2), (4, 7), (9, 9), (12, 15))),  # RFC 3501 9
        (b"*:4,5:7", 10, ((4, 10),)),  # RFC 3501 9
        (b"3291:*", 10, ((10, 3291),)),  # RFC 3501 9: includes the last, though it is lower
        (b"*", 10, ((10, 10),)),
        (b"*:*", 10, ((10, 10),)),
        (b"4:2", 10, ((2, 4),)),
        (b"1,2,3", 10, ((1, 3),)),
        (b"3,1,2,9", 10, ((1, 3), (9, 9))),
        (b"1:9,2:3", 10, ((1, 9),)),
        (b"1:4294967295", 3, ((1, 4294967295),)),
        (b"4294967295:1", 3, ((1, 4294967295),)),
        (b"*", 0, ()),
        (b"1:*,7", 0, ((7, 7),)),
    ],
)
def test_ranges(written: bytes, largest: int, ranges: tuple[tuple[int, int], ...]) -> None:
    assert NumberSet.parse(written).ranges(largest) == ranges


def test_many_items_that_overlap() -> None:
    items = b",".join([b"1:*"] * 5_000 + [b"%d" % n for n in range(1, 15_001)])
    started = time.perf_counter()
    assert NumberSet.parse(items).ranges(10) == ((1, 15_000),)
    assert time.perf_counter() - started < 5  # expanding the ranges takes minutes


def test_the_cap() -> None:
    most = limits.IMAP_NUMBER_RANGES
    assert len(NumberSet.parse(b",".join([b"1"] * most)).items) == most
    with pytest.raises(ParseError, match="Too many items"):
        NumberSet.parse(b",".join([b"1"] * (most + 1)))


@pytest.mark.parametrize(
    ("numbers", "written"),
    [
        ([], b""),
        ([7], b"7"),
        ([1, 2, 3, 7], b"1:3,7"),
        ([1, 3, 4, 9, 10], b"1,3:4,9:10"),
        ([5, 4, 5, 6], b"5,4:6"),  # the order is kept
    ],
)
def test_format(numbers: list[int], written: bytes) -> None:
    assert format_ranges(numbers) == written
