"""A proxy on loopback that gives a line its round trip time, without slowing its rate.

async with DelayProxy("127.0.0.1", server.port, seconds=0.05) as proxy:
    ... connect to 127.0.0.1:{proxy.port}: each direction takes `seconds` ...
"""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self, cast


class DelayProxy:
    """Every octet leaves `seconds` after it came, in both directions."""

    def __init__(self, host: str, port: int, seconds: float) -> None:
        self.port = 0
        self._target = (host, port)
        self._seconds = seconds
        self._server: asyncio.Server | None = None
        self._ends: set[_End] = set()

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._accept, "127.0.0.1", 0)
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
        for end in self._ends:
            if end.transport is not None:
                end.transport.abort()
        await asyncio.sleep(0)
        await self._server.wait_closed()

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
