"""kill -9 at every system call that changes something, of an import, an export and a backup.

    POPBRIDGE_BOUNDARIES=all pytest tests/faults/test_moving_boundaries.py -s

strace kills the command where it enters the n-th such call. Then it is run to its end, and what it
made must be whole, once, and free of leftovers. In the suite one n a call is drawn; with `all`, n
rises until a run ends in order.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from itertools import count
from pathlib import Path
from random import Random

import pytest

from bridge.transfer import mbox
from bridge.transfer.marks import Marks
from tests.store.conftest import recount
from tests.store.test_backup import sound
from tests.support.house import ADDRESS, write_config
from tests.support.require import require
from tests.support.samples import samples
from tests.transfer.house import House

EVERY = os.environ.get("POPBRIDGE_BOUNDARIES") == "all"
SEED = int(os.environ.get("POPBRIDGE_SEED", secrets.randbelow(1_000_000)))
RAWS = list(samples(6))
# How many of each a run has at least.
CALLS = {
    ("import", "pwrite64"): 30,
    ("import", "fdatasync"): 3,
    ("export", "write"): 10,
    ("export", "rename"): 8,
    ("export", "fsync"): 10,
    ("backup", "pwrite64"): 20,
    ("backup", "rename"): 1,
}


def run(config: Path, *words: object, strace: Sequence[str] = ()) -> tuple[int, dict[str, int]]:
    command = [*strace, sys.executable, "-m", "bridge", *map(str, words), "--config", str(config)]
    ended = subprocess.run([*command, "--json"], stdout=subprocess.PIPE, check=False)
    said: dict[str, int] = json.loads(ended.stdout) if ended.returncode == 0 else {}
    return ended.returncode, said


@pytest.mark.case("C006")
@pytest.mark.timeout(7200 if EVERY else 120)
@pytest.mark.parametrize(("what", "call"), CALLS)
async def test_a_kill_at_a_system_call(tmp_path: Path, what: str, call: str) -> None:
    require("strace")
    numbers = count(1) if EVERY else [Random(SEED).randint(1, CALLS[what, call])]
    kills = 0
    for number in numbers:
        folder = tmp_path / str(number)
        folder.mkdir()
        pop3 = {"host": "127.0.0.1", "port": 1, "security": "none", "username": "u"}
        account: dict[str, object] = {"address": ADDRESS, "pop3": {**pop3, "password": "p"}}
        config = write_config(folder, [account])
        inject = f"inject={call}:signal=KILL:when={number}"
        tracing = ("strace", "-D", "-f", "-qq", "-o", os.devnull, "-e", f"trace={call}")
        strace = (*tracing, "-e", inject)
        killed = await TRIALS[what](folder, config, strace)
        kills += killed
        if not killed:
            break
    print(f"seed {SEED}, {what}, {call}: {kills} kills survived")
    assert kills, f"{call} was never called {numbers} times"


def went(config: Path, words: Sequence[object], strace: Sequence[str]) -> bool:
    """Runs it under strace, then to its end. Whether it was killed."""
    code, _ = run(config, *words, strace=strace)
    assert code in (0, -signal.SIGKILL)
    again, _ = run(config, *words)
    assert again == 0
    return code != 0


async def _import(folder: Path, config: Path, strace: Sequence[str]) -> bool:
    path = folder / "six.mbox"
    path.write_bytes(
        b"".join(mbox.head(Marks(8, (), n)) + b"".join(mbox.quoted(r)) for n, r in enumerate(RAWS))
    )
    killed = went(config, ("import", "mbox", path, "--login", ADDRESS), strace)
    assert recount(folder / "data") == []
    house = await House.open(folder / "data", ADDRESS)
    assert Counter(await house.octets("INBOX")) == Counter(RAWS)
    await house.store.close()
    return killed


async def _export(folder: Path, config: Path, strace: Sequence[str]) -> bool:
    house = await House.open(folder / "data", ADDRESS)
    await house.fill("INBOX", *((raw, Marks(8, ("a",), n)) for n, raw in enumerate(RAWS)))
    expected = await house.shown()
    await house.store.close()
    killed = False
    for kind in ("maildir", "mbox"):
        target = folder / kind
        killed |= went(config, ("export", kind, target, "--login", ADDRESS), strace)
        fresh = await House.open(folder / f"fresh-{kind}", ADDRESS)
        await fresh.import_(kind, target)
        assert await fresh.shown() == expected
        await fresh.store.close()
        assert not list(target.rglob("*.part"))
        assert not list(target.glob("tmp/*"))
    return killed


async def _backup(folder: Path, config: Path, strace: Sequence[str]) -> bool:
    house = await House.open(folder / "data", ADDRESS)
    await house.fill("INBOX", *((raw, Marks()) for raw in RAWS))
    await house.store.close()
    file = folder / "saved"
    code, _ = run(config, "backup", file, strace=strace)
    if not file.exists():  # one that was killed late is there, and whole
        assert run(config, "backup", file)[0] == 0
    assert sound(file) == len(RAWS)
    assert [name for name in os.listdir(folder) if name.startswith("saved")] == ["saved"]
    return code != 0


Trial = Callable[[Path, Path, Sequence[str]], Awaitable[bool]]
TRIALS: dict[str, Trial] = {"import": _import, "export": _export, "backup": _backup}
