"""A line to a real server that breaks after so many octets.

async with CutProxy(server) as line:
    line.cut_after = 1000        # octets from the server, of the next connection
    ... poll 127.0.0.1:{line.port} ...
"""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Protocol, Self


class _Server(Protocol):
    host: str
    username: str
    password: str

    @property
    def port(self) -> int: ...


class CutProxy:
    """See the module; `cut_after` None cuts nothing. `received` counts the server's octets."""

    def __init__(self, server: _Server) -> None:
        self.cut_after: int | None = None
        self.received = 0
        self.host = "127.0.0.1"
        self.port = 0
        self.username = server.username
        self.password = server.password
        self._target = server.host, server.port
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, self.host, 0)
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
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.sleep(0)  # the loop closes an aborted socket in its next step

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._relay(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _relay(self, near: asyncio.StreamReader, answers: asyncio.StreamWriter) -> None:
        far, commands = await asyncio.open_connection(*self._target)
        asking = asyncio.ensure_future(_pump(near, commands))
        try:
            await self._answer(far, answers)
        except ConnectionError:
            pass
        finally:
            asking.cancel()
            commands.transport.abort()
            answers.close()

    async def _answer(self, far: asyncio.StreamReader, answers: asyncio.StreamWriter) -> None:
        left = self.cut_after
        while data := await far.read(65536):
            piece = data if left is None else data[:left]
            self.received += len(piece)
            answers.write(piece)
            await answers.drain()
            if left is not None:
                left -= len(piece)
                if left == 0:
                    return


async def _pump(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    while data := await source.read(65536):
        target.write(data)
        await target.drain()
    target.write_eof()
