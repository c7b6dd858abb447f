"""Backup and restore: the whole store as one file, and back.

Rules:
- A backup is one snapshot, taken while others write (VACUUM INTO reads in one transaction), with
  mode 0600 from the start, on disk before it has its name, whole or not there.
- A restored store is another life of the same mail: devices may have seen UIDs after the backup
  that the copy knows nothing of. So every mailbox gets a new UIDVALIDITY, above all that its name
  can have shown, and no number that a session may remember is given again (RFC 3501 2.3.1.1).
- What the backup knows of maildrops it keeps: nothing is fetched again.
- A file is checked to its last octet before it takes the place of anything.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
from pathlib import Path

from bridge import limits
from bridge.store import migrate
from bridge.store.api import StoreDamaged, StoreError
from bridge.store.sqlite.check import faults
from bridge.store.sqlite.connection import connect, upgrade
from bridge.store.sqlite.errors import SQL_ERRORS, store_error

# More mailboxes than can have been made since the backup: UIDVALIDITY is a counter that moves by
# one for each, and begins at the clock.
_MADE_SINCE = limits.MAILBOXES_PER_LOGIN * 100
_IDS = ("mailbox", "message", "login", "account", "device", "maildrop_item")


def write_backup(database: Path, target: Path) -> int:
    """Copies the live database into a new file. Raises StoreError."""
    waiting = target.with_name(target.name + ".part")
    try:
        if target.exists():
            raise StoreError(f"{target} is there already; name a new file.")
        waiting.unlink(missing_ok=True)
        os.close(os.open(waiting, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        db = connect(database, writer=False)
        try:
            db.execute("PRAGMA query_only = OFF")  # it forbids the new file too
            db.execute("VACUUM INTO ?", (str(waiting),))
        finally:
            db.close()
        _sync(waiting)
        waiting.rename(target)
        _sync(target.parent)
        return target.stat().st_size
    except SQL_ERRORS as error:
        waiting.unlink(missing_ok=True)
        raise store_error(error) from error
    except OSError as error:
        with contextlib.suppress(OSError):
            waiting.unlink(missing_ok=True)
        raise StoreError(f"{target}: cannot be written: {error.strerror}.") from error


def restore(backup: Path, database: Path, now: int) -> int:
    """Puts a backup in the place of `database`, which no process has open; what is there is kept
    beside it. Returns how many messages it holds. Raises StoreError; then nothing has changed."""
    waiting = database.with_name(database.name + ".restore")
    try:
        floor = _counter(database)
        shutil.copyfile(backup, _private(waiting))
        messages = _renew(waiting, floor, now)
        _sync(waiting)
        _set_aside(database, now)
        waiting.rename(database)
        _sync(database.parent)
        return messages
    except SQL_ERRORS as error:
        raise StoreError(f"{backup}: this is no backup of popbridge: {error}.") from error
    except OSError as error:
        raise StoreError(f"{backup}: cannot be restored: {error.strerror}.") from error
    finally:
        for left in (waiting, *(Path(f"{waiting}{end}") for end in ("-wal", "-shm", "-journal"))):
            left.unlink(missing_ok=True)


def holds_mail(database: Path) -> bool:
    """Whether a database, which no process has open, has messages or knows of some."""
    if not database.exists() or not database.stat().st_size:
        return False
    db = sqlite3.connect(f"{database.absolute().as_uri()}?mode=rw", uri=True)
    try:
        tables = {name for (name,) in db.execute("SELECT name FROM sqlite_master")}
        return any(
            table in tables and db.execute(f"SELECT 1 FROM {table} LIMIT 1").fetchone()  # noqa: S608  fixed names
            for table in ("message", "maildrop_item")
        )
    except SQL_ERRORS:
        return True  # it is something: not ours to throw away
    finally:
        db.close()


def _renew(database: Path, floor: int, now: int) -> int:
    """Checks the copy, upgrades it, and gives its mailboxes numbers that nobody has seen."""
    db = connect(database, writer=True)
    try:
        tables = {name for (name,) in db.execute("SELECT name FROM sqlite_master")}
        if "meta" not in tables:
            raise StoreError("The file is no backup of popbridge.")
        upgrade(db, migrate.load("bridge.store.sqlite"))
        found = faults(db)
        if found:
            raise StoreDamaged(f"The backup is damaged: {found[0]}.")
        db.execute("BEGIN IMMEDIATE")
        row = db.execute("SELECT value FROM meta WHERE key = 'uidvalidity'").fetchone()
        if row is not None:
            first = max(int(row[0]), floor, now) + _MADE_SINCE
            db.execute("UPDATE mailbox SET uidvalidity = -id")  # unique at every step
            db.execute(
                """UPDATE mailbox SET uidvalidity = ?1 + (SELECT count(*) FROM mailbox AS b
                WHERE b.id < mailbox.id)""",
                (first,),
            )
            db.execute(
                """UPDATE meta SET value = (SELECT max(uidvalidity) FROM mailbox)
                WHERE key = 'uidvalidity'"""
            )
        for table in _IDS:
            db.execute(
                "UPDATE sqlite_sequence SET seq = seq + ? WHERE name = ?", (_MADE_SINCE, table)
            )
        ((messages,),) = db.execute("SELECT count(*) FROM message")
        db.execute("COMMIT")
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        db.execute("PRAGMA journal_mode = DELETE").fetchall()  # one file; opening switches back
        return int(messages)
    finally:
        db.close()


def _counter(database: Path) -> int:
    """The highest UIDVALIDITY of the store that is to be replaced; 0 where there is none. Closing
    it, as its last connection, moves the log into it."""
    if not database.exists() or not database.stat().st_size:
        return 0
    db = sqlite3.connect(f"{database.absolute().as_uri()}?mode=rw", uri=True)
    try:
        row = db.execute("SELECT value FROM meta WHERE key = 'uidvalidity'").fetchone()
        return int(row[0]) if row else 0
    except SQL_ERRORS:
        return 0
    finally:
        db.close()


def _set_aside(database: Path, now: int) -> None:
    """A second name for what is there, so that at no instant there is nothing."""
    log = Path(f"{database}-wal")
    there = database.exists() and database.stat().st_size
    if log.exists() and log.stat().st_size:
        if there:
            raise StoreError(f"{log} is not empty: another program has the database open.")
        # Of a database that is gone; SQLite would take it for the log of the new one.
        log.rename(f"{log}.before-restore-{now}")
    for left in (log, Path(f"{database}-shm")):
        left.unlink(missing_ok=True)
    if there:
        os.link(database, f"{database}.before-restore-{now}")


def _private(path: Path) -> Path:
    path.unlink(missing_ok=True)
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    return path


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
