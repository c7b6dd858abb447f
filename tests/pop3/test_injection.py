"""P086 on both event loops: words that came in clear behind STLS's +OK are never read as protected
ones. `start_tls` of asyncio and of uvloop keep what is buffered; our own check does not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
import uvloop

from bridge.pop3.client import Pop3Error
from tests.pop3.harness import open_session
from tests.support.pop3_server import Item, Pop3Server

LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize(
    "injected", [b"+OK\r\nUSER\r\n.\r\n", b"-ERR no\r\n", b"+", b"\x16\x03\x01\x00\x05"]
)
def test_words_behind_STLS_end_the_session(loop: str, injected: bytes) -> None:
    async def dialogue() -> None:
        items = [Item(b"u1", b"Subject: a\r\n\r\n")]
        async with Pop3Server(items, security="starttls", injected=injected) as server:
            with pytest.raises(Pop3Error) as raised:
                await open_session(server)
            assert raised.value.kind == "tls"
            said = b"\n".join(server.ledger.commands)
            assert server.password.encode() not in said
            assert b"USER" not in said

    run(LOOPS[loop], dialogue)


@pytest.mark.parametrize("loop", LOOPS)
def test_without_them_the_session_is_protected(loop: str) -> None:
    async def dialogue() -> None:
        items = [Item(b"u1", b"Subject: a\r\n\r\n")]
        async with Pop3Server(items, security="starttls") as server:
            opened = await open_session(server)
            assert len(await opened.listing()) == 1
            await opened.quit()
            assert server.ledger.sessions[0].in_clear == [b"CAPA", b"STLS"]

    run(LOOPS[loop], dialogue)


def run(factory: Callable[[], asyncio.AbstractEventLoop], dialogue: Callable[[], object]) -> None:
    with asyncio.Runner(loop_factory=factory) as runner:
        work = dialogue()
        assert asyncio.iscoroutine(work)
        runner.run(work)
