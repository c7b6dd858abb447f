"""W15: does one device's work hold up another's?

While one device downloads a mailbox, searches all bodies, or asks for all of a first sync, others
mark messages and say NOOP, one command every few milliseconds. The worst of these counts.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

from bench.imap.client import Client
from bench.imap.servers import Server
from bench.imap.workload import Row, Sizes, Workload

PAUSE = 0.003
WORK = {
    "a download": ("large", "UID FETCH 1:* (BODY.PEEK[])"),
    "a body search": ("mixed", "UID SEARCH BODY e"),
    "a first sync": ("mixed", "UID FETCH 1:* (FLAGS ENVELOPE BODYSTRUCTURE BODY.PEEK[HEADER])"),
}


def measure(server: Server, sizes: Sizes) -> Iterator[tuple[str, float]]:
    for label, (box, command) in WORK.items():
        with server.client() as busy, server.client() as other:
            busy.run(f"SELECT {box}")
            other.run("SELECT work")
            other.append("work", [b"Subject: fair\r\n\r\nx\r\n"])
            stores, noops = _beside(busy, command, other)
            yield f"worst STORE beside {label}", stores * 1e3
            yield f"NOOP beside {label}, p99", noops * 1e3
            other.run("UID STORE 1:* +FLAGS.SILENT (\\Deleted)", "EXPUNGE")


def _beside(busy: Client, command: str, other: Client) -> tuple[float, float]:
    """(the worst STORE, the 99th percentile of NOOP) in seconds while the command runs."""
    work = threading.Thread(target=busy.run, args=(command,))
    stores, noops = [0.0], [0.0]
    work.start()
    sign = "+"
    while work.is_alive():
        noops.append(other.run("NOOP"))
        stores.append(other.run(f"UID STORE 1:* {sign}FLAGS.SILENT (\\Flagged)"))
        sign = "-" if sign == "+" else "+"
        time.sleep(PAUSE)
    work.join()
    noops.sort()
    return max(stores), noops[int(len(noops) * 0.99)]


WORKLOAD = Workload(
    "W15",
    tuple(
        row
        for label in WORK
        for row in (
            Row(f"worst STORE beside {label}", most=50),
            Row(f"NOOP beside {label}, p99", most=10),
        )
    ),
    measure,
)
