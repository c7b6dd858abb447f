"""Rows of mailboxes in memory: true after every change, and no more than that."""

from __future__ import annotations

import asyncio

import pytest

from bridge import limits
from bridge.bus import Bus
from bridge.imap.rows import MailboxRows
from bridge.model import Change, LoginId
from tests.support.memory_store import LOGIN, MemoryStore


class House:
    """A store with INBOX alone, which counts how often somebody looks into it."""

    def __init__(self) -> None:
        self.bus = Bus()
        self.store = MemoryStore(self.bus)
        self.rows = MailboxRows(self.store.as_store(), self.bus)
        self.visits = 0

    async def messages(self, login: LoginId = LOGIN, name: str = "INBOX") -> int:
        self.store.between.append(self._visit)
        row = await self.rows.get(login, name)
        self.store.between.clear()
        return row.messages

    def _visit(self) -> None:
        self.visits += 1


async def test_a_row_is_read_once_and_again_after_each_change() -> None:
    house = House()
    assert [await house.messages() for _ in range(3)] == [0, 0, 0]
    assert house.visits == 1
    house.store.change(lambda tx: tx.append())
    assert [await house.messages() for _ in range(3)] == [1, 1, 1]
    assert house.visits == 2
    house.bus.publish([Change(LOGIN, None, 0)])  # a name changed: any of them may be another's
    await house.messages()
    assert house.visits == 3


async def test_a_change_while_it_is_read_is_not_missed() -> None:
    house = House()

    def meanwhile() -> None:
        house.bus.publish([Change(LOGIN, None, 0)])

    house.store.between.append(meanwhile)
    await house.rows.get(LOGIN, "INBOX")
    house.store.change(lambda tx: tx.append())
    assert await house.messages() == 1


async def test_only_so_much_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    house = House()
    monkeypatch.setattr(limits, "ROWS_LOGINS", 1)
    monkeypatch.setattr(limits, "ROWS_PER_LOGIN", 1)
    await house.messages(LoginId(2))
    await house.messages(LoginId(3))
    await house.messages(LoginId(3))
    assert house.visits == 2
    assert len(house.bus._listeners) == 1
    await house.messages(LoginId(2))
    assert house.visits == 3
    monkeypatch.setattr(limits, "ROWS_PER_LOGIN", 0)
    house.bus.publish([Change(LoginId(2), None, 0)])
    await asyncio.gather(*(house.rows.get(LoginId(2), "INBOX") for _ in range(2)))
    assert house.rows._logins[LoginId(2)].rows == {}
