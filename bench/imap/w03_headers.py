"""W3: the header fields that Thunderbird asks for, of all messages, in chunks."""

from __future__ import annotations

from collections.abc import Iterator

from bench.imap.servers import Server
from bench.imap.workload import Row, Sizes, Workload

CHUNK = 500
FIELDS = (
    "From To Cc Bcc Subject Date Message-ID Priority X-Priority References Newsgroups "
    "In-Reply-To Content-Type Reply-To"
)


def measure(server: Server, sizes: Sizes) -> Iterator[tuple[str, float]]:
    with server.client() as client:
        client.run("SELECT mixed")
        taken = sum(
            client.run(
                f"UID FETCH {start}:{start + CHUNK - 1} "
                f"(UID RFC822.SIZE FLAGS BODY.PEEK[HEADER.FIELDS ({FIELDS})])"
            )
            for start in range(1, sizes.mixed + 1, CHUNK)
        )
        yield "Thunderbird's header fields of all, first ever", taken * 1e3
        yield "Thunderbird's header fields of all", taken * 1e3


WORKLOAD = Workload(
    "W3",
    (
        Row("Thunderbird's header fields of all, first ever", ratio=0.7, first=True),
        Row("Thunderbird's header fields of all", ratio=0.7),
    ),
    measure,
)
