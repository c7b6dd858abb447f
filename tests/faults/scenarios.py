"""Four lives of a store, to be broken at one system call each: a first sync, a poll while a device
writes, deletes at the provider, an import.

    scenario = SCENARIOS["steady poll"](folder, nursery, Random(7))
    async with scenario:
        code = await scenario.go(Fault("pwrite64", scenario.data, 17))
        await scenario.judge()             # what is wrong is in scenario.faults

Rules: all of them end with the oracle of the kills. What the provider deleted must be durable here
at the instant of the kill, before anything is started anew.
"""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from random import Random
from types import TracebackType
from typing import ClassVar, Self

from bridge.store.opening import DATABASE
from bridge.store.sqlite.check import faults as faults_of_database
from bridge.transfer import mbox
from bridge.transfer.marks import Marks
from tests.faults.injector import Fault, broken
from tests.faults.mail import maildrop
from tests.faults.oracle import copied, is_upgraded
from tests.faults.storm import LOGIN, Storm
from tests.store.conftest import recount
from tests.support.nursery import Nursery
from tests.support.pop3_server import Pop3Server
from tests.support.process import pop3_account, write_config
from tests.support.samples import samples
from tests.transfer.house import House

MESSAGES = 10
COMMANDS = 10
AGED = 90 * 86_400  # seconds


class Polled:
    """A first sync of two accounts, and a device that writes a little."""

    keep_on_server: ClassVar[str] = "forever"
    commands: ClassVar[int] = COMMANDS

    def __init__(self, folder: Path, nursery: Nursery, random: Random) -> None:
        self._folder = folder
        self._nursery = nursery
        self._random = random
        self._stack = contextlib.AsyncExitStack()
        self.data = folder / "data"

    async def __aenter__(self) -> Self:
        keeper = await self._stack.enter_async_context(Pop3Server())
        popper = await self._stack.enter_async_context(Pop3Server(pops_retrieved=True))
        self.storm = Storm(
            self._folder,
            keeper,
            popper,
            self._random,
            writers=1,
            program=self._nursery.run,
            keep_on_server=self.keep_on_server,
        )
        await self.prepare()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._stack.aclose()

    async def prepare(self) -> None:
        """What is there before the run that is broken."""
        self.offer("first")

    def offer(self, name: str) -> None:
        half = MESSAGES // 2
        self.storm.offer(self.storm.keeper, maildrop(f"{name}-kept", half, self._random))
        self.storm.offer(self.storm.popper, maildrop(f"{name}-popped", half, self._random))

    async def go(self, fault: Fault | None, report: Path | None = None) -> int:
        """The exit code of the broken run."""
        program = broken(self._nursery, fault, report=report)
        return await self.storm.run_broken(program, self.commands)

    async def judge(self) -> None:
        await self.storm.settle()

    @property
    def faults(self) -> list[str]:
        return self.storm.oracle.faults

    @property
    def figures(self) -> Mapping[str, int]:
        oracle = self.storm.oracle
        return {"lost": len(oracle.lost), "doubled": len(oracle.doubled)}


class Steady(Polled):
    """New mail for a store that has some, and a device that changes what is there."""

    commands = 3 * COMMANDS

    async def prepare(self) -> None:
        self.offer("first")
        await self.storm.settle()
        self.offer("second")


class Deleting(Polled):
    """As `Steady`; what came with the first poll is old enough to be deleted at the provider."""

    keep_on_server = "30d"

    async def prepare(self) -> None:
        self.offer("first")
        await self.storm.settle()
        self._old = set(self.storm.keeper.items)
        with contextlib.closing(sqlite3.connect(self.data / DATABASE)) as db, db:
            db.execute("UPDATE maildrop_item SET settled_at = settled_at - ?", (AGED,))
            db.execute("UPDATE account SET watched = watched + ?", (AGED,))
        self.offer("second")

    async def go(self, fault: Fault | None, report: Path | None = None) -> int:
        code = await super().go(fault, report)
        self._examine()
        return code

    def _examine(self) -> None:
        """`storm` has copied the database and its log, as the dead daemon left them, to scratch."""
        removed = self.storm.keeper.ledger.removed
        if not removed:
            return
        with contextlib.closing(sqlite3.connect(self._folder / "scratch" / DATABASE)) as db:
            shown = dict(
                db.execute(
                    """SELECT digest, EXISTS (SELECT 1 FROM entry WHERE message_id = message.id)
                    FROM message"""
                )
            )
        for item in removed:
            # What a device expunged has its bytes for a while, and no entry.
            digest = hashlib.sha256(item.octets).digest()
            if digest not in shown or not (shown[digest] or self.storm.oracle.is_expunged(digest)):
                self.faults.append(f"{item.uidl!r} was deleted at the provider and is not here")
            if item not in self._old:
                self.faults.append(f"{item.uidl!r} was deleted at the provider and is not due")

    async def judge(self) -> None:
        await super().judge()
        self._examine()
        left = self._old & set(self.storm.keeper.items)
        if left:
            self.faults.append(f"{len(left)} were never deleted at the provider")


class Importing:
    """`popbridge import mbox`, of some messages into a new store."""

    def __init__(self, folder: Path, nursery: Nursery, random: Random) -> None:
        self._nursery = nursery
        self._folder = folder
        self._raws = list(samples(MESSAGES, random.randrange(1000)))
        self.data = folder / "data"
        self.faults: list[str] = []
        self.figures: dict[str, int] = {"lost": 0, "doubled": 0}

    async def __aenter__(self) -> Self:
        self._config = write_config(self._folder, [pop3_account(LOGIN, 1)])
        self._mbox = self._folder / "some.mbox"
        self._mbox.write_bytes(
            b"".join(
                mbox.head(Marks(8, (), number)) + b"".join(mbox.quoted(raw))
                for number, raw in enumerate(self._raws)
            )
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        pass

    async def go(self, fault: Fault | None, report: Path | None = None) -> int:
        words = ("import", "mbox", str(self._mbox), "--login", LOGIN)
        child = await self._nursery.start(
            (*words, "--config", str(self._config), "--json"),
            inject="" if fault is None else str(fault),
            report=report,
        )
        assert child.stdout is not None
        await child.stdout.read()
        return await child.wait()

    async def judge(self) -> None:
        copy = copied(self.data, self._folder)
        if copy is not None:
            with contextlib.closing(sqlite3.connect(copy)) as db:
                self.faults += faults_of_database(db) if is_upgraded(db) else []
        if await self.go(None) != 0:
            self.faults.append("the import that was not killed failed")
        self.faults += recount(self.data)
        house = await House.open(self.data, LOGIN)
        try:
            here = Counter(await house.octets("INBOX"))
        finally:
            await house.store.close()
        wanted = Counter(self._raws)
        self.figures = {
            "lost": (wanted - here).total(),
            "doubled": (here - wanted).total(),
        }
        if here != wanted:
            self.faults.append(f"{self.figures}")


Scenario = Polled | Importing
SCENARIOS: Mapping[str, type[Scenario]] = {
    "first sync": Polled,
    "steady poll": Steady,
    "delete policy": Deleting,
    "import": Importing,
}
