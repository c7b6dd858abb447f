"""Runs the proofs and writes docs/guarantees.md: see the package."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sqlite3
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from tests.guarantees.figures import Run, Sum, read, read_file
from tests.guarantees.page import faults, page
from tests.support.figures import FILE

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
KEPT = DOCS / "guarantees-long.jsonl"
# What makes each proof as large as an hour on two cores allows.
FULL = {
    "POPBRIDGE_KILLS": "1000",
    "POPBRIDGE_BOUNDARIES": "all",
    "POPBRIDGE_POWER": "all",
    "POPBRIDGE_RECOVERIES": "all",
    "POPBRIDGE_FAULTS": "10",
    "POPBRIDGE_FLIPS": "all",
    "POPBRIDGE_CANCELS": "all",
    "POPBRIDGE_APPENDS": "1000",
    "POPBRIDGE_BACKUPS": "100",
    "POPBRIDGE_MOVES": "20",
    "POPBRIDGE_CUTS": "all",
    "POPBRIDGE_DROPS": "1000",
    "POPBRIDGE_SCRIPTS": "10000",
    "POPBRIDGE_STEPS": "100000",
    "POPBRIDGE_FUZZ": "100000",
}


def main() -> int:
    options = argparse.ArgumentParser(prog="python -m tests.guarantees", description=__doc__)
    options.add_argument("--full", action="store_true", help="every proof in its full form")
    options.add_argument("--read", type=Path, metavar="FILE", help="figures of a run that was")
    options.add_argument("--keep", type=Path, metavar="FILE", help="figures of a long run")
    options.add_argument("--out", type=Path, help="instead of docs/guarantees.md")
    given = options.parse_args()
    if given.keep:
        return _keep(given.keep)
    failed = 0
    if given.read:
        run, form = read_file(given.read), "The short form of each proof, as at every change"
    else:
        started = time.monotonic()
        run, failed = _suite(FULL if given.full else {})
        form = f"{'The full' if given.full else 'The short'} form of each proof"
        form += f", {(time.monotonic() - started) / 60:.0f} minutes"
    text = page(run, [form + f": {_where()}.", *_how()], _long())
    if given.out or not given.read:
        (given.out or DOCS / "guarantees.md").write_text(text, "utf-8")
    print(text)
    found = faults(run)
    for fault in found:
        print(f"fault: {fault}", file=sys.stderr)
    return 1 if found or failed else 0


def _suite(environment: dict[str, str]) -> tuple[Run, int]:
    """All tests; their figures, and pytest's exit code."""
    with tempfile.NamedTemporaryFile(suffix=".jsonl") as file:
        done = subprocess.run(
            (sys.executable, "-m", "pytest", "-n", "auto", "--dist", "worksteal"),
            cwd=ROOT,
            env=os.environ | environment | {FILE: file.name},
            check=False,
        )
        return read_file(Path(file.name)), done.returncode


def _where() -> str:
    commit = subprocess.run(
        ("git", "rev-parse", "--short", "HEAD"), cwd=ROOT, capture_output=True, text=True
    ).stdout.strip()
    return (
        f"{datetime.now(UTC):%Y-%m-%d}, commit {commit}, {os.cpu_count()} cores, Linux "
        f"{platform.release()}, Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}"
    )


def _how() -> list[str]:
    variables = " ".join(f"{name}={value}" for name, value in FULL.items())
    return [
        "",
        "Written out of what the tests counted, by `python -m tests.guarantees`, which runs what "
        f"every change is checked by; with `--full` it runs the whole suite with `{variables}`.",
        "`tried` are inputs, kill points, cuts or faults. What stays empty is not measured by "
        "that proof. A control is a wrong build that the same test must catch.",
    ]


def _keep(file: Path) -> int:
    """Adds a long run's figures to the kept ones, with when and where."""
    run = read_file(file)
    with KEPT.open("a", encoding="utf-8") as kept:
        for name, proof in run.proofs.items():
            kept.write(json.dumps({"proof": name, "when": _where(), **proof.figures}) + "\n")
    return 0


def _long() -> dict[str, tuple[str, Sum]]:
    """The kept figures, the last ones of each proof."""
    found = {}
    for line in KEPT.read_text("utf-8").splitlines() if KEPT.exists() else ():
        noted = json.loads(line)
        when = noted.pop("when")
        found[noted["proof"]] = (when, read([json.dumps(noted)]).proofs[noted["proof"]])
    return found


if __name__ == "__main__":
    sys.exit(main())
