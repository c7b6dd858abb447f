"""`plan`: what a poll fetches, trusts, marks and forgets, from values alone."""

from __future__ import annotations

import time

import pytest

from bridge.model import KnownItem, ListedItem
from bridge.sync.plan import (
    DAY,
    KEEP_LISTINGS,
    KEEP_SECONDS,
    VERIFY_ITEMS,
    VERIFY_OCTETS,
    Alarm,
    plan,
)

NOW = 1_800_000_000


def line(number: int, uidl: bytes | None, size: int | None = 100) -> ListedItem:
    return ListedItem(number, uidl, size)


def known(
    item: int,
    uidl: bytes | None,
    size: int | None = 100,
    *,
    listed_at: int = NOW - 900,
    missed: int = 0,
) -> KnownItem:
    return KnownItem(item, uidl, size, b"d%d" % item, b"f%d" % item, listed_at, missed)


def numbers(lines: object) -> list[int]:
    assert isinstance(lines, list)
    return [each.number for each in lines]


def test_what_is_known_is_not_fetched_and_the_rest_in_listing_order() -> None:
    listing = [line(1, b"a"), line(2, b"new"), line(3, b"b"), line(4, b"newer")]
    made = plan(listing, [known(7, b"b"), known(8, b"a")], NOW)
    assert numbers(made.fetch) == [2, 4]
    assert set(made.listed) == set(made.speaking) == {7, 8}


def test_a_poll_without_news_marks_nothing_until_a_day_has_passed() -> None:
    listing = [line(1, b"a")]
    assert not plan(listing, [known(7, b"a", listed_at=NOW - DAY + 1)], NOW).mark
    assert plan(listing, [known(7, b"a", listed_at=NOW - DAY)], NOW).mark
    assert plan(listing, [known(7, b"a", listed_at=NOW + 10 * DAY)], NOW).mark  # clock went back


def test_a_missed_item_is_marked_until_its_listings_are_counted() -> None:
    listing = [line(1, b"a")]
    gone = known(8, b"gone", missed=KEEP_LISTINGS - 1)
    assert plan(listing, [known(7, b"a"), gone], NOW).mark
    gone = known(8, b"gone", missed=KEEP_LISTINGS)
    assert not plan(listing, [known(7, b"a"), gone], NOW).mark


def test_another_size_under_a_known_uidl_is_fetched() -> None:
    made = plan([line(1, b"a", 100), line(2, b"b", 101)], [known(7, b"a"), known(8, b"b")], NOW)
    assert numbers(made.fetch) == [2]
    assert set(made.listed) == {7}


@pytest.mark.parametrize(("listed", "remembered"), [(None, 100), (100, None), (None, None)])
def test_an_unknown_size_agrees_with_any(listed: int | None, remembered: int | None) -> None:
    assert not plan([line(1, b"a", listed)], [known(7, b"a", remembered)], NOW).fetch


def test_a_uidl_that_comes_back_is_verified_although_the_size_agrees() -> None:
    made = plan([line(1, b"a")], [known(7, b"a", missed=1)], NOW)
    assert numbers(made.fetch) == [1]
    assert not made.speaking


def test_a_maildrop_that_returns_is_verified_a_few_items_a_poll() -> None:
    items = [known(n, b"u%d" % n, missed=3) for n in range(1, 5001)]
    listing = [line(n, b"u%d" % n) for n in range(1, 5001)]
    made = plan(listing, items, NOW)
    assert numbers(made.fetch) == list(range(1, VERIFY_ITEMS + 1))
    assert len(made.speaking) == 5000 - VERIFY_ITEMS
    assert not made.listed  # who waits for its turn does not count as listed: it is not forgotten
    assert not made.forget


def test_verifying_is_bounded_in_octets_but_never_stuck() -> None:
    big = VERIFY_OCTETS + 1
    items = [known(1, b"a", big, missed=1), known(2, b"b", missed=1)]
    assert numbers(plan([line(1, b"a", big), line(2, b"b")], items, NOW).fetch) == [1]


def test_lines_that_share_a_uidl_are_told_apart_by_size() -> None:
    listing = [line(1, b"x", 10), line(2, b"x", 20)]
    assert numbers(plan(listing, [], NOW).fetch) == [1, 2]
    assert numbers(plan(listing, [known(7, b"x", 20)], NOW).fetch) == [1]
    made = plan(listing, [known(7, b"x", 20), known(8, b"x", 10)], NOW)
    assert not made.fetch
    assert set(made.listed) == {7, 8}


def test_where_lines_outnumber_items_all_of_that_size_are_fetched() -> None:
    listing = [line(1, b"x"), line(2, b"x"), line(3, b"x"), line(4, b"x", 7)]
    items = [known(7, b"x"), known(8, b"x"), known(9, b"x", 7)]
    assert numbers(plan(listing, items, NOW).fetch) == [1, 2, 3]
    assert not plan(listing, [*items, known(10, b"x")], NOW).fetch


def test_shared_uidl_without_sizes() -> None:
    listing = [line(1, b"x", None), line(2, b"x", None)]
    assert not plan(listing, [known(7, b"x", 10), known(8, b"x", 20)], NOW).fetch
    assert numbers(plan(listing, [known(7, b"x", 10)], NOW).fetch) == [1, 2]


def test_identical_items_under_one_uidl_need_no_second_look() -> None:
    assert not plan([line(1, b"x"), line(2, b"x")], [known(7, b"x"), known(8, b"x")], NOW).fetch


def test_a_reused_uidl_is_paired_with_its_newest_item() -> None:
    made = plan([line(1, b"a")], [known(9, b"a"), known(3, b"a")], NOW)
    assert set(made.speaking) == {9}


def test_of_identical_items_the_one_that_was_verified_speaks() -> None:
    verified, missed = known(3, b"a"), known(9, b"a", missed=2)
    made = plan([line(1, b"a")], [verified, missed], NOW)
    assert not made.fetch
    assert set(made.speaking) == {3}


def test_a_line_without_uidl_is_always_fetched() -> None:
    made = plan([line(1, None), line(2, b"a")], [known(7, None), known(8, b"a")], NOW)
    assert numbers(made.fetch) == [1]
    assert set(made.listed) == {8}


def test_uidls_differ_in_case() -> None:
    assert numbers(plan([line(1, b"A")], [known(7, b"a")], NOW).fetch) == [1]


def test_what_was_in_doubt_is_fetched_again() -> None:
    listing = [line(1, b"a"), line(2, b"b")]
    made = plan(listing, [known(7, b"a"), known(8, b"b")], NOW, doubted={8})
    assert numbers(made.fetch) == [2]
    assert set(made.speaking) == {7}


# --- alarms -----------------------------------------------------------------------------


def test_suddenly_empty_is_an_alarm_and_changes_nothing() -> None:
    items = [known(n, b"u%d" % n) for n in range(20)]
    long_gone = known(99, b"z", listed_at=NOW - 2 * KEEP_SECONDS, missed=99)
    made = plan([], [*items, long_gone], NOW)
    assert made.alarm is Alarm.EMPTY
    assert not made.listed
    assert not made.forget


def test_however_long_a_maildrop_is_empty_nothing_is_forgotten() -> None:
    items = [known(7, b"a", listed_at=NOW - 2 * KEEP_SECONDS, missed=9999)]
    made = plan([], items, NOW)
    assert not made.alarm
    assert not made.forget


def test_an_empty_listing_of_a_small_or_emptied_maildrop_is_no_alarm() -> None:
    assert not plan([], [], NOW).alarm
    assert not plan([], [known(n, b"u%d" % n) for n in range(19)], NOW).alarm
    assert not plan([], [known(n, b"u%d" % n, missed=1) for n in range(99)], NOW).alarm


@pytest.mark.parametrize(
    ("shared", "unknown", "alarm"),
    [
        (0, 40, Alarm.RESET),
        (19, 21, Alarm.RESET),
        (20, 20, Alarm.NONE),  # half is known
        (0, 19, Alarm.NONE),  # too few to tell
        (0, 81, Alarm.NONE),  # far more than there were: a first sync that goes on
    ],
)
def test_most_uidls_unknown_is_an_alarm(shared: int, unknown: int, alarm: Alarm) -> None:
    items = [known(n, b"u%d" % n) for n in range(40)]
    uidls = [b"u%d" % n for n in range(shared)] + [b"new%d" % n for n in range(unknown)]
    made = plan([line(n, uidl) for n, uidl in enumerate(uidls, 1)], items, NOW)
    assert made.alarm is alarm
    assert len(made.fetch) == unknown


# --- forgetting -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("age", "missed", "forgotten"),
    [
        (KEEP_SECONDS, KEEP_LISTINGS, True),
        (KEEP_SECONDS - 1, KEEP_LISTINGS, False),
        (KEEP_SECONDS, KEEP_LISTINGS - 1, False),
    ],
)
def test_forgotten_only_after_90_days_and_30_listings(
    age: int, missed: int, forgotten: bool
) -> None:
    items = [known(7, b"a"), known(8, b"gone", listed_at=NOW - age, missed=missed)]
    assert plan([line(1, b"a")], items, NOW).forget == (items[1:] if forgotten else [])


def test_an_item_that_came_back_is_not_forgotten() -> None:
    items = [known(8, b"back", listed_at=NOW - 2 * KEEP_SECONDS, missed=99)]
    assert not plan([line(1, b"back")], items, NOW).forget


def test_a_hundred_thousand_lines_without_news_are_planned_in_linear_time() -> None:
    def seconds(count: int) -> float:
        items = [known(n, b"uidl-%06d" % n) for n in range(count)]
        listing = [line(n + 1, b"uidl-%06d" % n) for n in range(count)]
        start = time.perf_counter()
        assert not plan(listing, items, NOW).fetch
        return time.perf_counter() - start

    assert seconds(100_000) < 2.0


def test_a_hundred_thousand_lines_with_one_uidl_are_planned_in_linear_time() -> None:
    listing = [line(n, b"same", n % 100) for n in range(100_000)]
    items = [known(n, b"same", n % 100) for n in range(100_000)]
    start = time.perf_counter()
    assert not plan(listing, items, NOW).fetch
    assert time.perf_counter() - start < 5.0
