"""The client with a real Dovecot: every octet, both ways to get them, each security."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.model import Endpoint, Secret, Security
from bridge.pop3.client import Pop3Error, Pop3Session
from tests.pop3.harness import MemorySink, take
from tests.support.delay_proxy import DelayProxy
from tests.support.dovecot import Dovecot


def messages(count: int, seed: int = 1) -> list[bytes]:
    """Mail as it comes and as it should not: dots, long lines, bare CR, NUL, eight bits."""
    dice = random.Random(seed)
    odd = [b".", b"..", b".x", b"", b"\0\xff\xfe", b"a\rb", b"From here", b"x" * 3000, b"."]
    given = []
    for number in range(count):
        lines = [b"Message-ID: <%d@example.org>" % number, b"Subject: number %d" % number, b""]
        lines += [dice.choice(odd) for _ in range(dice.randrange(12))]
        lines += [b"%032x" % dice.getrandbits(128) for _ in range(dice.randrange(60))]
        given.append(b"\r\n".join(lines) + b"\r\n")
    return given


@pytest.fixture
def dovecot(tmp_path: Path) -> Iterator[Dovecot]:
    with Dovecot(tmp_path) as running:
        yield running


async def open_session(
    dovecot: Dovecot,
    security: Security = Security.TLS,
    *,
    pipelining: bool = True,
    port: int | None = None,
    password: str | None = None,
) -> Pop3Session:
    own = dovecot.pop3s_port if security is Security.TLS else dovecot.pop3_port
    endpoint = Endpoint(dovecot.host, port or own, security, dovecot.username, str(dovecot.ca_pem))
    return await Pop3Session.open(
        endpoint,
        Secret(password or dovecot.password),
        new_sink=MemorySink,
        pipelining=pipelining,
    )


async def test_500_messages_over_TLS_pipelined_are_what_was_delivered(dovecot: Dovecot) -> None:
    given = dovecot.deliver(messages(500))
    opened = await open_session(dovecot)
    assert opened.capabilities.pipelining
    items = await opened.listing()
    assert len({item.uidl for item in items}) == 500
    taken = await take(opened, items)
    await opened.quit()
    assert taken.error is None
    assert opened.notices == []
    assert list(taken.octets.values()) == given
    assert [item.size for item in items] == [len(octets) for octets in given]


@pytest.mark.parametrize("security", list(Security))
async def test_lock_step_gives_the_same(dovecot: Dovecot, security: Security) -> None:
    given = dovecot.deliver(messages(30))
    opened = await open_session(dovecot, security, pipelining=False)
    taken = await take(opened)
    assert list(taken.octets.values()) == given
    assert await opened.top(1) == given[0][: given[0].index(b"\r\n\r\n") + 4]
    await opened.quit()


async def test_a_refused_password(dovecot: Dovecot) -> None:
    with pytest.raises(Pop3Error) as raised:
        await open_session(dovecot, password="wrong")
    assert raised.value.kind == "auth"
    assert "[AUTH]" in raised.value.server_text


async def test_deleting_takes_effect_at_QUIT_only(dovecot: Dovecot) -> None:
    dovecot.deliver(messages(3))
    opened = await open_session(dovecot)
    await opened.delete(2)
    await opened.abort()
    opened = await open_session(dovecot)
    before = await opened.listing()
    assert len(before) == 3
    await opened.delete(2)
    await opened.quit()
    opened = await open_session(dovecot)
    assert [item.uidl for item in await opened.listing()] == [before[0].uidl, before[2].uidl]
    await opened.quit()


async def test_a_window_needs_few_round_trips(dovecot: Dovecot) -> None:
    """40 messages and 40 headers over a line of 40 ms: one by one that is 80 round trips."""
    dovecot.deliver(messages(40))
    seconds = {}
    async with DelayProxy(dovecot.host, dovecot.pop3s_port, seconds=0.02) as line:
        for pipelining in (True, False):
            opened = await open_session(dovecot, pipelining=pipelining, port=line.port)
            items = await opened.listing()
            started = asyncio.get_running_loop().time()
            assert len((await take(opened, items)).octets) == 40
            async with contextlib.aclosing(opened.tops(range(1, 41))) as tops:
                assert len([number async for number, _ in tops]) == 40
            seconds[pipelining] = asyncio.get_running_loop().time() - started
            await opened.quit()
    assert seconds[False] > 80 * 0.04
    assert seconds[True] < seconds[False] / 4
