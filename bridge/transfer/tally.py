"""What a transfer did: the figures that every command ends with."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

_NOTES = 20  # sentences that are kept; the figures count all


@dataclass(slots=True)
class Tally:
    """`seen` messages, of which `done` were moved, `already` were there, `failed` were not moved.

    `skipped` counts what is no message, by reason; `truncated` messages broke off in their file.
    `octets` of `todo_octets` were gone through; `notes` are for a person.
    """

    seen: int = 0
    done: int = 0
    already: int = 0
    failed: int = 0
    truncated: int = 0
    octets: int = 0
    todo_octets: int = 0
    todo: int = 0
    doing: str = ""
    skipped: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)
    started: float = field(default_factory=time.monotonic)
    on_step: Callable[[Tally], None] = lambda _: None

    def note(self, text: str) -> None:
        if len(self.notes) < _NOTES:
            self.notes.append(text)
        elif len(self.notes) == _NOTES:
            self.notes.append("... and more of the kind")

    def fail(self, where: str, why: str) -> None:
        self.failed += 1
        self.note(f"{where}: {why}")

    def step(self) -> None:
        """Something went on."""
        self.on_step(self)

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.started

    def json(self) -> dict[str, object]:
        return {
            "seen": self.seen,
            "done": self.done,
            "already": self.already,
            "failed": self.failed,
            "seconds": round(self.seconds, 3),
            "skipped": dict(self.skipped),
            "truncated": self.truncated,
            "notes": list(self.notes),
        }
