"""A session after its login: listing, retrieving, deleting, leaving.

Long because it is a dialogue a test; what a whole poll makes of it is in tests/pcases.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections import deque
from typing import Any

import pytest

from bridge import limits
from bridge.model import ListedItem
from bridge.pop3.client import Pop3Error
from tests.pop3.harness import AdvancingClock, MemorySink, open_session, session, take
from tests.support.pop3_server import Item, Pop3Server, stuff


def mail(number: int, size: int = 200) -> bytes:
    header = b"Subject: number %d\r\n\r\n" % number
    return header + b"x" * (size - len(header) - 2) + b"\r\n"


def drop(count: int, size: int = 200) -> list[Item]:
    """Messages whose sizes differ, so that a mixed-up reply shows."""
    return [Item(b"u%d" % n, mail(n, size + n)) for n in range(1, count + 1)]


def octets(items: list[Item]) -> dict[int, bytes]:
    return {number: item.octets for number, item in enumerate(items, 1)}


# --- listing ------------------------------------------------------------------------------


@pytest.mark.parametrize("pipelining", [True, False])
async def test_the_listing_is_UIDL_and_LIST_by_number(pipelining: bool) -> None:
    async with (
        Pop3Server(drop(3), pipelining=pipelining) as server,
        session(server) as opened,
    ):
        assert await opened.listing() == [
            ListedItem(1, b"u1", 201),
            ListedItem(2, b"u2", 202),
            ListedItem(3, b"u3", 203),
        ]
        assert opened.notices == []


async def test_an_empty_maildrop() -> None:
    async with Pop3Server() as server, session(server) as opened:
        assert await opened.listing() == []
        assert (await take(opened, [])).order == []
        await opened.quit()


@pytest.mark.parametrize("announced", [True, False])
async def test_without_UIDL_no_item_has_one(announced: bool) -> None:
    extra = [b"UIDL"] if announced else []
    async with (
        Pop3Server(drop(2), uidl=False, extra_capabilities=extra) as server,
        session(server) as opened,
    ):
        assert [item.uidl for item in await opened.listing()] == [None, None]
        assert "UIDL was refused" in opened.notices[0]
        assert (await take(opened)).octets == octets(server.items)


async def test_without_LIST_the_sizes_are_not_known() -> None:
    async with (
        Pop3Server(drop(2), replies={b"LIST": b"-ERR no\r\n"}) as server,
        session(server) as opened,
    ):
        assert await opened.listing() == [
            ListedItem(1, b"u1", None),
            ListedItem(2, b"u2", None),
        ]
        assert (await take(opened)).octets == octets(server.items)


async def test_without_both_there_is_no_listing() -> None:
    no = b"-ERR [SYS/TEMP] no\r\n"
    async with (
        Pop3Server(drop(2), replies={b"LIST": no, b"UIDL": no}) as server,
        session(server) as opened,
    ):
        with pytest.raises(Pop3Error) as raised:
            await opened.listing()
        assert raised.value.kind == "temporary"


async def test_what_makes_no_sense_is_told() -> None:
    listing = b"+OK\r\n1 a\r\n0 b\r\n1 c\r\n3 d\r\n.\r\n"
    async with (
        Pop3Server(drop(2), replies={b"UIDL": listing}) as server,
        session(server) as opened,
    ):
        assert [item.uidl for item in await opened.listing()] == [None, None]
        assert "2 lines of UIDL make no sense" in opened.notices
        assert any("disagree" in notice for notice in opened.notices)


@pytest.mark.parametrize(
    ("listing", "kind"),
    [
        pytest.param(b"+OK\r\n1 a\r\n-ERR [SYS/TEMP] disk\r\n.\r\n", "protocol", id="P031"),
        pytest.param(b"+OK\r\n1 a\r\n", "connect", id="P032 silence"),
        pytest.param(b"+OK\r\n1 a\n.\n", "connect", id="P033 .LF"),
        pytest.param(b"+OK\r\n" + b"1 a\r\n" * 2000, "limit", id="P022 without end"),
        pytest.param(b"+OK\r\n1 " + b"a" * 9000, "limit", id="a line without end"),
    ],
)
async def test_a_listing_that_is_not_whole_is_an_error(
    monkeypatch: pytest.MonkeyPatch, listing: bytes, kind: str
) -> None:
    monkeypatch.setattr(limits, "POP3_REPLY_SECONDS", 0.1)
    monkeypatch.setattr(limits, "POP3_LISTING_ITEMS", 1000)
    async with Pop3Server(drop(1), replies={b"UIDL": listing}) as server:
        async with session(server) as opened:
            with pytest.raises(Pop3Error) as raised:
                await opened.listing()
        await server.idle()
        assert raised.value.kind == kind
        assert raised.value.fatal
        assert not server.ledger.sessions[0].quit


async def test_a_listing_ended_by_CR_only_is_accepted_after_a_short_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "POP3_END_MARK_SECONDS", 0.05)
    async with (
        Pop3Server(drop(1), replies={b"UIDL": b"+OK\r\n1 a\r\n.\r"}) as server,
        session(server) as opened,
    ):
        assert await opened.listing() == [ListedItem(1, b"a", 201)]


async def test_a_hundred_thousand_items() -> None:
    count = 100_000
    uidls = b"".join(b"%d %064x\r\n" % (n, n) for n in range(1, count + 1))
    sizes = b"".join(b"%d 2000\r\n" % n for n in range(1, count + 1))
    replies: dict[bytes, bytes | deque[bytes]] = {
        b"UIDL": b"+OK\r\n" + uidls + b".\r\n",
        b"LIST": b"+OK\r\n" + sizes + b".\r\n",
    }
    async with Pop3Server(replies=replies) as server, session(server) as opened:
        items = await opened.listing()
    assert len(items) == count
    assert items[-1] == ListedItem(count, b"%064x" % count, 2000)


# --- retrieving ---------------------------------------------------------------------------


@pytest.mark.parametrize("security", ["none", "starttls", "tls"])
@pytest.mark.parametrize("pipelining", [True, False])
async def test_every_message_comes_in_order_and_as_it_is(security: Any, pipelining: bool) -> None:
    items = drop(50)
    items[7] = Item(b"dots", b".\r\n..\r\n.x\r\n\n.\n\0\xff\r\r\n")
    items[8] = Item(b"empty", b"")
    async with (
        Pop3Server(items, security=security, pipelining=pipelining) as server,
        session(server) as opened,
    ):
        taken = await take(opened)
        assert taken.error is None
        assert taken.order == list(range(1, 51))
        assert taken.octets == octets(items)
        await opened.quit()
        await server.idle()
        assert (server.ledger.sessions[0].most_outstanding > 1) == pipelining
        assert server.ledger.sessions[0].quit
        assert server.ledger.deleted == []


@pytest.mark.parametrize("segment", [1, 2, 3, 7])
async def test_replies_in_tiny_segments(segment: int) -> None:
    items = [Item(b"a", b".a\r\n..b\r\n\r\n"), Item(b"b", b"x\r\n"), Item(b"c", b"")]
    async with Pop3Server(items, segment=segment) as server, session(server) as opened:
        assert (await take(opened)).octets == octets(items)


async def test_pipelining_False_keeps_to_one_command_at_a_time() -> None:
    async with Pop3Server(drop(20)) as server:
        async with session(server, pipelining=False) as opened:
            assert (await take(opened)).octets == octets(server.items)
        assert server.ledger.sessions[0].most_outstanding == 1
        assert server.ledger.count(b"CAPA") == 1


async def test_RFC_2449_5_pipelining_that_is_announced_after_the_login_is_used() -> None:
    late = deque([b"+OK\r\nUSER\r\n.\r\n"])
    async with Pop3Server(drop(20), replies={b"CAPA": late}) as server, session(server) as opened:
        assert not opened.capabilities.pipelining
        assert (await take(opened)).octets == octets(server.items)
        assert server.ledger.count(b"CAPA") == 2
        assert server.ledger.sessions[0].most_outstanding > 1


async def test_the_window_holds_so_many_commands_and_octets_and_no_more() -> None:
    for size, expected in ((100, limits.POP3_WINDOW_COMMANDS), (1024 * 1024, 8)):
        items = [ListedItem(n, b"u%d" % n, size) for n in range(1, 1_201)]
        first = asyncio.Event()
        async with (
            Pop3Server(drop(1_200), holds={b"RETR 1": first}) as server,
            session(server) as opened,
        ):
            taking = asyncio.create_task(take(opened, items))
            await server.seen(b"RETR")
            ledger = server.ledger.sessions[0]
            assert ledger.most_outstanding == expected
            first.set()
            taken = await taking
            assert taken.error is None
            assert len(taken.octets) == 1_200
            assert ledger.most_outstanding <= expected


async def test_a_wrong_size_is_only_a_hint() -> None:
    items = [
        Item(b"a", mail(1), listed=b"10"),
        Item(b"b", mail(2, 300), listed=b"1024"),
        Item(b"c", mail(3, 400), listed=b"0"),
        Item(b"d", mail(4, 500), listed=b"99999999"),
    ]
    for pipelining in (True, False):
        async with Pop3Server(items, pipelining=pipelining) as server, session(server) as opened:
            taken = await take(opened)
            assert taken.error is None
            assert taken.octets == octets(items)
            assert taken.order == [1, 2, 3, 4]


@pytest.mark.parametrize("pipelining", [True, False])
@pytest.mark.parametrize("count", [1, 3])
async def test_a_message_cut_at_a_lone_dot_is_not_taken_for_whole(
    pipelining: bool, count: int
) -> None:
    """The server forgot to stuff the dot: what follows it is read as the next reply."""
    whole = b"Subject: a\r\n\r\none\r\n.\r\ntwo\r\n"
    items = [Item(b"cut", whole, wire=b"+OK\r\n" + whole + b".\r\n"), *drop(count - 1)]
    async with Pop3Server(items, pipelining=pipelining) as server, session(server) as opened:
        taken = await take(opened)
        assert taken.octets == {}
        assert taken.order == [1]
        assert "19 of 27 octets" in taken.failed[1]
        assert taken.error is not None
        assert taken.error.kind == "protocol"
        await server.idle()
        assert not server.ledger.sessions[0].quit


@pytest.mark.parametrize("listed", [b"0", b"10"])
@pytest.mark.parametrize("pipelining", [True, False])
async def test_the_same_where_LIST_does_not_know_better(pipelining: bool, listed: bytes) -> None:
    whole = b"Subject: a\r\n\r\none\r\n.\r\ntwo\r\n"
    cut = Item(b"cut", whole, listed=listed, wire=b"+OK\r\n" + whole + b".\r\n")
    async with (
        Pop3Server([cut, *drop(1)], pipelining=pipelining) as server,
        session(server) as opened,
    ):
        taken = await take(opened)
        assert taken.octets == {}
        assert list(taken.failed) == [1]
        assert taken.error is not None


async def test_a_dot_glued_to_the_last_line_times_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "POP3_REPLY_SECONDS", 0.1)
    async with (
        Pop3Server([Item(b"a", b"x", wire=b"+OK\r\ntext.\r\n")]) as server,
        session(server) as opened,
    ):
        taken = await take(opened)
        assert taken.all == []
        assert taken.error is not None
        assert taken.error.kind == "connect"


@pytest.mark.parametrize("length", [3_000, 70_000, 2_000_000])
async def test_long_lines(length: int) -> None:
    items = [Item(b"a", b"X: " + b"h" * length + b"\r\n\r\n" + b"b" * length + b"\r\n")]
    async with Pop3Server(items) as server, session(server) as opened:
        assert (await take(opened)).octets == octets(items)


async def test_a_large_message_passes_through_in_slices() -> None:
    size = 48 * 1024 * 1024
    line = b"0123456789" * 7 + b"\r\n"
    content = line * (size // len(line))
    digest = hashlib.sha256(content).digest()
    async with Pop3Server([Item(b"big", content)], security="tls") as server:
        del content
        async with session(server) as opened:
            taken = await take(opened)
    assert hashlib.sha256(taken.octets[1]).digest() == digest
    assert taken.largest_write <= 1024 * 1024


async def test_what_is_listed_over_the_cap_is_not_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "POP3_MESSAGE", 1000)
    items = [*drop(2), Item(b"big", mail(3, 1001)), *drop(2), Item(b"big", mail(6, 2000))]
    async with Pop3Server(items) as server, session(server) as opened:
        taken = await take(opened)
        assert taken.error is None
        assert taken.order == [1, 2, 3, 4, 5, 6]
        assert taken.too_large == [3, 6]
        assert sorted(taken.octets) == [1, 2, 4, 5]
        assert b"RETR 3" not in server.ledger.commands


async def test_a_body_without_end_is_cut_at_the_cap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "POP3_MESSAGE", 100_000)
    endless = b"+OK\r\n" + b"x" * 10_000_000
    items = [*drop(1), Item(b"endless", b"x", listed=b"10", wire=endless), *drop(1)]
    async with Pop3Server(items) as server, session(server) as opened:
        taken = await take(opened)
        assert taken.order == [1, 2]
        assert taken.too_large == [2]
        assert taken.error is not None
        assert taken.error.kind == "limit"
        assert taken.error.fatal
        await server.idle()


async def test_cut_at_every_octet_no_message_is_taken_in_part() -> None:
    """Whatever came whole is handed out, whatever did not is not."""
    items = drop(3, size=60)
    async with Pop3Server(items) as server:
        async with session(server) as opened:
            assert len((await take(opened)).octets) == 3
            total = server.ledger.sessions[0].sent
        before = total - sum(len(b"+OK\r\n" + stuff(item.octets)) for item in items)
        for cut in range(before, total):
            server.cut_after = cut
            async with session(server) as opened:
                taken = await take(opened)
            sent = before
            whole = {}
            for number, item in enumerate(items, 1):
                sent += len(b"+OK\r\n" + stuff(item.octets))
                if sent <= cut:
                    whole[number] = item.octets
            assert taken.octets == whole
            assert taken.error is not None
            assert taken.error.kind == "connect"
            if cut == before + 20:  # inside the first body: no reason to give up pipelining
                assert not taken.error.in_window


@pytest.mark.parametrize("keep", [len(b"+OK\r\n") + 200, len(b"+OK\r\n") + 201 + 3])
async def test_TLS_that_ends_inside_a_message(keep: int) -> None:
    """A close_notify is no end mark."""
    async with Pop3Server(drop(1), security="tls") as server, session(server) as opened:
        items = await opened.listing()
        server.cut_after = server.ledger.sessions[0].sent + keep
        taken = await take(opened, items)
        whole = keep == len(b"+OK\r\n" + stuff(server.items[0].octets))
        assert (taken.octets == octets(server.items)) == whole
        assert (taken.error is None) == whole


async def test_a_message_whole_by_its_mark_is_taken_though_TLS_ends_without_goodbye() -> None:
    async with Pop3Server(drop(1), security="tls") as server, session(server) as opened:
        items = await opened.listing()
        incoming = opened.retrieve(items)
        retrieved = await anext(incoming)
        await server.drop()
        assert isinstance(retrieved.sink, MemorySink)
        assert retrieved.sink.finish() == server.items[0].octets
        retrieved.sink.close()
        assert [more async for more in incoming] == []


@pytest.mark.parametrize("pipelining", [True, False])
async def test_one_message_that_is_refused_does_not_stop_the_others(pipelining: bool) -> None:
    items = drop(300)
    items[4] = Item(b"bad", b"", listed=b"5", error=b"message \x1b[1mcorrupt")
    async with Pop3Server(items, pipelining=pipelining) as server, session(server) as opened:
        taken = await take(opened)
        assert taken.error is None
        assert taken.failed == {5: "message \\x1b[1mcorrupt"}
        assert len(taken.octets) == 299
        # A refusal that stays when it is asked alone is no fault of the window.
        assert server.ledger.count(b"RETR") == (301 if pipelining else 300)
        assert opened.notices == []
        await opened.quit()


async def test_SYS_TEMP_ends_the_session_politely() -> None:
    items = drop(5)
    items[2] = Item(b"u3", mail(3), error=b"[SYS/TEMP] mail store is away")
    async with Pop3Server(items, pipelining=False) as server, session(server) as opened:
        taken = await take(opened)
        assert sorted(taken.octets) == [1, 2]
        assert 3 in taken.failed
        assert taken.error is not None
        assert taken.error.kind == "temporary"
        assert not taken.error.fatal
        await opened.quit()
        await server.idle()
        assert server.ledger.sessions[0].quit
        assert server.ledger.count(b"RETR") == 3


async def test_a_body_that_drips_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten seconds an octet: never silent for a minute, and never done."""
    clock = AdvancingClock(monkeypatch, seconds=10)
    async with Pop3Server(drop(1)) as server, session(server) as opened:
        items = await opened.listing()
        server.segment, server.pace = 1, clock.advance
        taken = await take(opened, items)
        assert taken.all == []
        assert taken.error is not None
        assert taken.error.kind == "limit"
        assert "slowly" in str(taken.error)
        await server.idle()


async def test_a_slow_line_that_is_fast_enough_is_borne(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = AdvancingClock(monkeypatch, seconds=10)
    async with Pop3Server(drop(1, size=30_000)) as server, session(server) as opened:
        items = await opened.listing()
        server.segment, server.pace = 1100, clock.advance
        assert (await take(opened, items)).octets == octets(server.items)


async def test_an_end_mark_without_LF_is_accepted_after_a_short_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "POP3_END_MARK_SECONDS", 0.05)
    items = [Item(b"a", mail(1), wire=b"+OK\r\n" + mail(1) + b".\r"), Item(b"b", mail(2, 300))]
    async with Pop3Server(items, pipelining=False) as server, session(server) as opened:
        taken = await take(opened)
        assert taken.octets == octets(items)
        assert taken.error is None


async def test_inside_a_window_the_session_ends_and_nothing_is_merged() -> None:
    items = [Item(b"a", mail(1), wire=b"+OK\r\n" + mail(1) + b".\r"), Item(b"b", mail(2, 300))]
    async with Pop3Server(items) as server, session(server) as opened:
        taken = await take(opened)
        assert taken.octets == {}
        assert taken.error is not None
        assert taken.error.in_window


async def test_TOP_that_answers_OK_twice_does_not_shift_the_session() -> None:
    twice = b"+OK\r\n+OK header follows\r\nSubject: a\r\n\r\n.\r\n"
    async with Pop3Server(drop(1), replies={b"TOP": twice}) as server, session(server) as opened:
        assert await opened.top(1) == b"Subject: a\r\n\r\n"
        assert (await take(opened)).octets == octets(server.items)


async def test_replies_that_change_places_are_asked_again_one_by_one() -> None:
    items = drop(6)

    def reply(number: int) -> bytes:
        return b"+OK\r\n" + stuff(items[number - 1].octets)

    swapped: dict[bytes, bytes | deque[bytes]] = {
        b"RETR 2": deque([reply(3)]),
        b"RETR 3": deque([reply(2)]),
    }
    async with Pop3Server(items, replies=swapped) as server, session(server) as opened:
        taken = await take(opened)
        assert taken.error is None
        assert taken.octets == octets(items)
        assert any("no more pipelining" in notice for notice in opened.notices)
        retried = server.ledger.commands[-2:]
        assert retried == [b"RETR 2", b"RETR 3"]


async def test_the_wrong_body_in_lock_step_is_handed_out_with_its_true_size() -> None:
    """Whether it is message 3 or 4 is decided where the contents are known."""
    items = drop(4)
    wrong: dict[bytes, bytes | deque[bytes]] = {b"RETR 3": b"+OK\r\n" + stuff(items[3].octets)}
    async with (
        Pop3Server(items, pipelining=False, replies=wrong) as server,
        session(server) as opened,
    ):
        taken = await take(opened)
        assert taken.octets[3] == items[3].octets
        assert taken.all[2].size != taken.all[2].item.size


@pytest.mark.parametrize("listed", [None, b"1"])
async def test_a_refusal_that_only_a_window_gets_ends_the_pipelining(listed: bytes | None) -> None:
    items = drop(10)
    items[3] = Item(b"u4", mail(4), listed=listed)
    busy = deque([b"-ERR command out of turn\r\n"])
    async with Pop3Server(items, replies={b"RETR 4": busy}) as server, session(server) as opened:
        taken = await take(opened)
        assert taken.octets == octets(items)
        assert taken.failed == {}
        assert any("no more pipelining" in notice for notice in opened.notices)
        # It holds for the rest of the session.
        before = len(server.ledger.commands)
        server.ledger.sessions[0].most_outstanding = 0
        assert len((await take(opened)).octets) == 10
        assert server.ledger.sessions[0].most_outstanding == 1
        assert len(server.ledger.commands) == before + 12


async def test_a_server_that_forgets_pipelined_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "POP3_REPLY_SECONDS", 0.1)
    async with Pop3Server(drop(5)) as server:
        async with session(server) as opened:
            items = await opened.listing()
            server.forgets_pipelined = True
            taken = await take(opened, items)
            assert sorted(taken.octets) == [1]
            assert taken.error is not None
            assert taken.error.in_window
        async with session(server, pipelining=False) as opened:
            assert (await take(opened)).octets == octets(server.items)


async def test_words_that_nobody_asked_for_end_the_session() -> None:
    unasked = b"+OK\r\n-ERR idle too long\r\n"
    async with (
        Pop3Server(drop(1), replies={b"DELE": unasked}) as server,
        session(server) as opened,
    ):
        await opened.delete(1)
        with pytest.raises(Pop3Error, match="idle too long") as raised:
            await opened.top(1)
        assert raised.value.fatal


async def test_a_sink_that_fails_ends_the_session_and_keeps_its_error() -> None:
    class Full(MemorySink):
        def write(self, data: bytes, /) -> None:
            raise OSError(28, "No space left on device")

    async with Pop3Server(drop(5)) as server:
        opened = await open_session(server)
        opened._new_sink = Full
        incoming = opened.retrieve(await opened.listing())
        with pytest.raises(OSError, match="No space"):
            await anext(incoming)
        await server.idle()
        assert not server.ledger.sessions[0].quit


async def test_leaving_early_drops_the_connection() -> None:
    async with Pop3Server(drop(100)) as server:
        opened = await open_session(server)
        items = await opened.listing()
        async with contextlib.aclosing(opened.retrieve(items)) as incoming:
            async for retrieved in incoming:
                assert retrieved.sink is not None
                retrieved.sink.close()
                break
        await server.idle()
        assert not server.ledger.sessions[0].quit


async def test_a_slow_owner_stops_the_server_not_the_memory() -> None:
    """The socket is not read faster than the messages are taken."""
    items = [ListedItem(n, b"u%d" % n, 1024) for n in range(1, 201)]
    async with (
        Pop3Server([Item(b"u", mail(1, 1_000_000))] * 200) as server,
        session(server) as opened,
        contextlib.aclosing(opened.retrieve(items)) as incoming,
    ):
        first = await anext(incoming)
        assert first.sink is not None
        first.sink.close()
        for _ in range(500):
            await asyncio.sleep(0)
        # What the server had to leave is in the kernel's buffers and in our half megabyte.
        assert server.ledger.sessions[0].sent < 30_000_000


# --- TOP, DELE, QUIT ----------------------------------------------------------------------


async def test_TOP_gives_the_header_and_some_lines() -> None:
    octets_ = b"Subject: a\r\n\r\none\r\n..two\r\nthree\r\n"
    async with Pop3Server([Item(b"a", octets_)]) as server, session(server) as opened:
        assert await opened.top(1) == b"Subject: a\r\n\r\n"
        assert await opened.top(1, 2) == b"Subject: a\r\n\r\none\r\n..two\r\n"


async def test_TOP_that_is_refused_leaves_the_session_alive() -> None:
    async with Pop3Server(drop(1), top=False) as server, session(server) as opened:
        with pytest.raises(Pop3Error) as raised:
            await opened.top(1)
        assert not raised.value.fatal
        assert len(await opened.listing()) == 1


async def test_TOP_is_cut_at_its_cap_and_ends_at_that_of_a_message(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "POP3_TOP", 1000)
    monkeypatch.setattr(limits, "POP3_MESSAGE", 100_000)
    async with (
        Pop3Server([Item(b"a", b"h" * 50_000 + b"\r\n\r\n")]) as server,
        session(server) as opened,
    ):
        assert await opened.top(1) == b"h" * 1000
        server.replies = {b"TOP": b"+OK\r\n" + b"x" * 200_000}
        with pytest.raises(Pop3Error) as raised:
            await opened.top(1)
        assert raised.value.kind == "limit"


async def test_DELE_takes_effect_at_QUIT() -> None:
    async with Pop3Server(drop(3)) as server:
        opened = await open_session(server)
        await opened.delete(2)
        assert server.ledger.deleted == []
        await opened.quit()
        assert server.ledger.deleted == [b"u2"]
        assert [item.uidl for item in server.items] == [b"u1", b"u3"]


async def test_a_session_dropped_after_DELE_removes_nothing() -> None:
    async with Pop3Server(drop(3)) as server:
        opened = await open_session(server)
        await opened.delete(2)
        await opened.abort()
        await server.idle()
        assert len(server.items) == 3


async def test_QUIT_that_did_not_remove_everything_is_an_error() -> None:
    some = b"-ERR some deleted messages not removed\r\n"
    async with Pop3Server(drop(3), replies={b"QUIT": some}) as server:
        opened = await open_session(server)
        await opened.delete(2)
        with pytest.raises(Pop3Error, match="not removed"):
            await opened.quit()
        kept = await open_session(server)
        await kept.quit()  # nothing was marked: nothing can be missing


@pytest.mark.parametrize("marked", [True, False])
async def test_QUIT_without_an_answer_matters_only_where_something_was_marked(marked: bool) -> None:
    async with Pop3Server(drop(3), hang_up=[b"QUIT"]) as server:
        opened = await open_session(server)
        if marked:
            await opened.delete(1)
            with pytest.raises(Pop3Error):
                await opened.quit()
        else:
            await opened.quit()
        await server.idle()


async def test_DELE_that_is_refused() -> None:
    async with Pop3Server(drop(1)) as server, session(server) as opened:
        with pytest.raises(Pop3Error) as raised:
            await opened.delete(9)
        assert not raised.value.fatal
        await opened.quit()


async def test_numbers_hold_for_one_session_only() -> None:
    async with Pop3Server(drop(3)) as server:
        async with session(server) as opened:
            assert [item.uidl for item in await opened.listing()] == [b"u1", b"u2", b"u3"]
        del server.items[0]
        async with session(server) as opened:
            assert [(item.number, item.uidl) for item in await opened.listing()] == [
                (1, b"u2"),
                (2, b"u3"),
            ]
