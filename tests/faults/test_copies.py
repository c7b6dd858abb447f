"""Copies of a store that is written to: `cp` may be of no use, `popbridge backup` never is.

POPBRIDGE_BACKUPS=100 pytest tests/faults/test_copies.py -s
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from bridge.store.opening import DATABASE, faults
from bridge.transfer.marks import Marks
from tests.faults.oracle import INBOX
from tests.support import figures
from tests.support.samples import sample
from tests.transfer.house import House

COPIES = int(os.environ.get("POPBRIDGE_BACKUPS", "6"))


@asynccontextmanager
async def busy(folder: Path) -> AsyncIterator[House]:
    """A store that takes one message after the other."""
    house = await House.open(folder)
    number = 0

    async def work() -> None:
        nonlocal number
        while True:
            await house.fill(INBOX, (sample(number), Marks(8, ("a",), number)))
            number += 1

    task = asyncio.create_task(work())
    try:
        yield house
        assert not task.done()
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await house.store.close()


async def held(folder: Path) -> Counter[bytes]:
    house = await House.open(folder)
    try:
        return Counter(await house.octets(INBOX))
    finally:
        await house.store.close()


@pytest.mark.case("D011")
@pytest.mark.timeout(60 + 10 * COPIES)
async def test_a_backup_under_load_is_whole(tmp_path: Path) -> None:
    least = 0
    async with busy(tmp_path / "data") as house:
        for number in range(COPIES):
            before = len(await house.entries(INBOX))
            folder = tmp_path / f"copy-{number}"
            folder.mkdir(mode=0o700)
            await house.store.backup(folder / DATABASE)
            assert faults(folder) == []
            found = await held(folder)
            # All that was there before, nothing half, in the order in which it came.
            assert found.total() >= max(before, least)
            assert found == Counter(sample(each) for each in range(found.total()))
            least = found.total()
            shutil.rmtree(folder)
    figures.note("backups under load", tried=COPIES, lost=0, doubled=0, corrupt=0)


@pytest.mark.case("D011")
@pytest.mark.timeout(60 + 10 * COPIES)
async def test_a_copy_by_cp_is_whole_or_found_out(tmp_path: Path) -> None:
    whole = 0
    async with busy(tmp_path / "data") as house:
        for number in range(COPIES):
            await house.entries(INBOX)
            folder = tmp_path / f"copy-{number}"
            folder.mkdir(mode=0o700)
            for suffix in ("", "-wal"):
                source = tmp_path / "data" / f"{DATABASE}{suffix}"
                # By another process: to close the file here would drop SQLite's locks.
                copy = await asyncio.create_subprocess_exec("cp", source, folder)
                assert await copy.wait() == 0
            if faults(folder):
                continue
            found = await held(folder)
            assert found == Counter(sample(each) for each in range(found.total()))
            whole += 1
    figures.note("copies with cp", tried=COPIES, whole=whole, corrupt=0)
