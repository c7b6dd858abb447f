"""Messages that the provider lists and that cannot be had: when to ask again, what to show.

Rules: each is asked for again with growing pauses while all others flow. One at which the session
breaks is asked for last, alone. After three tries a stub is shown in its place; a message that is
larger than we take gets its stub at once. It is never deleted at the provider, because it is never
settled.

Pure: values in, values out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from bridge.model import ListedItem, Poison
from bridge.sync.settle import Line

TRIES = 3  # before a stub is shown
BREAKS = 2  # sessions in a row that broke at one line before it is asked for alone
PAUSES = (15 * 60, 3600, 4 * 3600, 16 * 3600, 24 * 3600)  # seconds after each failure


@dataclass(frozen=True, slots=True)
class Queue:
    """What is to be fetched: in its order, then alone one by one; and what must wait."""

    flow: Sequence[ListedItem]
    alone: Sequence[ListedItem]
    paused: Sequence[ListedItem]


@dataclass(frozen=True, slots=True)
class Failure:
    """One message that was not had, and why; `lasting` where asking again cannot help. `breaks`:
    sessions break at it in a row, so it is asked for alone from now on. `subject` is from TOP."""

    line: ListedItem
    said: str
    lasting: bool = False
    breaks: bool = False
    subject: str = ""


def name(line: ListedItem) -> Line:
    return line.uidl, line.size


def queue(lines: Sequence[ListedItem], poisons: Mapping[Line, Poison], now: int) -> Queue:
    flow: list[ListedItem] = []
    alone: list[tuple[int, ListedItem]] = []
    paused: list[ListedItem] = []
    for line in lines:
        poison = poisons.get(name(line))
        if poison is None:
            flow.append(line)
        elif poison.next_try > now:
            paused.append(line)
        else:
            alone.append((poison.failures, line))
    alone.sort(key=lambda each: each[0])  # the most hopeful first
    return Queue(flow, [line for _, line in alone], paused)


def failed(before: Poison | None, failure: Failure, now: int) -> Poison:
    """The row after one more failure."""
    line = failure.line
    old = before or Poison(0, line.uidl, line.size, 0, now, "")
    if failure.breaks:
        failures = max(old.failures + 1, BREAKS)
        return replace(old, failures=failures, next_try=now, said=failure.said)
    failures = max(old.failures + 1, TRIES if failure.lasting else 0)
    pause = PAUSES[-1] if failure.lasting else PAUSES[min(failures, len(PAUSES)) - 1]
    return replace(old, failures=failures, next_try=now + pause, said=failure.said)


def wants_stub(poison: Poison) -> bool:
    return poison.stub is None and poison.failures >= TRIES
