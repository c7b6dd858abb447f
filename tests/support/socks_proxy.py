"""A SOCKS5 proxy for tests (RFC 1928, RFC 1929), on loopback, with a list of what it was asked.

    async with SocksProxy(names={"pop.example.org": server.port}) as proxy:
        ... connect by 127.0.0.1:{proxy.port} to pop.example.org:995 ...
        assert proxy.asked == [("pop.example.org", 995)]

`names` says which port of this machine a name leads to; others are "host unreachable". With
`login` it wants RFC 1929. `answer` replaces all that it says, whatever it was asked.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Mapping
from types import TracebackType
from typing import Self


class SocksProxy:
    def __init__(
        self,
        names: Mapping[str, int],
        *,
        login: tuple[str, str] | None = None,
        answer: bytes | None = None,
    ) -> None:
        self.names = names
        self.login = login
        self.answer = answer
        self.asked: list[tuple[str, int]] = []
        self.port = 0
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

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
        try:
            if self.answer is not None:
                await reader.read(3)
                writer.write(self.answer)
                writer.close()
                await writer.wait_closed()
                return
            await self._talk(reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.transport.abort()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        _, count = await reader.readexactly(2)
        methods = await reader.readexactly(count)
        wanted = 2 if self.login else 0
        if wanted not in methods:
            writer.write(b"\x05\xff")
            await writer.drain()
            return
        writer.write(bytes([5, wanted]))
        if self.login is not None:
            await reader.readexactly(1)
            given = []
            for _ in range(2):
                (length,) = await reader.readexactly(1)
                given.append((await reader.readexactly(length)).decode())
            right = tuple(given) == self.login
            writer.write(b"\x01\x00" if right else b"\x01\x01")
            if not right:
                await writer.drain()
                return
        _, _, _, kind = await reader.readexactly(4)
        if kind == 3:
            (length,) = await reader.readexactly(1)
            host = (await reader.readexactly(length)).decode()
        else:
            host = str(ipaddress.ip_address(await reader.readexactly(4 if kind == 1 else 16)))
        port = int.from_bytes(await reader.readexactly(2))
        self.asked.append((host, port))
        target = self.names.get(host)
        if target is None:
            writer.write(b"\x05\x04\x00\x01" + bytes(6))
            await writer.drain()
            return
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", target)
        # The address that it uses comes as a name: a client must read past it whatever its kind.
        writer.write(b"\x05\x00\x00\x03\x05proxy" + target.to_bytes(2))
        try:
            await asyncio.wait(
                [
                    asyncio.ensure_future(_copy(reader, far_writer)),
                    asyncio.ensure_future(_copy(far_reader, writer)),
                ]
            )
        finally:
            far_writer.transport.abort()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.write_eof()
    except OSError:
        writer.transport.abort()
