"""The message in the INBOX of an account that needs its owner."""

from __future__ import annotations

from bridge.store.api import StoreError, StoreFull
from tests.support.pop3_server import Pop3Server
from tests.sync.house import House, mail, maildrop, octets
from tests.sync.test_poll import refusing

DAY = 86_400


async def ours(house: House) -> list[bytes]:
    return [each for each in await house.shown() if b"popbridge@localhost" in each]


async def test_a_dead_password_is_told_once_and_the_note_goes_when_it_works(house: House) -> None:
    async with Pop3Server(maildrop(2)) as server:
        await house.poll(server)
        for failures in range(1, 8):
            await house.poll(server, "wrong")
            assert len(await ours(house)) == (failures >= 3)
            if failures == 5:
                await house.reopened()
        (note,) = await ours(house)
        assert b"Subject: popbridge cannot log in to me@example.org" in note
        assert b"Auto-Submitted: auto-generated" in note
        assert b"wrong" not in note.replace(b"went wrong", b"")
        await house.poll(server)
        assert await ours(house) == []
        assert await house.shown() == octets(server.items)


async def test_a_note_that_was_deleted_does_not_come_back(house: House) -> None:
    async with Pop3Server(maildrop(1)) as server:
        await house.poll(server)
        for _ in range(3):
            await house.poll(server, "wrong")
        await house.expunge(2)
        await house.reopened()
        await house.poll(server, "wrong")
        assert await ours(house) == []
        await house.poll(server)
        for _ in range(3):
            await house.poll(server, "wrong")
        assert len(await ours(house)) == 1


async def test_a_day_without_success_is_told_and_updated(house: House) -> None:
    async with Pop3Server(maildrop(1)) as server:
        await house.poll(server)
        server.greeting = b"-ERR [SYS/TEMP] come back later\r\n"
        house.clock.now += DAY - 1
        await house.poll(server)
        assert await ours(house) == []
        house.clock.now += 1
        await house.poll(server)
        (note,) = await ours(house)
        assert b"could be collected since 2027-01-15 08:00 UTC" in note.replace(b"=\r\n", b"")
        server.greeting = b"-ERR [SYS/PERM] this account is closed\r\n"
        await house.poll(server)
        (note,) = await ours(house)
        assert b"wants you to act" in note
        server.greeting = None
        await house.poll(server)
        assert await house.shown() == [mail(1)]


async def test_D001_a_disk_that_was_full_is_told_while_it_is(house: House) -> None:
    async with Pop3Server(maildrop(3)) as server:
        refusing(house, lambda n: StoreFull("the disk is full") if n == 1 else None)
        await house.poll(server)
        (note,) = await ours(house)
        assert b"cannot store mail" in note
        assert b"free some space" in note
        await house.poll(server)
        assert await house.shown() == octets(server.items)


async def test_a_store_that_takes_no_note_hurts_nobody(house: House) -> None:
    async with Pop3Server(maildrop(1)) as server:
        refusing(house, lambda _: StoreError("broken"))
        report = await house.poll(server)
        assert report.error_class == "store"
