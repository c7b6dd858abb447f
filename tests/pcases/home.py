"""A store, its IMAP endpoint, accounts and what polls them: all real, by a clock of the test.

await home.poll(server)              one poll, whatever the schedule says
home.schedule(server, ...)           polled as the daemon does it, by `home.clock`
await home.restart()                 as after a restart of the daemon
await home.check(server)             the oracle, by an IMAP client of its own
"""

from __future__ import annotations

import asyncio
import heapq
import imaplib
import itertools
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bridge.model import (
    Account,
    AccountId,
    AccountState,
    Endpoint,
    PollReport,
    Secret,
    Security,
)
from bridge.store.api import Store, WriteTx
from bridge.sync.poll import Poller
from bridge.sync.retention import Policy
from bridge.sync.schedule import Job, PasswordProvider, Schedule
from tests.pcases.oracle import Verdict, judge
from tests.support.endpoint import PASSWORD
from tests.support.endpoint import Endpoint as ImapEndpoint
from tests.support.pop3_server import Item, Pop3Server

ADDRESS = "me@example.org"
EPOCH = 1_800_000_000
INTERVAL = 900.0
DAY = 86_400


# --- mail -------------------------------------------------------------------------------------


def mail(number: int, *, size: int = 0, extra: bytes = b"", body: bytes = b"") -> bytes:
    """A message of its own; sizes differ from number to number. `extra` are header lines more."""
    octets = (
        b"Received: from mx by x id %d; Mon, 2 Nov 2026 10:00:00 +0000\r\n%s"
        b"Message-ID: <%d@example.org>\r\nDate: Mon, 2 Nov 2026 09:00:00 +0000\r\n"
        b"From: a@example.org\r\nSubject: number %d\r\n\r\nbody of %d\r\n%s"
    ) % (number, extra, number, number, number, body)
    octets += b"y" * (number % 61) + b"\r\n"
    line = b"x" * 70 + b"\r\n"
    return octets + line * max(0, (size - len(octets)) // len(line))


def maildrop(count: int, prefix: bytes = b"u", first: int = 1) -> list[Item]:
    return [Item(b"%b%d" % (prefix, n), mail(n)) for n in range(first, first + count)]


# --- time -------------------------------------------------------------------------------------


@dataclass(order=True)
class _Due:
    when: float
    order: int
    callback: Callable[[], None] = field(compare=False)
    cancelled: bool = field(default=False, compare=False)

    def cancel(self) -> None:
        self.cancelled = True


class Clock:
    """The schedule's clock; `wall` goes with it, and can jump alone."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.jumped = 0.0
        self._due: list[_Due] = []
        self._order = itertools.count()

    def time(self) -> float:
        return self.now

    def wall(self) -> float:
        return EPOCH + self.now + self.jumped

    def call_at(self, when: float, callback: Callable[[], None], /) -> _Due:
        due = _Due(when, next(self._order), callback)
        heapq.heappush(self._due, due)
        return due

    async def run(self, seconds: float) -> None:
        """Time passes; the polls that come due run to their end, those of one instant at once."""
        end = self.now + seconds
        await polls_ended()
        while self._due and self._due[0].when <= end:
            self.now = max(self.now, self._due[0].when)
            while self._due and self._due[0].when <= self.now:
                due = heapq.heappop(self._due)
                if not due.cancelled:
                    due.callback()
            await polls_ended()
        self.now = end


async def polls_ended() -> None:
    while running := [task for task in asyncio.all_tasks() if task.get_name().startswith("poll ")]:
        await asyncio.wait(running)


# --- the home ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Shown:
    """A message as IMAP shows it."""

    uid: int
    flags: frozenset[str]
    octets: bytes
    size: int  # RFC822.SIZE


class Home:
    """See the module. `poller` and `store` are those of the daemon's present run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = Clock()
        self.chance: Callable[[], float] = lambda: 0.0
        self.per_host = 4
        self.policies: dict[AccountId, Policy] = {}
        self.reports: list[PollReport] = []
        self.ever_shown: set[bytes] = set()
        self._logins = {ADDRESS: PASSWORD}
        self._accounts: dict[str, Account] = {}
        self._jobs: dict[str, Job] = {}
        self._schedule: Schedule | None = None
        self._passwords: dict[str, PasswordProvider] = {}

    @property
    def store(self) -> Store:
        return self._endpoint.store

    async def __aenter__(self) -> Home:
        await self._begin()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._end()

    async def _begin(self) -> None:
        self._endpoint = ImapEndpoint(self.folder, logins=self._logins)
        await self._endpoint.__aenter__()
        self.poller = Poller(self.store, wall=self.clock.wall, spool_dir=self.folder)
        self.poller.policies = self.policies

    async def _end(self) -> None:
        if self._schedule is not None:
            await self._schedule.stop()
            self._schedule = None
        await self._endpoint.__aexit__(None, None, None)

    async def restart(self) -> None:
        """Nothing but the disk outlives it; what was scheduled is scheduled again."""
        scheduled = self._schedule is not None
        await self._end()
        await self._begin()
        if scheduled:
            states = {state.address: state for state in await self.states()}
            self._jobs = {
                address: replace(job, state=states.get(address))
                for address, job in self._jobs.items()
            }
            self._update()

    # --- accounts -------------------------------------------------------------------------

    async def account(self, address: str = ADDRESS) -> Account:
        def ensure(tx: WriteTx) -> Account:
            login = tx.ensure_login(ADDRESS)
            mailbox = "INBOX" if address == ADDRESS else f"Mail/{address}"
            return tx.ensure_account(address, login.id, mailbox)

        if address not in self._accounts:
            self._accounts[address] = await self.store.write(ensure)
        return self._accounts[address]

    async def states(self) -> Sequence[AccountState]:
        return await self.store.read(lambda tx: tx.account_states())

    async def state(self, address: str = ADDRESS) -> AccountState:
        return next(state for state in await self.states() if state.address == address)

    def endpoint(self, server: Pop3Server, **more: Any) -> Endpoint:
        own = Endpoint(
            server.host, server.port, Security(server.security), server.username, server.ca_file
        )
        return replace(own, **more)

    # --- polls ----------------------------------------------------------------------------

    async def poll(
        self,
        server: Pop3Server,
        *,
        address: str = ADDRESS,
        password: str | Secret | None = None,
        **more: Any,
    ) -> PollReport:
        """`more` are other fields of the endpoint."""
        server.clock = self.clock.time

        async def secret() -> Secret:
            if isinstance(password, Secret):
                return password
            return Secret(server.password if password is None else password)

        return await self.poller.poll(
            await self.account(address), self.endpoint(server, **more), secret
        )

    async def schedule(
        self, server: Pop3Server, *addresses: str, interval: float = INTERVAL, **more: Any
    ) -> Schedule:
        """Has the accounts polled at this server, beside those that are polled already; they
        begin at the next `clock.run`."""
        server.clock = self.clock.time
        for address in addresses or (ADDRESS,):
            job = Job(
                await self.account(address),
                self.endpoint(server, **more),
                interval,
                self._passwords.setdefault(f"{address} {server.port}", _password(server)),
            )
            self._jobs[address] = job
        return self._update()

    def forget_passwords(self) -> None:
        """The config has new ones: what is scheduled from now on asks for them."""
        self._passwords.clear()

    def _update(self) -> Schedule:
        if self._schedule is None:

            async def poll(
                account: Account, endpoint: Endpoint, password: PasswordProvider
            ) -> PollReport:
                return await self.poller.poll(account, endpoint, password)

            self._schedule = Schedule(
                poll,
                per_host=self.per_host,
                clock=self.clock,
                chance=lambda: self.chance(),
                wall=self.clock.wall,
                on_report=self.reports.append,
            )
        self._schedule.update(self._jobs.values())
        return self._schedule

    # --- what a device sees ---------------------------------------------------------------

    async def imap(self, work: Callable[[imaplib.IMAP4], Any]) -> Any:
        """What `work` does with a client that is signed in."""

        def run() -> Any:
            with imaplib.IMAP4("127.0.0.1", self._endpoint.port, timeout=20) as client:
                client.login(ADDRESS, PASSWORD)
                return work(client)

        return await asyncio.to_thread(run)

    async def look(self, mailbox: str = "INBOX") -> list[Shown]:
        """Everything in a mailbox by UID, notes from popbridge too."""
        shown: list[Shown] = await self.imap(lambda client: _look(client, mailbox))
        self.ever_shown.update(each.octets for each in shown)
        return shown

    async def shown(self, mailbox: str = "INBOX") -> list[bytes]:
        """The octets of a mailbox by UID, without notes from popbridge."""
        return [each.octets for each in await self.look(mailbox) if not is_note(each.octets)]

    async def notes(self) -> list[bytes]:
        """The messages from popbridge in INBOX: stubs and alerts."""
        return [each.octets for each in await self.look() if is_note(each.octets)]

    async def expunge(self, uid: int) -> None:
        """As a device deletes."""

        def work(client: imaplib.IMAP4) -> None:
            client.select("INBOX")
            client.uid("STORE", str(uid), "+FLAGS", r"(\Deleted)")
            client.expunge()

        await self.imap(work)

    async def check(
        self,
        server: Pop3Server,
        *,
        mailbox: str = "INBOX",
        without: Collection[bytes] = (),
        same: Mapping[bytes, bytes] | None = None,
        deletes: bool = False,
        least: float = 0.0,
    ) -> list[bytes]:
        """The oracle. Returns what is shown; see `oracle.judge`."""
        shown = await self.shown(mailbox)
        verdict = judge(
            server.ledger,
            shown,
            without=without,
            same=same,
            stored=self.ever_shown,
            deletes=deletes,
            least=least,
        )
        assert verdict == Verdict(), repr(verdict)[:2000]
        return shown


def files(folder: Path) -> set[str]:
    """The names of all files below, without what SQLite puts beside its own."""
    return {path.name.split("-")[0] for path in folder.rglob("*")}


def _password(server: Pop3Server) -> PasswordProvider:
    async def secret() -> Secret:
        return Secret(server.password)

    return secret


def is_note(octets: bytes) -> bool:
    return b"\r\nFrom: popbridge <popbridge@localhost>\r\n" in b"\r\n" + octets[:2000]


_ABOUT = re.compile(rb"UID (\d+)")
_SIZE = re.compile(rb"RFC822.SIZE (\d+)")


def _look(client: imaplib.IMAP4, mailbox: str) -> list[Shown]:
    answer, _ = client.select(f'"{mailbox}"', readonly=True)
    assert answer == "OK"
    answer, rows = client.uid("FETCH", "1:*", "(UID FLAGS RFC822.SIZE BODY.PEEK[])")
    assert answer == "OK"
    shown = []
    for row in rows:
        if not isinstance(row, tuple):
            continue
        about, octets = row
        uid, size = _ABOUT.search(about), _SIZE.search(about)
        assert uid is not None
        assert size is not None
        flags = frozenset(flag.decode() for flag in imaplib.ParseFlags(about)) - {r"\Recent"}
        assert int(size[1]) == len(octets), "RFC822.SIZE is not the size of BODY[]"
        shown.append(Shown(int(uid[1]), flags, octets, int(size[1])))
    return shown
