"""W9: how fast can a device save messages?"""

from __future__ import annotations

from collections.abc import Iterator
from time import perf_counter_ns

from bench import corpus
from bench.imap.servers import Server
from bench.imap.workload import Row, Sizes, Workload

MESSAGES = 100
AT_ONCE = 50


def measure(server: Server, sizes: Sizes) -> Iterator[tuple[str, float]]:
    # No message is one that the server has already.
    stamp = f"X-Bench: {perf_counter_ns()}\r\n".encode()
    fresh = [stamp + corpus.mixed(number) for number in range(2 * MESSAGES)]
    with server.client() as client:
        one_by_one = sum(client.append("work", [octets]) for octets in fresh[:MESSAGES])
        yield "APPEND, each (ours is on disk)", one_by_one / MESSAGES * 1e3
        together = sum(
            client.append("work", fresh[start : start + AT_ONCE])
            for start in range(MESSAGES, 2 * MESSAGES, AT_ONCE)
        )
        yield "MULTIAPPEND, each", together / MESSAGES * 1e3
        client.run("SELECT work")
        client.run("UID STORE 1:* +FLAGS.SILENT (\\Deleted)", "EXPUNGE")


WORKLOAD = Workload(
    "W9",
    (
        Row("APPEND, each (ours is on disk)", ratio=round(1 / 1.2, 2)),
        Row("MULTIAPPEND, each", ratio=round(1 / 3, 2)),
    ),
    measure,
)
