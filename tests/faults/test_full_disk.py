"""A small disk that fills in the middle of a sync and grows later; and one that takes no writes."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from bridge import limits
from tests.faults.device import Device, Seen, observe
from tests.faults.mail import digests, maildrop
from tests.faults.oracle import INBOX, Oracle
from tests.support import figures
from tests.support.nursery import Child, Nursery
from tests.support.pop3_server import Pop3Server
from tests.support.process import DaemonProcess, pop3_account, write_config
from tests.support.require import missing

ME = "me@example.org"
MESSAGES = 160
LINES = 3_000  # of the largest message
MIB = 1024 * 1024


def mount(*words: str) -> bool:
    return subprocess.run(("mount", *words), capture_output=True, check=False).returncode == 0


def unmount(folder: Path) -> None:
    subprocess.run(("umount", "-l", str(folder)), check=True)


@contextmanager
def small_disk(folder: Path, octets: int) -> Iterator[Path]:
    folder.mkdir()
    if not mount("-t", "tmpfs", "-o", f"size={octets},mode=0700", "tmpfs", str(folder)):
        missing("mount -t tmpfs, as root")
    try:
        yield folder
    finally:
        unmount(folder)


@pytest.mark.case("D001", "D003", "D010")
@pytest.mark.parametrize("reserve", [0, limits.DISK_RESERVE])
async def test_a_disk_that_fills_and_grows(tmp_path: Path, nursery: Nursery, reserve: int) -> None:
    """With the reserve it stops before the disk is full, without it there is no room for a page.
    Either way it says so, reads on, and goes on by itself once there is room."""
    items = maildrop("mail", MESSAGES, Random(1), largest=LINES)
    oracle = Oracle(1)
    oracle.offered = digests(items)
    size = reserve + 10 * MIB

    def program(config: Path) -> Awaitable[Child]:
        if reserve:
            return nursery.run(config)
        return nursery.start((str(config),), module="tests.faults.roomless")

    def mail(port: int) -> dict[str, Seen]:
        """What came from the provider; the alert about the disk is in INBOX, too."""
        return {
            name: replace(
                box, entries={u: e for u, e in box.entries.items() if e[0] in oracle.offered}
            )
            for name, box in observe(port, ME).items()
        }

    async with Pop3Server(items) as server:
        with small_disk(tmp_path / "data", size) as data:
            config = write_config(tmp_path, [pop3_account(ME, server.port)])
            async with DaemonProcess(config, program) as daemon:
                port = await daemon.listening()
                (report,) = await daemon.poll()
                assert report["error_class"] == "store", report
                assert "free some space" in str(report["advice"]), report
                free = os.statvfs(data).f_bavail * os.statvfs(data).f_frsize
                assert free < reserve if reserve else free < 2 * MIB
                if reserve:
                    assert free > reserve // 2, "it went on below the reserve"
                oracle.compare(await asyncio.to_thread(mail, port))
                came = len(oracle.owner)
                assert 0 < came < MESSAGES
                async with Device.connect(port, ME) as device:
                    await device.select(INBOX)
                    (again,) = await daemon.poll()
                    assert again["error_class"] == "store", again
                    assert mount("-o", f"remount,size={size + 256 * MIB}", str(data))
                    (after,) = await daemon.poll()
                    assert (after["error"], after["failed"]) == ("", 0), after
                    await device.command(b"NOOP")
                oracle.compare(await asyncio.to_thread(mail, port), complete=True)
                assert await daemon.stop() == 0
            oracle.examine(data, tmp_path)
    assert oracle.faults == []
    assert server.ledger.count(b"DELE") == 0
    figures.note("disk that filled and grew", tried=1, came=came, lost=0, doubled=0)


@pytest.mark.case("D005")
async def test_a_data_dir_that_cannot_be_written(tmp_path: Path, nursery: Nursery) -> None:
    """It is no start, and one line says why; later it is one."""
    config = write_config(tmp_path, [pop3_account(ME, 1)])
    data = tmp_path / "data"
    async with DaemonProcess(config, nursery.run) as daemon:
        await daemon.listening()
        assert await daemon.stop() == 0
    if not mount("--bind", str(data), str(data)):
        missing("mount --bind, as root")
    try:
        assert mount("-o", "remount,bind,ro", str(data))
        async with DaemonProcess(config, nursery.run) as daemon:
            assert await daemon.wait() > 0
            (said,) = daemon.log
            assert str(data) in said
            assert "Read-only file system" in said
    finally:
        unmount(data)
    async with DaemonProcess(config, nursery.run) as daemon:
        await daemon.listening()
        assert await daemon.stop() == 0
