"""UIDLs that change, are shared, reused, blank, too long, or not there: content is the identity."""

from __future__ import annotations

import hashlib
import itertools
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from bridge import limits
from bridge.model import Flag, ListedItem
from bridge.store.api import WriteTx
from bridge.sync.plan import KEEP_LISTINGS
from tests.pcases.home import ADDRESS, DAY, Home, files, mail, maildrop
from tests.support.memory import forget_peak, peak
from tests.support.pop3_server import Item, Pop3Server

# --- resets -----------------------------------------------------------------------------------


@pytest.mark.parametrize("top", [True, False])
async def test_P001_every_UIDL_changed(home: Home, top: bool) -> None:
    async with Pop3Server(maildrop(120), top=top) as server:
        await home.poll(server)
        inbox = await home.account()
        await home.store.write(
            lambda tx: tx.store_flags(
                tx.mailbox(inbox.login_id, "INBOX").id, ((7, 90),), "add", Flag.SEEN
            )
        )
        before = await home.look()
        server.items = maildrop(120, b"migrated-")
        with capture_logs() as logs:
            reports = [await home.poll(server) for _ in range(4)]
        assert [(r.new, r.relinked) for r in reports] == [(0, 120), (0, 0), (0, 0), (0, 0)]
        assert await home.look() == before  # UIDs, flags, bytes
        warnings = [log for log in logs if log["log_level"] == "warning"]
        assert [log["event"] for log in warnings] == ["listing looks wrong"]
        again = server.ledger.retrieved.total() - 120
        assert again == 0 if top else 0 < again <= 120  # at most one full pass
        assert "120 messages" in (await home.state()).notice
        await home.check(server)


async def test_P002_three_new_messages_in_a_reset(home: Home) -> None:
    async with Pop3Server(maildrop(100)) as server:
        await home.poll(server)
        server.items = maildrop(103, b"reset-")
        report = await home.poll(server)
        assert (report.new, report.relinked) == (3, 100)
        assert server.ledger.retrieved.total() == 103
        assert len(await home.check(server)) == 103


async def test_P003_a_reset_that_adds_a_header_to_each_message(home: Home) -> None:
    async with Pop3Server(maildrop(50)) as server:
        await home.poll(server)
        before = await home.look()
        moved = {
            b"Received: from old by new; %d\r\nX-Moved: yes\r\n" % n + mail(n): mail(n)
            for n in range(1, 51)
        }
        server.items = [Item(b"new%d" % n, octets) for n, octets in enumerate(moved, 1)]
        report = await home.poll(server)
        assert (report.new, report.relinked) == (0, 50)
        assert (await home.poll(server)).octets == 0
        assert await home.look() == before  # the copy that was stored first is kept
        await home.check(server, same=moved)


async def test_P004_half_of_the_UIDLs_changed(home: Home) -> None:
    async with Pop3Server(maildrop(60)) as server:
        await home.poll(server)
        server.items = maildrop(60)[:30] + maildrop(60, b"merged-")[30:]
        report = await home.poll(server)
        assert (report.new, report.relinked) == (0, 30)
        assert server.ledger.retrieved.total() == 60
        await home.check(server)


async def test_P005_UIDLs_that_flip_back(home: Home) -> None:
    async with Pop3Server(maildrop(50)) as server:
        for prefix in (b"u", b"a", b"u", b"a", b"u"):
            server.items = maildrop(50, prefix)
            await home.poll(server)
            assert (await home.poll(server)).relinked == 0
        assert server.ledger.retrieved.total() == 50
        await home.check(server)


# --- shared and reused ------------------------------------------------------------------------


async def test_P006_two_messages_under_one_UIDL(home: Home) -> None:
    items = [Item(b"same", mail(1)), Item(b"same", mail(2)), *maildrop(2, b"v", 3)]
    async with Pop3Server(items) as server:
        with capture_logs() as logs:
            assert (await home.poll(server)).new == 4
            for _ in range(3):
                assert (await home.poll(server)).octets == 0
        told = [log for log in logs if "share" in str(log.get("notice"))]
        assert len(told) == 1
        await home.check(server)
        server.items.append(Item(b"same", mail(9)))
        assert (await home.poll(server)).new == 1
        await home.check(server)


@pytest.mark.parametrize("uidls", [(b"same", b"same"), (b"a", b"b")])
async def test_P007_identical_bytes(home: Home, uidls: tuple[bytes, bytes]) -> None:
    async with Pop3Server([(uidl, mail(1)) for uidl in uidls]) as server:
        assert (await home.poll(server)).new == 1
        for _ in range(2):
            await home.poll(server)
        before = server.ledger.retrieved.total()
        for _ in range(10):
            report = await home.poll(server)
            assert (report.new, report.relinked, report.failed, report.error) == (0, 0, 0, "")
        assert server.ledger.retrieved.total() == before
        items = await home.store.read(lambda tx: tx.maildrop((tx.accounts()[0]).id))
        assert {item.uidl for item in items} == set(uidls)
        await home.check(server)


@pytest.mark.parametrize("gap", [True, False])
async def test_P008_a_UIDL_that_is_reused(home: Home, gap: bool) -> None:
    """With a poll between, even an equal size does not hide the new message."""
    async with Pop3Server([(b"keep", mail(1)), (b"reused", mail(2))]) as server:
        await home.poll(server)
        gone = server.items.pop()
        if gap:
            await home.poll(server)
        other = (b"<2@", b"<7@"), (b"body of 2", b"body of 7")
        fresh = mail(2).replace(*other[0]).replace(*other[1]) if gap else mail(3)
        assert (len(fresh) == len(gone.octets)) == gap
        server.items.append(Item(b"reused", fresh))
        assert (await home.poll(server)).new == 1
        assert (await home.poll(server)).octets == 0
        assert len(await home.check(server)) == 3


@pytest.mark.parametrize("top", [True, False])
async def test_P009_UIDLs_that_are_numbers_from_day_to_day(home: Home, top: bool) -> None:
    """UIDL 1 is whatever is oldest today: each goes to another message every day. Alerts are all
    of one size: nothing but the headers tells that today's last one is new."""

    def alert(number: int) -> bytes:
        return mail(10_000 + 61 * number)

    assert len({len(alert(number)) for number in range(60)}) == 1
    mails = [mail(n) for n in range(1, 13)] + [alert(n) for n in range(30)]
    async with Pop3Server(top=top) as server:
        for day in range(30):
            today = mails[day : day + 12]
            server.items = [Item(b"%d" % n, octets) for n, octets in enumerate(today, 1)]
            for _ in range(4):
                report = await home.poll(server)
                assert report.error == ""
                home.clock.now += DAY / 4
        await home.check(server)


# --- blank, odd, none -------------------------------------------------------------------------


async def test_P010_an_empty_UIDL(home: Home) -> None:
    items = [*maildrop(9)]
    items[6] = Item(b"", mail(7))  # "7 \r\n"
    async with Pop3Server(items) as server:
        assert (await home.poll(server)).new == 9
        for _ in range(3):
            report = await home.poll(server)
            assert (report.new, report.relinked, report.octets) == (0, 0, 0)
        assert await home.check(server) == [mail(n) for n in range(1, 10)]


async def test_P011_a_line_of_the_UIDL_listing_is_missing(home: Home) -> None:
    items = [*maildrop(9)]
    items[3] = Item(None, mail(4))
    async with Pop3Server(items) as server:
        assert (await home.poll(server)).new == 9
        assert (await home.poll(server)).octets == 0
        server.items = maildrop(9)  # the race is over
        assert (await home.poll(server)).new == 0
        assert server.ledger.retrieved.total() == 9
        known = await home.store.read(lambda tx: tx.maildrop(tx.accounts()[0].id))
        sizes = {item.uidl: item.size for item in known if item.uidl is not None}
        assert sizes == {b"u%d" % n: len(mail(n)) for n in range(1, 10)}
        await home.check(server)


async def test_P012_long_UIDLs(home: Home) -> None:
    lengths = (71, 128, 129, 500, limits.POP3_UIDL, limits.POP3_UIDL + 1, 5000, 5000)
    items = [Item(b"%d" % n + b"u" * (length - 1), mail(n)) for n, length in enumerate(lengths, 1)]
    async with Pop3Server(items) as server:
        with capture_logs() as logs:
            assert (await home.poll(server)).new == len(lengths)
            assert (await home.poll(server)).octets == 0
        assert any("3 UIDLs are longer" in str(log.get("notice")) for log in logs)
        known = await home.store.read(lambda tx: tx.maildrop(tx.accounts()[0].id))
        kept = {item.uidl for item in known}
        assert {item.uidl for item in items[:5]} < kept
        assert all(len(uidl) <= limits.POP3_UIDL for uidl in kept if uidl is not None)
        await home.check(server)


async def test_P013_UIDLs_of_any_octets(home: Home, tmp_path: Path) -> None:
    odd = [
        b"a b\tc", b'"quoted"', b"../../etc/passwd", b"nul\0nul", bytes(range(0x80, 0x100)),
        b"%s%n%x%d{}{0}", b"'; DROP TABLE entry; --", b"\x1b[2J\x07", b"<script>alert(1)</script>",
    ]  # fmt: skip
    items = [Item(uidl, mail(n), error=b"corrupt") for n, uidl in enumerate(odd, 1)]
    async with Pop3Server(items) as server:
        with capture_logs() as logs:
            await home.poll(server)
        told = {log["uidl"] for log in logs if log["event"] == "message not fetched"}
        assert told == set(odd)  # as octets: the log makes them printable (tests/test_logs.py)
        for _ in range(3):  # and in a note, where nothing moves a terminal or a browser
            home.clock.now += DAY
            await home.poll(server)
        notes = await home.notes()
        assert len(notes) == len(odd)
        assert not any(octet in note for note in notes for octet in b"\0\x1b\x07\xff")
        server.items = [Item(uidl, mail(n)) for n, uidl in enumerate(odd, 1)]
        home.clock.now += DAY
        assert (await home.poll(server)).new == len(odd)
        assert (await home.poll(server)).octets == 0
        await home.restart()
        assert (await home.poll(server)).octets == 0
        await home.check(server)
    assert files(tmp_path) <= {"popbridge.sqlite", "lock", "data"}


@pytest.mark.parametrize(
    "reply",
    [b"+OK\r\n1   u1\r\n2 u2   \r\n", b"+ok\r\n1 u1\r\n2\tu2\r\n", b"+OK listing\n1 u1 \n2 u2\n"],
)
async def test_P014_spaces_and_small_letters(home: Home, reply: bytes) -> None:
    end = b"\r\n.\r\n" if reply.endswith(b"\n") and not reply.endswith(b"\r\n") else b".\r\n"
    async with Pop3Server(maildrop(2)) as server:
        await home.poll(server)
        server.replies[b"UIDL"] = reply + end
        report = await home.poll(server)
        assert (report.listed, report.new, report.relinked, report.octets) == (2, 0, 0, 0)
        await home.check(server)


@pytest.mark.parametrize("top", [True, False])
async def test_P015_a_server_without_UIDL(
    home: Home, monkeypatch: pytest.MonkeyPatch, top: bool
) -> None:
    """Known by content; where not even TOP helps, so much is fetched again and no more."""
    monkeypatch.setattr(limits, "NAMELESS_OCTETS", 10_000)
    items = [Item(None, mail(n, size=1_000)) for n in range(1, 41)]
    async with Pop3Server(items, uidl=False, top=top) as server:
        await home.poll(server)
        assert "gives no ids" in (await home.state()).notice
        for _ in range(6):
            before = server.ledger.sent
            report = await home.poll(server)
            assert (report.new, report.relinked, report.failed) == (0, 0, 0)
            assert report.octets <= (0 if top else 11_000)
            assert server.ledger.sent - before < 25_000
            home.clock.now += 900
        # What is new is had at once: its size is not that of anything known.
        server.items = [*items[5:], Item(None, mail(77, size=2_000))]
        assert (await home.poll(server)).new == 1
        # And what looks like something known comes within a round.
        server.items.append(Item(None, mail(77, size=2_000).replace(b"body", b"BODY")))
        for _ in range(12):
            home.clock.now += 900
            await home.poll(server)
        assert server.ledger.count(b"DELE") == 0
        assert len(await home.check(server)) == 42


async def test_P016_UIDL_is_announced_and_refused(home: Home) -> None:
    async with Pop3Server(maildrop(25), replies={b"UIDL": b"-ERR not today\r\n"}) as server:
        assert (await home.poll(server)).new == 25
        assert (await home.poll(server)).octets == 0
        server.replies.clear()  # the server was repaired
        assert (await home.poll(server)).new == 0
        assert (await home.poll(server)).octets == 0
        await home.check(server)


async def test_P017_UIDL_of_one_message_is_never_asked_for(home: Home) -> None:
    """Servers answer it without the number, or with many lines: only the listing is asked for."""
    singles: dict[bytes, bytes] = {
        b"UIDL %d" % n: reply
        for n, reply in zip(range(1, 6), itertools.cycle([b"+OK u\r\n", b"+OK\r\n1 u\r\n.\r\n"]))
    }
    async with Pop3Server(maildrop(5)) as server:
        server.replies.update(singles)
        assert (await home.poll(server)).new == 5
        server.items = maildrop(6, b"x")
        assert (await home.poll(server)).new == 1
        asked = [line for line in server.ledger.commands if line.upper().startswith(b"UIDL")]
        assert asked == [b"UIDL", b"UIDL"]
        await home.check(server)


async def test_P018_numbers_that_make_no_sense(home: Home) -> None:
    lines = b"3 u3,1 u1,0 u0,-2 u2,1 again,4294967296 z,99 u99,2 u2"
    odd = b"+OK\r\n" + lines.replace(b",", b"\r\n") + b"\r\n.\r\n"
    async with Pop3Server(maildrop(3)) as server:
        await home.poll(server)
        server.replies[b"UIDL"] = odd
        with capture_logs() as logs:
            for _ in range(3):
                report = await home.poll(server)
                assert (report.listed, report.new, report.failed) == (3, 0, 0)
        assert b"RETR 99" not in server.ledger.commands
        assert any("4 lines of UIDL make no sense" in str(log.get("notice")) for log in logs)
        server.replies.clear()
        assert (await home.poll(server)).new == 0
        await home.check(server)


async def test_P019_numbers_that_shift(home: Home) -> None:
    async with Pop3Server(maildrop(8)) as server:
        await home.poll(server)
        for _ in range(4):  # another client deletes message 1
            server.items.pop(0)
            report = await home.poll(server)
            assert (report.new, report.relinked, report.octets) == (0, 0, 0)
        server.items.append(Item(b"u9", mail(9)))
        assert (await home.poll(server)).new == 1
        assert server.ledger.count(b"RETR") == 9
        await home.check(server)


async def test_P020_a_message_that_comes_between_LIST_and_UIDL(home: Home) -> None:
    async with Pop3Server(maildrop(3)) as server:
        server.replies[b"UIDL"] = b"+OK\r\n1 u1\r\n2 u2\r\n3 u3\r\n4 u4\r\n.\r\n"
        assert (await home.poll(server)).listed == 3
        server.replies.clear()
        server.items.append(Item(b"u4", mail(4)))
        assert (await home.poll(server)).new == 1
        assert await home.check(server) == [mail(n) for n in range(1, 5)]


def listing(lines: Iterable[bytes]) -> bytes:
    return b"+OK\r\n" + b"".join(line + b"\r\n" for line in lines) + b".\r\n"


async def test_P021_a_hundred_thousand_items(home: Home) -> None:
    """Nothing new: one listing, no query an item, bounded memory. Time is the processor's."""
    count = 100_000
    await home.account()
    async with Pop3Server(maildrop(1)) as server:
        await home.poll(server)
        server.replies[b"LIST"] = listing(b"%d %d" % (n, len(mail(1))) for n in range(1, count + 1))
        server.replies[b"UIDL"] = listing(b"%d u%d" % (n, n) for n in range(1, count + 1))

        def known(tx: WriteTx) -> None:
            account = tx.accounts()[0].id
            for number in range(2, count + 1):
                line = ListedItem(number, b"u%d" % number, len(mail(1)))
                digest = hashlib.sha256(b"%d" % number).digest()
                tx.settle_item(account, line, digest, digest[:16], 0)

        await home.store.write(known)
        await home.poll(server)  # marks what it saw
        resident, started = forget_peak(), time.process_time()
        report = await home.poll(server)
        taken, grown = time.process_time() - started, peak() - resident
        assert (report.listed, report.new, report.octets, report.error) == (count, 0, 0, "")
        assert taken < 2.0
        assert grown < 64 * 1024 * 1024
        await home.check(server)


async def test_P022_a_UIDL_listing_that_never_ends(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "POP3_LISTING_ITEMS", 50_000)

    def endless() -> Iterator[bytes]:
        yield b"+OK\r\n"
        for n in itertools.count(1):
            yield b"%d u%d\r\n" % (n, n)

    async with Pop3Server(maildrop(2)) as server, Pop3Server(maildrop(4, b"v", 10)) as other:
        await home.schedule(server)
        await home.schedule(other, "other@example.org")
        await home.clock.run(10)
        server.streams[b"UIDL"] = endless
        other.items += maildrop(1, b"v", 14)
        await home.clock.run(4 * 900)
        failed = [report for report in home.reports if report.address == ADDRESS and report.error]
        assert {report.error_class for report in failed} == {"limit"}
        assert len(failed) < 4  # it backs off
        server.streams.clear()
        await home.clock.run(8 * 3600)
        await home.check(server)
        await home.check(other, mailbox="Mail/other@example.org")


async def test_P023_suddenly_empty_and_back(home: Home) -> None:
    async with Pop3Server(maildrop(200)) as server:
        await home.poll(server)
        items, server.items = server.items, []
        with capture_logs() as logs:
            for _ in range(KEEP_LISTINGS + 5):
                assert (await home.poll(server)).error == ""
                told = (await home.state()).notice
                assert ("suddenly lists no messages" in told) == (home.clock.now < 7 * DAY)
                home.clock.now += 89 * DAY / (KEEP_LISTINGS + 5)
        assert len([log for log in logs if log["log_level"] == "warning"]) == 1
        await home.check(server)
        server.items = items
        for _ in range(10):
            assert (await home.poll(server)).new == 0
        assert server.ledger.retrieved.total() == 200
        await home.check(server)


async def test_P024_UIDLs_that_differ_in_case_only(home: Home) -> None:
    async with Pop3Server([(b"AbC", mail(1)), (b"abc", mail(2)), (b"ABC", mail(3))]) as server:
        assert (await home.poll(server)).new == 3
        assert (await home.poll(server)).octets == 0
        server.items.pop(0)
        server.items.append(Item(b"aBC", mail(4)))
        assert (await home.poll(server)).new == 1
        await home.check(server)


async def test_P025_Message_IDs_as_UIDLs_and_spam_has_none(home: Home) -> None:
    spam = [b"From: spam@example.net\r\nSubject: %d\r\n\r\nbuy %d\r\n" % (n, n) for n in range(5)]
    async with Pop3Server(
        maildrop(30) + [Item(b"s%d" % n, o) for n, o in enumerate(spam)]
    ) as server:
        await home.poll(server)
        server.items = [Item(b"<%d@example.org>" % n, mail(n)) for n in range(1, 31)]
        server.items += [Item(b"", octets) for octets in spam]
        for _ in range(3):
            assert (await home.poll(server)).new == 0
        server.items.append(Item(b"", b"From: spam@example.net\r\n\r\nmore\r\n"))
        assert (await home.poll(server)).new == 1
        await home.check(server)
