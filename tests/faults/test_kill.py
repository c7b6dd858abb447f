"""kill -9 at random instants: nothing lost, nothing double, nothing acknowledged undone.

    POPBRIDGE_KILLS=200 POPBRIDGE_SEED=7 pytest tests/faults/test_kill.py -s

Half of the kills hit the first sync of 1,000 messages, half hit four devices that write while new
mail arrives. The two wrong orders at the end are controls: the same oracle must see what they do.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import sys
import time
from pathlib import Path
from random import Random

import pytest

from tests.faults.mail import maildrop
from tests.faults.storm import Kind, Storm
from tests.support.pop3_server import Pop3Server

KILLS = int(os.environ.get("POPBRIDGE_KILLS", "20"))
SEED = int(os.environ.get("POPBRIDGE_SEED", secrets.randbelow(1_000_000)))
MESSAGES = 1_000
CONTROL_KILLS = 60  # at most; one in two finds it
LEFT = ["lock", "popbridge.sqlite", "tls/ca.key", "tls/ca.pem", "tls/server.pem"]

SYNCING: list[Kind] = ["start", "command", "served", "served", "served", "written", "told"]
WRITING: list[Kind] = ["start", "command", "answered", "answered", "answered", "written"]


@pytest.mark.timeout(120 + 10 * KILLS)
async def test_no_kill_loses_or_doubles_or_undoes_anything(tmp_path: Path) -> None:
    random = Random(SEED)
    started = time.monotonic()
    async with Pop3Server() as keeper, Pop3Server(pops_retrieved=True) as popper:
        storm = Storm(tmp_path, keeper, popper, random)
        large = maildrop("large", 2, random, largest=20_000)
        storm.offer(keeper, [*maildrop("mail", MESSAGES - 2, random), *large])

        await _first_sync(storm, KILLS // 2)
        files = await storm.settle()
        assert storm.oracle.faults == []
        assert files == LEFT

        for round_ in range(KILLS - KILLS // 2):
            storm.offer(keeper, maildrop(f"later-{round_}", random.randint(0, 4), random))
            storm.offer(popper, maildrop(f"popped-{round_}", random.randint(0, 4), random))
            await storm.run_and_kill(WRITING, writing=True)
            assert storm.oracle.faults == [], f"kill {storm.kills.total()}"
        files = await storm.settle()

    oracle = storm.oracle
    seconds = time.monotonic() - started
    print(
        f"\nseed {SEED}: {storm.kills.total()} kills {dict(storm.kills)}, {len(oracle.owner)} "
        f"messages, {storm.answered} changes acknowledged, lost {len(oracle.lost)}, doubled "
        f"{len(oracle.doubled)}, faults {len(oracle.faults)}, {seconds:.0f} s"
    )
    assert oracle.faults == []
    assert files == LEFT
    assert keeper.ledger.count(b"DELE") == popper.ledger.count(b"DELE") == 0


async def _first_sync(storm: Storm, kills: int) -> None:
    """Kills over the whole of the sync: each run may fetch one part more than the one before."""
    for number in range(kills):
        last = MESSAGES * (number + 1) // kills
        storm.keeper.holds = {b"RETR %d" % (last + 1): asyncio.Event()}
        await storm.run_and_kill(SYNCING, writing=False)
        assert storm.oracle.faults == [], f"kill {storm.kills.total()}"
    storm.keeper.holds = {}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("order", ["mark first", "store first"])
async def test_the_oracle_sees_what_a_wrong_order_does(tmp_path: Path, order: str) -> None:
    program = (sys.executable, "-m", "tests.faults.wrong_order", order)
    async with Pop3Server() as keeper, Pop3Server() as popper:
        random = Random(SEED)
        storm = Storm(tmp_path, keeper, popper, random, program=program)
        for round_ in range(CONTROL_KILLS):
            storm.offer(keeper, maildrop(f"mail-{round_}", 30, random))
            await storm.run_and_kill(["served", "written"], writing=False)
            await storm.settle()
            if storm.oracle.lost or storm.oracle.doubled:
                break
    print(f"seed {SEED}, {order}: found by kill {round_ + 1}: {storm.oracle.faults[:1]}")
    found = (bool(storm.oracle.lost), bool(storm.oracle.doubled))
    assert found == ((True, False) if order == "mark first" else (False, True))
