"""A client that costs as little as possible: it looks for the tagged answer and nothing else.

Rules: blocking sockets, large reads, octets thrown away as they come; a tag that no mail contains.
What is not OK raises, so that no refusal is ever measured.
"""

from __future__ import annotations

import itertools
import socket
from collections.abc import Iterable
from time import perf_counter
from types import TracebackType
from typing import Self

_READ = 1024 * 1024
_TAIL = 16 * 1024  # octets in which the tagged answer is looked for


class Refused(Exception):
    """The server said NO or BAD."""


class Client:
    """One connection. `run` measures a command, `ask` gives its answer."""

    def __init__(self, port: int, source: str = "127.0.0.1") -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), 120, (source, 0))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._tags = itertools.count(1)
        self._buffer = bytearray(_READ)
        self._greeted = self.socket.recv(4096)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.socket.close()

    def login(self, user: str, password: str) -> None:
        self.run(f'LOGIN "{user}" "{password}"')

    def run(self, *commands: str | bytes) -> float:
        """Sends the commands in one piece; seconds until the last one is answered."""
        last, octets = self._tagged(commands)
        start = perf_counter()
        self.socket.sendall(octets)
        self._until(last, None)
        return perf_counter() - start

    def ask(self, command: str | bytes) -> bytes:
        """The whole answer, tagged line included."""
        last, octets = self._tagged([command])
        self.socket.sendall(octets)
        kept = bytearray()
        self._until(last, kept)
        return bytes(kept)

    def append(self, mailbox: str, messages: Iterable[bytes], flags: str = "") -> float:
        """One APPEND of all of them; seconds until it is acknowledged."""
        parts = [f'APPEND "{mailbox}"'.encode()]
        for octets in messages:
            parts += [b" (%b) {%d+}\r\n" % (flags.encode(), len(octets)), octets]
        return self.run(b"".join(parts))

    def _tagged(self, commands: Iterable[str | bytes]) -> tuple[bytes, bytes]:
        tag, lines = b"", []
        for command in commands:
            tag = b"zq%dqz" % next(self._tags)
            lines.append(
                b"%b %b\r\n" % (tag, command.encode() if isinstance(command, str) else command)
            )
        return tag, b"".join(lines)

    def _until(self, tag: bytes, kept: bytearray | None) -> None:
        tail = b"\r\n"
        mark = b"\r\n" + tag + b" "
        view = memoryview(self._buffer)
        while True:
            count = self.socket.recv_into(self._buffer)
            if not count:
                raise ConnectionError("the server closed the connection")
            if kept is not None:
                kept += view[:count]
            if count >= _TAIL:
                tail = view[count - _TAIL : count].tobytes()
            else:
                tail = tail[-_TAIL:] + view[:count].tobytes()
            if tail.endswith(b"\r\n") and (at := tail.find(mark)) >= 0:
                answer = tail[at + len(mark) :]
                if not answer.startswith(b"OK"):
                    raise Refused(answer.decode(errors="replace").strip())
                return
