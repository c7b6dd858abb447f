"""Identity by headers and size: UIDL resets cost headers, never bodies, and never a message.

After each history `settled` holds what the server served against what is stored: every message of
the maildrop is shown once, and nothing was deleted.
"""

from __future__ import annotations

import pytest

from bridge.model import KnownItem, ListedItem
from bridge.store.api import WriteTx
from bridge.sync.headers import Unspoken, header_fingerprint
from tests.support.pop3_server import Item, Pop3Server
from tests.sync.house import NOW, House, mail, maildrop, octets, retrieved


async def settled(house: House, server: Pop3Server, expected: list[bytes]) -> None:
    """The oracle: lost 0, duplicates 0, deletes 0."""
    shown = await house.shown()
    assert len(shown) == len(set(shown)), "a message is shown twice"
    assert sorted(shown) == sorted(expected), "a message is lost, or came from nowhere"
    assert server.ledger.count(b"DELE") == 0


async def flags(house: House) -> list[tuple[int, int]]:
    def look(tx: WriteTx) -> list[tuple[int, int]]:
        inbox = tx.mailbox(house.account.login_id, "INBOX")
        return [(state.uid, state.flags) for state in tx.entry_states(inbox.id)]

    return await house.store.write(look)


async def test_the_notice_of_a_reset_goes_after_a_week(house: House) -> None:
    async with Pop3Server(maildrop(40)) as server:
        await house.poll(server)
        server.items = maildrop(40, b"x")
        await house.poll(server)
        assert "40 messages" in (await house.state()).notice
        house.clock.now += 6 * 86_400
        await house.poll(server)
        assert "40 messages" in (await house.state()).notice
        house.clock.now += 2 * 86_400
        await house.poll(server)
        assert (await house.state()).notice == ""


async def test_status_fields_of_the_provider_do_not_hide_a_message() -> None:
    plain = header_fingerprint(mail(1))
    marked = mail(1).replace(b"Subject:", b"X-UIDL: 5\r\n  folded\r\nStatus: RO\r\nSubject:")
    assert plain == header_fingerprint(marked)
    assert plain != header_fingerprint(mail(2))
    assert plain is not None


@pytest.mark.parametrize("uidls", [False, True])
async def test_without_uidls_only_new_bodies_are_fetched(house: House, uidls: bool) -> None:
    """P015: UIDL is refused; P010 for all: it lists none."""
    server = Pop3Server(maildrop(40), uidl=uidls)
    async with server:
        if uidls:
            server.items = [Item(None, each.octets) for each in server.items]
        await house.poll(server)
        for _ in range(3):
            report = await house.poll(server)
            assert (report.new, report.relinked, report.octets) == (0, 0, 0)
        assert retrieved(server) == 40
        server.items = [Item(None, mail(n)) for n in range(6, 43)]  # numbers shift, two are new
        assert (await house.poll(server)).new == 2
        assert retrieved(server) == 42
        await settled(house, server, [mail(n) for n in range(1, 43)])
    assert "recognised by its content" in (await house.state()).notice


async def test_without_uidl_and_top_content_decides(house: House) -> None:
    async with Pop3Server(maildrop(25), uidl=False, top=False) as server:
        await house.poll(server)
        report = await house.poll(server)
        assert (report.new, report.relinked) == (0, 0)
        assert server.ledger.count(b"TOP") == 3  # and it is not asked on
        await settled(house, server, octets(server.items))


async def test_a_reset_without_top_is_one_pass(house: House) -> None:
    async with Pop3Server(maildrop(50), top=False) as server:
        await house.poll(server)
        server.items = maildrop(50, b"x")
        report = await house.poll(server)
        assert (report.new, report.relinked) == (0, 50)
        assert retrieved(server) == 100
        await settled(house, server, octets(server.items))


async def test_sizes_that_change_at_every_poll_end_in_no_loop(house: House) -> None:
    async with Pop3Server(maildrop(20)) as server:
        for poll in range(8):
            server.items = [
                Item(b"u%d" % n, mail(n), listed=b"%d" % (len(mail(n)) + 100 * poll + n))
                for n in range(1, 21)
            ]
            report = await house.poll(server)
            assert (report.new, report.failed) == (0 if poll else 20, 0)
        assert retrieved(server) == 20
        await settled(house, server, octets(server.items))


async def test_without_top_such_sizes_end_in_no_loop_either(house: House) -> None:
    async with Pop3Server(maildrop(20), top=False) as server:
        for poll in range(8):
            server.items = [
                Item(b"u%d" % n, mail(n), listed=b"%d" % (len(mail(n)) + 100 * poll + n))
                for n in range(1, 21)
            ]
            await house.poll(server)
        assert retrieved(server) == 40  # once more, and then sizes are not compared
        await settled(house, server, octets(server.items))


async def test_a_reused_uidl_is_seen_where_sizes_lie(house: House) -> None:
    async with Pop3Server(maildrop(20)) as server:
        for poll in range(4):
            server.items = [
                Item(b"u%d" % n, mail(n), listed=b"%d" % (1000 + 100 * poll + n))
                for n in range(1, 21)
            ]
            await house.poll(server)
        server.items[6] = Item(b"u7", mail(77), listed=b"9999")
        assert (await house.poll(server)).new == 1
        assert (await house.poll(server)).new == 0
        await settled(house, server, [mail(n) for n in (*range(1, 21), 77)])


async def test_a_pass_that_is_cut_goes_on_where_it_was(house: House) -> None:
    async with Pop3Server(maildrop(600)) as server:
        while (await house.poll(server)).new:
            pass
        server.items = maildrop(600, b"x")
        server.hang_up = {b"TOP 400 0"}
        report = await house.poll(server)
        assert report.error_class == "connect"
        server.hang_up = set()
        report = await house.poll(server)
        assert (report.error, report.relinked) == ("", 600 - 399)
        assert retrieved(server) == 600
        await settled(house, server, octets(server.items))


async def test_memory_outlives_a_restart(house: House) -> None:
    """A doubt (P052) and lying sizes (P029) are known after a restart."""
    items = [Item(b"a", mail(1)), Item(b"b", mail(2))]
    async with Pop3Server(items, pipelining=False) as server:
        server.items[0] = Item(b"a", mail(2), listed=b"%d" % len(mail(1)))
        assert (await house.poll(server)).new == 1
        await house.reopened()
        server.items[0] = items[0]
        assert (await house.poll(server)).new == 1
        assert (await house.poll(server)).octets == 0
        await settled(house, server, octets(items))


# --- values -----------------------------------------------------------------------------


def known(number: int, headers: bytes | None, *, uidl: bytes = b"u", size: int = 9) -> KnownItem:
    return KnownItem(number, uidl, size, b"d%d" % number, b"f", NOW, 1, headers)


def test_headers_of_two_deliveries_decide_nothing() -> None:
    line = ListedItem(1, b"new", 9)
    items = [known(1, b"h"), known(2, b"h")]
    assert Unspoken([line], items, ()).take(line, b"h") is None
    assert Unspoken([line], items[:1], ()).take(line, b"h") == items[0]


def test_an_item_is_taken_once() -> None:
    lines = [ListedItem(1, b"x", 9), ListedItem(2, b"y", 9)]
    unspoken = Unspoken(lines, [known(1, b"h")], ())
    assert unspoken.take(lines[0], b"h")
    assert unspoken.take(lines[1], b"h") is None


def test_what_speaks_or_is_in_doubt_or_proves_nothing_is_not_asked_for() -> None:
    line = ListedItem(1, b"u", 9)
    assert Unspoken([line], [known(1, b"h")], ()).may_be(line)
    assert not Unspoken([line], [known(1, b"h")], {1}).may_be(line)
    assert not Unspoken([line], [known(1, b"h")], (), {1}).may_be(line)
    assert not Unspoken([line], [known(1, None)], ()).may_be(line)
    moved = ListedItem(1, b"new", 9)
    assert Unspoken([moved], [known(1, b"h")], ()).may_be(moved)
    assert not Unspoken([moved], [known(1, b"h")], (), {1}).may_be(moved)


@pytest.mark.parametrize("block", [b"", b"From: a@b\r\n\r\n", b"Subject: x\r\nDate: today\r\n"])
def test_a_header_without_a_name_of_its_own_proves_nothing(block: bytes) -> None:
    assert header_fingerprint(block) is None


# --- servers that hang up on TOP ------------------------------------------------------------


async def test_a_server_that_hangs_up_on_TOP_costs_bodies_and_two_polls_never_a_loop(
    house: House,
) -> None:
    async with Pop3Server(maildrop(60)) as server:
        await house.poll(server)
        server.items = maildrop(60, b"new")
        server.hang_up = {b"TOP"}
        for _ in range(2):
            assert (await house.poll(server)).error_class == "connect"
        assert server.ledger.count(b"TOP") == 2
        await house.reopened()
        report = await house.poll(server)
        assert (report.error, report.new, report.relinked) == ("", 0, 60)
        assert server.ledger.count(b"TOP") == 2
        assert "TOP" in (await house.state()).notice
        await settled(house, server, octets(server.items))

        # A week later it is asked again, and one break is enough.
        house.clock.now += 8 * 86_400
        server.items = maildrop(60, b"newer")
        assert (await house.poll(server)).error_class == "connect"
        assert server.ledger.count(b"TOP") == 3
        assert (await house.poll(server)).relinked == 60
        assert server.ledger.count(b"TOP") == 3
        await settled(house, server, octets(server.items))


async def test_one_header_that_breaks_the_session_does_not_lose_the_others(house: House) -> None:
    async with Pop3Server(maildrop(60)) as server:
        await house.poll(server)
        server.items = maildrop(60, b"new")
        server.hang_up = {b"TOP 40 0"}
        reports = [await house.poll(server) for _ in range(4)]
        assert [report.error_class for report in reports] == ["connect"] * 3 + [""]
        assert reports[0].relinked == 39  # what had come is kept
        assert sum(report.relinked for report in reports) == 60
        assert retrieved(server) == 60 + 21
        await settled(house, server, octets(server.items))


async def test_a_poisoned_message_whose_TOP_hangs_up_is_still_asked_for(house: House) -> None:
    items = maildrop(5)
    async with Pop3Server(items) as server:
        server.items[2] = Item(b"u3", mail(3), error=b"[SYS/TEMP] broken")
        await house.poll(server)
        server.items[2] = items[2]
        server.hang_up = {b"TOP"}
        for _ in range(3):
            house.clock.now += 86_400
            await house.poll(server)
        await settled(house, server, octets(maildrop(5)))
