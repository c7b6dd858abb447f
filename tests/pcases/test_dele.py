"""DELE: never by default; else only what is stored, proved, listed beyond question, and few."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest

from bridge import limits
from bridge.store.api import Store, StoreError, T, WriteTx
from bridge.sync.poll import Poller
from bridge.sync.retention import Policy
from tests.pcases.home import DAY, Home, mail, maildrop
from tests.support import figures
from tests.support.pop3_server import Item, Pop3Server

DAYS_7 = Policy(days=7 * DAY)


async def policy(home: Home, wanted: Policy = DAYS_7) -> None:
    home.policies[(await home.account()).id] = wanted


async def daily(home: Home, server: Pop3Server, days: int) -> list[int]:
    """A poll a day. Returns what each deleted. A device looks before each."""
    deleted = []
    for _ in range(days):
        await home.look()
        deleted.append((await home.poll(server)).deleted)
        home.clock.now += DAY
    return deleted


@pytest.mark.parametrize("rude", [True, False])
async def test_P062_lost_between_DELE_and_QUIT(home: Home, rude: bool) -> None:
    await policy(home)
    async with Pop3Server(maildrop(5), rude=rude) as server:
        await daily(home, server, 8)
        server.hang_up = {b"QUIT"}
        assert await daily(home, server, 2) == [0, 0]
        assert server.ledger.count(b"DELE") == 10
        assert len(server.items) == 5  # RFC 1939 6: without QUIT nothing goes
        server.hang_up.clear()
        assert await daily(home, server, 2) == [5, 0]
        assert server.ledger.retrieved.total() == 5
        await home.check(server, deletes=True)


async def test_P063_QUIT_says_that_some_were_not_removed(home: Home) -> None:
    await policy(home)
    async with Pop3Server(maildrop(5), removes_only=2) as server:
        await daily(home, server, 8)
        assert await daily(home, server, 1) == [0]  # which of them went, the next listing tells
        assert len(server.items) == 3
        server.removes_only = None
        assert await daily(home, server, 2) == [3, 0]
        assert server.items == []
        assert server.ledger.retrieved.total() == 5
        await home.check(server, deletes=True)


async def test_P064_a_clock_that_jumps_ten_years(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wall clock and counted polls must agree; and even then only so many a poll."""
    monkeypatch.setattr(limits, "DELETES_PER_POLL", 4)
    await policy(home)
    async with Pop3Server(maildrop(20)) as server:
        await daily(home, server, 2)
        home.clock.jumped = 3652 * DAY
        for _ in range(4):  # a poll moves the account's own clock by a day at most
            assert (await home.poll(server)).deleted == 0
            home.clock.now += 60
        home.clock.jumped = 0
        assert (await home.poll(server)).deleted == 0
        assert server.ledger.count(b"DELE") == 0
        assert sum(await daily(home, server, 5)) == 0
        gone = await daily(home, server, 8)
        assert max(gone) == 4
        assert sum(gone) == 20
        await home.check(server, deletes=True)


async def test_P065_a_commit_that_fails(home: Home) -> None:
    """Message 5 of 10 cannot be stored: no DELE for it, and no QUIT, since this server pops."""
    await policy(home, Policy(days=0))
    refused = mail(5)

    class Picky:
        def __init__(self, store: Store) -> None:
            self._store, self.read = store, store.read

        async def write(self, work: Callable[[WriteTx], T]) -> T:
            def picky(tx: WriteTx) -> T:
                true: Any = tx.add_message

                def add(message: Any) -> Any:
                    if message.octets[:] == refused:
                        raise StoreError("not this one")
                    return true(message)

                setattr(tx, "add_message", add)  # noqa: B010  # mypy takes no method for a value
                try:
                    return work(tx)
                finally:
                    delattr(tx, "add_message")

            return await self._store.write(picky)

    store: Any = Picky(home.store)
    home.poller = Poller(store, wall=home.clock.wall, spool_dir=home.folder)
    home.poller.policies = home.policies
    async with Pop3Server(maildrop(10), pops_retrieved=True) as server:
        report = await home.poll(server)
        assert (report.new, report.failed) == (9, 1)
        assert server.ledger.count(b"DELE") == 0
        assert not server.ledger.sessions[-1].quit
        assert len(server.items) == 10
        await home.restart()
        await home.look()
        assert (await home.poll(server)).new == 1
        await home.check(server, deletes=True)


async def test_P066_a_UIDL_that_is_shared(home: Home) -> None:
    await policy(home)
    items = [Item(b"same", mail(1)), Item(b"same", mail(2)), *maildrop(3, b"v", 3)]
    async with Pop3Server(items) as server:
        gone = await daily(home, server, 10)
        assert gone == [0] * 8 + [3, 0]
        assert server.items == items[:2]
        await home.check(server, deletes=True)


async def test_P067_a_thousand_polls_in_keep_mode(home: Home) -> None:
    async with Pop3Server(maildrop(5)) as server:
        for poll in range(1000):
            await home.poll(server)
            home.clock.now += DAY / 2
            if poll % 100 == 0:
                server.items += maildrop(1, b"v", 100 + poll)
        assert server.ledger.count(b"DELE") == 0
        assert server.ledger.logins == 1000
        assert server.ledger.retrieved.total() == len(await home.check(server)) == 15
        figures.note("polls in keep mode", tried=1000, dele=server.ledger.count(b"DELE"))


async def test_P068_what_a_device_expunges(home: Home) -> None:
    async with Pop3Server(maildrop(6)) as server:
        await home.poll(server)
        await home.expunge(3)
        for _ in range(3):
            assert (await home.poll(server)).octets == 0
        await home.restart()
        assert (await home.poll(server)).octets == 0
        assert len(server.items) == 6
        await home.check(server, without=[mail(3)])


@pytest.mark.parametrize("purged", [True, False])
@pytest.mark.parametrize("top", [True, False])
async def test_P069_a_UIDL_storm_over_tombstones(home: Home, purged: bool, top: bool) -> None:
    async with Pop3Server(maildrop(30), top=top) as server:
        await home.poll(server)
        for uid in (7, 11):
            await home.expunge(uid)
        if purged:
            await home.store.write(lambda tx: tx.purge(2**40))
        for prefix in (b"r", b"s"):
            server.items = maildrop(30, prefix)
            report = await home.poll(server)
            assert (report.new, report.relinked) == (0, 30)
        moved = {b"X-Moved: yes\r\n" + mail(n): mail(n) for n in range(1, 31)}
        server.items = [Item(b"t%d" % n, octets) for n, octets in zip(itertools.count(), moved)]
        assert (await home.poll(server)).new == 0
        await home.check(server, without=[mail(7), mail(11)], same=moved)
