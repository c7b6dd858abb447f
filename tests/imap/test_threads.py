"""THREAD's algorithms on rows by hand: RFC 5256 3, step by step."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.imap.protocol.thread import Node
from bridge.imap.threads import by_newest, by_references, by_subject
from bridge.model import ThreadRow

Tree: TypeAlias = "tuple[int | None, list[Tree]]"


def row(
    uid: int,
    own: str = "",
    *references: str,
    date: int | None = None,
    subject: str = "",
    reply: bool = False,
) -> ThreadRow:
    """A message with an ID of one letter; `date` is its UID unless given."""
    links = b"".join(
        hashlib.blake2b(text.encode(), digest_size=8).digest() if text else bytes(8)
        for text in (own, *references)
    )
    return ThreadRow(uid, uid if date is None else date, subject, reply, links)


def shape(nodes: Sequence[Node]) -> list[Tree]:
    return [(node.uid, shape(node.children)) for node in nodes]


def references(*rows: ThreadRow) -> list[Tree]:
    return shape(by_references(rows))


def test_a_reply_stands_below_what_it_answers() -> None:
    assert references(row(1, "a"), row(2, "b", "a"), row(3, "c", "a", "b")) == [
        (1, [(2, [(3, [])])])
    ]
    # in any order of arrival
    assert references(row(1, "c", "a", "b"), row(2, "b", "a"), row(3, "a")) == [
        (3, [(2, [(1, [])])])
    ]


def test_what_was_never_seen_holds_no_place_but_that_of_several_siblings() -> None:
    assert references(row(1, "b", "a")) == [(1, [])]
    assert references(row(1, "c", "a", "b")) == [(1, [])]
    assert references(row(1, "b", "a"), row(2, "c", "a")) == [(None, [(1, []), (2, [])])]
    # not at the root they move up
    assert references(row(1, "a"), row(2, "c", "a", "b"), row(3, "d", "a", "b")) == [
        (1, [(2, []), (3, [])])
    ]


def test_of_two_with_one_message_id_the_first_has_it() -> None:
    assert references(row(1, "a"), row(2, "a"), row(3, "b", "a")) == [(1, [(3, [])]), (2, [])]


def test_the_last_reference_is_the_parent_whatever_others_said() -> None:
    """(1)(B): 2 says that c answers a, 3, which is c, knows better."""
    assert references(row(1, "a"), row(2, "d", "a", "c"), row(3, "c", "b"), row(4, "b")) == [
        (1, []),
        (4, [(3, [(2, [])])]),
    ]
    assert references(row(1, "d", "a", "c"), row(2, "a"), row(3, "c")) == [(2, []), (3, [(1, [])])]


@pytest.mark.case("I042")
def test_loops_are_not_closed() -> None:
    assert references(row(1, "a", "b"), row(2, "b", "a")) == [(2, [(1, [])])]
    assert references(row(1, "a", "a")) == [(1, [])]
    assert references(row(1, "a", "b", "c", "a", "b")) == [(1, [])]


def test_siblings_stand_by_date_then_by_uid() -> None:
    assert references(
        row(1, "a", date=9), row(2, "b", "a", date=8), row(3, "c", "a", date=7),
        row(4, "d", "a", date=7), row(5, "e", date=1),
    ) == [(5, []), (1, [(3, []), (4, []), (2, [])])]  # fmt: skip


def test_threads_of_one_base_subject_come_together() -> None:
    """(5), each of its rules."""
    x = "X"
    # a reply below what is none
    assert references(row(1, "a", subject=x), row(2, "b", subject=x, reply=True)) == [
        (1, [(2, [])])
    ]
    assert references(row(1, "a", subject=x, reply=True), row(2, "b", subject=x)) == [
        (2, [(1, [])])
    ]
    # two of a kind beside each other
    assert references(row(1, "a", subject=x), row(2, "b", subject=x), row(3, "c", subject=x)) == [
        (None, [(1, []), (2, []), (3, [])])
    ]
    # to a dummy
    pair = (row(1, "b", "a", subject=x, reply=True), row(2, "c", "a", subject=x, reply=True))
    assert references(*pair, row(3, "d", subject=x)) == [(None, [(1, []), (2, []), (3, [])])]
    assert references(
        *pair, row(3, "f", "e", subject=x), row(4, "g", "e", subject=x)
    ) == [(None, [(1, []), (2, []), (3, []), (4, [])])]  # fmt: skip
    # an empty subject is none
    assert references(row(1, "a"), row(2, "b")) == [(1, []), (2, [])]


def test_refs_looks_at_no_subject_and_puts_the_newest_last() -> None:
    rows = [
        row(1, "a", subject="X"), row(2, "b", subject="X", reply=True), row(3, "c", "a"),
    ]  # fmt: skip
    assert shape(by_newest(rows)) == [(2, []), (1, [(3, [])])]


def test_ordered_subject() -> None:
    rows = [
        row(1, subject="B", date=5), row(2, subject="A", date=9), row(3, subject="B", date=1),
        row(4, subject="B", date=7), row(5, subject="A", date=9),
    ]  # fmt: skip
    assert shape(by_subject(rows)) == [(3, [(1, []), (4, [])]), (2, [(5, [])])]


@pytest.mark.case("I042")
def test_ten_thousand_that_answer_each_other_in_a_circle() -> None:
    """I042, and the chain that it leaves is deeper than Python's stack."""
    count = 10_000
    rows = [row(n, f"{n}", f"{(n % count) + 1}") for n in range(1, count + 1)]
    found = by_references(rows)
    assert len(found) == 1
    depth = 0
    nodes = found
    while nodes:
        (node,) = nodes
        nodes = node.children
        depth += 1
    assert depth == count


IDS = st.sampled_from("abcdefgh")


@given(
    st.lists(
        st.tuples(st.one_of(IDS, st.just("")), st.lists(IDS, max_size=5), st.integers(0, 3),
                  st.sampled_from(["", "X", "Y"]), st.booleans()),
        max_size=12,
    )
)  # fmt: skip
def test_every_message_is_in_exactly_one_place(
    messages: list[tuple[str, list[str], int, str, bool]],
) -> None:
    """Whatever the links say; dummies have several children and stand on top, or under one."""
    rows = [
        row(uid, own, *refers, date=date, subject=subject, reply=reply)
        for uid, (own, refers, date, subject, reply) in enumerate(messages, 1)
    ]
    for algorithm in (by_references, by_newest, by_subject):
        nodes = algorithm(rows)
        seen = []
        for depth_first in nodes:
            waiting = [depth_first]
            while waiting:
                node = waiting.pop()
                waiting += node.children
                if node.uid is None:
                    assert len(node.children) > 1
                    assert node in nodes
                else:
                    seen.append(node.uid)
        assert sorted(seen) == [r.uid for r in rows]
