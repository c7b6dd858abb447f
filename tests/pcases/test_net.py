"""Below POP3: silence, drips, floods, names that lead nowhere or where they must not, drops."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import itertools
import os
import random
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from bridge import limits
from tests.pcases.home import DAY, Home, maildrop
from tests.pop3.harness import AdvancingClock
from tests.support import figures
from tests.support.pop3_server import Pop3Server

DROPS = int(os.environ.get("POPBRIDGE_DROPS", "250"))
SEED = 99


async def test_P095_no_greeting_for_ever(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """The slot is free again: another account at the same host gets its turn."""
    monkeypatch.setattr(limits, "POP3_REPLY_SECONDS", 0.05)
    home.per_host = 1
    async with Pop3Server(maildrop(2)) as server, Pop3Server(maildrop(3, b"v", 5)) as other:
        server.holds[b"greeting"] = asyncio.Event()
        await home.schedule(server)
        await home.schedule(other, "other@example.org")
        await home.clock.run(1)
        failed, well = sorted(home.reports, key=lambda report: report.error == "")
        assert (failed.error_class, well.new) == ("connect", 3)
        assert "fell silent" in failed.error
        assert server.ledger.commands == []
        server.holds[b"greeting"].set()
        await home.clock.run(DAY)
        await home.check(server)
        await home.check(other, mailbox="Mail/other@example.org")


async def test_P096_a_greeting_that_drips(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    async with Pop3Server(maildrop(2), greeting=b"+OK ready\r\n") as server:
        clock = AdvancingClock(monkeypatch, seconds=10)
        server.segment, server.pace = 1, clock.advance
        report = await home.poll(server)
        assert report.error_class == "connect"
        assert server.ledger.commands == []
        # Nor may a session go on for ever, however lively it is.
        server.greeting = server.segment = server.pace = None
        monkeypatch.setattr(limits, "POP3_SESSION_SECONDS", 0.1)
        server.holds[b"CAPA"] = asyncio.Event()
        assert (await home.poll(server)).error_class == "limit"
        monkeypatch.undo()
        server.holds.clear()
        assert (await home.poll(server)).new == 2
        await home.check(server)


def resolving(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    """two.example has these addresses; of the first one nothing is ever heard if it is IPv6."""
    loop = asyncio.get_running_loop()
    true_resolve, true_connect = loop.getaddrinfo, loop.sock_connect

    async def resolve(host: Any, port: Any, **options: Any) -> list[Any]:
        if host != "two.example":
            return await true_resolve(host, port, **options)
        return [
            (socket.AF_INET6, socket.SOCK_STREAM, 6, "", (each, port, 0, 0))
            if ":" in each
            else (socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, port))
            for each in addresses
        ]

    async def connect(sock: socket.socket, address: Any) -> None:
        if ":" in address[0]:
            await asyncio.Event().wait()
        await true_connect(sock, address)

    monkeypatch.setattr(loop, "getaddrinfo", resolve)
    monkeypatch.setattr(loop, "sock_connect", connect)


@pytest.mark.case("N001")
@pytest.mark.parametrize(
    "addresses",
    [
        ["0.0.0.0"], ["169.254.169.254"], ["fe80::1"], ["127.0.0.1"], ["10.0.0.1", "fd00::1"],
        ["::ffff:127.0.0.1"],
    ],
    ids=str,
)  # fmt: skip
async def test_P097_names_that_lead_nowhere_or_inside(
    home: Home, monkeypatch: pytest.MonkeyPatch, addresses: list[str]
) -> None:
    async with Pop3Server(maildrop(2)) as server:
        for host in ("no-such-host.invalid", "x" * 300, "a..b", ""):
            report = await home.poll(server, host=host)
            assert report.error_class == "connect"
            assert report.advice
        resolving(monkeypatch, *addresses)
        await home.schedule(server, host="two.example")
        await home.clock.run(DAY)
        assert {report.error_class for report in home.reports} == {"connect"}
        assert len(home.reports) < 12  # it backs off
        assert addresses[0] in home.reports[0].error
        assert "private_network: true" in home.reports[0].advice
        assert server.ledger.sessions == []
        allowed = addresses == ["127.0.0.1"]
        if allowed:
            report = await home.poll(server, host="two.example", private_network=True)
            assert report.new == 2
        else:
            assert (await home.poll(server)).new == 2  # an address speaks for itself
        await home.check(server)


async def test_P098_IPv6_is_dead_and_IPv4_alive(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Pop3Server(maildrop(2)) as server:
        resolving(monkeypatch, "fd00::1", "127.0.0.1")
        started = asyncio.get_running_loop().time()
        report = await home.poll(server, host="two.example", private_network=True)
        assert report.new == 2
        assert asyncio.get_running_loop().time() - started < 5
        await home.check(server)


def sockets() -> int:
    """That this process has open."""
    count = 0
    for each in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):  # the one that listed the folder
            count += os.readlink(f"/proc/self/fd/{each}").startswith("socket:")
    return count


async def test_P099_a_thousand_polls_dropped_at_random(home: Home) -> None:
    """`POPBRIDGE_DROPS` of them (1000 by hand), each at an octet of its own."""
    chance = random.Random(SEED)
    async with Pop3Server(maildrop(3)) as server:
        before = sockets()
        for drop in range(DROPS):
            server.cut_after = chance.randrange(1, 3_000)
            server.rude = chance.random() < 0.5
            server.pipelining = chance.random() < 0.8
            if drop % 5 == 0:
                server.items += maildrop(1, b"v", 100 + drop)
            await home.poll(server)
            home.clock.now += DAY / 4
        server.cut_after = None
        for _ in range(8):
            await home.poll(server)
            home.clock.now += DAY
        assert (await home.poll(server)).octets == 0
        await server.idle()
        shown = await home.check(server)
        assert len(shown) == 3 + len(range(0, DROPS, 5))
        assert await home.notes() == []
        assert sockets() == before
        ours = {task for task in asyncio.all_tasks() if "Poller" in repr(task.get_coro())}
        assert ours == set()
    figures.note("polls dropped at random", tried=DROPS, lost=0, doubled=0, leaks=0)


async def test_P100_a_gigabyte_before_the_greeting(home: Home) -> None:
    def flood(start: bytes) -> Iterator[bytes]:
        yield start
        yield from itertools.repeat(b"x" * 65536, 16 * 1024)

    async with Pop3Server(maildrop(2)) as server:
        for start, error_class in ((b"+OK ", "limit"), (b"", "protocol")):
            before = server.ledger.sent
            server.streams[b"greeting"] = functools.partial(flood, start)
            report = await home.poll(server)
            await server.idle()
            assert report.error_class == error_class
            assert server.ledger.sent - before < 16 * 1024 * 1024  # what lay in sockets
        assert server.ledger.commands == []
        server.streams.clear()
        assert (await home.poll(server)).new == 2
        await home.check(server)
