"""A poll with everything real: a scripted POP3 server on loopback, our client, the SQLite store."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bridge import limits
from bridge.mime.parser import scan
from bridge.model import Account, Endpoint, Secret, Security
from bridge.store.api import ReadTx, Store, StoreError, StoreFull, T, WriteTx
from bridge.sync import poll as poll_module
from bridge.sync.poll import Poller
from bridge.sync.settle import internaldate
from tests.support.pop3_server import Item, Pop3Server
from tests.sync.house import NOW, House, mail, maildrop, octets, retrieved


async def test_first_poll_brings_everything_in_order_and_the_second_fetches_nothing(
    house: House,
) -> None:
    async with Pop3Server(maildrop(150)) as server:
        report = await house.poll(server)
        assert (report.listed, report.new, report.relinked, report.failed) == (150, 150, 0, 0)
        assert (report.error, report.error_class) == ("", "")
        assert report.octets == sum(map(len, octets(server.items)))
        assert await house.shown() == octets(server.items)

        report = await house.poll(server)
        assert (report.listed, report.new, report.octets) == (150, 0, 0)
        await house.reopened()
        await house.poll(server)
        assert retrieved(server) == 150
        assert server.ledger.count(b"DELE") == 0
        assert [session.quit for session in server.ledger.sessions] == [True, True, True]
    state = await house.state()
    assert (state.listed, state.stored, state.failures) == (150, 150, 0)
    assert state.last_success == NOW


async def test_new_mail_is_appended(house: House) -> None:
    async with Pop3Server(maildrop(3)) as server:
        await house.poll(server)
        server.items.append(Item(b"later", mail(99)))
        assert (await house.poll(server)).new == 1
        assert await house.shown() == octets(server.items)
        assert retrieved(server) == 4


async def test_the_first_message_is_visible_while_the_rest_is_on_its_way(house: House) -> None:
    async with Pop3Server(maildrop(5), holds={b"RETR 2": asyncio.Event()}) as server:
        told = asyncio.Event()
        house.store.on_change = lambda _: told.set()
        poll = asyncio.create_task(house.poll(server))
        await told.wait()
        while not await house.shown():
            told.clear()
            await told.wait()
        assert await house.shown() == [mail(1)]
        server.holds[b"RETR 2"].set()
        assert (await poll).new == 5


# --- drops ------------------------------------------------------------------------------


@pytest.mark.parametrize("pipelining", [True, False])
async def test_a_poll_cut_anywhere_loses_and_doubles_nothing(
    tmp_path: Path, pipelining: bool
) -> None:
    items = maildrop(8)
    async with Pop3Server(items, pipelining=pipelining) as server:
        whole = await House.open(tmp_path / "whole")
        await whole.poll(server)
        await whole.store.close()
        total = server.ledger.sessions[0].sent
    for cut in range(0, total, 97):
        async with Pop3Server(items, pipelining=pipelining, cut_after=cut) as server:
            house = await House.open(tmp_path / str(cut))
            report = await house.poll(server)
            assert report.error
            shown = await house.shown()
            assert shown == octets(items)[: len(shown)]
            assert not server.ledger.sessions[0].quit
            server.cut_after = None
            before = server.ledger.retrieved.total()
            report = await house.poll(server)
            assert (report.error, report.new) == ("", 8 - len(shown))
            # What arrived whole was kept: nothing of it is fetched again.
            assert server.ledger.retrieved.total() - before == 8 - len(shown)
            assert await house.shown() == octets(items)
            assert (await house.poll(server)).new == 0
            await house.store.close()


async def test_a_cancelled_poll_finishes_its_write_and_leaves_without_quit(house: House) -> None:
    async with Pop3Server(maildrop(50), holds={b"RETR 40": asyncio.Event()}) as server:
        poll = asyncio.create_task(house.poll(server))
        await server.until(lambda ledger: ledger.retrieved.total() >= 39)
        poll.cancel()
        with pytest.raises(asyncio.CancelledError):
            await poll
        assert not server.ledger.sessions[0].quit
        server.holds.clear()
        await house.poll(server)
        assert sorted(await house.shown()) == sorted(octets(server.items))


async def test_a_disk_that_cannot_be_read_ends_in_a_report(house: House) -> None:
    """Not in an exception: not even the state of the account can be had."""

    class Unreadable:
        async def read(self, work: Callable[[ReadTx], T]) -> T:
            raise StoreError("The disk did not read as asked.")

        async def write(self, work: Callable[[WriteTx], T]) -> T:
            raise StoreError("The disk did not write as asked.")

    store: Any = Unreadable()
    house.poller = Poller(store, wall=lambda: NOW, spool_dir=house.data)
    async with Pop3Server(maildrop(2)) as server:
        report = await house.poll(server)
        assert (report.new, report.error_class) == (0, "store")
        assert "did not read as asked" in report.error


async def test_C010_a_cancelled_poll_waits_for_the_write_under_way(house: House) -> None:
    begun, allowed = asyncio.Event(), asyncio.Event()

    class Slow(Refusing):
        async def write(self, work: Callable[[WriteTx], T]) -> T:
            begun.set()
            await allowed.wait()
            return await self._store.write(work)

    store: Any = Slow(house.store, lambda _: None)
    house.poller = Poller(store, wall=lambda: NOW, spool_dir=house.data)
    big = mail(1, size=2_000_000)  # from the disk, where it stays until it is stored
    async with Pop3Server([(b"big", big)]) as server:
        poll = asyncio.create_task(house.poll(server))
        await begun.wait()
        poll.cancel()
        poll.cancel()
        done, _ = await asyncio.wait([poll], timeout=0.05)
        assert not done
        allowed.set()
        with pytest.raises(asyncio.CancelledError):
            await poll
        assert not server.ledger.sessions[0].quit
    assert await house.shown() == [big]


async def test_C014_cancelled_at_any_moment_nothing_is_lost_or_doubled(house: House) -> None:
    async with Pop3Server(maildrop(40)) as server:
        for turns in range(0, 200, 7):
            poll = asyncio.create_task(house.poll(server))
            for _ in range(turns):
                await asyncio.sleep(0)
            poll.cancel()
            await asyncio.wait([poll])
        report = await house.poll(server)
        assert not report.error
        assert await house.shown() == octets(server.items)


# --- UIDLs ------------------------------------------------------------------------------


async def test_a_list_copy_stays_beside_the_direct_copy(house: House) -> None:
    direct, listed = mail(1), mail(1, hops=[b"list-mx", b"list", b"mx"])
    assert scan(direct).fingerprint == scan(listed).fingerprint
    async with Pop3Server([(b"direct", direct)]) as server:
        await house.poll(server)
        server.items = []  # as Gmail hides what was fetched
        await house.poll(server)
        server.items = [Item(b"list", listed)]
        assert (await house.poll(server)).new == 1
        assert await house.shown() == [direct, listed]


async def test_two_accounts_each_keep_their_own_copy(house: House) -> None:
    def second(tx: WriteTx) -> Account:
        login = tx.ensure_login("you@example.org")
        return tx.ensure_account("you@example.org", login.id, "INBOX")

    async with Pop3Server(maildrop(10)) as server:
        await house.poll(server)
        first, house.account = house.account, await house.store.write(second)
        assert (await house.poll(server)).new == 10
        assert await house.shown() == octets(server.items)
        assert (await house.poll(server)).octets == 0
        house.account = first
        assert (await house.poll(server)).octets == 0


async def test_two_pollers_at_once_double_nothing(house: House) -> None:
    other = replace(house, poller=Poller(house.store, wall=lambda: NOW, spool_dir=house.data))
    async with Pop3Server(maildrop(80), holds={b"RETR 1": asyncio.Event()}) as server:
        polls = [asyncio.create_task(each.poll(server)) for each in (house, other)]
        # Both have planned, and neither knows of the other.
        await server.seen(b"RETR", 2)
        server.holds[b"RETR 1"].set()
        reports = await asyncio.gather(*polls)
        assert sum(report.new for report in reports) == 80
        assert sorted(await house.shown()) == sorted(octets(server.items))


async def test_only_what_is_no_longer_stored_is_forgotten_after_90_days(
    house: House,
) -> None:
    now = float(NOW)
    house.poller = Poller(house.store, wall=lambda: now, spool_dir=house.data)
    async with Pop3Server(maildrop(4)) as server:
        await house.poll(server)
        await house.expunge(2)
        await house.store.write(lambda tx: tx.purge(2**40))
        items, server.items = server.items, maildrop(4)[3:]
        for _ in range(31):
            now += 3 * 86_400
            await house.poll(server)
        server.items = items
        report = await house.poll(server)
        # Message 1 and 3 came back by their UIDLs; number 2 was forgotten, and is new.
        assert (report.listed, report.new, report.relinked) == (4, 1, 0)


# --- trouble ----------------------------------------------------------------------------


async def test_a_wrong_password_is_an_auth_error(house: House) -> None:
    async with Pop3Server(maildrop(1)) as server:
        report = await house.poll(server, "wrong")
        assert report.error_class == "auth"
        assert report.error
        assert report.advice
        assert "wrong" not in report.error + report.advice
        state = await house.state()
        assert (state.failures, state.error_class, state.last_success) == (1, "auth", None)
        await house.poll(server, "wrong")
        assert (await house.state()).failures == 2
        await house.poll(server)
        state = await house.state()
        assert (state.failures, state.error, state.stored) == (0, "", 1)


async def test_a_password_that_cannot_be_had_never_reaches_the_server(house: House) -> None:
    async def nothing() -> Secret:
        raise RuntimeError("secrets/gmx is readable by others: chmod 600 secrets/gmx")

    async with Pop3Server() as server:
        endpoint = Endpoint(server.host, server.port, Security.NONE, "user")
        report = await house.poller.poll(house.account, endpoint, nothing)
        assert report.error_class == "auth"
        assert "chmod 600 secrets/gmx" in report.error
        assert not server.ledger.sessions


async def test_nobody_listens(house: House) -> None:
    async with Pop3Server() as server:
        pass
    report = await house.poll(server)
    assert report.error_class == "connect"
    assert str(server.port) in report.error


class Refusing:
    """A store that refuses some writes."""

    def __init__(self, store: Store, error: Callable[[int], Exception | None]) -> None:
        self._store = store
        self._error = error
        self.writes = 0
        self.read = store.read

    async def write(self, work: Callable[[WriteTx], T]) -> T:
        self.writes += 1
        error = self._error(self.writes)
        if error is not None:
            raise error
        return await self._store.write(work)


def refusing(house: House, error: Callable[[int], Exception | None]) -> None:
    store: Any = Refusing(house.store, error)
    house.poller = Poller(store, wall=lambda: NOW, spool_dir=house.data)


async def test_D001_a_full_disk_stops_the_poll_and_the_next_one_goes_on(house: House) -> None:
    first = asyncio.Event()

    def full(n: int) -> Exception | None:
        first.set()
        return StoreFull("the disk is full") if n in (2, 3) else None

    refusing(house, full)
    holds = {b"RETR 11": first}
    async with Pop3Server(maildrop(20), pops_retrieved=True, holds=holds) as server:
        report = await house.poll(server)
        assert report.error_class == "store"
        assert 0 < report.new <= 10
        assert await house.shown() == octets(server.items)[: report.new]
        assert "disk" in report.advice
        assert not server.ledger.sessions[0].quit
        assert len(server.items) == 20  # P102: nothing was popped
        report = await house.poll(server)
        assert report.error == ""
    assert await house.shown() == octets(maildrop(20))


async def test_a_message_that_the_store_refuses_does_not_hold_up_the_others(house: House) -> None:
    poison = hashlib.sha256(mail(5)).digest()
    add_message = "add_message"

    class Picky(Refusing):
        async def write(self, work: Callable[[WriteTx], T]) -> T:
            def picky(tx: WriteTx) -> T:
                real = tx.add_message

                def add(message: Any) -> Any:
                    if message.digest == poison:
                        raise StoreError("not this one")
                    return real(message)

                setattr(tx, add_message, add)
                try:
                    return work(tx)
                finally:
                    delattr(tx, add_message)

            return await self._store.write(picky)

    store: Any = Picky(house.store, lambda _: None)
    house.poller = Poller(store, wall=lambda: NOW, spool_dir=house.data)
    async with Pop3Server(maildrop(9)) as server:
        report = await house.poll(server)
        assert (report.new, report.failed, report.error) == (8, 1, "")
        assert not server.ledger.sessions[0].quit
        report = await house.poll(server)  # alone now, it is the store's trouble
        assert (report.new, report.failed, report.error_class) == (0, 1, "store")


async def test_a_store_that_refuses_everything_ends_the_poll_soon(house: House) -> None:
    refusing(house, lambda _: StoreError("the database is damaged"))
    async with Pop3Server(maildrop(500)) as server:
        report = await house.poll(server)
        assert report.error_class == "store"
        assert "the database is damaged" in report.error
        assert report.failed <= 3


async def test_a_deleted_mailbox_is_made_again(house: House) -> None:
    def elsewhere(tx: WriteTx) -> Account:
        return tx.ensure_account("me@example.org", house.account.login_id, "Old/Mail")

    house.account = await house.store.write(elsewhere)
    await house.store.write(lambda tx: tx.delete_mailbox(house.account.login_id, "Old/Mail"))
    async with Pop3Server(maildrop(3)) as server:
        assert (await house.poll(server)).new == 3
    box = await house.store.read(lambda tx: tx.mailbox(house.account.login_id, "Old/Mail"))
    assert box.messages == 3


async def test_a_large_message_waits_on_disk_and_leaves_nothing_there(house: House) -> None:
    big = mail(1, size=3_000_000)
    async with Pop3Server([(b"big", big), (b"small", mail(2))]) as server:
        assert (await house.poll(server)).new == 2
        assert await house.shown() == [big, mail(2)]
    names = {path.name for path in house.data.iterdir()}
    assert all(name.startswith(("popbridge.sqlite", "lock")) for name in names)


# --- values -----------------------------------------------------------------------------

HEAD = b"From: a@example.org\r\n"


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (
            b"Received: from a by b; Mon, 2 Nov 2026 10:00:00 +0000\r\n"
            b"Date: Sun, 1 Nov 2026 10:00:00 +0000\r\n",
            1793613600,
        ),
        (b"Date: Sun, 1 Nov 2026 10:00:00 +0000\r\n", 1793527200),
        (b"Date: Sun, 1 Nov 2099 10:00:00 +0000\r\n", NOW),
        (b"Date: Thu, 1 Jan 1960 10:00:00 +0000\r\n", NOW),
        (b"Date: whenever\r\n", NOW),
        (b"", NOW),
    ],
)
def test_T003_internaldate_is_received_else_date_else_now(header: bytes, expected: int) -> None:
    assert internaldate(scan(header + HEAD + b"\r\nhi\r\n"), NOW) == expected


async def test_the_second_poll_sends_CAPA_and_login_together_also_after_a_restart(
    house: House,
) -> None:
    async with Pop3Server(maildrop(3)) as server:
        await house.poll(server)
        await house.reopened()
        assert (await house.poll(server)).error == ""
        first, second = server.ledger.sessions
        assert second.verbs() == [b"CAPA", b"USER", b"PASS", b"LIST", b"UIDL", b"QUIT"]
        assert second.most_outstanding == 3

        # Another server at that account: nothing is known of it.
        async with Pop3Server(maildrop(3)) as other:
            await house.poll(other)
            assert other.ledger.sessions[0].verbs()[:3] == [b"CAPA", b"USER", b"PASS"]
        assert first.verbs()[:3] == [b"CAPA", b"USER", b"PASS"]


async def test_a_server_that_loses_what_comes_together_is_asked_one_by_one_from_then_on(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Pop3Server(maildrop(1)) as server:
        await house.poll(server)
        server.forgets_pipelined = True
        with monkeypatch.context() as patched:
            patched.setattr(limits, "POP3_REPLY_SECONDS", 0.2)
            for _ in range(2):
                assert (await house.poll(server)).error_class == "connect"
        assert (await house.poll(server)).error == ""
        assert server.ledger.sessions[-1].most_outstanding == 1


async def test_a_long_poll_says_in_the_log_how_far_it_is(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(poll_module, "TELL_SECONDS", 0.02)
    held, said = asyncio.Event(), list[dict[str, object]]()

    class Log:
        def __getattr__(self, level: str) -> Callable[..., None]:
            def tell(event: str, **facts: object) -> None:
                said.append({"event": event, **facts})
                # Twice while the fifth message is held back, however slow the machine is before.
                if sum(each.get("done") == 4 for each in said) == 2:
                    held.set()

            return tell

    monkeypatch.setattr(poll_module, "get_logger", lambda **_: Log())
    async with Pop3Server(maildrop(8), holds={b"RETR 5": held}) as server:
        assert (await house.poll(server)).new == 8
    told = [each for each in said if each["event"] == "poll goes on" and each["done"] == 4][1]
    assert (told["doing"], told["done"], told["todo"]) == ("fetching", 4, 8)
