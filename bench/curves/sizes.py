"""Cost against the size of a mailbox: 1,000 to 1,000,000 messages, a server for each size.

What a search finds is the same at each size (`bench.corpus.numbered`): the cost of finding, not
that of telling. popbridge's stores are made once and kept (`bench.stores`); Dovecot is given its
messages by APPEND each time, and stops at 100,000. The least of some rounds counts: a curve is to
show its shape, not what else the machine did.
"""

from __future__ import annotations

import contextlib
import re
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench import corpus, stores
from bench.curves.curve import Curve
from bench.imap import servers
from bench.imap.client import Client
from bench.imap.servers import Server
from bench.provider import Provider
from bridge.store.opening import DATABASE

SIZES = (1_000, 10_000, 100_000, 1_000_000)
PEER_MOST = 100_000
LISTED = 100_000  # of a maildrop; more are not told by any provider that we know
ROUNDS = 7
APPENDED = 64  # messages of one APPEND
POLL, MEMORY = "poll with nothing new", "memory of the whole server"
COMMANDS = {
    "STORE of one message": "",
    "FETCH of the newest 50": "",
    "SEARCH UNSEEN": "UID SEARCH UNSEEN",
    "SEARCH SUBJECT, ten found": "UID SEARCH SUBJECT invoice",
    "SEARCH BODY, ten found": f"UID SEARCH BODY {corpus.RARE}",
}
ORDERS = {
    "SELECT, first since start": 1,  # 17 octets a message
    "SELECT": 0,
    "SELECT with QRESYNC, 10 changes": 0,
    "FETCH CHANGEDSINCE, 10 changes": 0,
    "STATUS": 0,
    "STORE of one message": 0,
    "FETCH of the newest 50": 0,
    "SEARCH UNSEEN": 1,  # a mask over all
    "SEARCH SUBJECT, ten found": 1,  # a column in memory
    "SEARCH BODY, ten found": 0,
    POLL: 1,  # the provider lists them all
}


def curves(folder: Path, sizes: Sequence[int], *, peers: bool) -> list[Curve]:
    """A server at a time."""
    found = {
        name: Curve(name, "search" if name.startswith("SEARCH") else "mailbox", "ms", order)
        for name, order in ORDERS.items()
    }
    found[MEMORY] = Curve(MEMORY, "memory", "MB", 1)
    found[POLL].file = "poll"
    for size in sizes:
        with ours(folder / f"popbridge-{size}", size) as server:
            for name, cost in measure(server, size):
                found[name].add("popbridge", size, cost)
        if peers and size <= PEER_MOST:
            with servers.dovecot(folder / f"dovecot-{size}") as server:
                _load(server, size)
                for name, cost in measure(server, size):
                    found[name].add("Dovecot", size, cost)
    return list(found.values())


@contextlib.contextmanager
def ours(folder: Path, size: int) -> Iterator[Server]:
    """The daemon on the kept store of this size, with a maildrop that has the same mail."""
    data_dir = stores.kept(size)
    listed = min(size, LISTED)
    know_listing(data_dir, listed)
    with (
        Provider(None, listed) as provider,
        servers.popbridge(folder, data_dir, provider=provider.port, accounts=1) as server,
    ):
        yield server


def know_listing(data_dir: Path, listed: int) -> None:
    """As if the account had been polled: each of the first messages is settled."""
    with contextlib.closing(sqlite3.connect(data_dir / DATABASE)) as db:
        if db.execute("SELECT count(*) FROM maildrop_item").fetchone() != (0,):
            return
        db.execute(
            """INSERT OR IGNORE INTO account (address, login_id, mailbox)
            SELECT 'user0@example.net', id, 'INBOX' FROM login WHERE name = 'user0'"""
        )
        db.execute(
            """INSERT INTO maildrop_item (account_id, uidl, size, digest, fingerprint, listed_at)
            SELECT account.id, CAST(printf('u%07d', message.id - 1) AS BLOB), size, digest,
                fingerprint, 1 FROM account, message WHERE message.id <= ?""",
            (listed,),
        )
        db.commit()


def measure(server: Server, size: int) -> Iterator[tuple[str, float]]:
    with server.client() as client:
        yield "SELECT, first since start", client.run("SELECT INBOX") * 1e3
        yield "SELECT", min(client.run("SELECT INBOX") for _ in range(ROUNDS)) * 1e3
        with server.client() as other:
            other.run("SELECT INBOX")
            yield from _changes(client, other, size)
        yield "STATUS", min(client.run("STATUS INBOX (MESSAGES UNSEEN)") for _ in range(5)) * 1e3
        newest = f"FETCH {max(size - 49, 1)}:{size} (UID FLAGS ENVELOPE)"
        middle = size // 2
        for name, command in COMMANDS.items():
            costs = []
            for number in range(ROUNDS):
                sign = "+" if number % 2 else "-"
                costs.append(
                    client.run(
                        command
                        or (newest if "50" in name else f"STORE {middle} {sign}FLAGS (\\Flagged)")
                    )
                )
            yield name, min(costs[1:]) * 1e3
    if server.config is not None:
        server.poll()
        yield POLL, min(server.poll() for _ in range(3)) * 1e3
    yield MEMORY, server.memory() / 1e6


def _changes(client: Client, other: Client, size: int) -> Iterator[tuple[str, float]]:
    client.run("ENABLE QRESYNC")
    fetched, selected = [], []
    for number in range(ROUNDS):
        modseq = _number(other.ask("STATUS INBOX (HIGHESTMODSEQ)"), rb"HIGHESTMODSEQ (\d+)")
        sign = "+" if number % 2 else "-"
        for place in range(10):
            other.run(f"STORE {1 + place * (size // 10)} {sign}FLAGS.SILENT (\\Answered)")
        client.run("NOOP")
        fetched.append(client.run(f"UID FETCH 1:* (FLAGS) (CHANGEDSINCE {modseq})"))
        answer = client.ask("SELECT INBOX")
        validity = _number(answer, rb"UIDVALIDITY (\d+)")
        selected.append(client.run(f"SELECT INBOX (QRESYNC ({validity} {modseq}))"))
    yield "FETCH CHANGEDSINCE, 10 changes", min(fetched) * 1e3
    yield "SELECT with QRESYNC, 10 changes", min(selected) * 1e3


def _load(server: Server, size: int) -> None:
    """The same messages by APPEND, for a server whose store we do not make."""
    with server.client() as client:
        for first in range(0, size, APPENDED):
            numbers = range(first, min(first + APPENDED, size))
            seen = [each for each in numbers if each < size - corpus.UNSEEN]
            unseen = [each for each in numbers if each >= size - corpus.UNSEEN]
            for part, flags in ((seen, "\\Seen"), (unseen, "")):
                if part:
                    client.append("INBOX", map(corpus.numbered, part), flags)


def _number(answer: bytes, pattern: bytes) -> int:
    found = re.search(pattern, answer)
    assert found is not None, answer
    return int(found[1])
