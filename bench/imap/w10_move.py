"""W10: how long does it take to tidy up a thousand messages?"""

from __future__ import annotations

from collections.abc import Iterator

from bench.imap.servers import Server
from bench.imap.workload import Row, Sizes, Workload


def measure(server: Server, sizes: Sizes) -> Iterator[tuple[str, float]]:
    with server.client() as client:
        client.run("SELECT mixed")
        yield "COPY", client.run(f"COPY 1:{sizes.moved} work") * 1e3
        client.run("SELECT work")
        yield "MOVE", client.run(f"MOVE 1:{sizes.moved} other") * 1e3
        client.run("SELECT other")
        client.run("STORE 1:* +FLAGS.SILENT (\\Deleted)")
        yield "EXPUNGE", client.run("EXPUNGE") * 1e3


WORKLOAD = Workload(
    "W10", (Row("COPY", ratio=0.3), Row("MOVE", ratio=0.3), Row("EXPUNGE", ratio=0.5)), measure
)
