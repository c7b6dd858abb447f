"""kill -9 at every system call that changes something, of a small first sync with writes.

    POPBRIDGE_BOUNDARIES=all pytest tests/faults/test_boundaries.py -s

strace kills the daemon where it enters the n-th such call: files (pages of the database and its
log, syncs, certificates, the control socket) and sockets and logs (`write`). In the suite one n a
call is drawn; with `all`, n rises until a run ends in order.
"""

from __future__ import annotations

import os
import secrets
from itertools import count
from pathlib import Path
from random import Random

import pytest

from tests.faults.mail import maildrop
from tests.faults.storm import Storm
from tests.support.pop3_server import Pop3Server
from tests.support.require import require

EVERY = os.environ.get("POPBRIDGE_BOUNDARIES") == "all"
SEED = int(os.environ.get("POPBRIDGE_SEED", secrets.randbelow(1_000_000)))
MESSAGES = 8
COMMANDS = 8
# How many of each a run has at least.
CALLS = {
    "pwrite64": 180,
    "fdatasync": 12,
    "write": 20,
    "fsync": 6,
    "ftruncate": 2,
    "rename": 3,
    "unlink": 2,
}


@pytest.mark.timeout(7200 if EVERY else 120)
@pytest.mark.parametrize("call", CALLS)
async def test_a_kill_at_a_system_call_loses_and_doubles_nothing(tmp_path: Path, call: str) -> None:
    require("strace")
    numbers = count(1) if EVERY else [Random(SEED).randint(1, CALLS[call])]
    kills = 0
    for number in numbers:
        folder = tmp_path / str(number)
        folder.mkdir()
        killed = await _killed(folder, call, number)
        kills += killed
        if not killed:
            break
    print(f"seed {SEED}, {call}: {kills} kills survived")
    assert kills, f"{call} was never called {numbers} times"


async def _killed(folder: Path, call: str, number: int) -> bool:
    random = Random(SEED)
    async with Pop3Server() as keeper, Pop3Server(pops_retrieved=True) as popper:
        storm = Storm(folder, keeper, popper, random, writers=1)
        storm.offer(keeper, maildrop("kept", MESSAGES // 2, random))
        storm.offer(popper, maildrop("popped", MESSAGES - MESSAGES // 2, random))
        killed = await storm.run_to_call(call, number, COMMANDS)
        await storm.settle()
        assert storm.oracle.faults == [], f"{call} {number}"
    return killed
