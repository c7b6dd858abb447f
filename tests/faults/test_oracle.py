"""The oracle can fail: each wrong that a daemon could do to acknowledged changes is seen."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from tests.faults.device import Flags, Seen
from tests.faults.oracle import INBOX, Effect, Oracle

A, B, C = (bytes([letter]) * 32 for letter in b"abc")
NO_FLAGS: Flags = frozenset()
READ: Flags = frozenset({"\\Seen"})
Entries = dict[int, tuple[bytes, Flags]]


def seen(inbox: Entries, trash: Entries, *, uidvalidity: int = 7, uidnext: int = 9) -> Seens:
    return {INBOX: Seen(uidvalidity, uidnext, inbox), "Trash": Seen(8, len(trash) + 1, trash)}


Seens = Mapping[str, Seen]
BEFORE = seen({1: (A, NO_FLAGS), 2: (B, NO_FLAGS)}, {}, uidnext=3)


def oracle(renumberings: int = 0) -> Oracle:
    """A and B came, and one device read A: acknowledged."""
    made = Oracle(1, renumberings=renumberings)
    made.offered = {A, B}
    made.compare(BEFORE, complete=True)
    made.holdings[0].pending = Effect(changed={(INBOX, 1): READ})
    made.holdings[0].acknowledged([])
    assert made.faults == []
    return made


def test_what_was_acknowledged_and_nothing_else_is_right() -> None:
    judge = oracle()
    judge.compare(seen({1: (A, READ), 2: (B, NO_FLAGS)}, {}), complete=True)
    assert judge.faults == []


@pytest.mark.parametrize(
    ("after", "lost", "doubled"),
    [
        pytest.param(seen({1: (A, READ)}, {}), {B}, set(), id="lost"),
        pytest.param(
            seen({1: (A, READ), 2: (B, NO_FLAGS), 3: (B, NO_FLAGS)}, {}), set(), {B}, id="double"
        ),
        pytest.param(BEFORE, set(), set(), id="flag undone"),
        pytest.param(
            seen({1: (A, READ), 2: (B, READ)}, {}), set(), set(), id="flag that nobody set"
        ),
        pytest.param(
            seen({1: (A, READ), 2: (B, NO_FLAGS)}, {}, uidvalidity=8), set(), set(), id="validity"
        ),
        pytest.param(
            seen({1: (A, READ), 2: (B, NO_FLAGS)}, {}, uidnext=2), set(), set(), id="UIDNEXT"
        ),
        pytest.param(seen({1: (B, NO_FLAGS), 2: (A, READ)}, {}), set(), set(), id="UIDs changed"),
        pytest.param(
            seen({1: (A, READ), 2: (B, NO_FLAGS), 3: (C, NO_FLAGS)}, {}),
            set(),
            set(),
            id="nobody's message",
        ),
        pytest.param({INBOX: seen({}, {})[INBOX]}, {A, B}, set(), id="all gone"),
    ],
)
def test_a_wrong_is_seen(after: Seens, lost: set[bytes], doubled: set[bytes]) -> None:
    judge = oracle()
    judge.compare(after)
    assert judge.faults
    assert (judge.lost, judge.doubled) == (lost, doubled)


MOVED = {1: (A, READ), 2: (B, NO_FLAGS)}


@pytest.mark.parametrize(
    ("after", "right"),
    [
        pytest.param(seen(MOVED, {}), True, id="not done"),
        pytest.param(seen({}, MOVED), True, id="done"),
        pytest.param(seen(MOVED, MOVED), False, id="copied, not removed"),
        pytest.param(seen({}, {}), False, id="removed, not copied"),
        pytest.param(seen({1: (A, READ)}, {1: (B, NO_FLAGS)}), False, id="half of the messages"),
        pytest.param(seen({}, {1: (A, NO_FLAGS), 2: (B, NO_FLAGS)}), False, id="without flags"),
    ],
)
def test_an_unanswered_move_is_done_or_not_done(after: Seens, right: bool) -> None:
    judge = oracle()
    judge.holdings[0].pending = Effect(
        removed=frozenset({(INBOX, 1), (INBOX, 2)}),
        added=[("Trash", A, READ), ("Trash", B, NO_FLAGS)],
    )
    judge.compare(after)
    assert (judge.faults == []) is right


def test_an_expunged_message_does_not_come_back() -> None:
    judge = oracle()
    judge.holdings[0].pending = Effect(removed=frozenset({(INBOX, 2)}))
    judge.holdings[0].acknowledged([])
    judge.compare(seen({1: (A, READ)}, {}), complete=True)
    assert judge.faults == []
    judge.compare(seen({1: (A, READ), 9: (B, NO_FLAGS)}, {}, uidnext=10))
    assert judge.doubled == {B}


def test_a_uid_is_not_used_again_and_none_appears_below_uidnext() -> None:
    for uid in (2, 5):
        judge = oracle()
        judge.offered.add(C)
        judge.holdings[0].pending = Effect(removed=frozenset({(INBOX, 2)}))
        judge.holdings[0].acknowledged([])
        judge.compare(seen({1: (A, READ)}, {}, uidnext=6))
        judge.compare(seen({1: (A, READ), uid: (C, NO_FLAGS)}, {}, uidnext=7))
        assert judge.faults


RENUMBERED = {5: (A, READ), 4: (B, NO_FLAGS)}


@pytest.mark.parametrize(
    ("inbox", "right"),
    [
        pytest.param(RENUMBERED, True, id="all there"),
        pytest.param({4: (A, READ)}, False, id="lost on the way"),
        pytest.param({4: (A, READ), 5: (B, NO_FLAGS), 6: (B, NO_FLAGS)}, False, id="doubled"),
        pytest.param({4: (A, NO_FLAGS), 5: (B, NO_FLAGS)}, False, id="flag lost"),
    ],
)
def test_inbox_may_be_renumbered_once(inbox: Entries, right: bool) -> None:
    judge = oracle(renumberings=1)
    judge.compare(seen(inbox, {}, uidvalidity=8))
    assert (judge.faults == []) is right
    judge.faults.clear()
    judge.compare(seen(inbox, {}, uidvalidity=9))
    assert judge.faults


def test_what_a_device_expunged_may_be_gone_and_nothing_else() -> None:
    made = oracle()
    assert not any(map(made.is_expunged, (A, B, C)))
    (holding,) = made.holdings
    holding.pending = Effect(removed=frozenset({(INBOX, 1)}))
    assert made.is_expunged(A)  # perhaps
    assert not made.is_expunged(B)
    holding.acknowledged(())
    assert made.is_expunged(A)
    holding.pending = Effect(removed=frozenset({(INBOX, 2)}), added=(("Trash", B, NO_FLAGS),))
    assert not made.is_expunged(B)  # it is moved
