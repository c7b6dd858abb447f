"""A daemon that is killed again and again: when, and what is looked at in between.

A run of the daemon ends by SIGKILL after a number of observed events, drawn at random:

    start     an instant between the start of the process and the moment at which it listens
    command   so many commands of the POP3 session were read
    served    so many times 512 octets were sent to the daemon
    written   the log of the database was written so often
    told      an idling device was told of new mail so often
    answered  devices were answered OK so often

plus up to two milliseconds. What does not happen within `QUIET_SECONDS` any more leaves a daemon
at rest, which is killed too. After each kill the database file is examined, after each restart an
independent client reads all; see `oracle`.
"""

from __future__ import annotations

import asyncio
import contextlib
import imaplib
import os
import signal
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Literal

from bridge.cli.common import Failure
from bridge.store.opening import DATABASE
from tests.faults.device import Device, Lost, observe
from tests.faults.mail import digests
from tests.faults.oracle import INBOX, Oracle
from tests.faults.writers import Writer
from tests.support.pop3_server import Item, Pop3Server
from tests.support.process import (
    PROGRAM,
    DaemonProcess,
    Ended,
    Program,
    pop3_account,
    write_config,
)

LOGIN = "me@example.org"
QUIET_SECONDS = 1.0
WATCH_SECONDS = 0.0005
JITTER_SECONDS = 0.002

Kind = Literal["start", "command", "served", "written", "told", "answered"]
_MOST = {"start": 1, "command": 12, "served": 40, "written": 12, "told": 4, "answered": 120}


class Storm:
    """One data_dir, its providers and its devices, over many daemons.

    `keeper` keeps what was fetched, `popper` forgets at QUIT what RETR gave, as Gmail does. A
    share `real` of the runs is of `PROGRAM`, the others are of `program`. `keep_on_server` is what
    the account of `keeper` says.
    """

    def __init__(
        self,
        folder: Path,
        keeper: Pop3Server,
        popper: Pop3Server,
        random: Random,
        *,
        writers: int = 4,
        program: Program = PROGRAM,
        real: float = 0.0,
        keep_on_server: str = "forever",
    ) -> None:
        self.keeper = keeper
        self.popper = popper
        self.oracle = Oracle(writers, renumberings=1)
        self.kills: Counter[str] = Counter()
        self.answered = 0  # changes that were acknowledged, over all runs
        self.real = 0  # kills of `PROGRAM`
        self._random = random
        self._program = program
        self._real = real
        self.data = folder / "data"
        self.scratch = folder / "scratch"
        self.scratch.mkdir()
        self.config = write_config(
            folder,
            [
                {**pop3_account(LOGIN, keeper.port), "keep_on_server": keep_on_server},
                pop3_account("popper@example.org", popper.port, login=LOGIN),
            ],
        )
        self.writers = [
            Writer(number, self.oracle, Random(random.random()), self._answered)
            for number in range(writers)
        ]
        self._start_seconds = {program: 1.0, PROGRAM: 1.0}
        self._tally: Counter[str] = Counter()  # events of the present run
        self._news = asyncio.Event()

    def offer(self, server: Pop3Server, items: list[Item]) -> None:
        server.items = [*server.items, *items]
        self.oracle.offered |= digests(items)

    # --- one run of the daemon ----------------------------------------------------------

    async def run_and_kill(self, kinds: Sequence[Kind], *, writing: bool) -> None:
        """Starts a daemon, looks at it, kills it after some events of one of `kinds`."""
        kind = self._random.choice(kinds)
        count = self._random.randint(1, _MOST[kind])
        self._tally.clear()
        program = PROGRAM if self._random.random() < self._real else self._program
        self.real += program is PROGRAM
        started = time.monotonic()
        async with DaemonProcess(self.config, program) as daemon:
            if kind == "start":
                await asyncio.sleep(self._random.random() * self._start_seconds[program])
                happened = daemon.running
            else:
                port = None
                if kind != "command":
                    port = await daemon.listening()
                    self._start_seconds[program] = time.monotonic() - started
                happened = await self._work(daemon, port, kind, count, writing=writing)
            daemon.kill()
            await daemon.wait()
            self._no_complaints(daemon)
        self.kills[kind if happened else "at rest"] += 1
        for server in (self.keeper, self.popper):
            await server.drop()
        await asyncio.to_thread(self.oracle.examine, self.data, self.scratch)

    async def _work(
        self, daemon: DaemonProcess, port: int | None, kind: Kind, count: int, *, writing: bool
    ) -> bool:
        """Returns at the instant of the kill: whether what was waited for happened."""
        tasks = []
        if port is not None:
            if writing:
                # What the kill before this one left: judged before anything is changed anew.
                self.oracle.compare(await asyncio.to_thread(observe, port, LOGIN))
                if self.oracle.faults:
                    return False  # enough is known
                tasks = [asyncio.create_task(each.run(port, LOGIN)) for each in self.writers]
            else:
                tasks = [asyncio.create_task(self._look(port))]
            if kind == "told":
                tasks.append(asyncio.create_task(self._listen(port)))
        happened = await self._happened(kind, count)
        await asyncio.sleep(self._random.random() * JITTER_SECONDS)
        if not daemon.running:
            self.oracle.faults.append("\n".join(["it died by itself", *daemon.log]))
        daemon.kill()
        await asyncio.gather(*tasks)
        return happened

    async def _look(self, port: int) -> None:
        try:
            seen = await asyncio.to_thread(observe, port, LOGIN)
        except (OSError, imaplib.IMAP4.error):
            return  # killed meanwhile
        self.oracle.compare(seen)

    async def _listen(self, port: int) -> None:
        with contextlib.suppress(Lost):
            async with Device.connect(port, LOGIN) as device:
                await device.select(INBOX)
                await device.idle()
                while True:
                    if (await device.line()).endswith(b" EXISTS"):
                        self._tally["told"] += 1
                        self._news.set()

    def _answered(self) -> None:
        self.answered += 1
        self._tally["answered"] += 1
        self._news.set()

    async def _happened(self, kind: Kind, count: int) -> bool:
        wait = {"command": self._commands, "served": self._served, "written": self._written}
        try:
            async with asyncio.timeout(QUIET_SECONDS + max(self._start_seconds.values())):
                await wait.get(kind, self._counted)(kind, count)
        except TimeoutError:
            return False
        return True

    async def _counted(self, kind: str, count: int) -> None:
        while self._tally[kind] < count:
            self._news.clear()
            await self._news.wait()

    async def _commands(self, kind: str, count: int) -> None:
        before = len(self.keeper.ledger.sessions)
        await self.keeper.until(
            lambda ledger: sum(len(each.commands) for each in ledger.sessions[before:]) >= count
        )

    async def _served(self, kind: str, count: int) -> None:
        before = self.keeper.ledger.sent
        await self.keeper.until(lambda ledger: ledger.sent - before >= 512 * count)

    async def _written(self, kind: str, count: int) -> None:
        log = self.data / f"{DATABASE}-wal"
        before = _state(log)
        while count:
            await asyncio.sleep(WATCH_SECONDS)
            now = _state(log)
            count -= now != before
            before = now

    def _no_complaints(self, daemon: DaemonProcess) -> None:
        bad = [line for line in daemon.log if " error " in line or "Traceback" in line]
        self.oracle.faults += bad

    async def run_broken(self, program: Program, commands: int) -> int:
        """A run of a program that something happens to, which polls, writes and stops in order
        where it can; its exit code."""
        async with DaemonProcess(self.config, program) as daemon:
            with contextlib.suppress(Ended, Failure, OSError, imaplib.IMAP4.error):
                port = await daemon.listening()
                await daemon.poll()
                self.oracle.compare(await asyncio.to_thread(observe, port, LOGIN))
                if commands:
                    await self.writers[0].run(port, LOGIN, commands)
            code = await daemon.stop()
            assert code in (0, -signal.SIGKILL), "\n".join(daemon.log)
        for server in (self.keeper, self.popper):
            await server.drop()
        await asyncio.to_thread(self.oracle.examine, self.data, self.scratch)
        return code

    async def run_to_call(self, call: str, number: int, commands: int) -> bool:
        """Kills at the entry of the `number`th such system call of a thread, by strace. False when
        the run has fewer of them."""
        inject = f"inject={call}:signal=KILL:when={number}"
        strace = ("strace", "-D", "-f", "-qq", "-o", os.devnull, "-e", f"trace={call}")
        return bool(await self.run_broken((*strace, "-e", inject, *PROGRAM), commands))

    # --- the end ------------------------------------------------------------------------

    async def settle(self) -> list[str]:
        """Restarts, polls to the end, judges all; then stops the daemon and judges the file.
        Returns the names of the files that are left in data_dir."""
        async with DaemonProcess(self.config, self._program) as daemon:
            port = await daemon.listening()
            for report in await daemon.poll():
                if report["error"] or report["failed"]:
                    self.oracle.faults.append(f"the last poll: {report}")
            seen = await asyncio.to_thread(observe, port, LOGIN)
            self.oracle.compare(seen, complete=True)
            again = [(report["new"], report["bytes"]) for report in await daemon.poll()]
            if again != [(0, 0), (0, 0)]:
                self.oracle.faults.append(f"another poll fetched: {again}")
            if await daemon.stop() != 0:
                self.oracle.faults.append("\n".join(["no clean end", *daemon.log]))
            self._no_complaints(daemon)
        await asyncio.to_thread(self.oracle.examine, self.data, self.scratch)
        return sorted(str(p.relative_to(self.data)) for p in self.data.rglob("*") if p.is_file())


def _state(path: Path) -> tuple[int, int]:
    try:
        found = path.stat()
    except FileNotFoundError:
        return 0, 0
    return found.st_size, found.st_mtime_ns
