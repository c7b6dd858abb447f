"""`Deliveries.recognise`: one delivery, whatever the provider does with its UIDLs and headers."""

from __future__ import annotations

import pytest

from bridge.model import KnownItem, ListedItem
from bridge.sync.identity import (
    Deliveries,
    Doubtful,
    Mistaken,
    New,
    Ours,
    Rewritten,
    same_transport,
)


def line(uidl: bytes | None, size: int | None = 100) -> ListedItem:
    return ListedItem(1, uidl, size)


def item(number: int, uidl: bytes | None, digest: bytes, fingerprint: bytes = b"f") -> KnownItem:
    return KnownItem(number, uidl, 100, digest, fingerprint, 0, 0)


def test_bytes_never_seen_are_new() -> None:
    assert Deliveries().recognise(line(b"a"), b"d", b"f") == New()
    known = Deliveries([item(7, b"a", b"d", b"f")], {7})
    assert known.recognise(line(b"b"), b"e", b"g") == New()


def test_known_bytes_under_a_new_uidl_are_ours() -> None:
    known = Deliveries([item(7, b"old", b"d")])
    assert known.recognise(line(b"new"), b"d", b"f") == Ours(b"d", None)


def test_verified_bytes_keep_their_item() -> None:
    known = Deliveries([item(7, b"a", b"d")])
    assert known.recognise(line(b"a"), b"d", b"f") == Ours(b"d", 7)


def test_other_bytes_under_a_reused_uidl_are_new() -> None:
    known = Deliveries([item(7, b"a", b"d", b"f")])
    assert known.recognise(line(b"a"), b"e", b"g") == New()


def test_a_line_without_uidl_keeps_its_item_from_poll_to_poll() -> None:
    known = Deliveries([item(7, None, b"d")])
    assert known.recognise(line(None), b"d", b"f") == Ours(b"d", 7)


def test_identical_bytes_under_a_shared_uidl_are_one_delivery_at_once() -> None:
    known = Deliveries()
    known.settle(line(b"hash"), 7, b"d", b"f")
    assert known.recognise(line(b"hash"), b"d", b"f") == Ours(b"d", None)


def test_a_wrong_answer_under_a_shared_uidl_is_seen_by_the_sizes() -> None:
    """Two messages of 100 and 200 octets share a UIDL, and the second is answered by the first:
    settled as its twin it would never be asked for again."""
    known = Deliveries()
    known.settle(line(b"shared", 100), 7, b"d", b"f")
    asked = line(b"shared", 200)
    assert known.recognise(asked, b"d", b"f", octets=100) == Doubtful(())
    assert known.recognise(asked, b"d", b"f", octets=100, confirmed=True) == Mistaken()


@pytest.mark.parametrize("uidl", [b"b", None])
def test_identical_bytes_of_two_lines_wait_for_a_second_session(uidl: bytes | None) -> None:
    known = Deliveries([item(7, b"a", b"d")], {7})
    assert known.recognise(line(uidl), b"d", b"f") == Doubtful((7,))
    assert known.recognise(line(uidl), b"d", b"f", confirmed=True) == Ours(b"d", None)


def test_rewritten_headers_under_a_new_uidl_may_be_ours() -> None:
    known = Deliveries([item(7, b"old", b"d")])
    assert known.recognise(line(b"new"), b"e", b"f") == Rewritten([Ours(b"d", None)])


def test_rewritten_headers_under_the_same_uidl_keep_their_item() -> None:
    known = Deliveries([item(6, b"b", b"c"), item(7, b"a", b"d")])
    verdict = known.recognise(line(b"a"), b"e", b"f")
    assert verdict == Rewritten([Ours(b"d", 7), Ours(b"c", None)])


def test_a_list_copy_beside_the_direct_copy_is_new() -> None:
    known = Deliveries([item(7, b"direct", b"d")], {7})
    assert known.recognise(line(b"list"), b"e", b"f") == New()


def test_a_list_copy_under_the_uidl_of_the_direct_copy_is_new() -> None:
    known = Deliveries()
    known.settle(line(b"shared"), 7, b"d", b"f")
    assert known.recognise(line(b"shared"), b"e", b"f") == New()


def test_an_old_uidl_does_not_make_a_delivery_silent_that_speaks_by_another() -> None:
    known = Deliveries([item(7, b"old", b"d"), item(8, b"new", b"d")], {8})
    assert known.recognise(line(b"list"), b"e", b"f") == New()


def test_two_copies_that_were_both_rewritten_find_one_delivery_each() -> None:
    known = Deliveries([item(7, b"a", b"d"), item(8, b"b", b"e")])
    verdict = known.recognise(line(b"x"), b"d2", b"f")
    assert verdict == Rewritten([Ours(b"d", None), Ours(b"e", None)])
    known.settle(line(b"x"), 9, b"d", b"f")
    assert known.recognise(line(b"y"), b"e2", b"f") == Rewritten([Ours(b"e", None)])


def test_a_draft_leaves_its_base_alone_until_it_is_absorbed() -> None:
    known = Deliveries([item(7, b"a", b"d", b"f")], {7})
    draft = known.draft()
    draft.settle(line(b"b"), 8, b"e", b"g")
    assert draft.speaking() == {7, 8}
    assert draft.recognise(line(b"c"), b"d", b"f") == Doubtful((7,))
    assert draft.recognise(line(b"c"), b"e", b"g") == Doubtful((8,))
    assert known.recognise(line(b"c"), b"e", b"g") == New()
    known.absorb(draft)
    assert known.recognise(line(b"c"), b"e", b"g") == Doubtful((8,))
    assert known.speaking() == {7, 8}


DIRECT = (
    b"Received: from a by mx; Mon, 2 Nov 2026 10:00:00 +0000\r\n"
    b"Received: from b by a;\r\n\tMon, 2 Nov 2026 09:59:00 +0000\r\n"
    b"Subject: hi\r\n\r\nReceived: not a header\r\n"
)


@pytest.mark.parametrize(
    "other",
    [
        DIRECT,
        b"X-Provider: moved\r\nStatus: RO\r\n" + DIRECT,
        b"Received: from old by new; Tue, 3 Nov 2026 10:00:00 +0000\r\n" + DIRECT,
        DIRECT.replace(b"\r\n\t", b" ").replace(b"\r\n", b"\n").replace(b"Received", b"RECEIVED"),
        DIRECT.partition(b"\r\n")[2],  # the hop on top was dropped
    ],
)
def test_one_journey(other: bytes) -> None:
    assert same_transport(DIRECT, other)
    assert same_transport(other, DIRECT)


@pytest.mark.parametrize(
    "other",
    [
        b"Received: from list by mx; 1\r\nReceived: from a by list; 2\r\n" + DIRECT,
        DIRECT.replace(b"from a by mx", b"from list by mx"),
        b"Subject: hi\r\n\r\n",
    ],
)
def test_two_journeys(other: bytes) -> None:
    assert not same_transport(DIRECT, other)
    assert not same_transport(other, DIRECT)


def test_no_received_field_on_either_side_is_one_journey() -> None:
    assert same_transport(b"Subject: a\r\n\r\n", b"Subject: a\r\nStatus: R\r\n\r\n")
