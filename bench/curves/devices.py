"""Cost against the number of devices that wait, each over TLS, signed in, in IDLE.

Dovecot shows one user's mailbox to all. For memory it hibernates them (`imap_hibernate_timeout`),
for pushes it does not: it would wake each with a process of its own.
"""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from bench.crowd import Crowd
from bench.curves.curve import Curve
from bench.imap import servers
from bench.imap.servers import Server
from bench.imap.workload import DOVECOT, OURS

DEVICES = (1, 10, 100, 1_000, 5_000)
PEER_MOST = 100  # it has 128 inotify instances on a Linux as it comes
PUSHES = 3
HIBERNATED_SECONDS = 3.0  # after which Dovecot has put its idle connections away
_STAMPS = itertools.count(time.time_ns())


def curves(folder: Path, devices: Sequence[int], *, peers: bool) -> list[Curve]:
    push = Curve("push until the last device has it", "devices", "ms", 1)
    memory = Curve("memory of a device", "device-memory", "kB", 0)
    for number in devices:
        with servers.popbridge(folder / f"popbridge-{number}") as server:
            before = resting(server)
            with Crowd(server, number) as crowd:
                memory.add(OURS, number, (server.memory() - before) / number / 1e3)
                push.add(OURS, number, _push(server, crowd) * 1e3)
        if peers and number <= PEER_MOST:
            memory.add(DOVECOT, number, asleep(folder / f"asleep-{number}", number) / 1e3)
            with (
                servers.dovecot(folder / f"dovecot-{number}") as server,
                Crowd(server, number) as crowd,
            ):
                push.add(DOVECOT, number, _push(server, crowd) * 1e3)
    return [push, memory]


def asleep(folder: Path, devices: int) -> float:
    """Octets of a device that Dovecot has put to sleep."""
    with servers.dovecot(folder, fast_login=True, hibernate=True) as server:
        resting(server)
        time.sleep(HIBERNATED_SECONDS)  # its processes go in their own time
        before = server.memory()
        with Crowd(server, devices):
            time.sleep(HIBERNATED_SECONDS)
            return (server.memory() - before) / devices


def _push(server: Server, crowd: Crowd) -> float:
    """Seconds until the last device was told, in the best of some pushes."""
    with news(server) as send:
        return min(crowd.push(send)[-1] for _ in range(PUSHES))


def resting(server: Server) -> int:
    """Its memory once each user was there."""
    for user in range(len(server.users)):
        with server.client(user) as client:
            client.run("SELECT INBOX")
    return server.memory()


@contextlib.contextmanager
def news(server: Server) -> Iterator[Callable[[], None]]:
    """What sends one new message to each user, all at once, and waits for no answer."""
    with contextlib.ExitStack() as stack:
        writers = [stack.enter_context(server.client(user)) for user in range(len(server.users))]

        def send() -> None:
            for writer in writers:
                octets = b"Subject: %d\r\n\r\nhello\r\n" % next(_STAMPS)
                writer.socket.sendall(b"a APPEND INBOX {%d+}\r\n%b\r\n" % (len(octets), octets))

        yield send
