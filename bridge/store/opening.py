"""Opens the store of one daemon: the directory, the lock, the engine.

Rules: what we make is for its owner alone (0700, 0600). One process has the store: an flock on
`data_dir/lock`, which the kernel lets go when the process dies, however it dies. That file also
notes that a store was made here: a database that is gone or empty then is no new one.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import re
import time
from collections.abc import Callable
from pathlib import Path

from bridge.store.api import Store, StoreBusy, StoreError
from bridge.store.sqlite import check
from bridge.store.sqlite.backup import holds_mail, restore
from bridge.store.sqlite.engine import SqliteStore

DATABASE = "popbridge.sqlite"
LOCK = "lock"
_MADE = b"made"
_OCTAL = re.compile(r"\\([0-7]{3})")  # a blank in /proc/self/mounts, e.g.
_NETWORK = {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "glusterfs", "lustre"}
_NETWORK |= {f"fuse.{each}" for each in ("sshfs", "glusterfs", "rclone", "s3fs", "davfs")}


async def open_store(
    data_dir: Path, database: str = "sqlite", *, now: Callable[[], float] = time.time
) -> Store:
    """Opens (and makes, and upgrades) the store in `data_dir`. `now` is the wall clock.

    Raises StoreBusy when another process has it, SchemaTooNew when a newer version wrote it,
    StoreError when it cannot be opened; the texts are for the person who started us.
    """
    if database.startswith(("postgresql://", "postgres://")):
        raise StoreError("database: PostgreSQL comes later; write `database: sqlite`.")
    if database != "sqlite":
        raise StoreError(f"database: {database!r} is not known; write `database: sqlite`.")
    lock = _prepare(data_dir)
    if lock.made and not _size(data_dir / DATABASE):
        lock.release()
        raise StoreError(
            f"{data_dir / DATABASE} is gone or empty, and there was a store here. Bring it back "
            "from a backup (popbridge restore FILE); or, to begin anew without all that it held, "
            f"delete {data_dir / LOCK}."
        )
    store = await SqliteStore.open(data_dir / DATABASE, lock.release, now)
    lock.note_made()
    return store


def engine_version() -> tuple[int, ...]:
    """The version of the SQLite that this Python has."""
    return check.version()


def network_filesystem(folder: Path, mounts: Path = Path("/proc/self/mounts")) -> str:
    """The kind of network file system that `folder` is on; empty where it is none, or nobody can
    say. Their locks and shared memory do not keep what SQLite needs of them (SQLite, "Write-Ahead
    Logging", 1: all processes must be on the same host)."""
    try:
        lines = mounts.read_text("utf-8", "replace").splitlines()
        whole = folder.resolve()
    except OSError:
        return ""
    longest, kind = -1, ""
    for line in lines:
        _, at, name, *_ = line.split(" ")
        at = _OCTAL.sub(lambda octal: chr(int(octal[1], 8)), at)
        # The last mount on a place hides those before it.
        if whole.is_relative_to(at) and len(at) >= longest:
            longest, kind = len(at), name
    return kind if kind in _NETWORK else ""


def faults(data_dir: Path) -> list[str]:
    """All that is wrong with the database in `data_dir`; reads it whole, also beside a daemon."""
    return check.examine(data_dir / DATABASE)


class _Lock:
    """The open file that has the flock: who holds it, and whether a store was made here.

    b"4711\\nmade\\n"
    """

    def __init__(self, data_dir: Path) -> None:
        """Raises StoreBusy, OSError."""
        self._file = os.open(data_dir / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            before = os.pread(self._file, 64, 0).split(b"\n")
            self._take(data_dir, before[0])
            self.made = _MADE in before[1:]
            self._write()
        except BaseException:
            os.close(self._file)
            raise

    def _take(self, data_dir: Path, owner: bytes) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            process = owner.decode("ascii", "replace").strip() or "unknown"
            raise StoreBusy(
                f"Another popbridge (process {process}) works with {data_dir}. "
                "Stop it first, or give this one a data_dir of its own."
            ) from None

    def note_made(self) -> None:
        """A store is open, so whoever comes next is to find one."""
        if not self.made:
            self.made = True
            with contextlib.suppress(OSError):  # the next one that opens it notes it
                self._write()

    def _write(self) -> None:
        content = b"%d\n%b" % (os.getpid(), _MADE + b"\n" if self.made else b"")
        os.pwrite(self._file, content, 0)
        os.ftruncate(self._file, len(content))

    def release(self) -> None:
        os.close(self._file)


def _prepare(data_dir: Path) -> _Lock:
    """Directory, lock and, where none was made yet, an empty database file."""
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = _Lock(data_dir)
    except OSError as error:
        raise StoreError(
            f"data_dir: {data_dir} cannot be used: {error.strerror}. Make it writable for the "
            "user that runs popbridge, or name another directory."
        ) from error
    try:
        if not lock.made:
            # SQLite gives its -wal and -shm the mode of the database file.
            os.close(os.open(data_dir / DATABASE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as error:
        lock.release()
        raise StoreError(
            f"data_dir: {data_dir / DATABASE} cannot be written: {error.strerror}."
        ) from error
    return lock


def _size(database: Path) -> int:
    """Octets of the file; 0 where it is gone."""
    try:
        return database.stat().st_size
    except FileNotFoundError:
        return 0


async def restore_store(
    data_dir: Path, backup: Path, *, replace: bool = False, now: Callable[[], float] = time.time
) -> int:
    """Makes the store of `data_dir` out of a backup; returns how many messages it holds.

    A store that has mail is replaced only when `replace` says so, and kept beside the new one.
    Raises StoreBusy while a process has the store, SchemaTooNew, StoreDamaged, StoreError; then
    nothing has changed.
    """
    lock = _prepare(data_dir)
    try:
        database = data_dir / DATABASE
        if not replace and await asyncio.to_thread(holds_mail, database):
            raise StoreError(
                f"{database} holds mail already; with --replace it is set aside, not deleted."
            )
        return await asyncio.to_thread(restore, backup, database, int(now()))
    finally:
        lock.release()
