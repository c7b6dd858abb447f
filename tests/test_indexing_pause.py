"""The text index goes out of the way of those who store, and does not wait for ever."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from bridge import indexing
from bridge.indexing import VERSION, TextIndexer
from bridge.model import MailboxId
from bridge.store.api import Store
from bridge.store.opening import open_store
from tests.test_indexing import House

LONG = 3600.0


@asynccontextmanager
async def indexing_house(folder: Path) -> AsyncIterator[tuple[House, asyncio.Event]]:
    """A house whose indexer runs and is woken by each change; the event: it has come to rest."""
    store: Store = await open_store(folder / "data", "sqlite")
    login = await store.write(lambda tx: tx.ensure_login("me@example.org"))
    inbox = await store.read(lambda tx: tx.mailbox(login.id, "INBOX"))
    house = House(store, MailboxId(inbox.id))
    rested = asyncio.Event()

    class Watched(TextIndexer):
        async def step(self) -> float | None:
            took = await super().step()
            if took is None:
                rested.set()
            return took

    house.indexer = Watched(store)
    store.on_change = lambda changes: house.indexer.wake()
    running = asyncio.create_task(house.indexer.run())
    await rested.wait()
    rested.clear()
    yield house, rested
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    await store.close()


async def unindexed(house: House) -> int:
    return len(await house.store.read(lambda tx: tx.unindexed(VERSION, 100)))


async def test_while_something_is_stored_it_waits_for_a_pause(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(indexing, "PAUSE_SECONDS", LONG)
    monkeypatch.setattr(indexing, "WAIT_SECONDS", LONG)
    async with indexing_house(tmp_path) as (house, rested):
        for number in range(20):
            await house.add(f"message {number}")
        assert await unindexed(house) == 20
        assert not rested.is_set()
        assert await house.holding("message 7") == [8]  # a search is exact all the same


async def test_it_waits_only_so_long_for_a_pause(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(indexing, "PAUSE_SECONDS", LONG)
    monkeypatch.setattr(indexing, "WAIT_SECONDS", 0.0)
    async with indexing_house(tmp_path) as (house, rested):
        await house.add("one", "two")
        async with asyncio.timeout(60):
            await rested.wait()
        assert await unindexed(house) == 0


async def test_after_a_pause_it_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(indexing, "PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(indexing, "WAIT_SECONDS", LONG)
    async with indexing_house(tmp_path) as (house, rested):
        await house.add("one", "two")
        async with asyncio.timeout(60):
            await rested.wait()
        assert await unindexed(house) == 0
