"""Numbers that are cut out of a text against numbers that are written one by one."""

from __future__ import annotations

from array import array
from itertools import compress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bridge.imap.protocol import spelled as module
from bridge.imap.protocol.numbers import NumberSet, format_ranges
from bridge.imap.protocol.spelled import (
    SETS,
    SLICE,
    in_ranges,
    ordered,
    ordered_ranges,
    spelled,
)

RUNS = st.lists(
    st.tuples(st.integers(1, 40) | st.integers(900, 2_200), st.booleans(), st.integers(0, 2)),
    max_size=8,
)


def mailbox(runs: list[tuple[int, bool, int]], first: int) -> tuple[array[int], bytes]:
    """UIDs and a mask: runs of messages that are found or not, with gaps behind them."""
    uids, mask = array("I"), bytearray()
    uid = first
    for length, found, gap in runs:
        uids.extend(range(uid, uid + length))
        mask += bytes([found]) * length
        uid += length + gap
    return uids, bytes(mask)


@given(RUNS, st.sampled_from([1, 9, 10, 99, 995, 1_000, 9_990, 99_000, 2**32 - 20_000]))
@example([(1_000, True, 0), (2_000, True, 1), (1, True, 0)], 1)
def test_numbers_read_as_they_are(runs: list[tuple[int, bool, int]], first: int) -> None:
    uids, mask = mailbox(runs, first)
    found = list(compress(uids, mask))
    assert b"".join(spelled(uids, mask)) == b"".join(b" %d" % uid for uid in found)
    assert b"".join(in_ranges(uids, mask)) == format_ranges(found)
    numbers = range(1, len(uids) + 1)
    found = list(compress(numbers, mask))
    assert b"".join(spelled(numbers, mask)) == b"".join(b" %d" % number for number in found)
    assert b"".join(in_ranges(numbers, mask)) == format_ranges(found)


@given(st.lists(st.booleans()))
def test_any_mask_over_uids_with_holes(there: list[bool]) -> None:
    uids = array("I", [3 * at + at % 2 for at in range(1, len(there) + 1)])
    found = list(compress(uids, there))
    assert b"".join(spelled(uids, bytes(there))) == b"".join(b" %d" % uid for uid in found)
    assert b"".join(in_ranges(uids, bytes(there))) == format_ranges(found)


@given(st.permutations(range(12)))
def test_an_order_of_its_own(order: list[int]) -> None:
    uids = array("I", range(1, 25, 2))
    expected = [uids[at] for at in order]
    assert b"".join(ordered(uids, order)) == b"".join(b" %d" % uid for uid in expected)
    assert b"".join(ordered_ranges(uids, order)) == format_ranges(expected)
    assert list(ordered(uids, [])) == list(ordered_ranges(uids, [])) == []


def test_no_piece_is_of_more_messages_than_a_slice(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever sends the pieces lets others have their turn between them."""
    written: list[int] = []
    each, following = module._each, module._following

    def count_each(numbers: tuple[int, ...]) -> bytes:
        written[-1] += len(numbers)
        return each(numbers)

    def count_following(first: int, last: int) -> bytes:
        written[-1] += last - first + 1
        return following(first, last)

    monkeypatch.setattr(module, "_each", count_each)
    monkeypatch.setattr(module, "_following", count_following)
    uids = array("I", range(1, 100_001))
    every, some = b"\x01" * 100_000, b"\x01\x00" * 50_000
    for pieces in (
        spelled(uids, every),
        spelled(uids, some),
        spelled(range(1, 200_000, 2), every),
        ordered(uids, range(99_999, -1, -1)),
    ):
        written.append(0)
        for _ in pieces:
            written.append(0)
    assert max(written) == SLICE
    assert sum(written) == 350_000
    sets = list(in_ranges(uids, some))
    assert max(piece.strip(b",").count(b",") + 1 for piece in sets) == SETS
    assert len(list(NumberSet.parse(sets[0]).items)) == SETS
    reverse = list(ordered_ranges(uids, range(99_999, -1, -1)))
    assert max(piece.strip(b",").count(b",") + 1 for piece in reverse) == SLICE
