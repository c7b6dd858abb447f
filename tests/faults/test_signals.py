"""SIGTERM, SIGHUP, SIGKILL and a second daemon: what the real process does."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

import pytest

from tests.faults.device import Device, observe
from tests.faults.mail import digests, maildrop
from tests.faults.oracle import INBOX, Oracle
from tests.support.pop3_server import Pop3Server
from tests.support.process import DaemonProcess, pop3_account, write_config

ME = "me@example.org"
STOP_SECONDS = 10.0


async def lines_to_the_end(device: Device) -> list[bytes]:
    lines = []
    try:
        while True:
            lines.append(await device.line())
    except ConnectionError:
        return lines


async def test_sigterm_in_the_middle_of_a_sync(tmp_path: Path) -> None:
    items = maildrop("mail", 200, Random(1))
    async with Pop3Server(items) as server:
        server.holds = {b"RETR 120": asyncio.Event()}  # the provider is slow from here on
        oracle = Oracle(1)
        oracle.offered = digests(items)
        config = write_config(tmp_path, [pop3_account(ME, server.port)])
        async with DaemonProcess(config) as daemon:
            port = await daemon.listening()
            async with Device.connect(port, ME) as device:
                await device.select(INBOX)
                await server.until(lambda ledger: ledger.retrieved.total() >= 119)
                await device.idle()
                started = time.monotonic()
                daemon.signal(signal.SIGTERM)
                said = await lines_to_the_end(device)
                assert await daemon.wait() == 0
                assert time.monotonic() - started < STOP_SECONDS
        assert said[-1].startswith(b"* BYE "), said
        assert not server.ledger.sessions[-1].quit, "QUIT, with messages on their way"
        await asyncio.to_thread(oracle.examine, tmp_path / "data", tmp_path)

        server.holds = {}
        async with DaemonProcess(config) as daemon:
            port = await daemon.listening()
            await daemon.poll()
            oracle.compare(await asyncio.to_thread(observe, port, ME), complete=True)
            assert await daemon.stop() == 0
    assert oracle.faults == []


@asynccontextmanager
async def stuck(folder: Path) -> AsyncIterator[tuple[DaemonProcess, Device]]:
    """A daemon with a device that asked for 40 MB and does not read them."""
    items = maildrop("large", 1, Random(1), largest=100_000)
    async with Pop3Server(items) as server:
        config = write_config(folder, [pop3_account(ME, server.port)])
        async with DaemonProcess(config) as daemon:
            port = await daemon.listening()
            await daemon.poll()
            async with Device.connect(port, ME) as device:
                await device.select(INBOX)
                times = 1 + 40_000_000 // len(items[0].octets)
                await device.send(b"a FETCH 1 BODY.PEEK[]\r\n" * times)
                await device.line()  # it has begun; nobody reads on
                yield daemon, device


async def test_sigterm_does_not_wait_for_a_device_that_does_not_read(tmp_path: Path) -> None:
    async with stuck(tmp_path) as (daemon, _):
        started = time.monotonic()
        assert await daemon.stop() == 0
        assert time.monotonic() - started < STOP_SECONDS


async def test_a_second_sigterm_ends_at_once(tmp_path: Path) -> None:
    async with stuck(tmp_path) as (daemon, _):
        daemon.signal(signal.SIGTERM)
        await daemon.said("stopping")
        started = time.monotonic()
        assert await daemon.stop() == 1
        assert time.monotonic() - started < 1


async def test_sighup_takes_a_new_account_and_drops_nobody(tmp_path: Path) -> None:
    first, second = maildrop("first", 3, Random(1)), maildrop("second", 3, Random(2))
    async with Pop3Server(first) as one, Pop3Server(second) as other:
        accounts = [pop3_account(ME, one.port)]
        config = write_config(tmp_path, accounts)
        async with DaemonProcess(config) as daemon:
            port = await daemon.listening()
            await daemon.poll()
            async with Device.connect(port, ME) as device:
                await device.select(INBOX)

                accounts.append(pop3_account("new@example.org", other.port))
                write_config(tmp_path, accounts)
                daemon.signal(signal.SIGHUP)
                await daemon.said("config reloaded")
                await other.seen(b"QUIT")
                await daemon.poll()
                seen = await asyncio.to_thread(observe, port, "new@example.org")
                assert {digest for digest, _ in seen[INBOX].entries.values()} == digests(second)
                await device.command(b"NOOP")  # the session of before lives

                accounts.pop()
                write_config(tmp_path, accounts)
                daemon.signal(signal.SIGHUP)
                await daemon.said("config reloaded", after=len(daemon.log))
                assert [report["address"] for report in await daemon.poll()] == [ME]
                await device.command(b"NOOP")
            assert await daemon.stop() == 0


async def test_sighup_with_a_broken_config_keeps_the_old_one(tmp_path: Path) -> None:
    async with Pop3Server(maildrop("mail", 3, Random(1))) as server:
        config = write_config(tmp_path, [pop3_account(ME, server.port)])
        async with DaemonProcess(config) as daemon:
            port = await daemon.listening()
            await daemon.poll()  # else the poll below may join the first one
            async with Device.connect(port, ME) as device:
                for broken, why in (
                    ("accounts: [", "config.yaml:"),
                    (json.dumps({**json.loads(config.read_text()), "colour": "red"}), "colour"),
                    ("", "accounts"),
                ):
                    good = config.read_text()
                    config.write_text(broken)
                    before = len(daemon.log)
                    daemon.signal(signal.SIGHUP)
                    line = await daemon.said("config not taken", after=before)
                    assert why in line, line
                    config.write_text(good)
                    await device.command(b"NOOP")
                server.items = [*server.items, *maildrop("later", 2, Random(2))]
                assert [report["listed"] for report in await daemon.poll()] == [5]
                # A login of the old config still signs in.
                async with Device.connect(port, ME) as another:
                    await another.select(INBOX)
            assert await daemon.stop() == 0


@pytest.mark.case("M001")
async def test_a_second_daemon_is_refused_and_sigkill_frees_the_lock(tmp_path: Path) -> None:
    config = write_config(tmp_path, [])
    async with DaemonProcess(config) as first:
        await first.listening()
        async with DaemonProcess(config) as second:
            assert await second.wait() == 75  # EX_TEMPFAIL: stop the other one and try again
            (said,) = second.log
            assert f"process {first.pid}" in said
            assert str(tmp_path / "data") in said
            assert "Stop it first" in said
        await first.poll()  # the first one did not mind
        first.kill()
        assert await first.wait() == -signal.SIGKILL
    async with DaemonProcess(config) as third:
        await third.listening()
        assert await third.stop() == 0
