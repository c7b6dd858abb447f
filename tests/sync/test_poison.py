"""Messages that cannot be had: retried on their own, shown as a stub, replaced when they come."""

from __future__ import annotations

import asyncio

import pytest

from bridge.model import ListedItem, Poison
from bridge.sync import poison
from bridge.sync.poison import PAUSES, Failure
from tests.support.pop3_server import Item, Pop3Server
from tests.sync.house import House, mail, maildrop, octets

DAY = 86_400
BAD = b"message corrupt \x1b[2J"


def others(count: int, bad: int) -> list[bytes]:
    return [mail(n) for n in range(1, count + 1) if n != bad]


async def stub(house: House, expected: list[bytes]) -> bytes:
    """The one message that is shown beside the expected ones."""
    shown = await house.shown()
    (found,) = [each for each in shown if each not in expected]
    assert sorted([*expected, found]) == sorted(shown)
    return found


async def test_a_stub_is_shown_once_over_restarts_and_tells_the_subject(house: House) -> None:
    async with Pop3Server(maildrop(3)) as server:
        server.replies[b"RETR 2"] = b"-ERR no such bytes\r\n"
        for _ in range(12):
            await house.poll(server)
            await house.reopened()
            house.clock.now += DAY
        said = await stub(house, others(3, 2))
        assert b"Subject: Not fetched: number 2" in said.replace(b"NUMBER", b"number")
        del server.replies[b"RETR 2"]
        await house.poll(server)
        assert sorted(await house.shown()) == sorted(octets(server.items))


async def test_a_stub_that_a_device_moved_goes_too(house: House) -> None:
    async with Pop3Server(maildrop(2)) as server:
        server.replies[b"RETR 1"] = b"-ERR no\r\n"
        for _ in range(4):
            await house.poll(server)
            house.clock.now += DAY
        login = house.account.login_id
        await house.store.write(
            lambda tx: tx.move(
                tx.mailbox(login, "INBOX").id, ((2, 2),), tx.mailbox(login, "Archive").id
            )
        )
        del server.replies[b"RETR 1"]
        await house.poll(server)
        archive = await house.store.read(lambda tx: tx.mailbox(login, "Archive"))
        assert archive.messages == 0
        assert sorted(await house.shown()) == sorted(octets(server.items))


async def test_a_message_that_breaks_every_session_is_asked_for_last(house: House) -> None:
    """The server hangs up in the middle of it, each time, as one that never ends its body."""
    async with Pop3Server(maildrop(10), hang_up=[b"RETR 4"]) as server:
        await house.poll(server)
        assert await house.shown() == [mail(n) for n in (1, 2, 3)]
        await house.poll(server)
        report = await house.poll(server)  # the third session knows which one it is
        assert (report.new, report.failed, report.error) == (6, 1, "")
        await stub(house, others(10, 4))
        for _ in range(4):
            house.clock.now += DAY
            server.items.append(Item(b"n%d" % house.clock.now, mail(int(house.clock.now))))
            assert (await house.poll(server)).new == 1  # new mail comes first
        assert len(await house.shown()) == 9 + 4 + 1
        server.hang_up = set()
        house.clock.now += DAY
        await house.poll(server)
        assert sorted(await house.shown()) == sorted(octets(server.items))


async def test_one_drop_blames_nobody(house: House) -> None:
    async with Pop3Server(maildrop(10), hang_up=[b"RETR 4"]) as server:
        await house.poll(server)
        server.hang_up = set()
        await house.poll(server)
        assert await house.shown() == octets(server.items)  # in order
        assert await house.store.read(lambda tx: tx.poisons(house.account.id)) == []


async def test_a_cancelled_poll_writes_no_stub_and_ends_soon(house: House) -> None:
    items = maildrop(5)
    items[1] = Item(b"u2", mail(2), error=BAD)
    async with Pop3Server(items, holds={b"RETR 5": asyncio.Event()}) as server:
        poll = asyncio.create_task(house.poll(server))
        await server.seen(b"RETR", 5)
        poll.cancel()
        with pytest.raises(asyncio.CancelledError):
            await poll
        server.holds.clear()
        await house.poll(server)
        assert sorted(await house.shown()) == sorted(others(5, 2))


# --- values -----------------------------------------------------------------------------

LINE = ListedItem(1, b"u", 9)


def test_pauses_grow_to_a_day() -> None:
    row: Poison | None = None
    pauses = []
    for _ in range(7):
        row = poison.failed(row, Failure(LINE, "no"), 1000)
        pauses.append(row.next_try - 1000)
    assert pauses == [*PAUSES, PAUSES[-1], PAUSES[-1]]


def test_the_queue_is_flow_then_alone_the_most_hopeful_first() -> None:
    lines = [ListedItem(n, b"u%d" % n, 9) for n in (1, 2, 3, 4)]
    rows: dict[tuple[bytes | None, int | None], Poison] = {
        (b"u1", 9): Poison(1, b"u1", 9, 5, 100, "no"),
        (b"u2", 9): Poison(2, b"u2", 9, 1, 100, "no"),
        (b"u3", 9): Poison(3, b"u3", 9, 1, 200, "no"),
    }
    made = poison.queue(lines, rows, 150)
    assert [line.number for line in made.flow] == [4]
    assert [line.number for line in made.alone] == [2, 1]
    assert [line.number for line in made.paused] == [3]
