"""A proxy on loopback that gives a line its round trip time, without slowing its rate.

async with DelayProxy("127.0.0.1", server.port, seconds=0.05) as proxy:
    ... connect to 127.0.0.1:{proxy.port}: each direction takes `seconds` ...
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import TracebackType
from typing import Self, cast


class DelayProxy:
    """Every octet leaves `seconds` after it came, in both directions."""

    def __init__(
        self, host: str, port: int, seconds: float, *, listen: Sequence[str] = ("127.0.0.1",)
    ) -> None:
        """`listen` are addresses, all with the same port."""
        self.port = 0
        self._listen = listen
        self._target = (host, port)
        self._seconds = seconds
        self._servers: list[asyncio.Server] = []
        self._ends: set[_End] = set()

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        for address in self._listen:
            server = await loop.create_server(self._accept, address, self.port)
            self._servers.append(server)
            self.port = server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for server in self._servers:
            server.close()
        for end in self._ends:
            if end.transport is not None:
                end.transport.abort()
        await asyncio.sleep(0)
        for server in self._servers:
            await server.wait_closed()

    def _accept(self) -> asyncio.Protocol:
        near, far = _End(self._seconds), _End(self._seconds)
        near.other, far.other = far, near
        self._ends |= {near, far}
        loop = asyncio.get_running_loop()
        near.dialling = loop.create_task(loop.create_connection(lambda: far, *self._target))
        return near


class _End(asyncio.Protocol):
    """One of the two connections; what it reads is written by the other one, later."""

    def __init__(self, seconds: float) -> None:
        self.transport: asyncio.Transport | None = None
        self.other: _End | None = None
        self.dialling: object = None
        self._seconds = seconds
        self._early: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.writelines(self._early)

    def data_received(self, data: bytes) -> None:
        assert self.other is not None
        asyncio.get_running_loop().call_later(self._seconds, self.other.write, data)

    def connection_lost(self, error: Exception | None) -> None:
        assert self.other is not None
        asyncio.get_running_loop().call_later(self._seconds, self.other.close)

    def write(self, data: bytes) -> None:
        if self.transport is None:
            self._early.append(data)
        else:
            self.transport.write(data)

    def close(self) -> None:
        if self.transport is not None:
            self.transport.close()
