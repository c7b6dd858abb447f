"""How fast are the commands that devices send at first sync, beside Dovecot, in the same run?

    python -m bench.imap_commands [MESSAGES]

Both serve the same messages: Dovecot its Maildir, popbridge what it collected from Dovecot by
POP3. One client, plaintext on loopback; each figure is the best and the median of five runs after
one that warms up. Results are printed, never asserted.
"""

from __future__ import annotations

import asyncio
import imaplib
import statistics
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from time import perf_counter

from bridge.daemon import loop_factory
from tests.support.dovecot import Dovecot
from tests.support.house import ADDRESS, PASSWORD, account, running
from tests.support.samples import samples

RUNS = 5
HEADERS = "From To Cc Bcc Subject Date Message-ID Priority X-Priority References In-Reply-To"
COMMANDS = {
    "FETCH FLAGS": "FETCH 1:* (UID FLAGS)",
    "FETCH ENVELOPE BODYSTRUCTURE": "FETCH 1:* (UID ENVELOPE BODYSTRUCTURE INTERNALDATE)",
    "FETCH header fields": (
        f"UID FETCH 1:* (FLAGS RFC822.SIZE BODY.PEEK[HEADER.FIELDS ({HEADERS})])"
    ),
    "FETCH BODY[] of 500": "FETCH 1:500 (BODY.PEEK[])",
    "SEARCH UNSEEN": "SEARCH UNSEEN",
    "SEARCH SUBJECT": "SEARCH SUBJECT Rechnung",
    "STORE all flags, and back": (
        "STORE 1:* +FLAGS.SILENT (\\Flagged)\r\nu STORE 1:* -FLAGS.SILENT (\\Flagged)"
    ),
    "STATUS": "STATUS INBOX (MESSAGES UNSEEN UIDNEXT)",
}


class Client:
    """A line-level IMAP client that reads answers away as fast as it can."""

    def __init__(self, port: int, user: str, password: str) -> None:
        self._imap = imaplib.IMAP4("127.0.0.1", port)
        self._imap.login(user, password)
        self._imap.select("INBOX")

    def run(self, command: str) -> float:
        """Seconds until the tagged answer (the last one, where two commands are pipelined)."""
        start = perf_counter()
        last = b"u " if "\r\nu " in command else b"t "
        self._imap.send(f"t {command}\r\n".encode())
        while not (line := self._imap.readline()).startswith(last):
            if line.endswith(b"}\r\n"):
                self._imap.read(int(line[line.rindex(b"{") + 1 : -3]))
        assert line.startswith(last + b"OK"), line
        return perf_counter() - start


def measure(run: Callable[[], float]) -> tuple[float, float]:
    run()
    times = [run() for _ in range(RUNS)]
    return min(times), statistics.median(times)


def compare(ours: int, theirs: int, dovecot: Dovecot) -> None:
    clients = {
        "Dovecot": Client(theirs, dovecot.username, dovecot.password),
        "popbridge": Client(ours, ADDRESS, PASSWORD),
    }
    print(f"{'command':32}{'Dovecot ms':>20}{'popbridge ms':>20}{'ratio':>8}")
    for name, command in COMMANDS.items():
        best, middle = {}, {}
        for server, client in clients.items():
            best[server], middle[server] = measure(partial(client.run, command))
        shown = "".join(f"{best[s] * 1e3:10.1f}{middle[s] * 1e3:10.1f}" for s in clients)
        print(f"{name:32}{shown}{middle['popbridge'] / middle['Dovecot']:8.2f}")


async def main(messages: int) -> None:
    with tempfile.TemporaryDirectory() as folder, Dovecot(Path(folder)) as dovecot:
        dovecot.deliver(samples(messages))
        async with running(Path(folder), [account(dovecot)]) as daemon:
            (report,) = await daemon.poll(None)
            print(
                f"collected {report.new} messages, {report.octets:,} octets, {report.seconds:.2f} s"
            )
            await asyncio.to_thread(compare, daemon.imap_ports[0], dovecot.imap_port, dovecot)


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000))
