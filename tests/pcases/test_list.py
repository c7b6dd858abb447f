"""LIST: sizes that are wrong, listings that are not whole. A size is a hint, never a measure."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator

import pytest
from structlog.testing import capture_logs

from bridge import limits
from tests.pcases.home import DAY, Home, mail, maildrop
from tests.support.pop3_server import Item, Pop3Server


@contextlib.contextmanager
def short_silence() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(limits, "POP3_REPLY_SECONDS", 0.1)
        patch.setattr(limits, "POP3_END_MARK_SECONDS", 0.05)
        yield


@pytest.mark.parametrize("pipelining", [True, False])
async def test_P026_LIST_says_less_than_RETR_gives(home: Home, pipelining: bool) -> None:
    items = [
        Item(b"u%d" % n, mail(n, size=3_000 * n), listed=b"%d" % max(1, 3_000 * n // factor))
        for n, factor in enumerate((1, 2, 10, 1000, 10_000), 1)
    ]
    items.append(Item(b"u9", mail(9, size=200_000), listed=b"199999"))
    async with Pop3Server(items, pipelining=pipelining) as server:
        assert (await home.poll(server)).new == 6
        for _ in range(3):
            assert (await home.poll(server)).octets == 0
        assert (await home.state()).notice == ""
        await home.check(server)


async def test_P027_LIST_says_more_than_RETR_gives(home: Home) -> None:
    """Attachments that are never sent: kept, told of, asked for three times more at most; and
    when the whole message comes, it takes the place of the short one."""
    whole = mail(2, size=50_000)
    short = whole[:20_000] + b"\r\n"
    items = [*maildrop(1), Item(b"u2", short, listed=b"%d" % len(whole)), *maildrop(8, b"w", 10)]
    async with Pop3Server(items) as server:
        assert (await home.poll(server)).new == 10
        assert "shorter than" in (await home.state()).notice
        for _ in range(8):
            home.clock.now += DAY
            report = await home.poll(server)
            assert (report.new, report.failed, report.error) == (0, 0, "")
        assert server.ledger.retrieved[b"u2"] == 4
        assert server.ledger.retrieved.total() == 13
        await home.check(server)

    async with Pop3Server(items) as server:
        await home.poll(server, address="b@example.org")
        server.items[1] = Item(b"u2", whole)
        home.clock.now += DAY
        report = await home.poll(server, address="b@example.org")
        assert (report.new, report.error) == (1, "")
        home.clock.now += DAY
        assert (await home.poll(server, address="b@example.org")).octets == 0
        await home.check(server, mailbox="Mail/b@example.org", same={short: whole})


@pytest.mark.parametrize("size", [b"0", b"-1", b"2147483648", b"9223372036854775808", b"abc", b""])
async def test_P028_sizes_that_are_none(home: Home, size: bytes) -> None:
    items = [Item(b"u%d" % n, mail(n), listed=size) for n in range(1, 6)]
    async with Pop3Server(items) as server:
        assert (await home.poll(server)).new == 5
        for _ in range(3):
            assert (await home.poll(server)).octets == 0
        server.items = [Item(b"u%d" % n, mail(n)) for n in range(1, 7)]  # and then it knows
        assert (await home.poll(server)).new == 1
        await home.check(server)


@pytest.mark.parametrize("sort", ["rounded", "compressed", "inflated", "anew at each poll"])
async def test_P029_sizes_by_another_measure(home: Home, sort: str) -> None:
    async with Pop3Server() as server:
        for poll in range(8):
            server.items = []
            for n in range(1, 21):
                octets = mail(n, size=5_000 + 100 * n)
                size = {
                    "rounded": -(-len(octets) // 1024) * 1024,
                    "compressed": len(octets) // 3,
                    "inflated": len(octets) * 3,
                    "anew at each poll": len(octets) + 100 * poll + n,
                }[sort]
                server.items.append(Item(b"u%d" % n, octets, listed=b"%d" % size))
            report = await home.poll(server)
            assert (report.failed, report.error) == (0, "")
            assert "shorter" not in (await home.state()).notice
        assert server.ledger.retrieved.total() == 20
        await home.check(server)


async def test_P030_STAT_LIST_and_UIDL_disagree(home: Home) -> None:
    lists = b"".join(b"%d %d\r\n" % (n, len(mail(n))) for n in range(1, 11) if n != 4)
    uidls = b"".join(b"%d u%d\r\n" % (n, n) for n in range(1, 12))
    async with Pop3Server(maildrop(10)) as server:
        server.replies[b"STAT"] = b"+OK 10 1234\r\n"
        server.replies[b"LIST"] = b"+OK\r\n" + lists + b".\r\n"
        server.replies[b"UIDL"] = b"+OK\r\n" + uidls + b".\r\n"
        with capture_logs() as logs:
            assert (await home.poll(server)).new == 9
            assert (await home.poll(server)).octets == 0
        assert len([log for log in logs if "disagree" in str(log.get("notice"))]) == 1
        server.replies.clear()
        server.items += maildrop(1, b"u", 11)
        assert (await home.poll(server)).new == 2
        await home.check(server)


@pytest.mark.parametrize("command", [b"LIST", b"UIDL"])
@pytest.mark.parametrize("pipelining", [True, False])
async def test_P031_ERR_in_the_middle_of_a_listing(
    home: Home, command: bytes, pipelining: bool
) -> None:
    async with Pop3Server(maildrop(5), pipelining=pipelining) as server:
        await home.poll(server)
        known = await home.store.read(lambda tx: tx.maildrop(tx.accounts()[0].id))
        server.items += maildrop(2, b"v", 11)
        server.replies[command] = b"+OK\r\n1 u1\r\n-ERR [SYS/TEMP] disk\r\n.\r\n"
        report = await home.poll(server)
        assert (report.new, report.error_class) == (0, "protocol")
        assert not server.ledger.sessions[-1].quit
        assert await home.store.read(lambda tx: tx.maildrop(tx.accounts()[0].id)) == known
        server.replies.clear()
        assert (await home.poll(server)).new == 2
        await home.check(server)


async def test_P032_a_listing_and_then_silence(home: Home) -> None:
    async with Pop3Server(maildrop(5)) as server:
        await home.poll(server)
        known = await home.store.read(lambda tx: tx.maildrop(tx.accounts()[0].id))
        server.items += maildrop(1, b"v", 11)
        server.replies[b"UIDL"] = b"+OK\r\n1 u1\r\n2 u2\r\n"
        with short_silence():
            report = await home.poll(server)
        assert report.error_class == "connect"
        assert "fell silent" in report.error
        assert not server.ledger.sessions[-1].quit
        assert await home.store.read(lambda tx: tx.maildrop(tx.accounts()[0].id)) == known
        server.replies.clear()
        assert (await home.poll(server)).new == 1
        await home.check(server)


@pytest.mark.parametrize("mark", [b"\n.\n", b"\r\n.\r"])
async def test_P033_a_listing_that_ends_otherwise(home: Home, mark: bytes) -> None:
    """CRLF . CR is taken for the end after a short wait, .LF is not: the poll ends in time."""
    async with Pop3Server(maildrop(2), pipelining=False) as server:
        server.replies[b"UIDL"] = b"+OK\r\n1 u1\r\n2 u2" + mark
        with short_silence():
            async with asyncio.timeout(5):
                report = await home.poll(server)
        assert (report.new, bool(report.error)) == ((2, False) if mark[-1:] == b"\r" else (0, True))
        server.replies.clear()
        assert (await home.poll(server)).error == ""
        await home.check(server)
