"""One IMAP connection as a client holds it: whole responses in, octets out.

    client = await Server("127.0.0.1", port, {}).connect()
    await client.response()                  # ['* OK [CAPABILITY ...'], text, literal, text ...
    await client.command("a NOOP")           # all responses up to the tagged one

Rules: each response is read by a second parser too (`tests.support.second_parser`), unless the
server is not ours; every wait ends after `PATIENCE` seconds.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from bridge.imap.protocol.deflate import Deflate
from tests.support.second_parser import accept

PATIENCE = 10.0
LONGEST = 64 * 1024 * 1024
_LITERAL = re.compile(rb"\{(\d+)\}$")


class Talk:
    """What is heard and said, whatever carries the octets: see `Client`."""

    def __init__(self, reader: asyncio.StreamReader, *, judged: bool = True) -> None:
        self.reader = reader
        self._judged = judged
        self._greeted = self._utf8 = self._rev2 = False
        self._deflate: Deflate | None = None
        self._pump: asyncio.Task[None] | None = None

    async def response(self) -> list[str | bytes]:
        """The next response: text, literal, text ...; raises EOFError at the end."""
        parts: list[str | bytes] = []
        octets = b""
        async with asyncio.timeout(PATIENCE):
            while True:
                line = await self.reader.readline()
                if not line.endswith(b"\r\n"):
                    raise EOFError
                octets += line
                line = line[:-2]
                parts.append(line.decode("utf-8", "backslashreplace"))
                announced = _LITERAL.search(line)
                if announced is None:
                    break
                literal = await self.reader.readexactly(int(announced[1]))
                parts.append(literal)
                octets += literal
        if self._judged:
            accept(octets, greeting=not self._greeted, utf8=self._utf8, rev2=self._rev2)
        self._greeted = True
        self._rev2 = self._rev2 or bool(re.match(rb"\* ENABLED .*IMAP4rev2", octets))
        self._utf8 = self._rev2 or self._utf8 or bool(re.match(rb"\* ENABLED .*UTF8=ACC", octets))
        return parts

    def compress(self) -> None:
        """Both sides deflate from here on."""
        deflate, deflated = Deflate(), self.reader
        self.reader = inflated = asyncio.StreamReader(LONGEST)
        self._deflate = deflate

        async def pump() -> None:
            while octets := await deflated.read(65536):
                deflate.receive_data(octets)
                while deflate.pending:
                    inflated.feed_data(deflate.inflate(65536))
            inflated.feed_eof()

        self._pump = asyncio.create_task(pump())

    async def send(self, octets: bytes) -> None:
        await self._put(octets if self._deflate is None else self._deflate.compress(octets))

    async def command(self, text: str) -> list[list[str | bytes]]:
        """Sends "tag text", returns all responses up to the tagged one."""
        tag = text.partition(" ")[0]
        await self.send(text.encode() + b"\r\n")
        heard = [await self.response()]
        while not str(heard[-1][0]).startswith(tag + " "):
            heard.append(await self.response())
        return heard

    def close(self) -> None:
        if self._pump is not None:
            self._pump.cancel()
        self._hang_up()

    # --- what carries it ----------------------------------------------------------------

    async def start_tls(self) -> None:
        """The handshake."""
        raise NotImplementedError

    async def _put(self, octets: bytes) -> None:
        raise NotImplementedError

    def _hang_up(self) -> None:
        raise NotImplementedError


class Place(Protocol):
    """Where the clients of a dialogue connect to. `users` gives the name and password behind each
    login of a file."""

    @property
    def users(self) -> Mapping[str, tuple[str, str]]: ...

    async def connect(self) -> Talk: ...


@dataclass(frozen=True, slots=True)
class Server:
    """A `Place` behind a port."""

    host: str
    port: int
    users: Mapping[str, tuple[str, str]]
    tls: ssl.SSLContext | None = None  # of the client
    judged: bool = True  # whether the second parser reads what it says

    async def connect(self) -> Client:
        return await Client.connect(self)


class Client(Talk):
    """A connection over TCP."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        tls: ssl.SSLContext | None = None,
        judged: bool = True,
    ) -> None:
        super().__init__(reader, judged=judged)
        self.writer = writer
        self._tls = tls

    @classmethod
    async def connect(cls, server: Server, limit: int = LONGEST) -> Client:
        """`limit` is of a line, and of what is held unread."""
        async with asyncio.timeout(PATIENCE):
            streams = await asyncio.open_connection(server.host, server.port, limit=limit)
        return cls(*streams, tls=server.tls, judged=server.judged)

    async def start_tls(self) -> None:
        assert self._tls is not None
        async with asyncio.timeout(PATIENCE):
            await self.writer.start_tls(self._tls)

    async def _put(self, octets: bytes) -> None:
        self.writer.write(octets)
        async with asyncio.timeout(PATIENCE):
            await self.writer.drain()

    def _hang_up(self) -> None:
        self.writer.transport.abort()
