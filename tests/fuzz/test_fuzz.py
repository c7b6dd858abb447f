"""What a run of the fuzzer found stays found, and every target runs for a while.

POPBRIDGE_FUZZ=1000000 pytest tests/fuzz -s
"""

from __future__ import annotations

import asyncio
import os
import sys

import pytest

from tests.fuzz.__main__ import NAMES, SEEDS, seeds
from tests.fuzz.targets import TARGETS
from tests.support import figures
from tests.support.process import ROOT

RUNS = int(os.environ.get("POPBRIDGE_FUZZ", "50000" if os.environ.get("CI") else "2000"))


def test_every_target_has_its_seeds_and_an_invariant() -> None:
    import tests.fuzz.sessions  # noqa: F401  it has a target of its own

    assert set(TARGETS) == set(NAMES) == {path.stem for path in SEEDS.glob("*.txt")}
    for name, target in TARGETS.items():
        assert target.__doc__, name
        assert seeds(name), name


@pytest.mark.parametrize("name", sorted({*NAMES} - {"imap-sessions"}))
def test_no_seed_breaks_its_target(name: str) -> None:
    """In this process, without instrumentation. (Those of sessions want a loop of their own.)"""
    for octets in seeds(name):
        TARGETS[name](octets)


@pytest.mark.case("I014", "I015", "I090")
@pytest.mark.timeout(600 + RUNS // 50)
@pytest.mark.parametrize("name", NAMES)
async def test_a_target_holds(name: str) -> None:
    command = (sys.executable, "-m", "tests.fuzz", name, "--runs", str(RUNS))
    process = await asyncio.create_subprocess_exec(
        *command, cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    said, _ = await process.communicate()
    print(said.decode(errors="backslashreplace"), end="")
    assert process.returncode == 0, said.decode(errors="backslashreplace")
    figures.note(f"fuzz: {name}", tried=RUNS, faults=0)
