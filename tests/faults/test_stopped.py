"""Stopped in the middle, frozen for long, and raising where nobody thought of it."""

from __future__ import annotations

import asyncio
import hashlib
import signal
import time
from collections.abc import Iterable
from pathlib import Path
from random import Random

import pytest

from tests.faults.device import Device, observe
from tests.faults.hurried import SECONDS
from tests.faults.mail import digests, maildrop
from tests.faults.oracle import INBOX, Oracle
from tests.support import figures
from tests.support.nursery import Nursery
from tests.support.pop3_server import Item, Pop3Server
from tests.support.process import DaemonProcess, pop3_account, write_config

ME = "me@example.org"
STOP_SECONDS = 10.0
LARGE = 100 * 1024 * 1024


def large() -> Iterable[bytes]:
    """A reply to RETR: 100 MiB."""
    line = b"x" * 76 + b"\r\n"
    yield b"+OK\r\nSubject: large\r\n\r\n"
    for _ in range(LARGE // 65_520):
        yield line * 840
    yield b".\r\n"


@pytest.mark.case("C010")
async def test_sigterm_during_a_large_retr(tmp_path: Path, nursery: Nursery) -> None:
    octets = b"".join(large())[len(b"+OK\r\n") : -len(b".\r\n")]
    digest = hashlib.sha256(octets).digest()
    half = asyncio.Event()
    async with Pop3Server(
        [Item(b"large", b"Subject: large\r\n\r\n", b"%d" % len(octets))]
    ) as server:

        def halved() -> Iterable[bytes]:
            for number, piece in enumerate(large()):
                if number == LARGE // 65_520 // 2:
                    half.set()
                yield piece

        server.streams = {b"RETR 1": halved}
        config = write_config(tmp_path, [pop3_account(ME, server.port)])
        async with DaemonProcess(config, nursery.run) as daemon:
            port = await daemon.listening()
            async with Device.connect(port, ME) as device:
                await device.select(INBOX)
                await device.idle()
                await half.wait()
                started = time.monotonic()
                daemon.signal(signal.SIGTERM)
                said = b""
                while not said.startswith(b"* BYE "):
                    said = await device.line()
                assert await daemon.wait() == 0
                assert time.monotonic() - started < STOP_SECONDS
        assert not server.ledger.sessions[-1].quit
        oracle = Oracle(1)
        oracle.examine(tmp_path / "data", tmp_path)
        assert oracle.faults == []
        async with DaemonProcess(config, nursery.run) as daemon:
            port = await daemon.listening()
            await daemon.poll()
            seen = await asyncio.to_thread(observe, port, ME)
            assert [entry[0] for entry in seen[INBOX].entries.values()] == [digest]
            assert await daemon.stop() == 0


@pytest.mark.case("C011")
async def test_a_daemon_that_was_frozen(tmp_path: Path, nursery: Nursery) -> None:
    """A laptop that slept: meanwhile the provider gave up, and all timeouts are over."""
    items = maildrop("mail", 60, Random(1))
    async with Pop3Server(items) as server:
        server.holds = {b"RETR 30": asyncio.Event()}
        config = write_config(tmp_path, [pop3_account(ME, server.port)])
        oracle = Oracle(1)
        oracle.offered = digests(items)
        async with DaemonProcess(
            config, lambda config: nursery.start((str(config),), module="tests.faults.hurried")
        ) as daemon:
            port = await daemon.listening()
            await server.until(lambda ledger: ledger.retrieved.total() >= 29)
            async with Device.connect(port, ME) as device:
                await device.select(INBOX)
                daemon.signal(signal.SIGSTOP)
                await asyncio.sleep(2 * SECONDS)  # the time that is lost is what is tried
                await server.drop()
                server.holds = {}
                daemon.signal(signal.SIGCONT)
                said = b""
                while not said.startswith(b"* BYE "):  # it was silent for too long
                    said = await device.line()
            # The first answer may be that of the poll that was frozen.
            errors = [(await daemon.poll())[0]["error"] for _ in range(2)]
            assert errors[1] == "", errors
            oracle.compare(await asyncio.to_thread(observe, port, ME), complete=True)
            assert await daemon.stop() == 0
        assert oracle.faults == []
        assert max(server.ledger.retrieved.values()) <= 2


@pytest.mark.case("C012")
async def test_what_nobody_thought_of_hurts_one_account_alone(
    tmp_path: Path, nursery: Nursery
) -> None:
    mine, yours = maildrop("mine", 40, Random(1)), maildrop("yours", 40, Random(2))
    oracle = Oracle(1)
    oracle.offered = digests(mine) | digests(yours)
    async with Pop3Server(mine) as server, Pop3Server(yours) as other:
        accounts = [
            pop3_account(ME, server.port),
            pop3_account("you@example.org", other.port, login=ME),
        ]
        config = write_config(tmp_path, accounts)
        async with DaemonProcess(
            config, lambda config: nursery.start((ME, str(config)), module="tests.faults.raising")
        ) as daemon:
            port = await daemon.listening()
            raised = 0
            async with Device.connect(port, ME) as device:
                await device.select(INBOX)
                while raised < 3:
                    number = len(server.items)
                    server.items = [*server.items, *maildrop(f"more-{number}", 3, Random(number))]
                    oracle.offered |= digests(server.items)
                    first, second = await daemon.poll()
                    assert (second["error"], second["failed"]) == ("", 0)
                    if first["error"] or first["failed"]:
                        raised += 1
                        report = (await daemon.poll())[0]  # it is tried again, as if nothing was
                        assert (report["error"], report["failed"]) == ("", 0)
                    await device.command(b"NOOP")
            oracle.compare(await asyncio.to_thread(observe, port, ME), complete=True)
            assert await daemon.stop() == 0
    assert oracle.faults == []
    assert oracle.doubled == set()
    figures.note("task that raises each 100th call", tried=raised, lost=0, doubled=0)
