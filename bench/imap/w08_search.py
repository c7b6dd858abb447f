"""W8: how fast is something found, sorted, threaded?"""

from __future__ import annotations

from collections.abc import Iterator

from bench import corpus
from bench.imap.servers import Server
from bench.imap.workload import Row, Sizes, Workload

COMMANDS = {
    "SEARCH ALL": ("UID SEARCH ALL", 0.8),
    "SEARCH UNSEEN": ("UID SEARCH UNSEEN", 0.8),
    "SEARCH FROM": ("UID SEARCH FROM baker", 0.2),
    "SEARCH SUBJECT": ("UID SEARCH SUBJECT invoice", 0.2),
    "SEARCH SINCE": ("UID SEARCH SINCE 1-Mar-2024", 0.2),
    "SORT (DATE)": ("UID SORT (DATE) UTF-8 ALL", 0.5),
    "THREAD REFERENCES": ("UID THREAD REFERENCES UTF-8 ALL", 0.5),
    "SEARCH BODY, a rare word": (f"UID SEARCH BODY {corpus.RARE}", 0.005),
    "SEARCH TEXT, a rare word": (f"UID SEARCH TEXT {corpus.RARE}", 0.005),
}


def measure(server: Server, sizes: Sizes) -> Iterator[tuple[str, float]]:
    with server.client() as client:
        client.run("SELECT mixed")
        for label, (command, _) in COMMANDS.items():
            yield label, client.run(command) * 1e3


WORKLOAD = Workload(
    "W8", tuple(Row(label, ratio=goal) for label, (_, goal) in COMMANDS.items()), measure
)
