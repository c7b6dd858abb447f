"""A message that the disk damaged comes once more from the provider, and is the same message."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from bridge.model import Flag, MessageId
from bridge.store.api import ReadTx, StoreDamaged, WriteTx
from bridge.store.opening import DATABASE, faults
from tests.support.pop3_server import Item, Pop3Server
from tests.sync.house import House, mail, maildrop, octets, retrieved


def turned_over(db: sqlite3.Connection) -> None:
    db.execute("UPDATE message_chunk SET octets = zeroblob(length(octets)) WHERE message_id = 2")


def missing(db: sqlite3.Connection) -> None:
    db.execute("DELETE FROM message_chunk WHERE message_id = 2")


def without_all_else(db: sqlite3.Connection) -> None:
    """Only its digest is left of it."""
    turned_over(db)
    db.execute("UPDATE message_header SET header = x'00' WHERE message_id = 2")
    db.execute("UPDATE message_structure SET envelope = x'00', parts = x'01' WHERE message_id = 2")


async def damaged(house: House, damage: Callable[[sqlite3.Connection], None]) -> House:
    """The house after a restart; message 2 was damaged meanwhile, and somebody read it."""
    await house.store.close()
    with contextlib.closing(sqlite3.connect(house.data / DATABASE)) as db, db:
        damage(db)
    house = await house.reopened()
    assert len(faults(house.data)) == 1
    with pytest.raises(StoreDamaged, match="next poll fetches it again"):
        await house.shown()
    return house


def entries(tx: ReadTx, house: House) -> list[tuple[int, int, bytes]]:
    """(UID, flags, ENVELOPE) of all."""
    inbox = tx.mailbox(house.account.login_id, "INBOX")
    states = tx.entry_states(inbox.id)
    rows = tx.rows(inbox.id, ((1, inbox.uidnext),))
    return [(state.uid, state.flags, row.envelope) for state, row in zip(states, rows, strict=True)]


def flag_two(house: House, tx: WriteTx) -> None:
    inbox = tx.mailbox(house.account.login_id, "INBOX")
    tx.store_flags(inbox.id, ((2, 2),), "add", Flag.FLAGGED)


@pytest.mark.case("D008")
@pytest.mark.parametrize("damage", [turned_over, missing, without_all_else])
async def test_it_is_fetched_again_and_stays_what_it_was(
    house: House, damage: Callable[[sqlite3.Connection], None]
) -> None:
    async with Pop3Server(maildrop(5)) as server:
        await house.poll(server)
        await house.store.write(lambda tx: flag_two(house, tx))
        before = await house.store.read(lambda tx: entries(tx, house))
        house = await damaged(house, damage)
        fetched = retrieved(server)
        report = await house.poll(server)
        assert (report.new, report.failed, report.error) == (0, 0, "")
        assert retrieved(server) == fetched + 1
        assert await house.shown() == octets(server.items)
        assert await house.store.read(lambda tx: entries(tx, house)) == before
        assert faults(house.data) == []
        await house.poll(server)  # quiet again
        assert retrieved(server) == fetched + 1


@pytest.mark.case("D008")
async def test_what_nobody_read_is_not_known_to_be_damaged(house: House) -> None:
    async with Pop3Server(maildrop(5)) as server:
        await house.poll(server)
        await house.store.close()
        with contextlib.closing(sqlite3.connect(house.data / DATABASE)) as db, db:
            turned_over(db)
        house = await house.reopened()
        await house.poll(server)
        assert retrieved(server) == 5


@pytest.mark.case("D008")
async def test_what_the_provider_has_no_more_stays_refused(house: House) -> None:
    async with Pop3Server(maildrop(5)) as server:
        await house.poll(server)
        del server.items[1]
        await house.poll(server)
        house = await damaged(house, turned_over)
        assert (await house.poll(server)).error == ""
        assert retrieved(server) == 5
        with pytest.raises(StoreDamaged):
            await house.shown()


@pytest.mark.case("D008")
async def test_other_bytes_under_its_uidl_are_another_message(house: House) -> None:
    async with Pop3Server(maildrop(5)) as server:
        await house.poll(server)
        house = await damaged(house, turned_over)
        server.items[1] = Item(server.items[1].uidl, mail(77))
        report = await house.poll(server)
        assert (report.new, report.error) == (1, "")
        with pytest.raises(StoreDamaged):
            await house.shown()
        newest = await house.store.read(lambda tx: tx.octets(_last(tx, house)))
        assert newest == mail(77)
        fetched = retrieved(server)
        await house.poll(server)
        assert retrieved(server) == fetched  # once is enough


def _last(tx: ReadTx, house: House) -> MessageId:
    inbox = tx.mailbox(house.account.login_id, "INBOX")
    (row,) = tx.rows(inbox.id, ((inbox.uidnext - 1, inbox.uidnext - 1),))
    return row.message_id


@pytest.mark.case("D008")
async def test_a_mending_that_is_undone_is_tried_again(house: House, tmp_path: Path) -> None:
    """What was said of it in a transaction that failed counts for nothing."""
    async with Pop3Server(maildrop(5)) as server:
        await house.poll(server)
        house = await damaged(house, turned_over)
        with contextlib.closing(sqlite3.connect(house.data / DATABASE)) as db, db:
            db.execute(
                """CREATE TRIGGER no BEFORE INSERT ON message_chunk
                BEGIN SELECT RAISE(ABORT, 'no room'); END"""
            )
        assert (await house.poll(server)).failed == 1
        with pytest.raises(StoreDamaged):
            await house.shown()
        with contextlib.closing(sqlite3.connect(house.data / DATABASE)) as db, db:
            db.execute("DROP TRIGGER no")
        assert (await house.poll(server)).failed == 0
        assert await house.shown() == octets(server.items)
