"""Starts the servers, gives each the same mail, and runs the workloads in turns."""

from __future__ import annotations

import contextlib
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench import corpus
from bench.imap import (
    servers,
    w01_connect,
    w02_first_sync,
    w03_headers,
    w04_bodies,
    w05_flags,
    w06_changes,
    w07_store,
    w08_search,
    w09_append,
    w10_move,
    w11_push,
    w12_logins,
    w13_status,
    w14_idle,
    w15_fairness,
)
from bench.imap.client import Refused
from bench.imap.servers import Server
from bench.imap.workload import FAST, OURS, Row, Sizes, Workload

WORKLOADS: tuple[Workload, ...] = tuple(
    each.WORKLOAD
    for each in (
        w01_connect,
        w02_first_sync,
        w03_headers,
        w04_bodies,
        w05_flags,
        w06_changes,
        w07_store,
        w08_search,
        w09_append,
        w10_move,
        w11_push,
        w12_logins,
        w13_status,
        w14_idle,
        w15_fairness,
    )
)
FAST_LOGIN = {"W1", "W12"}  # what the peer's login service makes a difference for
PEERS = ("dovecot", "cyrus")
LOAD_AT_ONCE = 50
REST = 0.5  # seconds in which a server at rest
RESTING = 0.1  # works this part at most
REST_MOST = 180.0
MAILBOXES = ("mixed", "large", "tiny", "work", "other")


@dataclass
class Report:
    """Costs by row and server, and what each server used."""

    sizes: Sizes
    versions: dict[str, str]
    rows: list[tuple[str, Row]] = field(default_factory=list)
    costs: dict[tuple[str, str], float] = field(default_factory=dict)  # (label, server)
    cpu: dict[tuple[str, str], float] = field(default_factory=dict)  # (workload, server), seconds
    load: dict[str, float] = field(default_factory=dict)  # seconds by server
    peak: dict[str, int] = field(default_factory=dict)  # octets by server


def measure_all(
    folder: Path, sizes: Sizes, workloads: Sequence[Workload], *, peers: Sequence[str] = PEERS
) -> Report:
    """Beside the peers of these names, of `PEERS`."""
    with contextlib.ExitStack() as stack:
        running = [stack.enter_context(servers.popbridge(folder / "popbridge"))]
        if "dovecot" in peers:
            running.append(stack.enter_context(servers.dovecot(folder / "dovecot")))
        if "dovecot" in peers and FAST_LOGIN & {each.name for each in workloads}:
            running.append(stack.enter_context(servers.dovecot(folder / "fast", fast_login=True)))
        if "cyrus" in peers:
            running.append(stack.enter_context(servers.cyrus()))
        report = Report(sizes, {server.name: server.version for server in running})
        for server in running:
            report.load[server.name] = load(server, sizes)
            _say(f"{server.name}: loaded in {report.load[server.name]:.1f} s")
        for workload in workloads:
            # One that fails must not cost the table of the others.
            try:
                _measure(workload, running, report)
            except (OSError, Refused) as error:
                _say(f"{workload.name}: failed: {error}")
        for server in running:
            report.peak[server.name] = max(report.peak.get(server.name, 0), server.peak())
        return report


def load(server: Server, sizes: Sizes) -> float:
    """Gives the first login all mail; seconds. Every third message of `mixed` is not \\Seen."""
    start = time.perf_counter()
    with server.client() as client:
        client.run(*[f"CREATE {name}" for name in MAILBOXES])
        for name, make, count in (
            ("large", corpus.large, sizes.large),
            ("tiny", corpus.tiny, sizes.tiny),
            ("mixed", corpus.mixed, sizes.mixed),
        ):
            for first in range(0, count, LOAD_AT_ONCE):
                numbers = range(first, min(first + LOAD_AT_ONCE, count))
                flags = "" if first // LOAD_AT_ONCE % 3 == 0 else "\\Seen"
                client.append(name, map(make, numbers), flags)
    return time.perf_counter() - start


def _measure(workload: Workload, running: Sequence[Server], report: Report) -> None:
    for server in running:
        _rest(server)
    costs: dict[tuple[str, str], list[float]] = {}
    rounds = 1 if workload.once else 1 + report.sizes.rounds
    before: dict[str, float] = {}
    for number in range(rounds):
        for server in running:
            if server.name == FAST and workload.name not in FAST_LOGIN:
                continue
            before.setdefault(server.name, server.cpu())
            # A peer that cannot do it must not cost the figures of the others.
            with _forgiven(server):
                for label, cost in workload.measure(server, report.sizes):
                    costs.setdefault((label, server.name), []).append(cost)
            report.peak[server.name] = max(report.peak.get(server.name, 0), server.memory())
        _say(f"{workload.name}: round {number} of {rounds - 1}")
    for row in workload.rows:
        report.rows.append((workload.name, row))
        for server in running:
            seen = costs.get((row.label, server.name))
            if seen:
                value = seen[0] if row.first else statistics.median(seen[1:] or seen)
                report.costs[row.label, server.name] = value
    for server in running:
        if server.name in before:
            used = server.cpu() - before[server.name]
            report.cpu[workload.name, server.name] = used


@contextlib.contextmanager
def _forgiven(server: Server) -> Iterator[None]:
    try:
        yield
    except (OSError, Refused) as error:
        if server.name == OURS:
            raise
        _say(f"{server.name} cannot: {error}")


def _rest(server: Server) -> None:
    """Waits until the server has done what it does in the background after a load: what a workload
    costs is asked of servers at rest."""
    until = time.monotonic() + REST_MOST
    before = server.cpu()
    while time.monotonic() < until:
        time.sleep(REST)
        now = server.cpu()
        if now - before < REST * RESTING:
            return
        before = now
    _say(f"{server.name}: still at work in the background")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
