"""What a load found: rows with a goal, as a table, and as figures for docs/guarantees.md."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bench.curves.curve import figure
from tests.support import figures


@dataclass(frozen=True)
class Row:
    """`most` is the goal, if there is one; `peer` is what Dovecot needs for it."""

    load: str
    what: str
    value: float
    unit: str
    most: float | None = None
    peer: float | None = None

    @property
    def missed(self) -> bool:
        return self.most is not None and self.value > self.most


def markdown(rows: Sequence[Row]) -> str:
    lines = ["| | what | popbridge | Dovecot | goal | |", "|---|---|---:|---:|---|---|"]
    for row in rows:
        peer = "" if row.peer is None else f"{_shown(row.peer)} {row.unit}"
        goal = "" if row.most is None else f"≤ {row.most:,g} {row.unit}"
        verdict = "" if row.most is None else "missed" if row.missed else "reached"
        lines.append(
            f"| {row.load} | {row.what} | {_shown(row.value)} {row.unit} | {peer} | {goal} | "
            f"{verdict} |"
        )
    return "\n".join(lines)


def _shown(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else figure(value)


def note(rows: Sequence[Row]) -> None:
    """One line of figures for each load."""
    for load in dict.fromkeys(row.load for row in rows):
        found = {
            _name(row): row.value if isinstance(row.value, int) else round(row.value, 3)
            for row in rows
            if row.load == load
        }
        figures.note(f"load: {load}", **found)


def _name(row: Row) -> str:
    words = "".join(each if each.isalnum() else " " for each in f"{row.what} {row.unit}")
    return "_".join(words.lower().split())
