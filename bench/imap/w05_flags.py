"""W5: how long does it take to read all flags?"""

from __future__ import annotations

from collections.abc import Iterator

from bench.imap.servers import Server
from bench.imap.workload import Row, Sizes, Workload


def measure(server: Server, sizes: Sizes) -> Iterator[tuple[str, float]]:
    with server.client() as client:
        for box in ("mixed", "tiny"):
            client.run(f"SELECT {box}")
            yield f"FLAGS of all, {box}", client.run("UID FETCH 1:* (FLAGS)") * 1e3


WORKLOAD = Workload(
    "W5", (Row("FLAGS of all, mixed", ratio=0.6), Row("FLAGS of all, tiny", ratio=0.6)), measure
)
