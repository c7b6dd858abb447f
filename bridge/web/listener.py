"""One HTTP listener inside our own event loop: uvicorn, tamed.

Rules: signals stay the daemon's; connections, header sizes and the time for a request are capped;
forwarding headers mean nothing here; whoever stops it waits for the requests that run, a moment.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import ssl
from collections.abc import Iterator

import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from bridge import limits


class Listener:
    """Serves `app` on a bound socket; with a `context` over TLS."""

    def __init__(
        self, app: ASGIApp, bound: socket.socket, context: ssl.SSLContext | None = None
    ) -> None:
        self._bound = bound
        self._server = _Uvicorn(app, context)
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Listens from then on. Raises OSError."""
        self._task = task = asyncio.create_task(self._server.serve([self._bound]))
        up = asyncio.create_task(self._server.up.wait())
        await asyncio.wait((task, up), return_when=asyncio.FIRST_COMPLETED)
        up.cancel()
        if task.done():
            self._bound.close()
            task.result()
            raise OSError("the web server ended before it listened")

    async def stop(self) -> None:
        self._server.should_exit = True
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)


class _Uvicorn(uvicorn.Server):
    """uvicorn inside somebody else's loop: it leaves the signals alone and says when it is up."""

    def __init__(self, app: ASGIApp, context: ssl.SSLContext | None = None) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=_InTime,
                ssl_context_factory=None if context is None else lambda _, __: context,
                ws="none",
                lifespan="off",
                log_config=None,
                log_level="warning",
                access_log=False,
                server_header=False,
                proxy_headers=False,
                limit_concurrency=limits.WEB_CONNECTIONS,
                h11_max_incomplete_event_size=limits.WEB_HEADER,
                timeout_keep_alive=5,
                timeout_graceful_shutdown=2,
            )
        )
        self.up = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.up.set()


class _InTime(H11Protocol):
    """Closes connections whose request does not come: uvicorn itself would wait for ever."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._look_again(None)

    def _look_again(self, before: object) -> None:
        self._timer = self.loop.call_later(limits.WEB_REQUEST_SECONDS, self._look, before)

    def _look(self, before: object) -> None:
        """`before` is the request after which the last look found it waiting, else None."""
        waiting = self.conn.their_state is h11.IDLE
        after = self.cycle or self
        if waiting and before is after:
            self.transport.close()
        else:
            self._look_again(after if waiting else None)

    def connection_lost(self, exc: Exception | None) -> None:
        self._timer.cancel()
        super().connection_lost(exc)


def is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


async def bound_socket(host: str, port: int, key: str) -> socket.socket:
    """A listening socket at the first address of `host`. Raises OSError that names the key."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, kind, protocol, _, address = found[0]
    server = socket.socket(family, kind, protocol)
    try:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        server.bind(address)
        server.listen(limits.WEB_CONNECTIONS)
        server.setblocking(False)
    except OSError as error:
        server.close()
        raise OSError(error.errno, f"{error.strerror} ({key} {host}:{port})") from None
    return server
