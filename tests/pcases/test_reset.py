"""A UIDL reset of 5,000 messages, as a migration makes it: what it costs, printed with -s.

with TOP       no body is fetched again: headers tell
without TOP    a sample, and the few messages whose sizes others have too
"""

from __future__ import annotations

import pytest

from bridge.model import Flag
from tests.pcases.home import Home, Shown, mail
from tests.support import figures
from tests.support.pop3_server import Item, Pop3Server

COUNT = 5000


def items() -> list[Item]:
    """Most sizes are nobody else's; one message in a hundred shares its own."""
    made = []
    for number in range(1, COUNT + 1):
        size = 500 + number - (number % 200 == 99)
        pad = size - len(mail(number, extra=b"X-Pad: \r\n"))
        made.append(Item(b"u%d" % number, mail(number, extra=b"X-Pad: %s\r\n" % (b"p" * pad))))
    return made


@pytest.mark.parametrize("top", ["works", "is refused", "fails for one in fifty"])
async def test_a_reset_of_5000_UIDLs(home: Home, top: str) -> None:
    async with Pop3Server(items(), top=top != "is refused") as server:
        account = await home.account()
        await home.poll(server)
        await home.store.write(
            lambda tx: tx.store_flags(
                tx.mailbox(account.login_id, "INBOX").id, ((7, 4000),), "add", Flag.SEEN
            )
        )
        before: list[Shown] = await home.look()
        assert len(before) == COUNT
        server.items = [
            Item(b"migrated-%d" % n, item.octets) for n, item in enumerate(server.items, 1)
        ]
        if top == "fails for one in fifty":
            server.replies.update(
                {b"TOP %d 0" % n: b"-ERR no header\r\n" for n in range(1, COUNT, 50)}
            )
        server.ledger.retrieved.clear()
        server.ledger.topped.clear()
        reports = [await home.poll(server) for _ in range(3)]
        assert [report.error for report in reports] == ["", "", ""]
        after = await home.look()
        bodies = server.ledger.retrieved.total()
        doubled = len(after) - len({each.octets for each in after})
        changed = sum(one != other for one, other in zip(before, after, strict=True))
        assert (doubled, changed) == (0, 0)
        assert sum(report.new for report in reports) == 0
        assert bodies < COUNT * 3 / 100
        assert bodies == 0 or top != "works"
        assert f"{COUNT} messages" in (await home.state()).notice
        await home.check(server)
        figures.note(
            f"every UIDL changed, TOP {top}",
            tried=COUNT,
            lost=0,  # `check` compares every message that was offered
            doubled=doubled,
            bodies_fetched=bodies,
            octets=sum(report.octets for report in reports),
        )


@pytest.mark.parametrize("what", ["one came and one went", "one was replaced", "one is cut"])
async def test_a_reset_that_is_more_than_a_reset(home: Home, what: str) -> None:
    """Where anything else is new, sizes settle nothing, and no message is missed."""
    async with Pop3Server(
        [Item(b"u%d" % n, mail(n, extra=b"X: %s\r\n" % (b"p" * n * 3))) for n in range(1, 101)],
        top=False,
    ) as server:
        await home.poll(server)
        items = [Item(b"x%d" % n, item.octets) for n, item in enumerate(server.items, 1)]
        last = items[-1].octets
        match what:
            case "one came and one went":
                items = [*items[1:], Item(b"new", mail(200, size=9_000))]
            case "one was replaced":  # by another of the very same size
                fresh = last.replace(b"<100@", b"<900@").replace(b"body of 100", b"body of 900")
                assert len(fresh) == len(last)
                items[-1] = Item(b"new", fresh)
            case _:
                items[50] = Item(b"x51", items[50].octets, error=b"corrupt")
        server.items = items
        for _ in range(3):
            report = await home.poll(server)
            assert report.error == ""
            home.clock.now += 900
        assert report.octets == 0
        await home.check(server)
