"""Numbers compared all at once against one at a time."""

from __future__ import annotations

from array import array
from itertools import pairwise

from hypothesis import example, given
from hypothesis import strategies as st

from bridge.imap.planes import (
    LEAST,
    PAST,
    Planes,
    at_least,
    common,
    intervals,
    ones,
    places_of,
    positions,
    those,
)

NUMBERS = st.one_of(
    st.integers(-3, 3),
    st.integers(250, 260),
    st.integers(-(2**40), 2**40),
    st.sampled_from([LEAST - 1, LEAST, LEAST + 1, PAST - 1, PAST, PAST + 1]),
)


@given(st.lists(NUMBERS), st.lists(NUMBERS), NUMBERS, NUMBERS)
@example([LEAST, PAST - 1], [], LEAST, PAST)
def test_what_is_within_bounds(first: list[int], more: list[int], low: int, past: int) -> None:
    planes = Planes(first)
    planes.extend(Planes(more))
    held = [min(max(number, LEAST), PAST - 1) for number in first + more]
    # A bound beyond all numbers is none.
    expected = [
        (low <= LEAST or low <= number) and low < PAST and not (LEAST < past <= number)
        for number in held
    ]
    if past <= LEAST:
        expected = [False] * len(held)
    assert list(planes.within(low, past)) == expected
    assert len(planes) == len(held)


@given(st.lists(st.integers(0, 2**64 - 1) | st.integers(0, 300)), st.integers(0, 2**64))
def test_numbers_of_an_array_that_are_at_least_so_large(numbers: list[int], bound: int) -> None:
    assert list(at_least(array("Q", numbers), bound)) == [number >= bound for number in numbers]


@given(st.lists(st.integers(0, 300) | st.integers(0, 3)), st.sets(st.integers(0, 300)))
def test_numbers_of_an_array_that_are_chosen(numbers: list[int], chosen: set[int]) -> None:
    asked: list[int] = []

    def choose(number: int) -> bool:
        asked.append(number)
        return number in chosen

    mask = those(array("I", numbers), choose)
    assert list(mask) == [number in chosen for number in numbers]
    # Once for each number that there is: no other need be known.
    assert sorted(asked) == sorted(set(numbers))


@given(st.lists(st.booleans()))
def test_positions_and_intervals_of_a_mask(there: list[bool]) -> None:
    mask = bytes(there)
    found = [at for at, one in enumerate(there) if one]
    assert positions(mask) == found
    assert [at for low, high in intervals(mask) for at in range(low, high + 1)] == found
    assert ones(found, len(mask)) == mask


@given(st.sets(st.integers(1, 400)), st.sets(st.integers(1, 400), max_size=60))
def test_few_are_found_as_many_are(known: set[int], found: set[int]) -> None:
    uids = array("I", sorted(known))
    there = [at for at, uid in enumerate(uids) if uid in found]
    for some in (sorted(found), list(found)):
        spans = places_of(uids, some)
        assert [at for low, high in spans for at in range(low, high + 1)] == there
        assert all(low <= high for low, high in spans)
        assert all(high + 1 < low for (_, high), (low, _) in pairwise(spans))


def spans_of(members: set[int]) -> list[tuple[int, int]]:
    return intervals(ones(members, 60))


@given(st.sets(st.integers(0, 59)), st.sets(st.integers(0, 59)))
def test_what_two_rows_of_intervals_have_both(one: set[int], other: set[int]) -> None:
    found = common(spans_of(one), spans_of(other))
    assert [at for low, high in found for at in range(low, high + 1)] == sorted(one & other)
