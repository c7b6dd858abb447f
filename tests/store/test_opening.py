"""Opening: modes, the lock, the schema's version, and what cannot be opened."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import stat
import sys
from pathlib import Path

import pytest

from bridge.store import migrate
from bridge.store.api import SchemaTooNew, StoreBusy, StoreDamaged, StoreError
from bridge.store.opening import DATABASE, LOCK, faults, open_store, restore_store
from bridge.store.sqlite.connection import connect, upgrade

HOLDER = """
import asyncio, pathlib, sys
from bridge.store.opening import open_store
async def main():
    await open_store(pathlib.Path(sys.argv[1]))
    print("open", flush=True)
    await asyncio.Event().wait()
asyncio.run(main())
"""


async def test_what_is_made_is_for_its_owner_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        data_dir = tmp_path / "deep" / "data"
        store = await open_store(data_dir)
        await store.write(lambda tx: tx.ensure_login("a"))
        names = [DATABASE, DATABASE + "-shm", DATABASE + "-wal", LOCK]
        assert sorted(path.name for path in data_dir.iterdir()) == sorted(names)
        assert stat.S_IMODE(data_dir.stat().st_mode) == 0o700
        for name in names:
            assert stat.S_IMODE((data_dir / name).stat().st_mode) == 0o600, name
        await store.close()
    finally:
        os.umask(before)


async def test_a_second_opener_is_refused_until_the_first_closes(tmp_path: Path) -> None:
    """M001."""
    first = await open_store(tmp_path)
    with pytest.raises(StoreBusy, match=f"process {os.getpid()}"):
        await open_store(tmp_path)
    login = await first.write(lambda tx: tx.ensure_login("a"))
    await first.close()
    second = await open_store(tmp_path)
    assert await second.read(lambda tx: tx.login("a")) == login
    await second.close()


@pytest.mark.case("M001")
async def test_the_lock_dies_with_the_process(tmp_path: Path) -> None:
    holder = await asyncio.create_subprocess_exec(
        sys.executable, "-c", HOLDER, str(tmp_path), stdout=asyncio.subprocess.PIPE
    )
    assert holder.stdout is not None
    assert await holder.stdout.readline() == b"open\n"
    with pytest.raises(StoreBusy, match=f"process {holder.pid}"):
        await open_store(tmp_path)
    holder.kill()
    await holder.wait()
    await (await open_store(tmp_path)).close()


async def test_a_newer_schema_is_refused_and_left_alone(tmp_path: Path) -> None:
    await (await open_store(tmp_path)).close()
    db = sqlite3.connect(tmp_path / DATABASE)
    db.execute("UPDATE meta SET value = 999 WHERE key = 'schema'")
    db.commit()
    db.close()
    before = (tmp_path / DATABASE).read_bytes()
    for _ in range(2):  # the lock was let go, too
        with pytest.raises(SchemaTooNew, match="schema 999"):
            await open_store(tmp_path)
    assert (tmp_path / DATABASE).read_bytes() == before


@pytest.mark.parametrize(
    ("content", "text"),
    [(b"not a database, but long enough to look at: " * 100, "damaged"), (None, "not one of")],
)
async def test_a_file_that_is_not_ours(tmp_path: Path, content: bytes | None, text: str) -> None:
    if content is None:
        db = sqlite3.connect(tmp_path / DATABASE)
        db.execute("CREATE TABLE cats (name TEXT)")
        db.close()
    else:
        (tmp_path / DATABASE).write_bytes(content)
    for _ in range(2):
        with pytest.raises(StoreError, match=text):
            await open_store(tmp_path)


@pytest.mark.parametrize("left", [None, b""])
async def test_a_store_that_is_gone_is_not_a_new_one(tmp_path: Path, left: bytes | None) -> None:
    """Whoever polled into an empty one would show all mail anew, and lose flags and folders."""
    store = await open_store(tmp_path)
    await store.write(lambda tx: tx.ensure_login("a"))
    await store.backup(tmp_path / "backup")
    await store.close()
    database = tmp_path / DATABASE
    database.unlink() if left is None else database.write_bytes(left)
    log = tmp_path / f"{DATABASE}-wal"
    log.write_bytes(b"the log of what is gone")
    for _ in range(2):  # the note stays
        with pytest.raises(StoreError, match=r"gone or empty.*popbridge restore"):
            await open_store(tmp_path)
    assert (database.read_bytes() if database.exists() else None) == left
    await restore_store(tmp_path, tmp_path / "backup")
    (aside,) = [name for name in os.listdir(tmp_path) if "-wal.before-restore-" in name]
    assert (tmp_path / aside).read_bytes() == b"the log of what is gone"
    store = await open_store(tmp_path)
    assert await store.read(lambda tx: tx.login("a")) is not None
    await store.close()
    database.unlink()
    (tmp_path / LOCK).unlink()  # as the error says
    store = await open_store(tmp_path)
    assert await store.read(lambda tx: tx.login("a")) is None
    await store.close()


async def test_a_start_that_was_killed_before_there_was_a_store_is_no_store(tmp_path: Path) -> None:
    (tmp_path / LOCK).write_bytes(b"4711\n")
    (tmp_path / DATABASE).touch()
    await (await open_store(tmp_path)).close()
    assert (tmp_path / LOCK).read_bytes() == b"%d\nmade\n" % os.getpid()


async def test_a_name_in_the_schema_that_is_no_text_is_damage(tmp_path: Path) -> None:
    await (await open_store(tmp_path)).close()
    octets = (tmp_path / DATABASE).read_bytes()
    (tmp_path / DATABASE).write_bytes(octets.replace(b"tableentry", b"tableent\xf2y", 1))
    (said,) = faults(tmp_path)
    assert said.startswith("it cannot be read")
    with pytest.raises(StoreDamaged, match="doctor --verify"):
        await open_store(tmp_path)
    with pytest.raises(StoreError, match="no backup of popbridge"):
        await restore_store(tmp_path / "other", tmp_path / DATABASE)
    with pytest.raises(StoreError, match="--replace"):  # it is something, if nobody can read it
        await restore_store(tmp_path, tmp_path / DATABASE)


async def test_a_directory_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="data_dir"):
        await open_store(tmp_path / "file" / "data")


@pytest.mark.parametrize(
    ("database", "text"), [("postgresql://x/y", "comes later"), ("mysql", "'mysql' is not known")]
)
async def test_engines_that_are_not_there(tmp_path: Path, database: str, text: str) -> None:
    with pytest.raises(StoreError, match=text):
        await open_store(tmp_path / "data", database)
    assert not (tmp_path / "data").exists()


async def test_a_cancelled_opening_lets_go(tmp_path: Path) -> None:
    opening = asyncio.create_task(open_store(tmp_path))
    await asyncio.sleep(0)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    await (await open_store(tmp_path)).close()


def test_the_scripts_are_numbered() -> None:
    scripts = migrate.load("bridge.store.sqlite")
    assert [s.number for s in scripts] == list(range(1, len(scripts) + 1))
    assert scripts[0].name == "0001_initial.sql"
    assert migrate.pending(0, scripts) == scripts
    assert migrate.pending(len(scripts), scripts) == []
    with pytest.raises(SchemaTooNew):
        migrate.pending(len(scripts) + 1, scripts)


def test_a_gap_in_the_numbers_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    schema = tmp_path / "gappy" / "schema"
    schema.mkdir(parents=True)
    (tmp_path / "gappy" / "__init__.py").touch()
    for name in ("0001_one.sql", "0003_three.sql"):
        (schema / name).write_text("SELECT 1;")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ValueError, match="numbered"):
        migrate.load("gappy")


def test_a_migration_happens_whole_or_not_at_all(tmp_path: Path) -> None:
    """C005: the steps before it stay, and it can be tried again."""
    path = tmp_path / "db"
    path.touch()
    db = connect(path, writer=True)
    first = migrate.load("bridge.store.sqlite")[0]
    bad = migrate.Migration(2, "0002_bad.sql", "CREATE TABLE new (x); INSERT INTO none VALUES (1);")
    with pytest.raises(StoreError, match="0002_bad"):
        upgrade(db, [first, bad])
    assert db.execute("SELECT value FROM meta WHERE key = 'schema'").fetchall() == [(1,)]
    assert db.execute("SELECT 1 FROM sqlite_master WHERE name = 'new'").fetchall() == []
    good = migrate.Migration(2, "0002_good.sql", "CREATE TABLE new (x);")
    upgrade(db, [first, good])
    upgrade(db, [first, good])
    assert db.execute("SELECT value FROM meta WHERE key = 'schema'").fetchall() == [(2,)]
    assert db.execute("SELECT count(*) FROM new").fetchall() == [(0,)]
    db.close()
