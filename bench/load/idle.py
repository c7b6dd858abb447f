"""Thousands of devices in IDLE over TLS: memory of the daemon, and how long a message takes to all.

Each is signed in and has INBOX selected. Users share them evenly, each has a message pushed at the
same moment. Dovecot is beside it with hibernation on, its high-performance login service, and fewer
devices, as its login processes hold every TLS connection.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from bench.crowd import Crowd
from bench.curves.devices import asleep, news, resting
from bench.imap import servers
from bench.imap.servers import Server
from bench.load.report import Row

PEER_DEVICES = 200
PUSHES = 3


def rows(folder: Path, devices: int, *, peers: bool) -> Iterator[Row]:
    load = f"{devices:,} idle"
    with servers.popbridge(folder / "idle") as server:
        memory, each, told, seconds = _measure(server, devices)
    theirs = asleep(folder / "idle-peer", PEER_DEVICES) / 1e3 if peers else None
    yield Row(load, "tried", devices, "")
    yield Row(load, "memory of the daemon with all of them", memory / 1e6, "MB", 512 * 1.048576)
    yield Row(load, "memory of a device", each / 1e3, "kB", 90, theirs)
    yield Row(load, "a device until it is in IDLE", seconds / devices * 1e3, "ms")
    for name, part in (("half of them", 0.5), ("99 % of them", 0.99), ("the last", 1.0)):
        at = told[min(int(len(told) * part), len(told) - 1)]
        yield Row(load, f"EXISTS until {name} had it", at * 1e3, "ms", 1000)


def _measure(server: Server, devices: int) -> tuple[int, float, list[float], float]:
    """(octets of the server, octets of a device, seconds until each was told in the best of some
    pushes, seconds until all were there)."""
    before = resting(server)
    start = time.monotonic()
    with Crowd(server, devices) as crowd:
        seconds = time.monotonic() - start
        with news(server) as send:
            pushes = [crowd.push(send) for _ in range(PUSHES)]
        memory = server.memory()
    best = min(pushes, key=lambda told: told[-1])
    return memory, (memory - before) / devices, best, seconds
