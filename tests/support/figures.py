"""What a proof counted, for docs/guarantees.md.

    figures.note("kills", tried=300, lost=0, doubled=0, seconds=291.4)

prints one line, and appends it as JSON to the file that POPBRIDGE_FIGURES names (see
tests.guarantees). Rules: only what was counted in this run, by the test that asserts it; a
test notes after its assertions. Names that mean the same everywhere: `tried` (inputs, points,
cuts, faults), `lost`, `doubled`, `corrupt`, `leaks`, `worst_ms`, `peak_mb`, `seconds`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Final

FILE: Final = "POPBRIDGE_FIGURES"
Figure = int | float | str


def note(proof: str, /, **figures: Figure) -> None:
    """One proof's figures. Several notes of one proof (parametrized tests) are added up there."""
    said = ", ".join(f"{name} {_short(value)}" for name, value in figures.items())
    print(f"\n{proof}: {said}")
    _write({"proof": proof, **figures})


def note_case(case: str, test: str, passed: bool) -> None:
    """Whether a test of a hostile case passed."""
    _write({"case": case, "test": test, "passed": passed})


def _write(noted: Mapping[str, Figure]) -> None:
    if file := os.environ.get(FILE):
        with open(file, "a", encoding="utf-8") as lines:  # one write: workers share the file
            lines.write(json.dumps(noted) + "\n")


def _short(value: Figure) -> str:
    return (
        f"{value:,.1f}"
        if isinstance(value, float)
        else f"{value:,}"
        if isinstance(value, int)
        else value
    )
