"""W6: what does a device pay that comes back and finds ten changes?"""

from __future__ import annotations

import re
from collections.abc import Iterator

from bench.imap.client import Client
from bench.imap.servers import Server
from bench.imap.workload import Row, Sizes, Workload

CHANGES = 10


def _facts(client: Client, box: str) -> tuple[int, int]:
    """(UIDVALIDITY, HIGHESTMODSEQ) of the mailbox, which is selected now."""
    answer = client.ask(f"SELECT {box} (CONDSTORE)")
    validity = re.search(rb"UIDVALIDITY (\d+)", answer)
    modseq = re.search(rb"HIGHESTMODSEQ (\d+)", answer)
    assert validity
    assert modseq
    return int(validity[1]), int(modseq[1])


def measure(server: Server, sizes: Sizes) -> Iterator[tuple[str, float]]:
    for box, count in (("mixed", sizes.mixed), ("tiny", sizes.tiny)):
        with server.client() as client, server.client() as other:
            validity, modseq = _facts(client, box)
            other.run(f"SELECT {box}")
            sign = "+" if b"$Bench" not in other.ask("UID FETCH 1 (FLAGS)") else "-"
            for uid in range(1, count, count // CHANGES):
                other.run(f"UID STORE {uid} {sign}FLAGS.SILENT ($Bench)")
            client.run("NOOP")
            command = f"UID FETCH 1:* (FLAGS) (CHANGEDSINCE {modseq})"
            yield f"CHANGEDSINCE after 10 changes, {box}", client.run(command) * 1e3
        with server.client() as client:
            client.run("ENABLE QRESYNC")
            command = f"SELECT {box} (QRESYNC ({validity} {modseq}))"
            yield f"SELECT with QRESYNC, {box}", client.run(command) * 1e3


WORKLOAD = Workload(
    "W6",
    (
        Row("CHANGEDSINCE after 10 changes, mixed", ratio=0.6),
        Row("SELECT with QRESYNC, mixed", ratio=0.6),
        Row("CHANGEDSINCE after 10 changes, tiny", ratio=0.1),
        Row("SELECT with QRESYNC, tiny", ratio=0.1),
    ),
    measure,
)
