"""W4: how fast do whole messages come?"""

from __future__ import annotations

import re
from collections.abc import Iterator

from bench.imap.servers import Server
from bench.imap.workload import Row, Sizes, Workload

PARTIAL = 64 * 1024
LARGEST = 30


def measure(server: Server, sizes: Sizes) -> Iterator[tuple[str, float]]:
    with server.client() as client:
        client.run("SELECT large")
        yield "all BODY.PEEK[] in one", client.run("UID FETCH 1:* (BODY.PEEK[])") * 1e3
        one_by_one = sum(
            client.run(f"UID FETCH {uid} (BODY.PEEK[])") for uid in range(1, sizes.large + 1)
        )
        yield "all BODY.PEEK[] one by one", one_by_one * 1e3
        answer = client.ask("UID FETCH 1:* (RFC822.SIZE)")
        octets = {
            int(uid): int(size)
            for uid, size in re.findall(rb"UID (\d+) RFC822\.SIZE (\d+)", answer)
        }
        largest = sorted(octets, key=octets.__getitem__)[-LARGEST:]
        partial = sum(
            client.run(f"UID FETCH {uid} (BODY.PEEK[]<{start}.{PARTIAL}>)")
            for uid in largest
            for start in range(0, octets[uid], PARTIAL)
        )
        yield "the largest in pieces of 64 KiB", partial * 1e3


WORKLOAD = Workload(
    "W4",
    (
        Row("all BODY.PEEK[] in one", ratio=1.0),
        Row("all BODY.PEEK[] one by one", ratio=1.0),
        Row("the largest in pieces of 64 KiB", ratio=1.0),
    ),
    measure,
)
