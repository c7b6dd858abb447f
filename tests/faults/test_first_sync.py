"""A first sync over a line that is cut again and again, and one over a long line.

    POPBRIDGE_FIRST_SYNC=30000 pytest -s tests/faults/test_first_sync.py     in full, 100 cuts

Cut in order (what was sent arrives), nothing is fetched twice; cut by a reset, nothing but what was
on its way: a window of commands at most. Nothing is lost, everything ends up in arrival order.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import AsyncIterator
from pathlib import Path
from random import Random
from time import monotonic

import pytest

from bridge import limits
from bridge.store.api import ReadTx
from bridge.sync.backlog import FIRST_SYNC, NEWEST
from tests.support import figures
from tests.support.delay_proxy import DelayProxy
from tests.support.house import ADDRESS, running
from tests.support.pop3_server import Item, Pop3Server
from tests.support.watch import Letters, shown
from tests.sync.house import House

MESSAGES = int(os.environ.get("POPBRIDGE_FIRST_SYNC", "1500"))
CUTS = 100 if MESSAGES >= 30_000 else 24
SEED = int(os.environ.get("POPBRIDGE_SEED", secrets.randbelow(1_000_000)))
READABLE_SECONDS = 5.0
ROUND_TRIP_SECONDS = 0.1


def message_id(number: int) -> str:
    return f"<{number}@a.example>"


def mail(number: int) -> bytes:
    head = b"Subject: number %d\r\nMessage-ID: %b\r\n\r\n" % (number, message_id(number).encode())
    return head + b"%064x\r\n" % number * (1 + number % 40)


def maildrop() -> list[Item]:
    return [Item(b"%032x" % number, mail(number)) for number in range(1, MESSAGES + 1)]


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    house = await House.open(tmp_path / "data")
    yield house
    await house.store.close()


async def digests(house: House) -> list[bytes]:
    """SHA-256 of what INBOX shows, by UID."""

    def look(tx: ReadTx) -> list[bytes]:
        inbox = tx.mailbox(house.account.login_id, "INBOX")
        rows = tx.rows(inbox.id, ((1, inbox.uidnext),), ("digest",))
        return [row.digest for row in rows]

    return await house.store.read(look)


async def uidvalidity(house: House) -> int:
    return (
        await house.store.read(lambda tx: tx.mailbox(house.account.login_id, "INBOX"))
    ).uidvalidity


@pytest.mark.timeout(60 + MESSAGES // 25)
@pytest.mark.parametrize("rude", [False, True], ids=["in order", "by a reset"])
async def test_a_first_sync_cut_again_and_again_loses_nothing_and_repeats_nothing(
    house: House, rude: bool
) -> None:
    chance = Random(SEED)
    items = maildrop()
    validities = {await uidvalidity(house)}
    started = monotonic()
    async with Pop3Server(items, rude=rude) as server:
        everything = sum(len(item.octets) for item in items)
        listing = sum(
            len(b"%d %d\r\n%d %b\r\n" % (n, 999, n, i.uidl or b"")) for n, i in enumerate(items, 1)
        )
        cuts = 0
        while cuts < CUTS:
            # A few while it logs in and lists, the others spread over all the messages.
            among = chance.randrange(2 * everything // CUTS) if chance.random() < 0.9 else -listing
            server.cut_after = max(chance.randrange(1, listing), listing + among)
            report = await house.poll(server)
            validities.add(await uidvalidity(house))
            if not report.error:
                break
            assert report.error_class == "connect", report
            cuts += 1
        server.cut_after = None
        for _ in range(2):
            report = await house.poll(server)
            assert (report.error, report.listed) == ("", MESSAGES)
        assert report.new == 0
        seconds = monotonic() - started
        times = server.ledger.retrieved
        twice = sum(times.values()) - len(times)
        print(f"seed {SEED}, {everything / 1e6:.1f} MB")
        assert len(times) == MESSAGES
        assert twice <= (cuts * limits.POP3_WINDOW_COMMANDS if rude else 0)
        assert server.ledger.count(b"DELE") == 0
    assert cuts >= CUTS * 3 // 4
    # Nothing lost, nothing double, and in arrival order: by one new UIDVALIDITY.
    offered = [hashlib.sha256(item.octets).digest() for item in items]
    held = await digests(house)
    assert held == offered
    assert len(validities | {await uidvalidity(house)}) == 2
    figures.note(
        "first sync, cut off",
        tried=cuts,
        messages=MESSAGES,
        lost=len(set(offered) - set(held)),
        doubled=len(held) - len(set(held)),
        fetched_twice=twice,
        seconds=seconds,
    )


async def test_a_drop_at_QUIT_costs_nothing(house: House) -> None:
    items = maildrop()[: FIRST_SYNC + 100]
    async with Pop3Server(items, hang_up=[b"QUIT"]) as server:
        for new in (len(items), 0):
            report = await house.poll(server)
            assert (report.error, report.new) == ("", new)
        assert set(server.ledger.retrieved.values()) == {1}


async def test_the_newest_are_readable_within_seconds_over_a_long_line(tmp_path: Path) -> None:
    wanted = {message_id(number) for number in range(MESSAGES - NEWEST + 1, MESSAGES + 1)}

    def there(letters: Letters) -> bool:
        return wanted <= letters.keys()

    async with (
        Pop3Server(maildrop(), security="tls") as server,
        DelayProxy(server.host, server.port, ROUND_TRIP_SECONDS / 2) as line,
    ):
        pop3 = {
            "host": server.host,
            "port": line.port,
            "username": server.username,
            "password": server.password,
            "ca_file": server.ca_file,
        }
        async with running(tmp_path, [{"address": ADDRESS, "pop3": pop3}]) as daemon:
            started = monotonic()
            await shown(daemon.imap_ports[0], "INBOX", there)
            seconds = monotonic() - started
        print(f"the newest {NEWEST} of {MESSAGES}: readable after {seconds:.2f} s at 100 ms")
        assert seconds < READABLE_SECONDS
