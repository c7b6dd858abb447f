"""A disk that fails at one call, or from one on: nothing half done, and it goes on by itself.

    POPBRIDGE_FAULTS=200 pytest -n 2 tests/faults/test_disk_faults.py -s

The n-th call of a kind on a file of the store fails with an errno, once or for ever, while a daemon
polls and a device writes (`injector`). The daemon never dies of it: it starts or says in one line
why not, polls and writes say what failed, what is read is right or refused. A refused change is not
there as long as the daemon lives; where no sync works any more, the last one may be there after the
next start, as a change may that nobody was told of. After a fault that was one, the same daemon
takes all mail and all changes; after one that stays, the next one does. POPBRIDGE_FAULTS is how
many n are drawn for each fault.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import imaplib
import os
import secrets
from collections import Counter
from pathlib import Path
from random import Random

import pytest

from bridge.cli.common import Failure
from tests.faults.device import Lost, Refused, observe
from tests.faults.injector import Fault, broken
from tests.faults.oracle import Effect
from tests.faults.scenarios import Steady
from tests.faults.storm import LOGIN
from tests.support import figures
from tests.support.nursery import Nursery
from tests.support.process import DaemonProcess, Ended

DRAWN = int(os.environ.get("POPBRIDGE_FAULTS", "1"))
SEED = int(os.environ.get("POPBRIDGE_SEED", secrets.randbelow(1_000_000)))
ONCE, FOR_EVER = 1, 0
TRIES = 4  # of a poll, and of what a device asks for
# How many of each a run has at least.
CALLS = {"pwrite64": 300, "fdatasync": 30, "pread64": 300, "ftruncate": 3, "open": 8, "mmap": 1}
FAULTS = [
    ("pwrite64", errno.ENOSPC, ONCE),
    ("pwrite64", errno.ENOSPC, FOR_EVER),
    ("pwrite64", errno.EIO, ONCE),
    ("pwrite64", errno.EIO, FOR_EVER),
    ("pwrite64", errno.EDQUOT, ONCE),
    ("fdatasync", errno.EIO, ONCE),
    ("fdatasync", errno.EIO, FOR_EVER),
    ("fdatasync", errno.ENOSPC, ONCE),
    ("pread64", errno.EIO, ONCE),
    ("pread64", errno.EIO, FOR_EVER),
    ("ftruncate", errno.EIO, ONCE),
    ("open", errno.EMFILE, FOR_EVER),
    ("mmap", errno.ENOMEM, ONCE),
    ("pwrite64", errno.EROFS, FOR_EVER),
]


@pytest.mark.case("D001", "D002", "D004", "D005", "D006")
@pytest.mark.timeout(120 + 30 * DRAWN)
@pytest.mark.parametrize(("call", "error", "times"), FAULTS)
async def test_a_disk_that_fails(
    tmp_path: Path, nursery: Nursery, call: str, error: int, times: int
) -> None:
    random = Random(f"{SEED} {call} {error} {times}")
    ends: Counter[str] = Counter()
    for number in random.sample(range(1, CALLS[call] + 1), min(DRAWN, CALLS[call])):
        folder = tmp_path / str(number)
        folder.mkdir()
        async with Steady(folder, nursery, Random(SEED)) as scenario:
            fault = Fault(call, scenario.data, number, times, error)
            what = f"seed {SEED}: {fault}"
            end = await lived(scenario, nursery, fault)
            assert scenario.faults == [], what
            await scenario.judge()
            assert scenario.faults == [], what
            ends[end] += 1
    figures.note(
        f"disk faults: {call} {errno.errorcode[error]}",
        tried=ends.total(),
        for_ever=0 if times else ends.total(),
        refused_to_start=ends["refused to start"],
        lost=0,
        doubled=0,
        corrupt=0,
        faults=0,
    )


async def lived(scenario: Steady, nursery: Nursery, fault: Fault) -> str:
    """A life with this fault, in a word."""
    oracle = scenario.storm.oracle
    refused: list[Effect | None] = []
    async with DaemonProcess(scenario.storm.config, broken(nursery, fault)) as daemon:
        try:
            port = await daemon.listening()
        except Ended as end:
            log = str(end)
            assert "Traceback" not in log, log
            assert "mistake of ours" not in log, log
            assert await daemon.wait() > 0
            return "refused to start"
        done = await polled(daemon)
        if not await looked(scenario, port) and fault.times == ONCE:
            assert await looked(scenario, port), "it is not read the second time either"
        wrote = await written(scenario, port, refused)
        await looked(scenario, port)
        if fault.times == ONCE:
            assert done, f"the poll never came through: {daemon.log}"
            assert wrote, "the device never came through"
        assert daemon.running, "\n".join(daemon.log)
        assert await daemon.stop() == 0, "\n".join(daemon.log)
        assert not [line for line in daemon.log if "Traceback" in line], "\n".join(daemon.log)
    if not wrote and fault.call == "fdatasync":
        # It is in the log of the database, which the next start reads to its end.
        oracle.holdings[0].pending = refused[-1]
    return "lived on"


async def polled(daemon: DaemonProcess) -> bool:
    """Polls until all accounts are up to date."""
    for _ in range(TRIES):
        with contextlib.suppress(Failure):  # it says what failed, and the daemon lives
            if not any(report["error"] or report["failed"] for report in await daemon.poll()):
                return True
    return False


async def looked(scenario: Steady, port: int) -> bool:
    """Reads all. What is shown is right; whether all was shown."""
    try:
        seen = await asyncio.to_thread(observe, port, LOGIN)
    except (imaplib.IMAP4.error, OSError, AssertionError):
        return False  # NO, or the line is dropped in the middle of a message
    scenario.storm.oracle.compare(seen)
    return True


async def written(scenario: Steady, port: int, refused: list[Effect | None]) -> bool:
    """The device's commands. What is refused is not there, and is no change."""
    writer = scenario.storm.writers[0]
    holding = scenario.storm.oracle.holdings[0]
    for _ in range(TRIES):
        try:
            await writer.run(port, LOGIN, scenario.commands)
        except Refused:
            refused.append(holding.pending)
            holding.pending = None
            continue
        except Lost:
            continue
        return True
    return False
