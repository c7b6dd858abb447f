"""Random POP3 server scripts against the whole sync engine and a real store.

    python -m tests.faults.peer_scripts                     10,000 scripts, on every core
    python -m tests.faults.peer_scripts --from 17 --count 1     one script, printed

A script is made from its number: a maildrop, then visits. Before a visit the provider changes its
maildrop (mail arrives, goes, gets new UIDLs, is sorted anew), a device expunges, the daemon starts
again; during it the server follows faults (`tests.faults.misleading`). Then the server is honest,
a day between polls, until a poll brings nothing new. Always, and after every visit:

- no message is shown twice, and none that a device expunged comes back;
- DELE is never said (mail is kept);
and at the end:
- what lies in the maildrop is shown, and what was ever shown still is: lost 0;
- nothing else is shown: no half of a message, no note that stands for one;
- no task and no socket is left.

Where sizes and UIDLs are alike, POP3 lets nobody tell a wrong answer from a right one. So a script
either has messages that LIST tells apart, and any fault; or twins, shared UIDLs and UIDLs that are
positions, and only faults that put no message in the place of another (`FRAMING`). A message that
is cut short is the one fault of its visit: beside others nothing would say which one it was.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import logging
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random

from bridge import logs
from bridge.model import Account, Endpoint, PollReport, Secret, Security
from bridge.store.api import ReadTx, Store, WriteTx
from bridge.store.opening import open_store
from bridge.sync.poll import Poller
from tests.faults.misleading import FRAMING, LARGE, Fault, Kind, MisleadingServer
from tests.support.pop3_server import Item

DAY = 86_400
LONGEST = 20.0  # seconds that a script may take; they take less than a tenth of one
HONEST = 10  # polls, at most, until nothing is new
EVERYTHING = [(1, 2**32 - 1)]
_VERBS = (
    *([b"RETR"] * 8), *([b"UIDL"] * 3), *([b"LIST"] * 3), *([b"TOP"] * 2),
    b"CAPA", b"USER", b"PASS", b"STAT", b"QUIT",
)  # fmt: skip
_ANY = {Kind.CUT, Kind.STATUS, Kind.DOUBLE, Kind.JUNK, Kind.AFTER, Kind.SWAP}
_FITTING = {
    b"RETR": _ANY | {Kind.OTHER, Kind.EARLY},
    b"TOP": _ANY | {Kind.OTHER},
    b"UIDL": set(Kind) - {Kind.OTHER, Kind.EARLY},
    b"LIST": set(Kind) - {Kind.OTHER, Kind.EARLY},
}
_EVENTS = ("arrive",) * 4 + ("remove", "reset", "sort", "expunge", "restart", "top", "pipelining")
_ALIKE = ("twin", "share", "positions")


# --- scripts ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Visit:
    events: tuple[tuple[str, int], ...]  # what, and what it needs to choose by
    faults: tuple[Fault, ...]

    def __str__(self) -> str:
        said = [f"{what} {draw}" for what, draw in self.events] + [str(f) for f in self.faults]
        return ", ".join(said) or "honest"


@dataclass(frozen=True, slots=True)
class Script:
    messages: int
    tls: bool
    visits: tuple[Visit, ...]

    def __str__(self) -> str:
        head = f"{self.messages} messages{', tls' if self.tls else ''}"
        return "\n  ".join([head, *map(str, self.visits)])


def script(number: int) -> Script:
    chance = Random(number)
    alike = chance.random() < 0.25
    kinds = FRAMING if alike else tuple(Kind)
    events = _EVENTS + (_ALIKE if alike else ())

    def fault() -> Fault:
        verb = chance.choice(_VERBS)
        fitting = [kind for kind in kinds if kind in _FITTING.get(verb, _ANY)]
        nth = chance.randrange(6) if verb in (b"RETR", b"TOP") else 0
        return Fault(chance.choice(fitting), verb, nth, chance.randrange(2**16))

    def visit() -> Visit:
        changes = chance.choice((0, 0, 1, 1, 2, 3))
        faults = [fault() for _ in range(chance.choice((0, 1, 1, 1, 2, 3)))]
        faults = next(([each] for each in faults if each.kind is Kind.EARLY), faults)
        return Visit(
            tuple((chance.choice(events), chance.randrange(2**16)) for _ in range(changes)),
            tuple(faults),
        )

    count = chance.choice((1, 2, 3, 5, 8, 30))
    visits = tuple(visit() for _ in range(chance.randint(1, 4)))
    return Script(count, chance.random() < 0.1, visits)


def smaller(whole: Script) -> Iterator[Script]:
    """What is left of a script without one of its parts, the largest parts first."""
    for at, visit in enumerate(whole.visits):
        before, after = whole.visits[:at], whole.visits[at + 1 :]
        yield replace(whole, visits=before + after)
        for i in range(len(visit.events)):
            less = replace(visit, events=visit.events[:i] + visit.events[i + 1 :])
            yield replace(whole, visits=(*before, less, *after))
        for i in range(len(visit.faults)):
            less = replace(visit, faults=visit.faults[:i] + visit.faults[i + 1 :])
            yield replace(whole, visits=(*before, less, *after))
    for fewer in (1, 2, 3, 5, 8):
        if fewer < whole.messages:
            yield replace(whole, messages=fewer)
    if whole.tls:
        yield replace(whole, tls=False)


# --- a maildrop ---------------------------------------------------------------------------------


def message(number: int) -> bytes:
    """No two have one size; every fourth is large."""
    head = (
        b"Received: from mx by x id %d; Mon, 2 Nov 2026 10:00:00 +0000\r\n"
        b"Message-ID: <%d@example.org>\r\nDate: Mon, 2 Nov 2026 09:00:00 +0000\r\n"
        b"From: a@example.org\r\nSubject: number %d\r\n\r\n"
    ) % (number, number, number)
    line = b".dots and %03d\r\n" % (number % 1000)
    least = (LARGE * 2 if number % 4 == 0 else 400) + 3 * number
    body = line * ((least - len(head)) // len(line))
    return head + body + b"z" * (least - len(head) - len(body)) + b"\r\n"


@dataclass
class Maildrop:
    """The provider's side between visits."""

    items: list[Item] = field(default_factory=list)
    deliveries: int = 0
    uidls: int = 0

    def uidl(self) -> bytes:
        self.uidls += 1
        return b"u%d" % self.uidls

    def arrive(self, uidl: bytes | None = None) -> None:
        self.deliveries += 1
        self.items.append(Item(uidl or self.uidl(), message(self.deliveries)))

    def happens(self, what: str, draw: int) -> None:
        at = draw % len(self.items) if self.items else 0
        match what:
            case "arrive":
                for _ in range(draw % 3 + 1):
                    self.arrive()
            case "remove" if self.items:
                del self.items[at]
            case "reset":
                self.items = [replace(item, uidl=self.uidl()) for item in self.items]
            case "sort":
                Random(draw).shuffle(self.items)
            case "twin" if self.items:
                self.items.append(replace(self.items[at], uidl=self.uidl()))
            case "share" if self.items:
                self.arrive(self.items[at].uidl)
            case "positions":
                self.items = [
                    replace(item, uidl=b"%d" % number) for number, item in enumerate(self.items, 1)
                ]


# --- running ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Outcome:
    """What is wrong at the end of a script, or was on the way."""

    lost: int = 0
    doubled: int = 0
    returned: int = 0  # expunged by a device, and there again
    invented: int = 0
    deletes: int = 0
    leaks: int = 0
    broken: int = 0  # an honest poll failed, or brought something when all was there
    hung: int = 0  # it did not end
    polls: int = 0  # honest ones, until all was well
    visits: int = 0
    faults: int = 0

    @property
    def wrong(self) -> bool:
        return any(
            (
                self.lost, self.doubled, self.returned, self.invented,
                self.deletes, self.leaks, self.broken, self.hung,
            )
        )  # fmt: skip


class World:
    """One store and its servers; an account for each script."""

    def __init__(self, folder: Path, store: Store, servers: dict[bool, MisleadingServer]) -> None:
        self._folder = folder
        self._store = store
        self._servers = servers
        self._number = 0
        self._now = 1_800_000_000.0

    def _poller(self) -> Poller:
        return Poller(self._store, wall=lambda: self._now, spool_dir=self._folder)

    async def run(self, whole: Script) -> Outcome:
        self._number += 1
        address = f"{self._number}@example.org"

        def begin(tx: WriteTx) -> Account:
            return tx.ensure_account(address, tx.ensure_login(address).id, "INBOX")

        account = await self._store.write(begin)
        server = self._servers[whole.tls]
        server.top = server.pipelining = True
        commands, tasks, sockets = len(server.ledger.sessions), asyncio.all_tasks(), _sockets()
        play = _Play(self, account, server, self._poller())
        try:
            async with asyncio.timeout(LONGEST):
                outcome = await play.through(whole)
                await server.idle()
        except TimeoutError:
            await server.drop()
            return Outcome(hung=1)
        said = [verb for each in server.ledger.sessions[commands:] for verb in each.verbs()]
        left = asyncio.all_tasks() - tasks
        return replace(
            outcome,
            deletes=said.count(b"DELE"),
            leaks=len(left) + max(0, _sockets() - sockets),
        )

    async def poll(
        self, account: Account, server: MisleadingServer, poller: Poller, after: float
    ) -> PollReport:
        self._now += after

        async def password() -> Secret:
            return Secret(server.password)

        security = Security(server.security)
        endpoint = Endpoint(server.host, server.port, security, server.username, server.ca_file)
        report = await poller.poll(account, endpoint, password)
        await server.idle()
        return report

    async def shown(self, account: Account) -> list[tuple[int, bytes]]:
        """UID and octets of all that is in the mailbox."""

        def look(tx: ReadTx) -> list[tuple[int, bytes]]:
            mailbox = tx.mailbox(account.login_id, account.mailbox)
            rows = tx.rows(mailbox.id, EVERYTHING)
            return [(row.uid, tx.octets(row.message_id)) for row in rows]

        return await self._store.read(look)

    async def expunge(self, account: Account, uid: int) -> None:
        def work(tx: WriteTx) -> None:
            mailbox = tx.mailbox(account.login_id, account.mailbox)
            tx.expunge(mailbox.id, ((uid, uid),), only_deleted=False)

        await self._store.write(work)

    def restarted(self) -> Poller:
        return self._poller()


class _Play:
    """One script, from its first visit to rest."""

    def __init__(
        self, world: World, account: Account, server: MisleadingServer, poller: Poller
    ) -> None:
        self._world = world
        self._account = account
        self._server = server
        self._poller = poller
        self._drop = Maildrop()
        self._real: set[bytes] = set()  # octets that the provider ever had
        self._kept: set[bytes] = set()  # those of them that were shown
        self._expunged: set[bytes] = set()
        self._doubled = self._returned = 0

    async def through(self, whole: Script) -> Outcome:
        for _ in range(whole.messages):
            self._drop.arrive()
        for visit in whole.visits:
            for what, draw in visit.events:
                await self._happens(what, draw)
            await self._poll(visit.faults, 900.0)
            await self._look()
        polls, wrong = 0, True
        while wrong and polls < HONEST:
            polls += 1
            report = await self._poll((), DAY)
            broken = int(bool(report.error))
            lost, invented = await self._look()
            wrong = bool(lost or invented or broken)
        report = await self._poll((), DAY)  # and nothing comes of another one
        broken += bool(report.error) + report.new
        return Outcome(
            lost=lost,
            doubled=self._doubled,
            returned=self._returned,
            invented=invented,
            broken=broken,
            polls=polls,
            visits=len(whole.visits),
            faults=sum(len(visit.faults) for visit in whole.visits),
        )

    async def _happens(self, what: str, draw: int) -> None:
        match what:
            case "restart":
                self._poller = self._world.restarted()
            case "top":
                self._server.top = not self._server.top
            case "pipelining":
                self._server.pipelining = not self._server.pipelining
            case "expunge":
                shown = await self._world.shown(self._account)
                if shown:
                    uid, octets = shown[draw % len(shown)]
                    await self._world.expunge(self._account, uid)
                    self._expunged.add(octets)
            case _:
                self._drop.happens(what, draw)

    async def _poll(self, faults: tuple[Fault, ...], after: float) -> PollReport:
        server = self._server
        server.items, server.faults, server.rude = list(self._drop.items), faults, False
        self._real.update(item.octets for item in server.items)
        return await self._world.poll(self._account, server, self._poller, after)

    async def _look(self) -> tuple[int, int]:
        """How many are lost and invented now; notes what is doubled and what came back."""
        shown = [octets for _, octets in await self._world.shown(self._account)]
        counted = Counter(hashlib.sha256(octets).digest() for octets in shown)
        self._doubled += sum(1 for count in counted.values() if count > 1)
        self._returned += len(self._expunged & self._real & set(shown))
        present = {item.octets for item in self._drop.items}
        expected = (present | self._kept) - self._expunged
        self._kept |= self._real & set(shown)
        return len(expected - set(shown)), len(self._invented(set(shown) - self._real, present))

    def _invented(self, others: set[bytes], present: set[bytes]) -> set[bytes]:
        """A torn message stays when its provider removed it: it is all that there is."""
        gone = [octets for octets in self._real - present if octets not in self._kept]
        return {
            octets
            for octets in others
            if not any(octets.rstrip(b"\r\n") in whole for whole in gone)
            and not (gone and b"popbridge@localhost" in octets)
        }


def _sockets() -> int:
    count = 0
    for each in os.listdir("/proc/self/fd"):
        try:
            count += os.readlink(f"/proc/self/fd/{each}").startswith("socket:")
        except FileNotFoundError:  # the one that listed the folder
            continue
    return count


async def run_all(folder: Path, scripts: list[Script]) -> list[Outcome]:
    store = await open_store(folder / "data")
    try:
        async with (
            MisleadingServer(security="none") as plain,
            MisleadingServer(security="tls") as tls,
        ):
            world = World(folder, store, {False: plain, True: tls})
            return [await world.run(each) for each in scripts]
    finally:
        await store.close()


async def shrunk(folder: Path, whole: Script) -> Script:
    """A script that goes wrong, as short as leaving parts out makes it."""
    found = True
    while found:
        found = False
        for number, less in enumerate(smaller(whole)):
            place = folder / f"shrinking-{time.monotonic_ns()}-{number}"
            place.mkdir()
            (outcome,) = await run_all(place, [less])
            if outcome.wrong:
                whole, found = less, True
                break
    return whole


def figures(outcomes: list[Outcome]) -> dict[str, int]:
    counted = {
        "tried": len(outcomes),
        "visits": sum(each.visits for each in outcomes),
        "planted": sum(each.faults for each in outcomes),
    }
    for name in ("lost", "doubled", "returned", "invented", "deletes", "leaks", "broken", "hung"):
        counted[name] = sum(getattr(each, name) for each in outcomes)
    counted["after_one_honest_poll"] = sum(each.polls <= 1 for each in outcomes)
    counted["most_honest_polls"] = max(each.polls for each in outcomes)
    return counted


# --- by hand ------------------------------------------------------------------------------------


def _share(numbers: list[int]) -> list[Outcome]:
    logs.configure(level="critical")
    logging.disable(logging.CRITICAL)
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(run_all(Path(folder), [script(number) for number in numbers]))


def main() -> int:
    from tests.support import figures as noted

    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--from", dest="first", type=int, default=0, help="the first script")
    options.add_argument("--count", type=int, default=10_000)
    options.add_argument("--shrink", action="store_true", help="print what goes wrong in short")
    given = options.parse_args()
    logs.configure(level="critical")
    started = time.monotonic()
    numbers = range(given.first, given.first + given.count)
    shares = [list(numbers[start : start + 100]) for start in range(0, len(numbers), 100)]
    outcomes: list[Outcome] = []
    with ProcessPoolExecutor() as workers:
        for share in workers.map(_share, shares):
            outcomes += share
    for number, outcome in zip(numbers, outcomes, strict=True):
        if outcome.wrong or given.count == 1:
            print(f"{number}: {outcome}\n  {script(number)}")
        if outcome.wrong and given.shrink:
            with tempfile.TemporaryDirectory() as folder:
                print(f"in short:\n  {asyncio.run(shrunk(Path(folder), script(number)))}")
    noted.note(
        "POP3 server scripts", **figures(outcomes), seconds=round(time.monotonic() - started, 1)
    )
    return any(outcome.wrong for outcome in outcomes)


if __name__ == "__main__":
    sys.exit(main())
