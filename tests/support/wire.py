"""A proxy between an IMAP client and the endpoint that writes down what both say.

    async with Wire(daemon.imap_ports[0]) as wire:
        ... a client talks to 127.0.0.1:{wire.port} ...
        assert wire.refused() == []
        assert "UID MOVE" in wire.commands()

Rules: octets pass as they are; only the record is cut into lines (RFC 3501 2.2), with the octets
of literals left out, and inflated once COMPRESS DEFLATE was agreed (RFC 4978). What is said inside
TLS is not in it.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import zlib
from collections import Counter
from collections.abc import Callable
from types import TracebackType
from typing import Self

_LITERAL = re.compile(rb"\{(\d{1,19})\+?\}\r\n\Z")


class Lines:
    """Octets in, whole lines out, literals left out. One direction of one connection."""

    def __init__(self) -> None:
        self._rest = b""
        self._line = b""
        self._skip = 0
        self._inflate: zlib._Decompress | None = None
        self._secret = False

    def feed(self, octets: bytes) -> None:
        if not self._secret:
            self._rest += octets if self._inflate is None else self._inflate.decompress(octets)

    def deflated_from_here(self) -> None:
        """What follows the last line that was taken is deflated."""
        self._inflate = zlib.decompressobj(-zlib.MAX_WBITS)
        rest, self._rest = self._rest, b""
        self.feed(rest)

    def secret_from_here(self) -> None:
        """What follows the last line that was taken is TLS."""
        self._secret = True
        self._rest = b""

    def take(self) -> str | None:
        """The next whole line without its CRLF, if it is here: `a1 LOGIN {2} {3}`."""
        while True:
            skipped = self._rest[: self._skip]
            self._rest = self._rest[len(skipped) :]
            self._skip -= len(skipped)
            head, newline, rest = self._rest.partition(b"\n")
            if self._skip or not newline:
                return None
            self._rest = rest
            # Not in what is before the last literal: "{2}" stays there as its own mark.
            literal = _LITERAL.search(head + newline)
            self._line += head + newline
            if literal is None:
                whole, self._line = self._line, b""
                return whole.rstrip(b"\r\n").decode(errors="backslashreplace")
            self._skip = int(literal[1])
            self._line = self._line.removesuffix(b"\r\n")


class Connection:
    """One connection's lines in the order of their arrival: `C: a1 NOOP`, `S: a1 OK done`."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._client, self._server = Lines(), Lines()
        self._changes: dict[str, str] = {}  # tag -> the command that will change what octets mean

    def said_by_client(self, octets: bytes) -> None:
        self._client.feed(octets)
        while (line := self._client.take()) is not None:
            self.lines.append(f"C: {line}")
            tag, _, command = line.partition(" ")
            if command.upper() in ("COMPRESS DEFLATE", "STARTTLS"):
                self._changes[tag] = command.upper()

    def said_by_server(self, octets: bytes) -> None:
        self._server.feed(octets)
        while (line := self._server.take()) is not None:
            self.lines.append(f"S: {line}")
            tag, _, answer = line.partition(" ")
            change = self._changes.pop(tag, "")
            for side in (self._client, self._server) if answer.startswith("OK") else ():
                if change == "STARTTLS":
                    side.secret_from_here()
                elif change:
                    side.deflated_from_here()


class Wire:
    """The proxy; `port` is where clients come in, `connections` what was said."""

    def __init__(self, to_port: int) -> None:
        self.port = 0
        self.connections: list[Connection] = []
        self._to_port = to_port
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def lines(self) -> list[str]:
        """Everything, one connection after the other."""
        return [line for each in self.connections for line in each.lines]

    def commands(self) -> Counter[str]:
        """How often each command was sent: `UID FETCH`, `IDLE`."""
        found: Counter[str] = Counter()
        for line in self.lines():
            side, _, *words = (*line.split(" "), "")
            if side == "C:" and words[0]:
                count = 2 if words[0].upper() == "UID" else 1
                found[" ".join(words[:count]).upper()] += 1
        return found

    def refused(self) -> list[str]:
        """Each BAD, with the command that it answers: `a1 XLIST "" "*" -> BAD no such command`."""
        found = []
        for connection in self.connections:
            sent: dict[str, str] = {}
            for line in connection.lines:
                side, tag, *words = line.split(" ", 3)
                if side == "C:":
                    sent[tag] = line[3:]
                elif words[:1] == ["BAD"]:
                    found.append(f"{sent.get(tag, tag)} -> {' '.join(words)}")
        return found

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._server is not None
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = Connection()
        self.connections.append(connection)
        to_server = None
        try:
            from_server, to_server = await asyncio.open_connection("127.0.0.1", self._to_port)
            await asyncio.gather(
                _copy(reader, to_server, connection.said_by_client),
                _copy(from_server, writer, connection.said_by_server),
            )
        finally:
            writer.close()
            if to_server is not None:
                to_server.close()


async def _copy(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, note: Callable[[bytes], None]
) -> None:
    with contextlib.suppress(ConnectionError):
        while octets := await reader.read(65536):
            note(octets)
            writer.write(octets)
            await writer.drain()
    with contextlib.suppress(ConnectionError, OSError):
        writer.write_eof()
