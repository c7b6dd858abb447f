"""A database that was damaged while nobody looked: found, told, and never shown as mail.

    POPBRIDGE_FLIPS=all pytest -n 2 tests/faults/test_damage.py -s

One bit in a page is turned over, each page in turn (in the suite some are drawn); the log or its
index is gone; half of the file is, or all of it. A daemon starts on what is left, or says why not.
Whatever a device is shown has its right bytes; what has not is refused. `popbridge doctor --verify`
reports what was damaged, unless it was a bit that nobody uses.
"""

from __future__ import annotations

import asyncio
import contextlib
import imaplib
import os
import re
import secrets
import shutil
from collections import Counter
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from random import Random

import pytest

from bridge.store.opening import DATABASE, faults
from bridge.store.sqlite.connection import PAGE
from bridge.transfer.marks import Marks
from tests.faults.device import observe
from tests.faults.oracle import INBOX
from tests.faults.storm import LOGIN
from tests.support import figures
from tests.support.nursery import Nursery
from tests.support.process import PASSWORD, DaemonProcess, Ended, pop3_account, write_config
from tests.support.samples import samples
from tests.transfer.house import House

EVERY = os.environ.get("POPBRIDGE_FLIPS") == "all"
SEED = int(os.environ.get("POPBRIDGE_SEED", secrets.randbelow(1_000_000)))
RAWS = [*samples(12), b"Subject: large\r\n\r\n" + b"0123456789abcde\r\n" * 20_000]
DIGESTS = {sha256(raw).digest() for raw in RAWS}
DRAWN = 12  # pages


async def filled(folder: Path) -> Path:
    house = await House.open(folder / "data", LOGIN)
    await house.fill(INBOX, *((raw, Marks()) for raw in RAWS))
    await house.store.close()
    return folder / "data"


async def shown(folder: Path, nursery: Nursery) -> tuple[str, set[bytes]]:
    """How a daemon did on the data in `folder`, in a word, and the digests of what it showed."""
    config = write_config(folder, [pop3_account(LOGIN, 1)])
    async with DaemonProcess(config, nursery.run) as daemon:
        try:
            port = await daemon.listening()
        except Ended:
            assert not [line for line in daemon.log if "Traceback" in line], daemon.log
            assert await daemon.wait() > 0
            return "refused to start", set()
        seen = await asyncio.to_thread(read_one_by_one, port)
        code = await daemon.stop()
        assert code == 0, "\n".join(daemon.log)
    return ("all shown" if seen == DIGESTS else "some refused"), seen


def read_one_by_one(port: int) -> set[bytes]:
    """What a client gets that asks for each message by itself, and connects again where it must."""
    found = set()
    for uid in range(1, len(RAWS) + 1):
        client = imaplib.IMAP4("127.0.0.1", port)
        with contextlib.suppress(imaplib.IMAP4.error, OSError):
            client.login(LOGIN, PASSWORD)
            client.select(INBOX, readonly=True)
            status, said = client.uid("FETCH", str(uid), "(BODY.PEEK[])")
            if status == "OK":
                found |= {sha256(each[1]).digest() for each in said if isinstance(each, tuple)}
        client.shutdown()
    return found


@pytest.mark.case("D007")
@pytest.mark.timeout(7200 if EVERY else 300)
async def test_a_bit_of_a_page(tmp_path: Path, nursery: Nursery) -> None:
    data = await filled(tmp_path / "whole")
    octets = (data / DATABASE).read_bytes()
    assert faults(data) == []
    random = Random(SEED)
    pages = range(len(octets) // PAGE)
    ends: Counter[str] = Counter()
    for page in pages if EVERY else random.sample(pages, DRAWN):
        folder = tmp_path / str(page)
        shutil.copytree(data, folder / "data")
        at, bit = page * PAGE + random.randrange(PAGE), random.randrange(8)
        broken = bytearray(octets)
        broken[at] ^= 1 << bit
        (folder / "data" / DATABASE).write_bytes(broken)
        reported = faults(folder / "data")
        end, seen = await shown(folder, nursery)
        assert seen <= DIGESTS, f"page {page}, octet {at}, bit {bit}: other bytes were shown"
        # What a device cannot have, the doctor knows of.
        assert reported or end == "all shown", f"page {page}, octet {at}, bit {bit}: {end}"
        ends[f"{end}, {'reported' if reported else 'not used'}"] += 1
        shutil.rmtree(folder)
    figures.note("bits turned over", tried=ends.total(), corrupt=0, **_counts(ends))


def _counts(ends: Counter[str]) -> dict[str, int]:
    return {re.sub(r"\W+", "_", end): number for end, number in sorted(ends.items())}


def without_log(data: Path) -> None:
    (data / f"{DATABASE}-wal").unlink(missing_ok=True)


def without_index(data: Path) -> None:
    (data / f"{DATABASE}-shm").unlink(missing_ok=True)


def halved(data: Path) -> None:
    os.truncate(data / DATABASE, (data / DATABASE).stat().st_size // 2)


def emptied(data: Path) -> None:
    os.truncate(data / DATABASE, 0)


def gone(data: Path) -> None:
    (data / DATABASE).unlink()


@pytest.mark.case("D007")
@pytest.mark.timeout(120)
@pytest.mark.parametrize("damage", [without_log, without_index, halved, emptied, gone])
async def test_a_file_that_is_gone_or_cut(
    tmp_path: Path, nursery: Nursery, damage: Callable[[Path], None]
) -> None:
    """Of a daemon that was killed, so that there is a log."""
    data = await filled(tmp_path)
    config = write_config(tmp_path, [pop3_account(LOGIN, 1)])
    async with DaemonProcess(config, nursery.run) as daemon:
        port = await daemon.listening()
        await asyncio.to_thread(observe, port, LOGIN)
        daemon.kill()
        await daemon.wait()
    damage(data)
    reported = faults(data)
    end, seen = await shown(tmp_path, nursery)
    assert seen <= DIGESTS
    if damage is without_index:  # it is made from the log
        assert (reported, end) == ([], "all shown")
    else:
        assert reported or end in ("all shown", "refused to start")
    if damage in (emptied, gone):  # and never taken for a new one
        assert end == "refused to start"
    figures.note("files of the store gone or cut", tried=1, corrupt=0)
