"""A mailbox of a million messages: what a device waits for when it opens it and keeps up."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from bench.curves.sizes import LISTED, POLL, measure, ours
from bench.load.report import Row

STARTS = 3
SMALL = 10_000
GOALS = {
    "SELECT, first since start": 300,
    "SELECT": 300,
    "FETCH CHANGEDSINCE, 10 changes": None,
    "SELECT with QRESYNC, 10 changes": None,
    "FETCH of the newest 50": None,
    "STORE of one message": None,
    POLL: 2000,
}


def rows(folder: Path, messages: int) -> Iterator[Row]:
    load = f"{messages:,} messages"
    small = dict(_measured(folder / "small", min(SMALL, messages)))
    large = dict(_measured(folder / "large", messages))
    colds = [large["SELECT, first since start"]]
    for number in range(1, STARTS):
        with ours(folder / f"start-{number}", messages) as server, server.client() as client:
            colds.append(client.run("SELECT INBOX") * 1e3)
    large["SELECT, first since start"] = max(colds)
    yield Row(load, "tried", messages, "")
    for name, goal in GOALS.items():
        label = f"{name} ({min(LISTED, messages):,} listed)" if name == POLL else name
        yield Row(load, label, large[name], "ms", goal)
    for name in ("FETCH CHANGEDSINCE, 10 changes", "SELECT with QRESYNC, 10 changes"):
        ratio = large[name] / small[name]
        yield Row(load, f"{name}: times that of {SMALL:,} messages", ratio, "", 2)
    yield Row(load, "memory of the daemon at its worst", large["peak"], "MB", 400)


def _measured(folder: Path, messages: int) -> Iterator[tuple[str, float]]:
    with ours(folder, messages) as server:
        yield from measure(server, messages)
        yield "peak", server.peak() / 1e6
