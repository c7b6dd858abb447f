"""A disk that is full, or that fails: nothing half done, reads go on, writes come back."""

from __future__ import annotations

import resource
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from bridge.model import Flag
from bridge.store.api import StoreError, StoreFull
from bridge.store.sqlite import engine
from bridge.store.sqlite.connection import connect
from tests.store.conftest import EVERY, Home
from tests.store.sqlite_only import execute
from tests.store.test_transactions import adding, grouped


@contextmanager
def file_size_limit(octets: int) -> Iterator[None]:
    """No file of this process grows beyond it: write() fails with EFBIG, SQLite with IOERR."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (octets, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_a_full_disk(home: Home) -> None:
    """D001, D003."""
    await home.add(times=3)
    ((pages,),) = await execute(home.store, "PRAGMA page_count")
    await execute(home.store, f"PRAGMA max_page_count = {pages}")
    before = await home.mailbox()
    big = home.message(500_000)
    for _ in range(3):
        with pytest.raises(StoreFull, match="full"):
            await home.add(message=big)
        assert await home.mailbox() == before
        assert len(await home.flags()) == 3
    stored = await home.store.write(lambda tx: tx.store_flags(before.id, EVERY, "add", Flag.SEEN))
    assert len(stored.changed) == 3  # what needs no room goes on
    await execute(home.store, "PRAGMA max_page_count = 1073741823")
    (state,) = await home.add(message=big)
    assert state.uid == before.uidnext
    (row,) = await home.store.read(lambda tx: tx.rows(before.id, [(state.uid, state.uid)]))
    assert await home.store.read(lambda tx: tx.octets(row.message_id)) == big.octets


async def test_a_full_disk_in_a_group_is_told_to_who_lost(home: Home) -> None:
    """Each caller of the group learns the truth: committed, or StoreFull."""
    ((pages,),) = await execute(home.store, "PRAGMA page_count")
    await execute(home.store, f"PRAGMA max_page_count = {pages}")
    big = home.message(500_000)
    results = await grouped(
        home,
        adding(home),
        lambda tx: tx.add_message(big),
        adding(home),
    )
    assert isinstance(results[1], StoreFull)
    acknowledged = [uid for result in results if isinstance(result, list) for uid in result]
    assert all(isinstance(result, list | StoreFull) for result in results)
    assert sorted(await home.flags()) == sorted(acknowledged)
    await execute(home.store, "PRAGMA max_page_count = 1073741823")
    await home.add()
    assert len(await home.flags()) == len(acknowledged) + 1


async def test_writes_that_the_disk_refuses(home: Home) -> None:
    """D002, D006 (EFBIG): all of the group fails, the next one works on a new connection."""
    await home.add(times=2)
    before = await home.mailbox()
    wal = (home.data_dir / "popbridge.sqlite-wal").stat().st_size
    home.told.clear()
    with file_size_limit(wal + 4096):
        results = await grouped(home, adding(home), adding(home, 200), adding(home))
        assert [type(result) for result in results] == [StoreError] * 3
        with pytest.raises(StoreError):
            await home.add(message=home.message(100_000))
        assert await home.mailbox() == before
    assert home.told == []
    (state,) = await home.add()
    assert state.uid == before.uidnext
    assert len(await home.flags()) == 3


class Faulty(sqlite3.Connection):
    """A connection whose disk fails where a test says so, once."""

    opened = 0
    fails_at = ""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        type(self).opened += 1
        self.used_after_fault = 0
        self.faulted = False

    def execute(self, sql: str, /, *args: Any) -> sqlite3.Cursor:
        if self.faulted:
            self.used_after_fault += 1
        if Faulty.fails_at and sql.startswith(Faulty.fails_at):
            Faulty.fails_at = ""
            self.faulted = True
            error = sqlite3.OperationalError("disk I/O error")
            error.sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC
            error.sqlite_errorname = "SQLITE_IOERR_FSYNC"
            raise error
        return super().execute(sql, *args)


@pytest.fixture
def faulty(monkeypatch: pytest.MonkeyPatch) -> type[Faulty]:
    """The writer's next connections are Faulty ones."""
    Faulty.opened, Faulty.fails_at = 0, ""

    def connect_faulty(path: Path, *, writer: bool) -> sqlite3.Connection:
        return connect(path, writer=writer, factory=_faulty_factory)

    monkeypatch.setattr(engine, "connect", connect_faulty)
    return Faulty


def _faulty_factory(*args: Any, **kwargs: Any) -> sqlite3.Connection:
    return sqlite3.connect(*args, factory=Faulty, **kwargs)


@pytest.mark.parametrize("at", ["COMMIT", "BEGIN IMMEDIATE", "SAVEPOINT", "RELEASE", "INSERT"])
async def test_a_connection_whose_disk_failed_is_never_used_again(
    faulty: type[Faulty], home: Home, at: str
) -> None:
    """D004: after a failed fsync the next one on the same handle may lie."""
    await home.add()
    before = await home.mailbox()
    home.told.clear()
    assert isinstance(home.store, engine.SqliteStore)
    failed = home.store._db
    assert isinstance(failed, Faulty)
    opened = Faulty.opened
    Faulty.fails_at = at
    with pytest.raises(StoreError, match="SQLITE_IOERR_FSYNC"):
        await home.add()
    assert await home.mailbox() == before
    assert home.told == []
    (state,) = await home.add()
    assert state.uid == before.uidnext
    assert failed.used_after_fault == 0
    assert Faulty.opened > opened
    with pytest.raises(sqlite3.ProgrammingError, match=r"closed|thread"):
        failed.execute("SELECT 1")


async def test_a_failed_commit_fails_all_that_share_it(faulty: type[Faulty], home: Home) -> None:
    def fail_commit(tx: object) -> str:
        Faulty.fails_at = "COMMIT"
        return "mine was fine"

    await home.add()
    results = await grouped(home, adding(home), fail_commit, adding(home))
    assert [type(result) for result in results] == [StoreError] * 3
    assert len({id(result) for result in results}) == 3  # a traceback each
    assert list(await home.flags()) == [1]
    assert await home.store.write(adding(home)) == [2]


async def test_a_failed_checkpoint_costs_nothing(
    faulty: type[Faulty], home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "CHECKPOINT_PAGES", 1)
    assert isinstance(home.store, engine.SqliteStore)
    await home.add()
    opened = Faulty.opened
    Faulty.fails_at = "PRAGMA wal_checkpoint"
    await home.add()
    await home.add()
    assert Faulty.opened == opened + 1
    assert len(await home.flags()) == 3
    assert home.store.checkpointed is not None
    assert home.store.checkpointed[0] == 0


async def test_a_reader_whose_disk_failed_reads_again(faulty: type[Faulty], home: Home) -> None:
    await home.add()
    Faulty.fails_at = "SELECT id, login_id"
    with pytest.raises(StoreError, match="SQLITE_IOERR"):
        await home.mailbox()
    assert (await home.mailbox()).messages == 1
