"""Mailboxes that nobody has selected any more rest in memory, for the device that comes back."""

from __future__ import annotations

import asyncio

import pytest

from bridge import limits
from bridge.bus import Bus
from bridge.imap.mailboxes import OpenMailbox, OpenMailboxes
from bridge.imap.view import View
from tests.support.memory_store import LOGIN, MemoryStore


class House:
    """A store with two messages, and one device that looks at INBOX now and then."""

    def __init__(self) -> None:
        self.bus = Bus()
        self.store = MemoryStore(self.bus)
        self.mailboxes = OpenMailboxes(self.store.as_store(), self.bus)
        for _ in range(2):
            self.store.change(lambda tx: tx.append())

    async def visit(self) -> OpenMailbox:
        box = await self.mailboxes.open(LOGIN, "INBOX", print)
        self.mailboxes.release(box, print)
        return box


async def test_a_mailbox_at_rest_follows_the_store() -> None:
    house = House()
    box = await house.visit()
    house.store.change(lambda tx: tx.append(flags=1))
    assert list(box.uids) == [1, 2]
    assert await house.visit() is box
    assert list(box.uids) == [1, 2, 3]
    assert list(box.flags) == [0, 0, 1]


async def test_only_so_many_mailboxes_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    house = House()
    monkeypatch.setattr(limits, "RESTING_MAILBOXES", 0)
    assert await house.visit() is not await house.visit()
    assert len(house.mailboxes._held) == 0


async def test_only_so_much_memory_rests(monkeypatch: pytest.MonkeyPatch) -> None:
    house = House()
    monkeypatch.setattr(limits, "RESTING_OCTETS", 2 * 17)
    box = await house.visit()
    assert await house.visit() is box
    house.store.change(lambda tx: tx.append())
    assert await house.visit() is box
    assert await house.visit() is not box


async def test_an_open_mailbox_is_not_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    house = House()
    monkeypatch.setattr(limits, "RESTING_MAILBOXES", 0)
    held = await house.mailboxes.open(LOGIN, "INBOX", lambda: None)
    assert await house.visit() is held
    assert await house.visit() is held


async def test_of_sessions_that_wake_together_one_has_recent_messages() -> None:
    house = House()
    box = await house.mailboxes.open(LOGIN, "INBOX", print)
    claims = await asyncio.gather(*(box.claim_recent(look=False) for _ in range(3)))
    views = [View(box, read_only=False) for _ in claims]
    for view, claim in zip(views, claims, strict=True):
        view.claim(*claim)
        assert not view.unclaimed
    assert sorted(view.recent_count() for view in views) == [0, 0, 2]


async def test_an_order_is_kept_while_the_messages_are_the_same() -> None:
    house = House()
    box = await house.visit()
    box.keep_order("by date", box.uids, b"2 1")
    house.store.change(lambda tx: tx.store_flags(box.id, ((1, 1),), "add", 1))
    assert (await house.visit()).order("by date") == b"2 1"
    assert box.order("by size") is None
    house.store.change(lambda tx: tx.append())
    assert (await house.visit()).order("by date") is None


async def test_only_so_many_orders_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "ORDERS", 2)
    box = await House().visit()
    for question in range(3):
        box.keep_order(question, box.uids, b"%d" % question)
    assert [box.order(question) for question in range(3)] == [None, b"1", b"2"]
