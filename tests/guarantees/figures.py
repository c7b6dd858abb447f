"""What a run noted: one JSON object a line, {"proof": name, ...} or {"case": id, ...}.

Rules: notes of one proof are added up, as each is of other inputs; what says how bad it got
(`worst_...`, `peak_...`) is the highest. A case passed when every test of it did.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.figures import Figure

# None of these may ever be anything else.
ZERO = ("lost", "doubled", "corrupt", "leaks", "faults", "dele")


@dataclass(slots=True)
class Sum:
    """A proof's figures over all its notes."""

    figures: dict[str, Figure] = field(default_factory=dict)

    def add(self, name: str, value: Figure) -> None:
        old = self.figures.get(name)
        if isinstance(value, str) or isinstance(old, str) or old is None:
            self.figures[name] = value
        elif name.startswith(("worst_", "peak_")):
            self.figures[name] = max(old, value)
        else:
            self.figures[name] = old + value


@dataclass(slots=True)
class Run:
    """`cases`: whether all tests of a case passed, by id."""

    proofs: dict[str, Sum] = field(default_factory=dict)
    cases: dict[str, bool] = field(default_factory=dict)


def read(lines: Iterable[str]) -> Run:
    run = Run()
    for line in lines:
        noted = json.loads(line)
        if "case" in noted:
            run.cases[noted["case"]] = noted["passed"] and run.cases.get(noted["case"], True)
            continue
        name = noted.pop("proof")
        proof = run.proofs.setdefault(name, Sum())
        for figure, value in noted.items():
            proof.add(figure, value)
    return run


def read_file(path: Path) -> Run:
    return read(path.read_text("utf-8").splitlines())
