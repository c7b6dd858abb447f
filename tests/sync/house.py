"""A store with one account and what polls it: the scripted server outside, all else real."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from bridge.model import Account, AccountState, Endpoint, PollReport, Secret, Security
from bridge.store.api import Store, WriteTx
from bridge.store.opening import open_store
from bridge.sync.poll import Poller
from tests.support.pop3_server import Item, Pop3Server


class Maildrop(Protocol):
    """A server that is polled in clear: the scripted one, or a real one."""

    host: str
    username: str
    password: str

    @property
    def port(self) -> int: ...


NOW = 1_800_000_000


def mail(number: int, *, size: int = 0, hops: Sequence[bytes] = (b"mx",)) -> bytes:
    received = b"".join(
        b"Received: from %b by x id %d; Mon, 2 Nov 2026 10:00:00 +0000\r\n" % (hop, number)
        for hop in hops
    )
    head = (
        b"Message-ID: <%d@example.org>\r\nDate: Mon, 2 Nov 2026 09:00:00 +0000\r\n"
        b"From: a@example.org\r\nSubject: number %d\r\n\r\nbody of %d\r\n"
    ) % (number, number, number)
    octets = received + head
    line = b"x" * 70 + b"\r\n"
    return octets + line * max(0, (size - len(octets)) // len(line))


def maildrop(count: int, prefix: bytes = b"u") -> list[Item]:
    return [Item(b"%b%d" % (prefix, number), mail(number)) for number in range(1, count + 1)]


@dataclass
class Clock:
    """A wall clock that a test moves."""

    now: float = NOW

    def __call__(self) -> float:
        return self.now


@dataclass
class House:
    """A store with one account, and what polls it."""

    data: Path
    store: Store
    account: Account
    poller: Poller
    clock: Clock = field(default_factory=Clock)

    @classmethod
    async def open(cls, data: Path, clock: Clock | None = None) -> House:
        clock = clock or Clock()
        store = await open_store(data)

        def begin(tx: WriteTx) -> Account:
            login = tx.ensure_login("me@example.org")
            return tx.ensure_account("me@example.org", login.id, "INBOX")

        account = await store.write(begin)
        return cls(data, store, account, Poller(store, wall=clock, spool_dir=data), clock)

    async def reopened(self) -> House:
        """As after a restart of the daemon."""
        await self.store.close()
        fresh = await House.open(self.data, self.clock)
        fresh.poller.policies = self.poller.policies
        self.store, self.poller = fresh.store, fresh.poller
        return self

    async def poll(self, server: Maildrop, password: str | None = None) -> PollReport:
        async def secret() -> Secret:
            return Secret(password or server.password)

        endpoint = Endpoint(server.host, server.port, Security.NONE, server.username)
        return await self.poller.poll(self.account, endpoint, secret)

    async def shown(self) -> list[bytes]:
        """The messages of the INBOX by UID."""

        def look(tx: Any) -> list[bytes]:
            inbox = tx.mailbox(self.account.login_id, "INBOX")
            rows = tx.rows(inbox.id, ((1, inbox.uidnext),))
            return [tx.octets(row.message_id) for row in rows]

        return await self.store.read(look)

    async def state(self) -> AccountState:
        states = await self.store.read(lambda tx: tx.account_states())
        return states[0]

    async def expunge(self, uid: int) -> None:
        def work(tx: WriteTx) -> None:
            inbox = tx.mailbox(self.account.login_id, "INBOX")
            tx.expunge(inbox.id, ((uid, uid),), only_deleted=False)

        await self.store.write(work)


def octets(items: Sequence[Item]) -> list[bytes]:
    return [item.octets for item in items]


def retrieved(server: Pop3Server) -> int:
    return server.ledger.count(b"RETR")
