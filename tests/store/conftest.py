"""A store for each test, by engine; when the test is over everything is counted again."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from bridge.model import Change, EntryState, Flag, Login, Mailbox, MailboxId, NewMessage
from bridge.store.api import ReadTx, Store, WriteTx
from bridge.store.opening import DATABASE, open_store
from bridge.store.sqlite.check import faults
from tests.support.messages import new_message, raw_message

EVERY = ((1, 2**32 - 1),)


@dataclass
class Clock:
    """A wall clock that a test moves."""

    time: float = 1_700_000_000.0

    def __call__(self) -> float:
        return self.time


@dataclass
class Home:
    """A store with one login, and short words for what most tests do."""

    store: Store
    login: Login
    clock: Clock
    data_dir: Path
    told: list[Sequence[Change]] = field(default_factory=list)
    made: int = 0

    async def mailbox(self, name: str = "INBOX") -> Mailbox:
        return await self.store.read(lambda tx: tx.mailbox(self.login.id, name))

    async def names(self) -> list[str]:
        return [m.name for m in await self.store.read(lambda tx: tx.mailboxes(self.login.id))]

    def message(self, size: int = 200) -> NewMessage:
        """One that was not there before."""
        self.made += 1
        return new_message(raw_message(f"message {self.made}", size))

    async def add(
        self,
        name: str = "INBOX",
        *,
        times: int = 1,
        flags: int = 0,
        keywords: Iterable[str] = (),
        internaldate: int = 1_600_000_000,
        message: NewMessage | None = None,
    ) -> list[EntryState]:
        messages = [message or self.message() for _ in range(times)]

        def work(tx: WriteTx) -> list[EntryState]:
            box = tx.mailbox(self.login.id, name).id
            return [
                tx.add_entry(
                    box,
                    tx.add_message(new),
                    flags=flags,
                    keywords=keywords,
                    internaldate=internaldate,
                )
                for new in messages
            ]

        return await self.store.write(work)

    async def create(self, name: str) -> Mailbox:
        return await self.store.write(lambda tx: tx.create_mailbox(self.login.id, name))

    async def delete(self, name: str) -> None:
        await self.store.write(lambda tx: tx.delete_mailbox(self.login.id, name))

    async def rename(self, name: str, to: str) -> None:
        await self.store.write(lambda tx: tx.rename_mailbox(self.login.id, name, to))

    async def subscribe(self, name: str, on: bool = True) -> None:
        await self.store.write(lambda tx: tx.subscribe(self.login.id, name, on))

    async def subscriptions(self) -> Sequence[str]:
        return await self.store.read(lambda tx: tx.subscriptions(self.login.id))

    async def flags(self, name: str = "INBOX") -> dict[int, tuple[Flag, tuple[str, ...]]]:
        """UID -> flags and keywords, of a whole mailbox."""

        def work(tx: ReadTx) -> dict[int, tuple[Flag, tuple[str, ...]]]:
            sets = {0: (), **tx.keyword_sets()}
            box = tx.mailbox(self.login.id, name).id
            return {s.uid: (Flag(s.flags), sets[s.keywords]) for s in tx.entry_states(box)}

        return await self.store.read(work)

    async def uids(self, mailbox: MailboxId) -> list[int]:
        return [s.uid for s in await self.store.read(lambda tx: tx.entry_states(mailbox))]


def recount(data_dir: Path) -> list[str]:
    """What is wrong with a store on disk, whoever has it open."""
    db = sqlite3.connect((data_dir / DATABASE).as_uri() + "?mode=ro", uri=True)
    try:
        return faults(db)
    finally:
        db.close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["sqlite"])
async def home(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> AsyncIterator[Home]:
    data_dir = tmp_path / "data"
    store = await open_store(data_dir, request.param, now=clock)
    login = await store.write(lambda tx: tx.ensure_login("me@example.org"))
    home = Home(store, login, clock, data_dir)
    store.on_change = home.told.append
    yield home
    await store.close()
    assert recount(data_dir) == []
