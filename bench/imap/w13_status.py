"""W13: what does a device pay for the figures of all mailboxes?"""

from __future__ import annotations

from collections.abc import Iterator

from bench.imap.servers import Server
from bench.imap.workload import Row, Sizes, Workload


def measure(server: Server, sizes: Sizes) -> Iterator[tuple[str, float]]:
    names = [f"folders/f{number:03d}" for number in range(sizes.mailboxes)]
    with server.client() as client:
        if client.ask('LIST "" folders/*').count(b"* LIST") < sizes.mailboxes:
            client.run(*[f"CREATE {name}" for name in names])
        commands = [f"STATUS {name} (MESSAGES UNSEEN UIDNEXT UIDVALIDITY)" for name in names]
        yield "STATUS of many, pipelined", client.run(*commands) * 1e3
        command = 'LIST "" "folders/%" RETURN (STATUS (MESSAGES UNSEEN UIDNEXT UIDVALIDITY))'
        yield "LIST RETURN (STATUS) of many", client.run(command) * 1e3


WORKLOAD = Workload(
    "W13",
    (Row("STATUS of many, pipelined", ratio=1.0), Row("LIST RETURN (STATUS) of many", ratio=1.0)),
    measure,
)
