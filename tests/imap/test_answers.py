"""FETCH answers put together from memory and from what is kept ready."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge import limits
from bridge.imap.answers import Layout, Ready
from bridge.imap.commands.fetch import slices
from bridge.imap.protocol.fetch import Item, Simple
from bridge.imap.view import Facts
from bridge.model import MailboxId

BOX = MailboxId(7)
SIZE = (Simple("RFC822.SIZE"),)


def items(*names: str) -> list[Item]:
    return [Simple(name) for name in names]


@pytest.mark.parametrize(
    ("asked", "line"),
    [
        (("UID", "FLAGS"), b"* 7 FETCH (UID 9 FLAGS (\\Seen))\r\n"),
        (("RFC822.SIZE", "FLAGS"), b"* 7 FETCH (RFC822.SIZE 3 FLAGS (\\Seen))\r\n"),
        (("RFC822.SIZE", "UID", "ENVELOPE"), b"* 7 FETCH (RFC822.SIZE 3 UID 9)\r\n"),
        (("MODSEQ",), b"* 7 FETCH (MODSEQ (12))\r\n"),
    ],
)
def test_items_come_in_the_order_asked_for(asked: tuple[str, ...], line: bytes) -> None:
    """Those that never change come together, where the first of them stood."""
    layout = Layout(items(*asked))
    facts = Facts([7], [9], [b"(\\Seen)"], [12])
    fixed = [b"RFC822.SIZE 3"] if layout.fixed else []
    assert layout.lines(facts, fixed) == line


def test_a_percent_sign_in_an_answer_is_only_that() -> None:
    layout = Layout(items("UID", "ENVELOPE"))
    assert layout.lines(Facts([1], [2], [b"()"], [3]), [b"100%d"]) == b"* 1 FETCH (UID 2 100%d)\r\n"


def test_what_was_kept_is_found_by_mailbox_items_and_uid() -> None:
    ready = Ready()
    ready.keep(BOX, SIZE, {1: b"one", 600: b"many"})
    assert ready.find(BOX, SIZE, [1, 2, 600]) == [b"one", None, b"many"]
    assert ready.find(MailboxId(8), SIZE, [1]) == [None]
    assert ready.find(BOX, (Simple("ENVELOPE"),), [1]) == [None]


def test_the_longest_unused_goes_when_it_is_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "FETCH_READY", 3_000)
    ready = Ready()
    for uid in (1, 1001, 2001):
        ready.keep(BOX, SIZE, {uid: bytes(800)})
        ready.find(BOX, SIZE, [1])
    ready.keep(BOX, SIZE, {3001: bytes(800)})
    assert [octets is not None for octets in ready.find(BOX, SIZE, [1, 1001, 2001, 3001])] == [
        True,
        False,
        True,
        True,
    ]
    assert ready.octets <= 3_000


def test_what_is_large_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "FETCH_READY_ENTRY", 10)
    ready = Ready()
    ready.keep(BOX, SIZE, {1: bytes(11), 2: bytes(10)})
    assert ready.find(BOX, SIZE, [1, 2]) == [None, bytes(10)]


@st.composite
def intervals(draw: st.DrawFn) -> list[tuple[int, int]]:
    at, found = -1, []
    for _ in range(draw(st.integers(0, 5))):
        first = at + draw(st.integers(1, 3))
        at = first + draw(st.integers(0, 9))
        found.append((first, at))
    return found


@given(intervals(), st.integers(1, 7))
def test_slices_have_all_positions_once_and_no_more_than_that(
    places: list[tuple[int, int]], most: int
) -> None:
    def positions(some: list[tuple[int, int]]) -> Iterator[int]:
        for first, last in some:
            assert first <= last
            yield from range(first, last + 1)

    cut = [list(positions(portion)) for portion in slices(places, most)]
    assert [at for portion in cut for at in portion] == list(positions(places))
    assert all(len(portion) == most for portion in cut[:-1])
