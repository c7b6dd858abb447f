"""One connection of the scripted POP3 server: lines in, octets out, and when to break it."""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from tests.support.pop3_ledger import Item, SessionLedger, Stream

if TYPE_CHECKING:
    from tests.support.pop3_server import Pop3Server

_STREAMED = 64 * 1024  # octets of a stream that go into one write, at least

Handler = Callable[[bytes], Awaitable[None]]


class Closed(Exception):
    """The script ends this connection here."""


class Connection:
    """Reads lines, answers them by the script or by the handler of their verb."""

    def __init__(
        self, server: Pop3Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.server = server
        self.reader = reader
        self.writer = writer
        self.ledger = SessionLedger()
        self.buffer = b""
        self.tls = server.security == "tls"
        self.user = b""
        self.stamp = b"<1896.697170952@dbc.mtview.ca.us>"  # RFC 1939 7
        self.items: list[Item] = []
        self.marked: set[int] = set()
        self.served: set[int] = set()

    def handler(self, verb: bytes) -> Handler | None:
        """What answers this verb now."""
        raise NotImplementedError

    def log_in(self) -> None:
        raise NotImplementedError

    async def run(self) -> None:
        try:
            await self._greet()
            while True:
                await self._answer(await self.line())
        except (Closed, ConnectionError, ssl.SSLError, asyncio.IncompleteReadError):
            pass
        finally:
            self.writer.transport.abort()

    async def _greet(self) -> None:
        await self._wait(b"greeting")
        if b"greeting" in self.server.streams:
            await self._send_stream(self.server.streams[b"greeting"])
        elif self.server.greeting is not None:
            await self.send(self.server.greeting)
        else:
            stamp = b" " + self.stamp if self.server.apop else b""
            await self.send(b"+OK ready" + stamp + b"\r\n")

    async def line(self) -> bytes:
        while b"\n" not in self.buffer:
            data = await self.reader.read(65536)
            if not data:
                raise Closed
            self.server.ledger.received += len(data)
            self.buffer += data
        waiting = self.buffer.count(b"\n")
        self.ledger.most_outstanding = max(self.ledger.most_outstanding, waiting)
        line, _, self.buffer = self.buffer.partition(b"\n")
        if self.server.forgets_pipelined:
            self.buffer = b""
        return line.rstrip(b"\r")

    async def send(self, data: bytes) -> None:
        """Writes, in segments where told, and drops the connection at the told octet."""
        server = self.server
        cut = server.cut_after is not None and self.ledger.sent + len(data) >= server.cut_after
        if cut:
            assert server.cut_after is not None
            data = data[: max(0, server.cut_after - self.ledger.sent)]
        step = server.segment or max(1, len(data))
        for start in range(0, len(data), step):
            if server.pace is not None:
                await server.pace()
            self.writer.write(data[start : start + step])
            await self.writer.drain()
        self.ledger.sent += len(data)
        server.ledger.sent += len(data)
        if cut:
            await self.hang_up()

    async def _send_stream(self, stream: Stream) -> None:
        piece = bytearray()
        for octets in stream():
            piece += octets
            if len(piece) >= _STREAMED:
                await self.send(bytes(piece))
                piece.clear()
        await self.send(bytes(piece))

    async def hang_up(self) -> None:
        """Closes in order, so that what was sent arrives; a rude server sends no goodbye in TLS
        (close_notify), or a reset."""
        if self.server.rude:
            self.writer.transport.abort()
            raise Closed
        self.writer.close()
        await self.writer.wait_closed()
        raise Closed

    async def _wait(self, key: bytes) -> None:
        if key in self.server.holds:
            await self.server.holds[key].wait()

    async def _answer(self, line: bytes) -> None:
        server = self.server
        self.ledger.commands.append(line)
        if not self.tls:
            self.ledger.in_clear.append(line)
        verb, _, argument = line.partition(b" ")
        verb = verb.upper()
        if verb in (b"PASS", b"APOP", b"AUTH") and not self.ledger.tried:
            self.ledger.tried = True
            server.ledger.attempts.append(server.clock())
        server.heard()
        await self._wait(line)
        await self._wait(verb)
        if line in server.hang_up or verb in server.hang_up:
            await self.hang_up()
        stream = server.streams.get(line) or server.streams.get(verb)
        if stream is not None:
            await self._send_stream(stream)
            return
        told = self._told(line, verb)
        if told is not None:
            if told.upper().startswith(b"+OK") and verb in (b"PASS", b"APOP", b"AUTH"):
                self.log_in()
            await self.send(told)
            if verb == b"STLS" and told.startswith(b"+OK"):
                await self.start_tls()
            return
        handler = self.handler(verb)
        if handler is None:
            await self.send(b"-ERR unknown command\r\n")
        else:
            await handler(argument)

    def _told(self, line: bytes, verb: bytes) -> bytes | None:
        for key in (line, verb):
            reply = self.server.replies.get(key)
            if isinstance(reply, deque):
                if reply:
                    return reply.popleft()
            elif reply is not None:
                return reply
        return None

    async def start_tls(self) -> None:
        if not self.server.handshake:
            await self.reader.read()
            raise Closed
        assert self.server.context is not None
        await self.writer.start_tls(self.server.context)
        self.tls = True
        self.buffer = b""
