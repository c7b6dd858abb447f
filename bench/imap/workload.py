"""What a workload is: rows of the table, each with its goal, and a function that measures them.

A measurement is always a cost (milliseconds, or kB of memory): less is better, and the ratio of a
row is ours divided by Dovecot's in the same run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from bench.imap.servers import Server

OURS = "popbridge"
DOVECOT = "Dovecot"
FAST = "Dovecot, fast login"


@dataclass(frozen=True)
class Sizes:
    """How many messages each mailbox has, and how often all is measured."""

    mixed: int = 10_000
    large: int = 1_000
    tiny: int = 100_000
    rounds: int = 5
    devices: tuple[int, int] = (50, 200)
    idle: int = 500
    mailboxes: int = 200
    moved: int = 1_000


SMALL = Sizes(
    mixed=1_000, large=60, tiny=5_000, rounds=3, devices=(20, 50), idle=100, mailboxes=50, moved=200
)


@dataclass(frozen=True)
class Row:
    """`ratio` is the goal beside the peer `against`, `most` one in the unit itself. `first`: the
    first measurement counts, not the median of the others."""

    label: str
    ratio: float | None = None
    most: float | None = None
    unit: str = "ms"
    against: str = DOVECOT
    first: bool = False


@dataclass(frozen=True)
class Workload:
    """`measure` runs all of it once, and yields (label of a row, cost). `once`: no second time."""

    name: str
    rows: tuple[Row, ...]
    measure: Callable[[Server, Sizes], Iterator[tuple[str, float]]]
    once: bool = False
