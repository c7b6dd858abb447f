"""How far UIDLs, sizes and single answers are believed: values."""

from __future__ import annotations

import pytest

from bridge import limits
from bridge.model import KnownItem, ListedItem
from bridge.sync import migration, short, trust
from bridge.sync.identity import Deliveries, Doubtful, Mistaken, Ours
from bridge.sync.memory import Memory


def line(number: int, *, uidl: bytes | None = None, size: int | None = 1000) -> ListedItem:
    return ListedItem(number, uidl, size)


def known(number: int, *, uidl: bytes | None = None, size: int | None = 1000) -> KnownItem:
    return KnownItem(number, uidl, size, b"d%d" % number, b"f%d" % number, 0, 0)


# --- UIDLs --------------------------------------------------------------------------------------


def test_a_UIDL_counts_as_reused_where_it_was_that_of_another_message() -> None:
    listing = [line(1, uidl=b"a"), line(2, uidl=b"b"), line(3, uidl=b"s"), line(4, uidl=b"s")]
    items = [known(1, uidl=b"a"), known(2, uidl=b"s")]
    assert trust.reused(listing, items, {1, 2, 3}) == {1}  # b is new, s is shared
    assert trust.reused(listing, items, ()) == ()


@pytest.mark.parametrize(
    ("found", "listed", "probed", "ended"),
    [({1, 2, 3}, 30, None, True), ({1, 2, 3}, 31, None, False), ({1, 2}, 2, None, False),
     ({7}, 900, 7, True), ({7}, 900, 8, False)],
)  # fmt: skip
def test_when_the_trust_ends(found: set[int], listed: int, probed: int | None, ended: bool) -> None:
    assert trust.lost(found, listed, probed) == ended


def test_lines_without_UIDL_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "NAMELESS_OCTETS", 3_000)
    lines = [line(n) for n in range(1, 11)]
    silent = [known(n) for n in range(1, 11)]
    seen: list[int] = []
    turn = 0
    for _ in range(4):
        chosen, turn = trust.take_turns(lines, silent, turn)
        seen += [each.number for each in chosen]
    assert set(seen) == set(range(1, 11))
    assert len(seen) == 12
    # More lines of a size than could be known: nobody can say which of them is new.
    assert len(trust.take_turns(lines, silent[1:], 0)[0]) == 10
    named = [line(n, uidl=b"u%d" % n) for n in range(1, 11)]
    assert trust.take_turns(named, silent, 0) == (named, 0)


def test_only_a_small_window_is_retrieved_once_more() -> None:
    items = [known(n, uidl=b"u%d" % n) for n in range(1, 4)]
    assert trust.unnoted([line(1, uidl=b"u2"), line(2)], items) == {2}
    many = [line(n, uidl=b"u%d" % n) for n in range(trust.POPPED_MOST + 1)]
    assert trust.unnoted(many, items) == frozenset()


# --- sizes --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("listed", "octets", "wanted"),
    [(None, 1, False), (2_000, 1_000, False), (2_000, 900, True), (1_000_000, 979_000, False),
     (1_000_000, 900_000, True), (100, 5_000, False)],
)  # fmt: skip
def test_what_is_short(listed: int | None, octets: int, wanted: bool) -> None:
    assert short.is_short(line(1, size=listed), octets) == wanted


def test_a_short_message_is_asked_for_three_times_more() -> None:
    waiting: tuple[short.Short, ...] = ()
    one = line(1, uidl=b"a", size=9_000)
    for times in range(3):
        left, stayed = short.after(waiting, [9_000], [one])
        assert (left, stayed) == ([(b"a", 9_000, times)], 0)
        waiting = tuple(left)
        assert short.due(waiting, [known(5, uidl=b"a", size=9_000), known(6)]) == {5}
    assert short.after(waiting, [9_000], [one]) == ([], 1)
    assert short.after(waiting, [9_000], []) == ([], 0)  # it came whole
    assert short.after(waiting, [], [])[0] == list(waiting)  # it was not its turn


def test_what_is_learnt_outlives_a_restart() -> None:
    memory = Memory(
        uidls_lie=True, probed_at=5, turn=7, short=((b"\xff", 9, 1),), inflated=2, unnoted=True
    )
    assert Memory.load(memory.dump()) == memory


@pytest.mark.parametrize("what", ["fewer", "another size", "one size", "no size", "shared UIDL"])
def test_sizes_link_nothing_where_anything_else_is_new(what: str) -> None:
    lines = [line(n, uidl=b"x%d" % n, size=1000 + n) for n in range(1, 31)]
    items = [known(n, uidl=b"u%d" % n, size=1000 + n) for n in range(1, 31)]
    assert len(migration.by_size(lines, lines, items)) == 30
    match what:
        case "fewer":
            lines = lines[1:]
        case "another size":
            lines[4] = line(5, uidl=b"x5", size=7)
        case "one size":
            lines = [line(n, uidl=b"x%d" % n) for n in range(1, 31)]
            items = [known(n) for n in range(1, 31)]
        case "no size":
            lines[4] = line(5, uidl=b"x5", size=None)
        case _:
            lines[4] = line(5, uidl=b"x6", size=1005)
    assert migration.by_size(lines, lines, items) == {}


def test_the_newest_are_in_every_sample() -> None:
    lines = [line(n, uidl=b"x%d" % n, size=1000 + n) for n in range(1, 1001)]
    paired = {each.number: known(each.number) for each in lines if each.number != 500}
    fetched, linked = migration.sample(lines, paired)
    assert {991, 1000, 500} <= {each.number for each in fetched}
    assert len(fetched) == 10 + 10 + 1
    assert len(linked) == 1000 - len(fetched)


# --- answers ------------------------------------------------------------------------------------


def test_LIST_says_whose_a_body_is_that_comes_for_two_lines() -> None:
    mine = line(3, uidl=b"c", size=300)
    deliveries = Deliveries([known(4, uidl=b"d", size=400)], {4})
    # The body of 4 for line 3: 4 is not in doubt, and 3 is not had.
    assert deliveries.recognise(mine, b"d4", b"f", octets=400) == Doubtful(())
    verdict = deliveries.recognise(mine, b"d4", b"f", octets=400, confirmed=True)
    assert verdict == Mistaken()
    # It was settled for line 4 by mistake: line 3 is it, and the item of 4 was not.
    verdict = deliveries.recognise(mine, b"d4", b"f", octets=300)
    assert verdict == Doubtful((4,))
    verdict = deliveries.recognise(mine, b"d4", b"f", octets=300, confirmed=True)
    assert verdict == Ours(b"d4", None, mistaken=(4,))
    # Where LIST does not know, a second session decides.
    for size in (400, None):
        twin = line(3, uidl=b"c", size=size)
        verdict = deliveries.recognise(twin, b"d4", b"f", octets=400, confirmed=True)
        assert verdict == Ours(b"d4", None)


def test_the_same_rewritten_copy_for_two_lines_is_no_second_copy() -> None:
    deliveries = Deliveries([known(1, uidl=b"old")])
    deliveries.settle(line(1, uidl=b"new"), 2, b"d1", b"f1", came=b"rewritten")
    twin = line(2, uidl=b"other")
    assert isinstance(deliveries.recognise(twin, b"rewritten", b"f1", octets=1), Doubtful)
