"""kill -9 of an import and of a migration at random instants (E004, E005): nothing lost or doubled.

    POPBRIDGE_MOVES=50 POPBRIDGE_SEED=7 pytest tests/faults/test_moving_killed.py -s

Each run is killed somewhere on its way and begun again; the last one runs to its end, and one more
has nothing left to do. The migration goes to a server without UIDPLUS, and half of the times the
journal is lost as well: then bytes alone say what is there.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import shutil
import sys
import time
from collections import Counter
from pathlib import Path
from random import Random

import pytest

from bridge.transfer import mbox
from bridge.transfer.marks import Marks
from tests.store.conftest import recount
from tests.support import figures
from tests.support.house import ADDRESS, write_config
from tests.support.imap_target import ImapTarget
from tests.support.samples import samples
from tests.transfer.house import House

KILLS = int(os.environ.get("POPBRIDGE_MOVES", "4"))
SEED = int(os.environ.get("POPBRIDGE_SEED", secrets.randbelow(1_000_000)))
MESSAGES = 1_000
RAWS = list(samples(MESSAGES))


def config_in(folder: Path) -> Path:
    pop3 = {"host": "127.0.0.1", "port": 1, "security": "none", "username": "u", "password": "p"}
    account: dict[str, object] = {"address": ADDRESS, "pop3": pop3}
    folder.mkdir(exist_ok=True)
    return write_config(folder, [account])


async def run(
    config: Path, *words: object, within: float | None = None, until: asyncio.Event | None = None
) -> dict[str, int] | None:
    """The figures that a command ends with; None where it was killed: after `within` seconds, or
    when `until` happens."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bridge", *map(str, words), "--config", str(config), "--json",
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    ended = asyncio.create_task(process.communicate())
    event = asyncio.create_task((until or asyncio.Event()).wait())
    await asyncio.wait((ended, event), timeout=within, return_when=asyncio.FIRST_COMPLETED)
    event.cancel()
    if not ended.done():
        process.kill()
        await ended
        return None
    said, _ = ended.result()
    assert process.returncode == 0
    figures: dict[str, int] = json.loads(said)
    return figures


async def killed(random: Random, whole: float, config: Path, *words: object) -> int:
    """Runs the command until it has been killed KILLS times (or has nothing left to do)."""
    hits = 0
    for _ in range(KILLS):
        hits += await run(config, *words, within=whole * random.uniform(0.25, 1.0)) is None
    return hits


async def held(folder: Path) -> Counter[bytes]:
    """The digests of INBOX."""
    assert recount(folder) == []
    house = await House.open(folder, ADDRESS)
    try:
        return Counter(each.digest for each in await house.entries("INBOX"))
    finally:
        await house.store.close()


@pytest.mark.case("E004")
@pytest.mark.timeout(120 + 10 * KILLS)
async def test_an_import_is_killed_and_goes_on(tmp_path: Path) -> None:
    random = Random(SEED)
    file = tmp_path / "all.mbox"
    file.write_bytes(
        b"".join(mbox.head(Marks(8, (), n)) + b"".join(mbox.quoted(r)) for n, r in enumerate(RAWS))
    )
    words = ("import", "mbox", file, "--login", ADDRESS)
    started = time.monotonic()
    assert await run(config_in(tmp_path / "whole"), *words) is not None
    whole = time.monotonic() - started
    config = config_in(tmp_path / "killed")
    hits = await killed(random, whole, config, *words)
    last = await run(config, *words)
    again = await run(config, *words)
    assert last is not None
    assert again is not None
    assert (last["seen"], last["done"] + last["already"], last["failed"]) == (MESSAGES, MESSAGES, 0)
    assert (again["done"], again["already"]) == (0, MESSAGES)
    one = await held(tmp_path / "whole" / "data")
    two = await held(tmp_path / "killed" / "data")
    assert two == one, f"seed {SEED}"
    assert set(two.values()) == {1}
    figures.note(
        "import, killed",
        tried=hits,
        messages=two.total(),
        lost=(one - two).total(),
        doubled=sum(n - 1 for n in two.values()),
    )


@pytest.mark.case("E004")
@pytest.mark.timeout(120 + 10 * KILLS)
async def test_a_migration_is_killed_and_goes_on(tmp_path: Path) -> None:
    random = Random(SEED)
    config = config_in(tmp_path / "from")
    house = await House.open(tmp_path / "from" / "data", ADDRESS)
    await house.fill("INBOX", *((raw, Marks(8, ("work",), n)) for n, raw in enumerate(RAWS)))
    await house.store.close()
    word = tmp_path / "word"
    word.touch(mode=0o600)
    word.write_text("secret\n")
    async with ImapTarget(b"IMAP4rev1 LITERAL+ MULTIAPPEND") as target:
        url = f"imap://me@127.0.0.1:{target.port}"
        words = ("migrate", "--login", ADDRESS, "--to", url, "--to-password-file", word)
        hits = 0
        for number in range(KILLS):
            # Somewhere in its share of the messages, between one that it was asked to take and its
            # answer; with MULTIAPPEND that may be the middle of a command.
            hits += await _killed_at(target, random.randint(1, MESSAGES // KILLS), config, *words)
            if number % 2:
                shutil.rmtree(tmp_path / "from" / "data" / "moving", ignore_errors=True)
        target.answer = lambda _: None
        last = await run(config, *words)
        appends = target.appends
        again = await run(config, *words)
        assert last is not None
        assert again is not None
        assert (last["done"] + last["already"], last["failed"]) == (MESSAGES, 0)
        assert (again["done"], again["already"], target.appends) == (0, MESSAGES, appends)
        there = Counter(target.held())
        assert there == Counter(RAWS), f"seed {SEED}"
        assert hits == KILLS
        figures.note(
            "migration, killed",
            tried=hits,
            messages=there.total(),
            lost=(Counter(RAWS) - there).total(),
            doubled=(there - Counter(RAWS)).total(),
        )


async def _killed_at(target: ImapTarget, message: int, config: Path, *words: object) -> bool:
    """Runs the command and kills it when the server has been given so many messages."""
    left = message
    reached = asyncio.Event()

    def count(_: bytes) -> None:
        nonlocal left
        left -= 1
        if not left:
            reached.set()

    target.answer = count
    return await run(config, *words, until=reached) is None
