"""What `read` and `write` promise: snapshots, group commit, changes told, cancelling, closing."""

from __future__ import annotations

import asyncio
import os
import random
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from unittest.mock import patch

import pytest
import uvloop

from bridge.model import Change, Flag
from bridge.store.api import ReadTx, StoreError, WriteTx
from bridge.store.opening import DATABASE, open_store
from bridge.store.sqlite import engine
from bridge.store.sqlite.read import SqliteRead
from tests.store.conftest import EVERY, Home, recount
from tests.store.sqlite_only import execute
from tests.support.messages import new_message, raw_message


class Held:
    """A job that keeps its thread until it is let go."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._go = threading.Event()
        self.runs = asyncio.Event()

    def __call__(self, tx: ReadTx) -> str:
        self._loop.call_soon_threadsafe(self.runs.set)
        assert self._go.wait(30)
        return "held"

    def let_go(self) -> None:
        self._go.set()


async def grouped(home: Home, *works: Callable[[WriteTx], object]) -> list[object]:
    """Runs the jobs in one group: they wait together while another holds the writer. Brings back
    what each returned or raised; the one that held the writer shares their commit."""
    held = Held()
    # On a busy machine the time in which jobs may join a group is over too soon for a test.
    with patch.object(engine, "GROUP_SECONDS", 60.0):
        tasks: list[asyncio.Task[object]] = [asyncio.create_task(home.store.write(held))]
        await held.runs.wait()
        tasks += [asyncio.create_task(home.store.write(work)) for work in works]
        await asyncio.sleep(0)  # all of them are in the queue now
        held.let_go()
        first, *rest = await asyncio.gather(*tasks, return_exceptions=True)
    if not isinstance(first, StoreError):
        assert first == "held"
    return rest


def adding(home: Home, times: int = 1) -> Callable[[WriteTx], list[int]]:
    messages = [home.message() for _ in range(times)]

    def work(tx: WriteTx) -> list[int]:
        inbox = tx.mailbox(home.login.id, "INBOX").id
        return [
            tx.add_entry(inbox, tx.add_message(message), keywords=["$New"], internaldate=1).uid
            for message in messages
        ]

    return work


def failing(home: Home) -> Callable[[WriteTx], None]:
    add = adding(home)

    def work(tx: WriteTx) -> None:
        add(tx)
        tx.create_mailbox(home.login.id, "half/done")
        raise ZeroDivisionError

    return work


async def test_a_job_that_raises_undoes_only_itself(home: Home) -> None:
    results = await grouped(home, adding(home), failing(home), adding(home), failing(home))
    assert results[0] == [1]
    assert isinstance(results[1], ZeroDivisionError)
    assert results[2] == [2]
    assert isinstance(results[3], ZeroDivisionError)
    inbox = await home.mailbox()
    assert (inbox.messages, inbox.uidnext, inbox.highestmodseq) == (2, 3, 3)
    assert "half" not in await home.names()
    assert set((await home.flags()).values()) == {(Flag(0), ("$New",))}
    assert len(home.told) == 1  # one commit, so it is told once
    assert list(home.told[0]) == [Change(home.login.id, inbox.id, 3)]


async def test_a_group_that_has_no_change_tells_nothing(home: Home) -> None:
    await grouped(home, failing(home), lambda tx: tx.mailboxes(home.login.id))
    assert home.told == []


async def test_changes_are_told_after_the_commit_before_the_callers_go_on(home: Home) -> None:
    order: list[str] = []

    def told(changes: Sequence[Change]) -> None:
        db = sqlite3.connect((home.data_dir / DATABASE).as_uri() + "?mode=ro", uri=True)
        ((messages,),) = db.execute("SELECT count(*) FROM entry").fetchall()
        db.close()
        order.append(f"told {messages} {threading.current_thread() is threading.main_thread()}")

    home.store.on_change = told

    async def write() -> None:
        await home.store.write(adding(home))
        order.append("resumed")

    await write()
    await write()
    assert order == ["told 1 True", "resumed", "told 2 True", "resumed"]


async def test_a_listener_that_raises_does_not_keep_the_callers(home: Home) -> None:
    seen: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, c: seen.append(c["exception"]))

    def told(changes: Sequence[Change]) -> None:
        raise ZeroDivisionError

    home.store.on_change = told
    assert await home.store.write(adding(home)) == [1]
    assert [type(error) for error in seen] == [ZeroDivisionError]


async def test_a_read_sees_one_snapshot(home: Home) -> None:
    await home.add()
    held = Held()

    def twice(tx: ReadTx) -> tuple[int, int]:
        before = tx.mailbox(home.login.id, "INBOX").messages
        held(tx)
        return before, tx.mailbox(home.login.id, "INBOX").messages

    reading = asyncio.create_task(home.store.read(twice))
    await held.runs.wait()
    await home.add(times=2)  # a reader does not keep the writer
    assert (await home.mailbox()).messages == 3  # nor other readers
    held.let_go()
    assert await reading == (1, 1)


async def test_reads_go_on_while_a_write_is_under_way(home: Home) -> None:
    held = Held()
    writing = asyncio.create_task(home.store.write(held))
    await held.runs.wait()
    assert (await home.mailbox()).messages == 0
    held.let_go()
    await writing


async def test_a_reader_cannot_write_whatever_it_tries(home: Home) -> None:
    def work(tx: ReadTx) -> object:
        assert isinstance(tx, SqliteRead)
        return tx._all("DELETE FROM mailbox")

    with pytest.raises(StoreError) as caught:
        await home.store.read(work)
    assert "DELETE" not in str(caught.value)  # I065: no SQL in what a user may see
    assert len(await home.names()) == 6


async def test_a_job_that_goes_on_after_a_failed_statement_fails(home: Home) -> None:
    """Else its later statements might be committed one by one, outside of any transaction."""
    add = adding(home)

    def stubborn(tx: WriteTx) -> str:
        assert isinstance(tx, SqliteRead)
        for sql in ("INSERT INTO meta VALUES ('x', 1)", "no SQL at all"):
            try:
                tx._all(sql)
            except StoreError:
                continue
        with pytest.raises(StoreError):
            add(tx)
        return "fine"

    results = await grouped(home, adding(home), stubborn, adding(home))
    assert isinstance(results[1], StoreError)
    assert (results[0], results[2]) == ([1], [2])
    assert await execute(home.store, "SELECT * FROM meta WHERE key = 'x'") == []


async def test_what_a_job_raises_reaches_its_caller(home: Home) -> None:
    with pytest.raises(BaseException, match="not an Exception"):
        await asyncio.wait_for(home.store.read(_raises_base), 10)
    with pytest.raises(BaseException, match="not an Exception"):
        await asyncio.wait_for(home.store.write(_raises_base), 10)
    assert await home.store.write(adding(home)) == [1]


class Unusual(BaseException):
    """Neither Exception nor one that asyncio treats in its own way."""


def _raises_base(tx: ReadTx) -> None:
    raise Unusual("not an Exception")


async def test_a_cancelled_write_in_the_queue_is_not_made(home: Home) -> None:
    held = Held()
    first = asyncio.create_task(home.store.write(held))
    await held.runs.wait()
    waiting = asyncio.create_task(home.store.write(adding(home)))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    held.let_go()
    await first
    assert (await home.mailbox()).messages == 0


async def test_a_cancelled_write_that_runs_is_made_all_the_same(home: Home) -> None:
    held = Held()
    add = adding(home)

    def work(tx: WriteTx) -> None:
        held(tx)
        add(tx)

    task = asyncio.create_task(home.store.write(work))
    await held.runs.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    held.let_go()
    assert await home.store.write(adding(home)) == [2]
    assert [change.modseq for changes in home.told for change in changes][-1] == 3
    assert (await home.mailbox()).messages == 2


async def test_cancelling_at_random_breaks_nothing(home: Home) -> None:
    """C014."""
    rng = random.Random(14)
    done = 0
    for _ in range(30):
        tasks = [
            asyncio.create_task(
                home.store.write(adding(home)) if rng.random() < 0.7 else home.flags()
            )
            for _ in range(8)
        ]
        for _ in range(rng.randrange(6)):
            await asyncio.sleep(0)
        for task in rng.sample(tasks, 4):
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(r, list | dict | asyncio.CancelledError) for r in results)
        done += sum(isinstance(r, list) for r in results)
    assert (await home.mailbox()).messages >= done > 0


async def test_close_finishes_what_waits_and_may_be_called_again(tmp_path: Path) -> None:
    threads = threading.active_count()
    store = await open_store(tmp_path)
    login = await store.write(lambda tx: tx.ensure_login("a"))
    held = Held()
    tasks: list[asyncio.Task[object]] = [asyncio.create_task(store.write(held))]
    await held.runs.wait()

    def create(number: int) -> Callable[[WriteTx], object]:
        return lambda tx: tx.create_mailbox(login.id, f"m{number}")

    tasks += [asyncio.create_task(store.write(create(number))) for number in range(200)]
    tasks += [asyncio.create_task(store.read(lambda tx: tx.mailboxes(login.id)))]
    await asyncio.sleep(0)
    closing = [asyncio.create_task(store.close()) for _ in range(2)]
    await asyncio.sleep(0)
    for refused in (store.read(lambda tx: None), store.write(lambda tx: None)):
        with pytest.raises(StoreError, match="closed"):
            await refused
    held.let_go()
    await asyncio.gather(*closing)
    await store.close()
    assert all(task.done() and task.exception() is None for task in tasks)
    assert threading.active_count() == threads
    assert sorted(os.listdir(tmp_path)) == ["lock", DATABASE]
    assert recount(tmp_path) == []
    again = await open_store(tmp_path)
    assert len(await again.read(lambda tx: tx.mailboxes(login.id))) == 206
    await again.close()


async def test_a_cancelled_close_closes(tmp_path: Path) -> None:
    store = await open_store(tmp_path)
    closing = asyncio.create_task(store.close())
    await asyncio.sleep(0)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    await store.close()
    await (await open_store(tmp_path)).close()


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
def test_both_event_loops(run: Callable[..., object], tmp_path: Path) -> None:
    async def main() -> int:
        store = await open_store(tmp_path)
        login = await store.write(lambda tx: tx.ensure_login("a"))
        inbox = (await store.read(lambda tx: tx.mailbox(login.id, "INBOX"))).id

        def add(number: int) -> Callable[[WriteTx], object]:
            message = new_message(raw_message(f"{number}"))
            return lambda tx: tx.add_entry(inbox, tx.add_message(message), internaldate=1)

        await asyncio.gather(*(store.write(add(number)) for number in range(20)))
        count = len(await store.read(lambda tx: tx.entry_states(inbox)))
        await store.close()
        return count

    assert run(main()) == 20


def test_a_program_that_forgets_to_close_ends_and_loses_nothing(tmp_path: Path) -> None:
    program = (
        "import asyncio, pathlib, sys\n"
        "from bridge.store.opening import open_store\n"
        "async def main():\n"
        "    store = await open_store(pathlib.Path(sys.argv[1]))\n"
        "    await store.write(lambda tx: tx.ensure_login('a'))\n"
        "asyncio.run(main())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], capture_output=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert recount(tmp_path) == []


async def test_the_settings_that_durability_rests_on(home: Home) -> None:
    """RELIABILITY: a slip to synchronous=NORMAL loses acknowledged mail at a power cut."""
    for setting, value in (
        ("synchronous", 2),
        ("journal_mode", "wal"),
        ("foreign_keys", 1),
        ("wal_autocheckpoint", 0),
        ("mmap_size", 0),
    ):
        assert await execute(home.store, f"PRAGMA {setting}") == [(value,)], setting
    for setting, value in (("query_only", 1), ("wal_autocheckpoint", 0), ("mmap_size", 0)):

        def work(tx: ReadTx, setting: str = setting) -> object:
            assert isinstance(tx, SqliteRead)
            return tx._all(f"PRAGMA {setting}")

        assert await home.store.read(work) == [(value,)], setting


async def test_the_log_is_moved_into_the_database_file(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "CHECKPOINT_PAGES", 20)
    wal = home.data_dir / (DATABASE + "-wal")
    sizes = []
    for _ in range(40):
        await home.add(message=home.message(60_000))
        sizes.append(wal.stat().st_size)
    assert isinstance(home.store, engine.SqliteStore)
    busy, log, done = home.store.checkpointed or (1, 0, 0)
    assert busy == 0
    assert log == done > 0
    assert max(sizes) < 40 * 60_000 / 2


async def test_a_log_that_grew_while_a_reader_held_it_shrinks_again(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "CHECKPOINT_PAGES", 20)
    monkeypatch.setattr(engine, "WAL_PAGES_MOST", 50)
    held = Held()

    def hold(tx: ReadTx) -> None:
        tx.accounts()  # takes the snapshot
        held(tx)

    reading = asyncio.create_task(home.store.read(hold))
    await held.runs.wait()
    for _ in range(10):
        await home.add(message=home.message(100_000))
    held.let_go()
    await reading
    for _ in range(10):
        await home.add(message=home.message(100_000))
    await execute(home.store, "SELECT 1")
    assert isinstance(home.store, engine.SqliteStore)
    assert home.store.checkpointed is not None
    busy, log, done = home.store.checkpointed
    assert (busy, log - done) == (0, 0)


async def test_every_entry_of_a_group_has_its_own_uid(home: Home) -> None:
    results = await grouped(home, *(adding(home, 3) for _ in range(30)))
    uids = [uid for result in results for uid in result]  # type: ignore[attr-defined]  # lists, or the test fails
    assert sorted(uids) == list(range(1, 91))
    rows = await home.store.read(lambda tx: tx.rows(tx.mailbox(home.login.id, "INBOX").id, EVERY))
    assert len({row.message_id for row in rows}) == 90
