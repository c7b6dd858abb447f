"""TOP of many messages: a window that opens slowly, refusals, servers that hang up on it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing

import pytest

from bridge import limits
from bridge.pop3.client import Pop3Error, Pop3Session
from tests.pop3.harness import session
from tests.support.pop3_server import Item, Pop3Server

Answers = list[tuple[int, bytes | Pop3Error]]


def drop(count: int) -> list[Item]:
    return [Item(b"u%d" % n, b"Subject: %d\r\n\r\nbody\r\n" % n) for n in range(1, count + 1)]


async def tops(opened: Pop3Session, numbers: Sequence[int]) -> Answers:
    async with aclosing(opened.tops(numbers)) as answers:
        return [answer async for answer in answers]


@pytest.mark.parametrize("pipelining", [True, False])
async def test_the_headers_come_in_the_order_of_asking(pipelining: bool) -> None:
    async with Pop3Server(drop(50), pipelining=pipelining) as server, session(server) as opened:
        wanted = [*range(50, 0, -1)]
        assert await tops(opened, wanted) == [(n, b"Subject: %d\r\n\r\n" % n) for n in wanted]
        assert len(await opened.listing()) == 50  # the session is in step
        assert (server.ledger.sessions[0].most_outstanding > 1) == pipelining


async def test_the_window_opens_from_one_and_has_its_cap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "POP3_WINDOW_COMMANDS", 8)
    sent: list[int] = []
    async with Pop3Server(drop(100)) as server, session(server) as opened:
        wire = opened._wire
        send = wire.send

        def counted(*lines: bytes, **shape: object) -> None:
            send(*lines, **shape)  # type: ignore[arg-type]  # handed through
            sent.append(wire._parser.outstanding)

        monkeypatch.setattr(wire, "send", counted)
        await tops(opened, range(1, 101))
    assert sent[:2] == [1, 2]
    assert max(sent) == 8


async def test_one_refusal_hides_nothing_else() -> None:
    items = drop(20)
    items[9] = Item(b"u10", b"", error=b"no such thing")
    async with Pop3Server(items) as server, session(server) as opened:
        answers = await tops(opened, range(1, 21))
    refused = [number for number, header in answers if isinstance(header, Pop3Error)]
    assert refused == [10]
    assert [number for number, _ in answers] == [*range(1, 21)]


async def test_a_server_without_TOP_is_asked_three_times() -> None:
    async with Pop3Server(drop(20), top=False) as server, session(server) as opened:
        answers = await tops(opened, range(1, 21))
        assert [number for number, _ in answers] == [1, 2, 3]
        assert server.ledger.count(b"TOP") == 3
        assert len(await opened.listing()) == 20


async def test_a_server_that_hangs_up_on_TOP_does_so_with_one_command_on_its_way() -> None:
    async with Pop3Server(drop(20), hang_up=[b"TOP"]) as server, session(server) as opened:
        with pytest.raises(Pop3Error) as raised:
            await tops(opened, range(1, 21))
        assert (raised.value.fatal, raised.value.in_window) == (True, False)
        assert server.ledger.count(b"TOP") == 1


async def test_who_leaves_early_leaves_no_session_out_of_step() -> None:
    async with Pop3Server(drop(50)) as server, session(server) as opened:
        async with aclosing(opened.tops(range(1, 51))) as answers:
            async for number, _ in answers:
                if number == 5:
                    break
        with pytest.raises(Pop3Error):
            await opened.listing()
