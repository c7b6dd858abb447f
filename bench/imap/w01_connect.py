"""W1: how long from nothing to an open mailbox?"""

from __future__ import annotations

from collections.abc import Iterator
from time import perf_counter

from bench.imap.client import Client
from bench.imap.servers import PASSWORD, Server
from bench.imap.workload import FAST, Row, Sizes, Workload


def measure(server: Server, sizes: Sizes) -> Iterator[tuple[str, float]]:
    for box in ("mixed", "tiny"):
        start = perf_counter()
        with Client(server.port) as client:
            client.login(server.users[0], PASSWORD)
            client.run(f"SELECT {box}")
            taken = perf_counter() - start
        yield f"connect, login, SELECT {box}", taken * 1e3
        yield f"the same, beside fast login: {box}", taken * 1e3


WORKLOAD = Workload(
    "W1",
    (
        Row("connect, login, SELECT mixed", ratio=0.15),
        Row("the same, beside fast login: mixed", ratio=1.0, against=FAST),
        Row("connect, login, SELECT tiny", ratio=0.15),
        Row("the same, beside fast login: tiny", ratio=1.0, against=FAST),
    ),
    measure,
)
