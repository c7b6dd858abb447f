"""W7: how long does a flag take, and how long all of them?"""

from __future__ import annotations

import statistics
from collections.abc import Iterator

from bench.imap.servers import Server
from bench.imap.workload import Row, Sizes, Workload

SINGLES = 100


def measure(server: Server, sizes: Sizes) -> Iterator[tuple[str, float]]:
    with server.client() as client:
        client.run("SELECT mixed")
        singles = [
            client.run(f"UID STORE {1 + number // 2} {'+-'[number % 2]}FLAGS (\\Flagged)")
            for number in range(SINGLES)
        ]
        yield "STORE of one (ours is on disk)", statistics.median(singles) * 1e3
        yield "STORE of all", client.run("UID STORE 1:* +FLAGS (\\Answered)") * 1e3
        silent = client.run("UID STORE 1:* -FLAGS.SILENT (\\Answered)")
        yield "STORE of all, silent", silent * 1e3


WORKLOAD = Workload(
    "W7",
    (
        Row("STORE of one (ours is on disk)", most=1.0),
        Row("STORE of all", ratio=1.0),
        Row("STORE of all, silent"),
    ),
    measure,
)
