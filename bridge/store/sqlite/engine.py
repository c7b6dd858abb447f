"""The SQLite engine: one thread writes and checkpoints, a few read, the event loop waits.

Why the standard sqlite3 module and threads of our own: a thread hop costs more than the query, so a
whole transaction is one hop; aiosqlite has no public way to run a function on its thread, it hops
for every statement.

Rules:
- One connection writes and checkpoints, ever: SQLite 3.7.0 to 3.51.2 can corrupt a WAL database
  when two do so at once. Readers are read-only, with automatic checkpoints off. No mmap.
- Group commit: the writer takes the first job that waits, runs it in a savepoint, then whatever
  else waits (to a bound), commits once, and only then wakes the callers. A job that raises undoes
  its own savepoint.
- What fails the transaction fails every job in it. After an I/O error the connection is closed and
  a new one is opened before anything else is done: a second fsync on an old handle may lie.
- Nothing here dies of a job, of a cancelled waiter, or of an event loop that is gone.
- Never open the database file by hand while a connection has it open: closing any descriptor of it
  drops SQLite's POSIX locks (SQLite, "How To Corrupt", 2.2).
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, Generic, TypeVar

from bridge.model import Change, LoginId, MailboxId
from bridge.store import migrate
from bridge.store.api import ReadTx, StoreError, WriteTx
from bridge.store.sqlite import text_index
from bridge.store.sqlite.backup import write_backup
from bridge.store.sqlite.connection import BUSY_SECONDS, PAGE, connect, upgrade
from bridge.store.sqlite.errors import SQL_ERRORS, poisons_connection, store_error
from bridge.store.sqlite.keywords import KeywordSets
from bridge.store.sqlite.proofs import Proofs
from bridge.store.sqlite.read import SqliteRead
from bridge.store.sqlite.write import SqliteWrite

T = TypeVar("T")
Tx = TypeVar("Tx")
Changes = dict[tuple[LoginId, MailboxId | None], Change]

READERS = 3
GROUP_JOBS = 64  # that share a commit
GROUP_SECONDS = 0.05  # after which no further job joins
CHECKPOINT_PAGES = 4_000  # written, by estimate, before the next checkpoint
ROWS_APART = 32  # of one commit that are counted as a page each; further ones lie together
ROWS_TOGETHER = 32  # on a page
WAL_PAGES_MOST = 20_000  # beyond which a checkpoint waits for readers to let it finish
RESTART_SECONDS = 0.1  # that writers wait for it


@dataclass(slots=True)
class _Job(Generic[Tx, T]):
    work: Callable[[Tx], T]
    future: asyncio.Future[T]


@dataclass(slots=True)
class _Outcome:
    """What a future gets: `error` unless it is None."""

    future: asyncio.Future[Any]
    result: object = None
    error: BaseException | None = None

    def settle(self) -> None:
        if self.future.done():  # cancelled meanwhile
            return
        if self.error is None:
            self.future.set_result(self.result)
        else:
            self.future.set_exception(self.error)


class SqliteStore:
    """`bridge.store.api.Store`. Made by `open`; belongs to the event loop that ran it."""

    def __init__(self, path: Path, release: Callable[[], None], now: Callable[[], float]) -> None:
        self.on_change: Callable[[Sequence[Change]], None] | None = None
        self.checkpointed: tuple[int, int, int] | None = None  # SQLite's last (busy, log, done)
        self._path = path
        self._release = release
        self._now = now
        self._loop = asyncio.get_running_loop()
        self._reads: SimpleQueue[_Job[ReadTx, Any] | None] = SimpleQueue()
        self._writes: SimpleQueue[_Job[WriteTx, Any] | None] = SimpleQueue()
        self._closed: asyncio.Future[None] | None = None
        self._stopping = False  # the writer has seen the end of its queue
        self._db: sqlite3.Connection | None = None  # the writer's; None after an I/O error
        self._keywords = KeywordSets()
        self._proofs = Proofs()
        self._pages = 0  # written since the last checkpoint, by estimate
        self._writer: Thread | None = None
        self._readers = [
            Thread(target=self._read_loop, name=f"store-reader-{number}", daemon=True)
            for number in range(READERS)
        ]

    @classmethod
    async def open(
        cls, path: Path, release: Callable[[], None], now: Callable[[], float]
    ) -> SqliteStore:
        """Opens and upgrades. `release` is called once nothing of the store is open any more,
        also when this raises (StoreError, SchemaTooNew)."""
        store = cls(path, release, now)
        opened: asyncio.Future[None] = store._loop.create_future()
        store._writer = Thread(
            target=store._write_loop, args=(opened,), name="store-writer", daemon=True
        )
        store._writer.start()
        try:
            await asyncio.shield(opened)
        except BaseException:
            opened.cancel()
            await store.close()
            raise
        return store

    # --- on the event loop --------------------------------------------------------------

    async def read(self, work: Callable[[ReadTx], T]) -> T:
        future: asyncio.Future[T] = self._loop.create_future()
        self._enqueue(self._reads, _Job(work, future))
        return await future

    async def write(self, work: Callable[[WriteTx], T]) -> T:
        future: asyncio.Future[T] = self._loop.create_future()
        self._enqueue(self._writes, _Job(work, future))
        return await future

    async def backup(self, path: Path) -> int:
        if self._closed is not None:
            raise StoreError("The store is closed.")
        return await asyncio.to_thread(write_backup, self._path, path)

    async def close(self) -> None:
        if self._closed is None:
            self._closed = self._loop.create_future()
            for _ in self._readers:
                self._reads.put(None)
            self._writes.put(None)
        await asyncio.shield(self._closed)
        if self._writer is not None:
            self._writer.join()  # it has nothing left to do

    def _enqueue(self, queue: SimpleQueue[_Job[Tx, Any] | None], job: _Job[Tx, Any]) -> None:
        if self._closed is not None:
            raise StoreError("The store is closed.")
        queue.put(job)

    def _settle(self, outcomes: Sequence[_Outcome], changes: Sequence[Change]) -> None:
        try:
            if changes and self.on_change is not None:
                self.on_change(changes)
        finally:
            for outcome in outcomes:
                outcome.settle()

    # --- on any thread ------------------------------------------------------------------

    def _hand_over(self, outcomes: Sequence[_Outcome], changes: Sequence[Change] = ()) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is gone, and so is who waited
            self._loop.call_soon_threadsafe(self._settle, outcomes, changes)

    # --- on a reader's thread -----------------------------------------------------------

    def _read_loop(self) -> None:
        db: sqlite3.Connection | None = None
        while (job := self._reads.get()) is not None:
            if job.future.cancelled():
                continue
            outcome = _Outcome(job.future)
            try:
                if db is None:
                    db = connect(self._path, writer=False)
                db.execute("BEGIN")
                tx = SqliteRead(db, self._proofs)
                try:
                    outcome.result = job.work(tx)
                except BaseException as error:
                    outcome.error = error
                if db.in_transaction:
                    db.execute("ROLLBACK")
                if tx.failure is not None:
                    raise tx.failure
            except SQL_ERRORS as error:
                outcome.error = store_error(error)
                if db is not None and (db.in_transaction or poisons_connection(error)):
                    db.close()
                    db = None
            except BaseException as error:
                outcome.error = error
            self._hand_over([outcome])
            del job, outcome
        if db is not None:
            db.close()

    # --- on the writer's thread ---------------------------------------------------------

    def _write_loop(self, opened: asyncio.Future[None]) -> None:
        try:
            self._db = connect(self._path, writer=True)
            upgrade(self._db, migrate.load("bridge.store.sqlite"))
            text_index.prepare(self._db)
            for reader in self._readers:
                reader.start()
        except BaseException as error:
            problem = store_error(error) if isinstance(error, SQL_ERRORS) else error
            self._drop_connection()
            self._release()
            self._hand_over([_Outcome(opened, error=problem)])
            self._end()
            return
        self._hand_over([_Outcome(opened)])
        while not self._stopping and (job := self._writes.get()) is not None:
            self._commit_group(job)
            del job
            if self._pages >= CHECKPOINT_PAGES:
                self._checkpoint("PASSIVE")
        for reader in self._readers:
            reader.join()
        self._checkpoint("TRUNCATE")
        self._drop_connection()
        self._release()
        self._end()

    def _end(self) -> None:
        """Tells `close`, which may have been called or may yet be."""

        def tell() -> None:
            if self._closed is None:
                self._closed = self._loop.create_future()
            if not self._closed.done():
                self._closed.set_result(None)

        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(tell)

    def _waiting(self, first: _Job[WriteTx, Any]) -> Iterator[_Job[WriteTx, Any]]:
        """The jobs of one group: the first, and what waits by the time that it is its turn."""
        yield first
        until = time.monotonic() + GROUP_SECONDS
        for _ in range(GROUP_JOBS - 1):
            if time.monotonic() > until:
                return
            try:
                job = self._writes.get_nowait()
            except Empty:
                return
            if job is None:
                self._stopping = True
                return
            yield job

    def _commit_group(self, first: _Job[WriteTx, Any]) -> None:
        outcomes: list[_Outcome] = []
        changes: Changes = {}
        try:
            if self._db is None:
                self._db = connect(self._path, writer=True)
            db = self._db
            before = db.total_changes
            db.execute("BEGIN IMMEDIATE")
            for job in self._waiting(first):
                if not job.future.cancelled():
                    outcomes.append(_Outcome(job.future))
                    self._run(db, job, outcomes[-1], changes)
            db.execute("COMMIT")
            self._pages += _pages(db.total_changes - before)
        except BaseException as error:
            if not outcomes:
                outcomes.append(_Outcome(first.future))
            self._abandon(error)
            for outcome in outcomes:
                if outcome.error is None:
                    outcome.result = None
                    outcome.error = store_error(error) if isinstance(error, SQL_ERRORS) else error
            changes = {}
        self._hand_over(outcomes, list(changes.values()))

    def _run(
        self,
        db: sqlite3.Connection,
        job: _Job[WriteTx, Any],
        outcome: _Outcome,
        changes: Changes,
    ) -> None:
        """One job in its savepoint. Raises sqlite3.Error when the transaction is lost."""
        db.execute("SAVEPOINT job")
        tx = SqliteWrite(db, self._keywords, self._now, self._proofs)
        try:
            outcome.result = job.work(tx)
            tx.finish()
        except BaseException as error:
            outcome.error = error
        if tx.failure is not None:
            if not db.in_transaction or poisons_connection(tx.failure):
                outcome.error = None  # it is the transaction's
                raise tx.failure
            if outcome.error is None:  # the job went on after a failed statement
                outcome.error = store_error(tx.failure)
        if outcome.error is not None:
            outcome.result = None
            self._keywords.forget()
            db.execute("ROLLBACK TO job")
        else:
            for key, change in tx.changes.items():
                changes.pop(key, None)  # the newest goes last, with the highest MODSEQ
                changes[key] = change
            self._pages += tx.octets_added // PAGE
        db.execute("RELEASE job")

    def _abandon(self, error: BaseException) -> None:
        """The transaction is lost: roll back, or let the connection go when it is not trusted."""
        self._keywords.forget()
        db = self._db
        if db is None:
            return
        if isinstance(error, SQL_ERRORS) and poisons_connection(error):
            self._drop_connection()
            return
        try:
            if db.in_transaction:
                db.execute("ROLLBACK")
        except sqlite3.Error:
            self._drop_connection()

    def _checkpoint(self, mode: str) -> None:
        """Moves the log into the database file. A failure costs nothing yet: the log has it all."""
        self._pages = 0
        try:
            if self._db is None:
                self._db = connect(self._path, writer=True)
            self.checkpointed = self._db.execute(f"PRAGMA wal_checkpoint({mode})").fetchone()
            _, log, _ = self.checkpointed or (0, 0, 0)
            if mode == "PASSIVE" and log > WAL_PAGES_MOST:
                # Readers came one upon the other, so that it was never done to its end.
                self._db.execute(f"PRAGMA busy_timeout = {int(RESTART_SECONDS * 1000)}")
                self.checkpointed = self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
                self._db.execute(f"PRAGMA busy_timeout = {int(BUSY_SECONDS * 1000)}")
        except (sqlite3.Error, StoreError):
            self._drop_connection()

    def _drop_connection(self) -> None:
        if self._db is not None:
            with contextlib.suppress(sqlite3.Error):
                self._db.close()
            self._db = None


def _pages(rows: int) -> int:
    """How many pages a commit wrote that changed so many rows, by estimate."""
    return min(rows, ROWS_APART) + max(0, rows - ROWS_APART) // ROWS_TOGETHER
