"""kill -9 at random instants: nothing lost, nothing double, nothing acknowledged undone.

    POPBRIDGE_KILLS=10000 POPBRIDGE_SEED=7 pytest -n 2 tests/faults/test_kill.py -s

Kills come in rounds, each with a store and mail of its own. Half of a round hits a first sync, half
hits twenty devices that write while new mail arrives. Daemons are forked (tests/support/nursery);
one in fifty is the real program from its start. The two wrong orders at the end are controls: the
same oracle must see what they do.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import time
from pathlib import Path
from random import Random

import pytest

from tests.faults.mail import maildrop
from tests.faults.storm import Kind, Storm
from tests.support import figures
from tests.support.nursery import Nursery
from tests.support.pop3_server import Pop3Server

KILLS = int(os.environ.get("POPBRIDGE_KILLS", "300"))
SEED = int(os.environ.get("POPBRIDGE_SEED", secrets.randbelow(1_000_000)))
ROUND = 50  # kills of one store: each restart reads all that there is
DEVICES = 20
REAL = 0.02  # of the daemons are not forked
MESSAGES = 400
CONTROL_KILLS = 60  # at most; one in two finds it
LEFT = ["lock", "popbridge.sqlite", "tls/ca.key", "tls/ca.pem", "tls/server.pem"]

SYNCING: list[Kind] = ["start", "command", "served", "served", "served", "written", "told"]
WRITING: list[Kind] = ["start", "command", "answered", "answered", "answered", "written"]


@pytest.mark.case("M006")
@pytest.mark.case("C004", "C018", "C019")
@pytest.mark.timeout(600 if KILLS <= 300 else 7200)  # a long run may be of low priority
@pytest.mark.parametrize("first", range(0, KILLS, ROUND))
async def test_no_kill_loses_or_doubles_or_undoes_anything(
    tmp_path: Path, nursery: Nursery, first: int
) -> None:
    kills = min(ROUND, KILLS - first)
    random = Random(SEED + first)
    started = time.monotonic()
    async with Pop3Server() as keeper, Pop3Server(pops_retrieved=True) as popper:
        storm = Storm(
            tmp_path, keeper, popper, random, writers=DEVICES, program=nursery.run, real=REAL
        )
        large = maildrop("large", 2, random, largest=20_000)
        storm.offer(keeper, [*maildrop("mail", MESSAGES - 2, random), *large])

        await _first_sync(storm, kills // 2)
        files = await storm.settle()
        assert storm.oracle.faults == []
        assert files == LEFT

        for number in range(kills - kills // 2):
            storm.offer(keeper, maildrop(f"later-{number}", random.randint(0, 4), random))
            storm.offer(popper, maildrop(f"popped-{number}", random.randint(0, 4), random))
            await storm.run_and_kill(WRITING, writing=True)
            assert storm.oracle.faults == [], f"kill {storm.kills.total()}"
        files = await storm.settle()

    oracle = storm.oracle
    print(f"\nseed {SEED}, from kill {first}: {dict(storm.kills)}")
    assert oracle.faults == []
    assert files == LEFT
    assert keeper.ledger.count(b"DELE") == popper.ledger.count(b"DELE") == 0
    figures.note(
        "kills",
        tried=storm.kills.total(),
        real=storm.real,
        messages=len(oracle.owner),
        acknowledged=storm.answered,
        lost=len(oracle.lost),
        doubled=len(oracle.doubled),
        faults=len(oracle.faults),
        seconds=time.monotonic() - started,
    )


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
async def test_the_oracle_sees_what_a_wrong_order_does(
    tmp_path: Path, nursery: Nursery, order: str
) -> None:
    async with Pop3Server() as keeper, Pop3Server() as popper:
        random = Random(SEED)
        storm = Storm(
            tmp_path,
            keeper,
            popper,
            random,
            program=lambda config: nursery.start(
                (order, str(config)), module="tests.faults.wrong_order"
            ),
        )
        for round_ in range(CONTROL_KILLS):
            storm.offer(keeper, maildrop(f"mail-{round_}", 30, random))
            await storm.run_and_kill(["served", "written"], writing=False)
            await storm.settle()
            if storm.oracle.lost or storm.oracle.doubled:
                break
    print(f"seed {SEED}, {order}: found by kill {round_ + 1}: {storm.oracle.faults[:1]}")
    found = (bool(storm.oracle.lost), bool(storm.oracle.doubled))
    assert found == ((True, False) if order == "mark first" else (False, True))
    figures.note(f"control: {order}", tried=round_ + 1, caught=1)
