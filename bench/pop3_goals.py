"""What polls cost: one huge message, a large maildrop with nothing new, a thousand accounts.

    python -m bench.pop3_goals [--megabytes 100] [--items 100000] [--accounts 1000]

Prints one line a question, with the goal beside it; asserts nothing. The provider runs in a
process of its own, what is measured in another one: peak memory is that of the poller alone, over
what it had before (everything imported, the store open).
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from bridge.daemon import loop_factory
from bridge.logs import configure
from bridge.model import Account, Endpoint, ListedItem, PollReport, Secret, Security
from bridge.store.api import Store, WriteTx
from bridge.store.opening import open_store
from bridge.sync.poll import Poller
from bridge.sync.schedule import Job, Schedule
from tests.support.pop3_server import Item, Pop3Server

MIB = 1024 * 1024
HOSTS = 50  # among which the accounts are spread: 127.0.0.1 to 127.0.0.50
MESSAGES = 20  # of each account


# --- the provider -------------------------------------------------------------------------


def mail(number: int, octets: int = 2_000) -> bytes:
    head = b"Subject: number %d\r\nMessage-ID: <%d@a.example>\r\n\r\n" % (number, number)
    return head + b"%070x\r\n" % number * (octets // 72)


async def provide(kind: str, size: int) -> None:
    """Serves until its input ends, then prints what it saw."""
    if kind == "huge":
        items = [Item(b"u1", mail(1, size))]
    elif kind == "many":
        items = [Item(b"%032x" % n, b"", listed=b"2000") for n in range(1, size + 1)]
    else:
        items = [Item(b"%032x" % n, mail(n)) for n in range(1, MESSAGES + 1)]
    server = Pop3Server(items)
    server.host = "0.0.0.0"
    await server.listen()
    print(server.port, flush=True)
    loop = asyncio.get_running_loop()
    await loop.run_in_executor(None, sys.stdin.read)
    commands: dict[str, int] = {}
    for session in server.ledger.sessions:
        for verb in session.verbs():
            commands[verb.decode()] = commands.get(verb.decode(), 0) + 1
    print(json.dumps(commands), flush=True)
    await server.stop()


class Provider:
    """The process that `provide` runs in."""

    def __init__(self, kind: str, size: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.pop3_goals", "--provide", kind, str(size)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())

    def close(self) -> dict[str, int]:
        """What it was asked, by verb."""
        said, _ = self._process.communicate("")
        found: dict[str, int] = json.loads(said)
        return found


# --- what is measured ---------------------------------------------------------------------


def memory(field: str) -> int:
    """VmRSS, VmHWM, ... of this process, in octets."""
    found = re.search(rf"^{field}:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.M)
    assert found is not None
    return int(found[1]) * 1024


class Cost:
    """Seconds, seconds of the processor, and the peak of memory over what was there before."""

    def __enter__(self) -> Cost:
        Path("/proc/self/clear_refs").write_text("5")  # the peak is what we have now
        self.before = memory("VmRSS")
        self.started, self.worked = time.perf_counter(), time.process_time()
        return self

    def __exit__(self, *exc: object) -> None:
        self.seconds = time.perf_counter() - self.started
        self.cpu = time.process_time() - self.worked
        self.extra = max(0, memory("VmHWM") - self.before)

    def __str__(self) -> str:
        return f"{self.seconds:.2f} s ({self.cpu:.2f} s CPU), {self.extra / MIB:.1f} MiB extra"


async def secret() -> Secret:
    return Secret("secret")


def endpoint(port: int, host: str = "127.0.0.1") -> Endpoint:
    return Endpoint(host, port, Security.NONE, "user")


async def account(store: Store, address: str) -> Account:
    def begin(tx: WriteTx) -> Account:
        return tx.ensure_account(address, tx.ensure_login(address).id, "INBOX")

    return await store.write(begin)


async def huge(folder: Path, octets: int) -> str:
    provider = Provider("huge", octets)
    store = await open_store(folder)
    poller = Poller(store, wall=time.time, spool_dir=folder)
    mine = await account(store, "huge@example.org")
    with Cost() as cost:
        report = await poller.poll(mine, endpoint(provider.port), secret)
    await store.close()
    provider.close()
    assert report.new == 1, report
    return f"one message of {octets / 1e6:.0f} MB: {cost} (goal: 64 MiB)"


async def many(folder: Path, items: int) -> str:
    provider = Provider("many", items)
    store = await open_store(folder)
    mine = await account(store, "many@example.org")

    def settle(tx: WriteTx) -> None:
        now = int(time.time())
        for number in range(1, items + 1):
            digest = number.to_bytes(32, "big")
            line = ListedItem(number, b"%032x" % number, 2000)
            tx.settle_item(mine.id, line, digest, digest, now, headers=digest[16:])

    await store.write(settle)
    poller = Poller(store, wall=time.time, spool_dir=folder)
    lines = []
    for when in ("first", "second"):
        with Cost() as cost:
            report = await poller.poll(mine, endpoint(provider.port), secret)
        assert (report.error, report.listed, report.new) == ("", items, 0), report
        lines.append(f"{items:,} items, nothing new, {when} poll: {cost} (goal: 2 s, 64 MiB)")
    await store.close()
    lines.append(f"    its commands: {provider.close()}")
    return "\n".join(lines)


async def crowd(folder: Path, accounts: int) -> str:
    provider = Provider("crowd", accounts)
    store = await open_store(folder)
    poller = Poller(store, wall=time.time, spool_dir=folder)
    jobs = []
    for number in range(accounts):
        mine = await account(store, f"a{number}@example.org")
        host = f"127.0.0.{1 + number % HOSTS}"
        jobs.append(Job(mine, endpoint(provider.port, host), 900.0, secret))
    open_now = most = 0

    async def poll(*args: object) -> PollReport:
        nonlocal open_now, most
        open_now += 1
        most = max(most, open_now)
        try:
            return await poller.poll(*args)  # type: ignore[arg-type]  # handed through
        finally:
            open_now -= 1

    lines = []
    lag = Lag()
    schedule = Schedule(poll)
    schedule.update(jobs)
    for when in (f"first sync of {MESSAGES} messages each", "nothing new"):
        with Cost() as cost:
            async with lag:
                reports = await schedule.poll_now()
        assert not any(report.error for report in reports)
        lines.append(
            f"{accounts:,} accounts at {HOSTS} hosts, {when}: {cost}, at most {most} sessions at "
            f"once, loop held up {lag.worst * 1000:.0f} ms at worst"
        )
    gaps = sorted(schedule.next_poll(job.account.address) or 0.0 for job in jobs)
    lines.append(f"    the next polls are spread over {gaps[-1] - gaps[0]:.0f} s")
    await schedule.stop()
    await store.close()
    provider.close()
    return "\n".join(lines)


class Lag:
    """How long the event loop stood still."""

    worst = 0.0

    async def __aenter__(self) -> None:
        self.worst = 0.0
        self._task = asyncio.create_task(self._watch())

    async def __aexit__(self, *exc: object) -> None:
        self._task.cancel()

    async def _watch(self) -> None:
        while True:
            before = time.perf_counter()
            await asyncio.sleep(0.005)
            self.worst = max(self.worst, time.perf_counter() - before - 0.005)


QUESTIONS = {"huge": huge, "many": many, "crowd": crowd}


def ask(question: str, size: int) -> None:
    """Answers one question, in this process."""
    with (
        tempfile.TemporaryDirectory() as folder,
        contextlib.redirect_stdout(sys.stderr),
        asyncio.Runner(loop_factory=loop_factory()) as runner,
    ):
        configure("logfmt")
        said = runner.run(QUESTIONS[question](Path(folder), size))
    print(said, flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--megabytes", type=int, default=100)
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--accounts", type=int, default=1_000)
    parser.add_argument("--provide", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--ask", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.provide:
        asyncio.run(provide(options.provide[0], int(options.provide[1])))
        return
    if options.ask:
        ask(options.ask[0], int(options.ask[1]))
        return
    for question, size in (
        ("huge", options.megabytes * 1_000_000),
        ("many", options.items),
        ("crowd", options.accounts),
    ):
        command = [sys.executable, "-m", "bench.pop3_goals", "--ask", question, str(size)]
        subprocess.run(command, check=True, stderr=subprocess.DEVNULL, env=os.environ)


if __name__ == "__main__":
    main()
