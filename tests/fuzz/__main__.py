"""Runs targets, each in a process of its own: see the package.

With atheris, coverage of `bridge` guides the mutations; a finding is printed as a line for
`seeds/`. Exit code 1 where a target found something.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import os
import re
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path
from random import Random
from typing import Any

SEEDS = Path(__file__).parent / "seeds"
RUNS = 50_000
LONGEST = 2_048  # octets of an input
INPUT_SECONDS = 10  # that one may take at most
NAMES = (
    "imap-lines",
    "imap-grammar",
    "imap-search",
    "imap-names",
    "imap-sessions",
    "deflate",
    "mime",
    "headers",
    "pop3",
    "config-yaml",
)


def seeds(name: str) -> list[bytes]:
    """The lines of `seeds/<name>.txt`, each an expression such as b"a1 NOOP\\r\\n"; # comments."""
    lines = (SEEDS / f"{name}.txt").read_text().splitlines()
    found = [ast.literal_eval(line) for line in lines if line and not line.startswith("#")]
    assert all(isinstance(seed, bytes) for seed in found), name
    return found


def main() -> int:
    options = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    options.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(NAMES))
    options.add_argument("--runs", type=int, default=RUNS)
    options.add_argument("--seed", type=int, default=0, help="0: another one each time")
    options.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    given = options.parse_args()
    unknown = set(given.targets) - set(NAMES)
    if unknown:
        options.error(f"no such target: {', '.join(sorted(unknown))}")
    seed = given.seed or Random().randrange(1, 2**31)
    if given.here:
        return _run(given.targets[0], given.runs, seed)
    failed = 0
    for name in given.targets or NAMES:
        started = time.monotonic()
        command = (sys.executable, "-m", "tests.fuzz", name, "--here")
        done = subprocess.run(
            (*command, "--runs", str(given.runs), "--seed", str(seed)),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="backslashreplace",
        )
        count = re.search(r"Done (\d+) ", done.stdout)
        fine = done.returncode == 0 and count is not None and int(count[1]) >= given.runs
        failed += not fine
        by = "atheris" if "INFO: Seed:" in done.stdout else "mutations"
        seconds = time.monotonic() - started
        said = f"{count[1]} inputs" if fine and count else "FOUND"
        print(f"{name}: {said} ({by}, seed {seed}), {seconds:.0f} s", flush=True)
        if not fine:
            print(done.stdout[-8_000:], flush=True)
    return 1 if failed else 0


def _run(name: str, runs: int, seed: int) -> int:
    """One target, in this process."""
    try:
        import atheris
    except ImportError:
        return _mutate(name, runs, seed)
    with atheris.instrument_imports(include=["bridge"]):
        run = _target(name)
    with tempfile.TemporaryDirectory() as folder:
        for number, octets in enumerate(seeds(name)):
            (Path(folder) / str(number)).write_bytes(octets)
        flags = [f"-runs={runs}", f"-seed={seed}", f"-max_len={LONGEST}"]
        flags += [
            f"-timeout={INPUT_SECONDS}",
            f"-artifact_prefix={folder}/",
            "-print_final_stats=0",
        ]

        def one(octets: bytes) -> None:
            try:
                run(octets)
            except BaseException:
                print(f"\na line for seeds/{name}.txt:\n{octets!r}", flush=True)
                raise

        atheris.Setup([sys.argv[0], *flags, folder], one)
        atheris.Fuzz()  # ends the process
    return 1


def _mutate(name: str, runs: int, seed: int) -> int:
    """Without atheris: the seeds, and cuts and joins of them."""
    run, random = _target(name), Random(seed)
    known = seeds(name)
    for number in range(runs):
        octets = known[number] if number < len(known) else _mutant(random, known)
        try:
            run(octets)
        except Exception:
            print(f"a line for seeds/{name}.txt:\n{octets!r}")
            traceback.print_exc(file=sys.stdout)
            return 1
    print(f"Done {runs} runs")
    return 0


def _mutant(random: Random, known: list[bytes]) -> bytes:
    octets = bytearray(random.choice(known))
    for _ in range(random.randint(1, 6)):
        at = random.randint(0, len(octets))
        way = random.randrange(4)
        if way == 0:
            octets[at:at] = random.randbytes(random.randint(1, 4))
        elif way == 1:
            del octets[at : at + random.randint(1, 8)]
        elif way == 2:
            other = random.choice(known)
            start = random.randint(0, len(other))
            octets[at:at] = other[start : start + random.randint(1, 40)]
        elif at < len(octets):
            octets[at] ^= 1 << random.randrange(8)
    return bytes(octets[:LONGEST])


def _target(name: str) -> Any:
    importlib.import_module(
        "tests.fuzz.sessions" if name == "imap-sessions" else "tests.fuzz.targets"
    )
    found = importlib.import_module("tests.fuzz.targets").TARGETS
    return found[name]


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    os._exit(code)
