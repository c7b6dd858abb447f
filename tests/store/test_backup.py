"""Backup and restore (M002): one file, whole; no UID and no UIDVALIDITY is ever given again."""

from __future__ import annotations

import asyncio
import sqlite3
import stat
from pathlib import Path

import pytest

from bridge.store.api import SchemaTooNew, StoreBusy, StoreDamaged, StoreError, WriteTx
from bridge.store.opening import DATABASE, open_store, restore_store
from bridge.store.sqlite.check import faults
from tests.store.conftest import Clock, Home
from tests.support.pop3_server import Pop3Server
from tests.sync.house import Clock as PollClock
from tests.sync.house import House, maildrop, retrieved


def sound(file: Path) -> int:
    """How many messages a backup holds; everything in it is counted again."""
    db = sqlite3.connect(f"file:{file}?mode=ro", uri=True)
    try:
        assert faults(db) == []
        ((messages,),) = db.execute("SELECT count(*) FROM message")
        return int(messages)
    finally:
        db.close()


async def test_a_backup_is_one_moment_while_others_write(home: Home, tmp_path: Path) -> None:
    await home.add(times=50)
    writing = asyncio.create_task(_write(home, 200))
    sizes = []
    for number in range(3):
        file = tmp_path / f"backup-{number}"
        assert await home.store.backup(file) == file.stat().st_size
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        sizes.append(sound(file))
    await writing
    assert sizes == sorted(sizes)
    assert sizes[0] >= 50
    assert names(tmp_path) == {"data", "backup-0", "backup-1", "backup-2"}


def names(folder: Path) -> set[str]:
    return {each.name for each in folder.iterdir()}


async def _write(home: Home, times: int) -> None:
    for _ in range(times):
        await home.add()


async def test_a_backup_never_overwrites_and_leaves_no_half(home: Home, tmp_path: Path) -> None:
    (tmp_path / "there").write_bytes(b"mine")
    with pytest.raises(StoreError, match="is there already"):
        await home.store.backup(tmp_path / "there")
    assert (tmp_path / "there").read_bytes() == b"mine"
    with pytest.raises(StoreError, match="cannot be written"):
        await home.store.backup(tmp_path / "no folder" / "file")
    assert names(tmp_path) == {"data", "there"}


@pytest.mark.case("M002")
async def test_a_restored_store_gives_no_number_again(
    home: Home, tmp_path: Path, clock: Clock
) -> None:
    await home.add(times=3, keywords=("kept",), flags=8)
    await home.create("a/b")
    file = tmp_path / "backup"
    await home.store.backup(file)
    # Devices see more before the disk dies.
    await home.add(times=5)
    for number in range(20):
        await home.create(f"later {number}")
    seen = {box.name: box for box in await home.store.read(lambda tx: tx.mailboxes(home.login.id))}
    highest = max(box.uidvalidity for box in seen.values())
    ids = {box.id for box in seen.values()}

    new = tmp_path / "new"
    assert await restore_store(new, file, now=clock) == 3
    assert stat.S_IMODE((new / DATABASE).stat().st_mode) == 0o600
    store = await open_store(new, now=clock)
    try:
        login = await store.read(lambda tx: tx.login("me@example.org"))
        assert login is not None
        boxes = {box.name: box for box in await store.read(lambda tx: tx.mailboxes(login.id))}
        assert set(boxes) == set(seen) - {f"later {number}" for number in range(20)}
        assert len({box.uidvalidity for box in boxes.values()}) == len(boxes)
        assert min(box.uidvalidity for box in boxes.values()) > highest

        def work(tx: WriteTx) -> tuple[int, int]:
            fresh = tx.create_mailbox(login.id, "later 3")
            return fresh.uidvalidity, fresh.id

        validity, number = await store.write(work)
        assert validity > highest
        assert number not in ids
        states = await store.read(lambda tx: tx.entry_states(boxes["INBOX"].id))
        sets = await store.read(lambda tx: tx.keyword_sets())
        assert [(each.uid, each.flags, sets[each.keywords]) for each in states] == [
            (uid, 8, ("kept",)) for uid in (1, 2, 3)
        ]
    finally:
        await store.close()


async def test_nothing_is_downloaded_again_after_a_restore(tmp_path: Path) -> None:
    house = await House.open(tmp_path / "old", PollClock())
    async with Pop3Server(maildrop(10)) as server:
        assert (await house.poll(server)).new == 10
        await house.store.backup(tmp_path / "backup")
        await house.store.close()
        await restore_store(tmp_path / "new", tmp_path / "backup")
        house = await House.open(tmp_path / "new", house.clock)
        server.items.extend(maildrop(12)[10:])
        assert (await house.poll(server)).new == 2
        assert retrieved(server) == 12
        await house.store.close()


async def test_a_store_with_mail_is_set_aside_and_only_when_asked(
    home: Home, tmp_path: Path, clock: Clock
) -> None:
    await home.add(times=2)
    file = tmp_path / "backup"
    await home.store.backup(file)
    with pytest.raises(StoreBusy):
        await restore_store(home.data_dir, file, now=clock)
    other = tmp_path / "other"
    store = await open_store(other, now=clock)
    login = await store.write(lambda tx: tx.ensure_login("you"))
    assert login
    await store.close()
    assert await restore_store(other, file, now=clock) == 2  # it had no mail
    before = (other / DATABASE).read_bytes()
    with pytest.raises(StoreError, match="--replace"):
        await restore_store(other, file, now=clock)
    assert (other / DATABASE).read_bytes() == before
    clock.time += 60
    assert await restore_store(other, file, replace=True, now=clock) == 2
    empty, aside = sorted(other.glob("*.before-restore-*"))
    assert sound(empty) == 0
    assert sound(aside) == 2
    first, second = validities(aside), validities(other / DATABASE)
    assert min(second) > max(first)


def validities(file: Path) -> set[int]:
    db = sqlite3.connect(f"file:{file}?mode=ro", uri=True)
    try:
        return {value for (value,) in db.execute("SELECT uidvalidity FROM mailbox")}
    finally:
        db.close()


async def test_a_damaged_or_newer_backup_changes_nothing(
    home: Home, tmp_path: Path, clock: Clock
) -> None:
    await home.add(times=2)
    file = tmp_path / "backup"
    await home.store.backup(file)
    new = tmp_path / "new"
    for statement, error in (
        ("UPDATE message_chunk SET octets = zeroblob(length(octets))", StoreDamaged),
        ("UPDATE meta SET value = 999 WHERE key = 'schema'", SchemaTooNew),
        ("DROP TABLE meta", StoreError),
    ):
        bad = tmp_path / "bad"
        bad.write_bytes(file.read_bytes())
        db = sqlite3.connect(bad)
        db.execute(statement)
        db.commit()
        db.close()
        with pytest.raises(error):
            await restore_store(new, bad, now=clock)
        assert names(new) == {"lock", DATABASE}
        assert (new / DATABASE).stat().st_size == 0
