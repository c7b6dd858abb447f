"""A provider for many accounts, in a process of its own: POP3 as fast as Python sends octets.

    with Provider(accounts=100, messages=20) as provider: ... 127.0.0.1:{provider.port} ...

User N has `messages` mails of `bench.corpus.numbered`, each with the user's own name in it, so that
no two accounts have the same one. UIDL of the first is "u0000000". With `messages` None it is one
listing of `listed` mails that nobody needs to fetch: what `bench.stores` has in its INBOX.
Answers are put together once; PIPELINING is announced.
"""

from __future__ import annotations

import socket
import socketserver
import subprocess
import sys
from functools import cache
from types import TracebackType
from typing import Self

from bench import corpus


class Provider:
    """See the module."""

    def __init__(self, messages: int | None, listed: int = 0, users: int = 1_000_000) -> None:
        """`users`: those with a higher number have an empty maildrop."""
        count = listed if messages is None else messages
        arguments = [str(count), str(int(messages is None)), str(users)]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.provider", *arguments], stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.communicate()


def message(user: str, number: int) -> bytes:
    """What the account of this user has."""
    return f"X-User: {user:10}\r\n".encode() + corpus.numbered(number)


@cache
def listings(count: int, shared: bool) -> dict[bytes, bytes]:
    """LIST and UIDL, as everybody gets them."""
    sizes, names = [b"+OK\r\n"], [b"+OK\r\n"]
    for number in range(count):
        octets = corpus.numbered(number)
        size = len(octets) if shared else len(message("", number))
        sizes.append(b"%d %d\r\n" % (number + 1, size))
        names.append(b"%d u%07d\r\n" % (number + 1, number))
    return {b"LIST": b"".join([*sizes, b".\r\n"]), b"UIDL": b"".join([*names, b".\r\n"])}


class Session(socketserver.BaseRequestHandler):
    """One connection."""

    count, shared, users = 0, False, 0
    user = ""

    def handle(self) -> None:
        connection: socket.socket = self.request
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall(b"+OK ready\r\n")
        waiting = b""
        while octets := connection.recv(65536):
            *lines, waiting = (waiting + octets).split(b"\r\n")
            connection.sendall(b"".join(map(self.answer, lines)))
            if b"QUIT" in lines:
                return

    def answer(self, line: bytes) -> bytes:
        verb, _, argument = line.partition(b" ")
        match verb.upper():
            case b"CAPA":
                return b"+OK\r\nUIDL\r\nTOP\r\nUSER\r\nPIPELINING\r\n.\r\n"
            case b"USER":
                self.user = argument.decode()
            case b"LIST" | b"UIDL" if int(self.user.removeprefix("user")) >= self.users:
                return b"+OK\r\n.\r\n"
            case b"LIST" | b"UIDL" if not argument:
                return listings(self.count, self.shared)[verb.upper()]
            case b"STAT":
                return b"+OK %d 1\r\n" % self.count
            case b"RETR":
                return b"+OK\r\n" + message(self.user, int(argument) - 1) + b".\r\n"
            case b"PASS" | b"NOOP" | b"QUIT":
                pass
            case _:
                return b"-ERR\r\n"
        return b"+OK\r\n"


class Threads(socketserver.ThreadingTCPServer):
    """A thread for each connection."""

    daemon_threads = True
    request_queue_size = 1024


def main() -> None:
    Session.count, Session.shared = int(sys.argv[1]), sys.argv[2] == "1"
    Session.users = int(sys.argv[3])
    listings(Session.count, Session.shared)
    with Threads(("127.0.0.1", 0), Session) as server:
        print(server.server_address[1], flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
