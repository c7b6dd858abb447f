"""W2: how long does a device wait for the list of all messages?"""

from __future__ import annotations

from collections.abc import Iterator

from bench.imap.servers import Server
from bench.imap.workload import Row, Sizes, Workload

COMMAND = "UID FETCH 1:* (UID FLAGS INTERNALDATE RFC822.SIZE ENVELOPE BODYSTRUCTURE)"


def measure(server: Server, sizes: Sizes) -> Iterator[tuple[str, float]]:
    with server.client() as client:
        client.run("SELECT mixed")
        taken = client.run(COMMAND) * 1e3
        yield "ENVELOPE, BODYSTRUCTURE of all, first ever", taken
        yield "ENVELOPE, BODYSTRUCTURE of all", taken


WORKLOAD = Workload(
    "W2",
    (
        Row("ENVELOPE, BODYSTRUCTURE of all, first ever", ratio=0.05, first=True),
        Row("ENVELOPE, BODYSTRUCTURE of all", ratio=0.25),
    ),
    measure,
)
