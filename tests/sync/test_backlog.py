"""The first sync of a large maildrop: newest first, then one renumbering in arrival order."""

from __future__ import annotations

import asyncio
import random

import pytest

from bridge import limits
from bridge.model import Flag, Mailbox
from bridge.store.api import NoSuchMailbox, ReadTx, WriteTx
from bridge.sync import backlog
from tests.support.pop3_server import Item, Pop3Server
from tests.sync.house import House, mail, maildrop, octets, retrieved


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rules at a tenth of their size."""
    monkeypatch.setattr(backlog, "FIRST_SYNC", 50)
    monkeypatch.setattr(backlog, "NEWEST", 20)


async def inbox(house: House) -> Mailbox:
    return await house.store.read(lambda tx: tx.mailbox(house.account.login_id, "INBOX"))


async def test_the_newest_come_first_and_then_the_order_is_right(house: House) -> None:
    hold = asyncio.Event()
    async with Pop3Server(maildrop(200), holds={b"RETR 1": hold}, pipelining=False) as server:
        before = await inbox(house)
        poll = asyncio.create_task(house.poll(server))
        await server.seen(b"RETR", 21)
        told = asyncio.Event()
        house.store.on_change = lambda _: told.set()
        while len(await house.shown()) < 20:
            told.clear()
            await told.wait()
        assert await house.shown() == [mail(n) for n in range(181, 201)]
        # A device works with them meanwhile.
        await house.store.write(
            lambda tx: tx.store_flags(before.id, ((1, 3),), "add", Flag.SEEN, ["work"])
        )
        await house.expunge(20)
        hold.set()
        assert not (await poll).error
        after = await inbox(house)
        assert after.uidvalidity > before.uidvalidity
        assert await house.shown() == [mail(n) for n in range(1, 200)]
        with pytest.raises(NoSuchMailbox):  # so a connected session hears BYE
            await house.store.read(lambda tx: tx.mailbox_by_id(before.id))

        def seen(tx: ReadTx) -> list[int]:
            return [s.uid for s in tx.entry_states(after.id) if s.flags & Flag.SEEN]

        assert await house.store.read(seen) == [181, 182, 183]
        assert (after.messages, after.unseen, after.uidnext) == (199, 196, 200)
        server.items.append(Item(b"late", mail(999)))
        await house.poll(server)
        assert (await inbox(house)).uidvalidity == after.uidvalidity  # exactly one
        assert retrieved(server) == 201


async def test_a_small_maildrop_comes_in_order_at_once(house: House) -> None:
    before = await inbox(house)
    async with Pop3Server(maildrop(50)) as server:
        await house.poll(server)
        assert await house.shown() == octets(server.items)
    assert (await inbox(house)).uidvalidity == before.uidvalidity


async def test_later_floods_do_not_renumber(house: House) -> None:
    async with Pop3Server(maildrop(10)) as server:
        await house.poll(server)
        before = await inbox(house)
        server.items = maildrop(150)
        await house.poll(server)
        assert await house.shown() == octets(server.items)
    assert (await inbox(house)).uidvalidity == before.uidvalidity


async def test_a_first_sync_cut_a_hundred_times_fetches_nothing_twice(house: House) -> None:
    """At random octets, with restarts between: one new UIDVALIDITY at the end, in order."""
    chance = random.Random(4)
    items = maildrop(400)
    validities = {(await inbox(house)).uidvalidity}
    async with Pop3Server(items, pipelining=False) as server:
        sync = 0
        cuts = 0
        while True:
            server.cut_after = chance.randrange(7_500, 9_000) if cuts < 100 else None
            report = await house.poll(server)
            cuts += bool(report.error)
            sync += 1
            if chance.random() < 0.2:
                await house.reopened()
            validities.add((await inbox(house)).uidvalidity)
            if not report.error:
                break
        assert cuts > 20
        assert await house.shown() == octets(items)
        # Beyond the messages in flight, one a cut at most.
        assert retrieved(server) <= 400 + cuts
        assert len(validities) == 2
        assert server.ledger.count(b"DELE") == 0


async def test_mail_of_others_keeps_its_place(house: House) -> None:
    def before(tx: WriteTx) -> None:
        from tests.support.messages import new_message, raw_message

        box = tx.mailbox(house.account.login_id, "INBOX").id
        message = tx.add_message(new_message(raw_message("a note", 100)))
        tx.add_entry(box, message, internaldate=5)

    await house.store.write(before)
    first = (await house.shown())[0]
    async with Pop3Server(maildrop(80)) as server:
        await house.poll(server)
        assert await house.shown() == [first, *octets(server.items)]


async def test_a_mailbox_that_went_meanwhile_ends_the_backlog_all_the_same(house: House) -> None:
    account = await house.store.write(
        lambda tx: tx.ensure_account("me@example.org", house.account.login_id, "Old")
    )
    house.account = account
    hold = asyncio.Event()
    async with Pop3Server(maildrop(80), holds={b"RETR 5": hold}, pipelining=False) as server:
        poll = asyncio.create_task(house.poll(server))
        await server.seen(b"RETR", 25)
        await house.store.write(lambda tx: tx.delete_mailbox(account.login_id, "Old"))
        hold.set()
        assert not (await poll).error
        assert not (await house.poll(server)).error
    assert (await house.store.read(lambda tx: tx.mailbox(account.login_id, "Old"))).messages > 0


async def test_a_first_sync_longer_than_a_session_goes_on_in_the_next(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "POP3_FETCH_SECONDS", 0.0)  # one window a session, then
    monkeypatch.setattr(limits, "POP3_WINDOW_COMMANDS", 256)
    async with Pop3Server(maildrop(600)) as server:
        before = await inbox(house)
        for new, left in ((256, 344), (256, 88), (88, 0)):
            assert (await inbox(house)).uidvalidity == before.uidvalidity
            report = await house.poll(server)
            assert (report.error, report.new, report.left) == ("", new, left)
            assert server.ledger.sessions[-1].quit
        assert await house.shown() == octets(server.items)
        assert (await inbox(house)).uidvalidity > before.uidvalidity
        assert set(server.ledger.retrieved.values()) == {1}


async def test_a_line_that_breaks_between_messages_does_not_end_pipelining(house: House) -> None:
    """Two cuts like that look like a server that loses commands, but for all that came before."""
    items = maildrop(900)
    async with Pop3Server(items, hang_up=[b"RETR 400", b"RETR 800"]) as server:
        for _ in range(3):
            assert (await house.poll(server)).error_class == "connect"
            server.hang_up.discard(b"RETR 400")
        server.hang_up.clear()
        assert (await house.poll(server)).error == ""
        assert server.ledger.sessions[-1].most_outstanding > 1
        assert await house.shown() == octets(items)
