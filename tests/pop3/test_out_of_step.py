"""Replies that came twice, or behind a stray line: none of them may be read as a message."""

from __future__ import annotations

import asyncio

import pytest

from bridge.pop3.client import Pop3Error, Pop3Session
from tests.pop3.harness import session, take
from tests.pop3.test_maildrop import drop, octets
from tests.support.pop3_server import Pop3Server, stuff


@pytest.mark.parametrize("pipelining", [True, False])
@pytest.mark.parametrize("number", [1, 3])
async def test_a_second_OK_is_no_line_of_a_message(pipelining: bool, number: int) -> None:
    """S: +OK / S: +OK / S: the message: LIST told its size without that line."""
    items = drop(3)
    twice = b"+OK\r\n+OK 200 octets\r\n" + stuff(items[number - 1].octets)
    replies: dict[bytes, bytes] = {b"RETR %d" % number: twice}
    async with Pop3Server(items, pipelining=pipelining) as server:
        server.replies = {**replies}
        async with session(server) as opened:
            taken = await take(opened)
            assert taken.error is not None
            assert taken.error.kind == "protocol"
            assert "answered RETR twice" in str(taken.error)
            assert taken.order == list(range(1, number))
        assert not server.ledger.sessions[0].quit


async def test_a_message_that_begins_so_is_one() -> None:
    """Where the size is right, the line is the message's own."""
    items = drop(2)
    odd = b"+OK is what I say\r\n\r\nbody\r\n"
    items[0] = type(items[0])(b"odd", odd)
    async with Pop3Server(items) as server, session(server) as opened:
        assert (await take(opened)).octets == octets(items)


async def listed_and_taken(opened: Pop3Session) -> Pop3Error | None:
    try:
        return (await take(opened)).error
    except Pop3Error as error:
        return error


@pytest.mark.parametrize("refused", [b"LIST", b"UIDL"])
async def test_a_stray_ERR_before_a_listing_ends_the_session(refused: bytes) -> None:
    """C: LIST, UIDL / S: -ERR / S: the listing / S: the other one, which RETR would be given."""
    async with Pop3Server(drop(3)) as server:
        held = asyncio.Event()
        server.holds = {b"UIDL": held}
        listing = {b"LIST": b"1 201\r\n2 202\r\n3 203", b"UIDL": b"1 u1\r\n2 u2\r\n3 u3"}[refused]
        server.replies = {refused: b"-ERR what\r\n+OK\r\n" + listing + b"\r\n.\r\n"}
        async with session(server) as opened:
            asking = asyncio.create_task(listed_and_taken(opened))
            await server.seen(b"UIDL")
            held.set()
            error = await asking
            assert error is not None
            assert error.fatal
            assert server.ledger.retrieved.total() == 0
        assert not server.ledger.sessions[0].quit


async def test_sizes_in_the_place_of_UIDLs_end_the_session() -> None:
    """LIST was answered twice."""
    async with Pop3Server(drop(2)) as server:
        server.replies = {b"LIST": b"+OK\r\n1 201\r\n2 202\r\n.\r\n" * 2}
        async with session(server) as opened:
            with pytest.raises(Pop3Error):
                await opened.listing()
        assert server.ledger.retrieved.total() == 0


async def test_a_refused_listing_costs_one_NOOP() -> None:
    async with Pop3Server(drop(2), uidl=False) as server, session(server) as opened:
        assert [item.uidl for item in await opened.listing()] == [None, None]
        await opened.quit()
        assert server.ledger.count(b"NOOP") == 1
