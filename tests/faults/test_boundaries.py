"""kill -9 at every system call that changes something, of four lives of a store.

    POPBRIDGE_BOUNDARIES=all pytest -n 2 tests/faults/test_boundaries.py -s

The process is killed where it enters the n-th call on a file (pages of the database and its log,
syncs, certificates, the control socket) or the n-th one that tells a peer something, see
`injector`. What is left is judged, then a new process goes on and all is judged again. In the suite
one n is drawn for each call; with `all`, n is each number from 1 until a run ends in order, in
`LANES` shares that run beside each other. strace, which knows nothing of ours, counts the calls of
a run too, and kills the real program once.
"""

from __future__ import annotations

import os
import re
import secrets
import time
from collections import Counter
from itertools import count
from pathlib import Path
from random import Random

import pytest

from tests.faults.injector import CHANGES, Fault, broken
from tests.faults.mail import maildrop
from tests.faults.scenarios import SCENARIOS
from tests.faults.storm import Storm
from tests.support import figures
from tests.support.nursery import Nursery
from tests.support.pop3_server import Pop3Server
from tests.support.process import PROGRAM, DaemonProcess, Program, write_config
from tests.support.require import require

EVERY = os.environ.get("POPBRIDGE_BOUNDARIES") == "all"
SEED = int(os.environ.get("POPBRIDGE_SEED", secrets.randbelow(1_000_000)))
LANES = 8
# How many of each a run has at least.
CALLS = {
    "first sync": {
        "pwrite64": 400,
        "fdatasync": 30,
        "tell": 30,
        "create": 10,
        "unlink": 8,
        "fsync": 6,
        "ftruncate": 3,
        "write": 3,
        "rename": 3,
    },
    "steady poll": {"pwrite64": 300, "fdatasync": 30, "tell": 50, "unlink": 3},
    "delete policy": {"pwrite64": 150, "fdatasync": 15, "tell": 30, "unlink": 3},
    "import": {"pwrite64": 200, "fdatasync": 15, "ftruncate": 3, "unlink": 2},
}
DRAWN = [(scenario, call) for scenario, calls in CALLS.items() for call in calls]
SHARES = [(scenario, lane) for scenario in SCENARIOS for lane in range(LANES)]


async def killed(folder: Path, nursery: Nursery, name: str, call: str, number: int) -> bool:
    """Whether the run had so many calls."""
    async with SCENARIOS[name](folder, nursery, Random(SEED)) as scenario:
        code = await scenario.go(Fault(call, scenario.data, number))
        await scenario.judge()
        assert scenario.faults == [], (SEED, name, call, number)
        assert scenario.figures == {"lost": 0, "doubled": 0}
    return code != 0


@pytest.mark.case("C001", "C002", "C003")
@pytest.mark.timeout(7200 if EVERY else 120)
@pytest.mark.parametrize(
    ("name", "call", "lane"),
    [(name, "change", lane) for name, lane in SHARES]
    if EVERY
    else [(name, call, 0) for name, call in DRAWN],
)
async def test_a_kill_at_a_system_call_loses_and_doubles_nothing(
    tmp_path: Path, nursery: Nursery, name: str, call: str, lane: int
) -> None:
    started = time.monotonic()
    numbers = count(1 + lane, LANES) if EVERY else [Random(SEED).randint(1, CALLS[name][call])]
    kills = 0
    for number in numbers:
        (tmp_path / str(number)).mkdir()
        if not await killed(tmp_path / str(number), nursery, name, call, number):
            break
        kills += 1
    assert kills, f"{call} was never called {numbers} times"
    figures.note(
        f"kill points: {name}",
        tried=kills,
        lost=0,
        doubled=0,
        faults=0,
        seconds=time.monotonic() - started,
    )


async def test_strace_counts_what_the_injector_counts(tmp_path: Path, nursery: Nursery) -> None:
    """A start and a stop without mail, which is the same each time: no call goes unseen."""
    require("strace")
    calls = ("pwrite64", "fdatasync", "fsync", "ftruncate")
    assert set(calls) <= set(CHANGES)
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    log, trace = tmp_path / "log", tmp_path / "trace"
    strace = ("strace", "-D", "-f", "-qq", "-y", "-o", trace, "-e", f"trace={','.join(calls)}")
    programs: dict[Path, Program] = {
        ours: broken(nursery, Fault("change", ours / "data", 10**9), report=log),
        theirs: (*map(str, strace), *PROGRAM),
    }
    for folder, program in programs.items():
        folder.mkdir()
        async with DaemonProcess(write_config(folder, []), program) as daemon:
            await daemon.listening()
            assert await daemon.stop() == 0
    counted = Counter(line.split()[0] for line in log.read_text().splitlines())
    traced = re.findall(rf"^\d+ +(\w+)\(\d+<{theirs}", trace.read_text(), re.MULTILINE)
    assert {call: counted[call] for call in calls} == Counter(traced)
    assert counted["pwrite64"] > 50


@pytest.mark.timeout(300)
async def test_strace_kills_the_real_program(tmp_path: Path) -> None:
    require("strace")
    random = Random(SEED)
    call = random.choice(("pwrite64", "fdatasync", "write", "unlink"))
    number = random.randint(1, {"pwrite64": 180, "fdatasync": 12, "write": 20, "unlink": 2}[call])
    async with Pop3Server() as keeper, Pop3Server(pops_retrieved=True) as popper:
        storm = Storm(tmp_path, keeper, popper, random, writers=1)
        storm.offer(keeper, maildrop("kept", 4, random))
        storm.offer(popper, maildrop("popped", 4, random))
        assert await storm.run_to_call(call, number, 8), f"{call} was never called {number} times"
        await storm.settle()
    assert storm.oracle.faults == [], f"seed {SEED}: {call} {number}"
    figures.note("kill points: by strace", tried=1, lost=0, doubled=0, faults=0)
