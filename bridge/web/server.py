"""The only HTTP socket: health and status for whoever watches, control for the commands.

    web.listen               GET /livez /readyz /status.json
    data_dir/control.sock    GET /status  POST /poll?address=
                             GET /deletes?address=  GET /deletes/planned?address=
                             and those of devices.py
                             /transfer/...  POST /backup?path=  (`bridge.web.transfer`)

Rules:
- A request over TCP must name this machine in Host (an address, localhost, its own name), or it
  is refused before anything else looks at it: DNS rebinding ends here.
- /livez and /readyz name no account and no address. /status.json does, and is given over
  loopback only, to a server that listens on loopback only.
- What changes something is reached through the control socket alone, which is its owner's.
- Connections, header sizes and idle times are capped.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import json
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from bridge import limits
from bridge.model import PollReport, ServerDelete
from bridge.web import control_socket
from bridge.web.devices import DeviceControl, device_routes
from bridge.web.status import Json, Status, delete_json, report_json, status_json
from bridge.web.transfer import Transfers, transfer_routes


class Control(DeviceControl, Transfers, Protocol):
    """What the daemon answers and does."""

    async def status(self) -> Status: ...

    async def poll(self, address: str | None) -> Sequence[PollReport]:
        """Polls one account or all now, or joins the poll under way. Raises LookupError with a
        sentence when there is no such account."""
        ...

    async def planned_deletes(self, address: str | None) -> Sequence[ServerDelete]:
        """What the next poll would delete at the provider. Raises LookupError as `poll`."""
        ...

    async def deletes(self, address: str | None) -> Sequence[ServerDelete]:
        """What was deleted at providers, the newest first."""
        ...


class WebServer:
    """Both HTTP listeners of a daemon. `listen` None leaves only the control socket.

    `port` is the TCP port that is bound, once started.
    """

    def __init__(self, daemon: Control, *, listen: tuple[str, int] | None, control: Path) -> None:
        self._daemon = daemon
        self._listen = listen
        self._control = control
        self._running: list[tuple[_Uvicorn, asyncio.Task[None]]] = []
        self.port: int | None = None

    async def start(self) -> None:
        """Listens. Raises OSError when an address cannot be had; then nothing listens."""
        try:
            await self._serve(control_app(self._daemon), control_socket.listening(self._control))
            if self._listen is not None:
                bound = await _bound(*self._listen)
                host, self.port = bound.getsockname()[:2]
                app = public_app(self._daemon, private=_is_loopback(host))
                await self._serve(_OwnHostOnly(app, self._listen[0]), bound)
        except BaseException:
            await self.stop()
            raise

    async def _serve(self, app: ASGIApp, bound: socket.socket) -> None:
        server = _Uvicorn(app)
        task = asyncio.create_task(server.serve([bound]))
        self._running.append((server, task))
        up = asyncio.create_task(server.up.wait())
        await asyncio.wait((task, up), return_when=asyncio.FIRST_COMPLETED)
        up.cancel()
        if task.done():
            bound.close()
            task.result()
            raise OSError("the web server ended before it listened")

    async def stop(self) -> None:
        """Ends both; requests that run get a moment."""
        for server, _ in self._running:
            server.should_exit = True
        await asyncio.gather(*(task for _, task in self._running), return_exceptions=True)
        self._running.clear()
        self._control.unlink(missing_ok=True)


class _Uvicorn(uvicorn.Server):
    """uvicorn inside somebody else's loop: it leaves the signals alone and says when it is up."""

    def __init__(self, app: ASGIApp) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http="h11",
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


class _OwnHostOnly:
    """Refuses requests whose Host is somebody else's name (DNS rebinding)."""

    def __init__(self, app: ASGIApp, listen_host: str) -> None:
        self._app = app
        self._names = {"localhost", socket.gethostname().lower(), listen_host.lower()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not self._is_own(Request(scope).headers.getlist("host")):
            response = PlainTextResponse("This name is not mine.\n", 403)
            await response(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _is_own(self, hosts: list[str]) -> bool:
        if len(hosts) != 1:
            return False
        host = hosts[0].strip().lower()
        bare = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
        with contextlib.suppress(ValueError):
            return bool(ipaddress.ip_address(bare))
        return bare.removesuffix(".") in self._names


def public_app(daemon: Control, *, private: bool) -> Starlette:
    """What web.listen serves; `private` says that only this machine can reach it."""

    async def live(_: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def ready(_: Request) -> Response:
        is_ready = (await daemon.status()).ready
        return PlainTextResponse("ready\n" if is_ready else "not ready\n", 200 if is_ready else 503)

    async def status(request: Request) -> Response:
        if not private or not _is_loopback(request.client.host if request.client else ""):
            text = "The status is told on loopback only; ask `popbridge status` on the machine.\n"
            return PlainTextResponse(text, 403)
        return _json(status_json(await daemon.status()))

    return Starlette(
        routes=[
            Route("/livez", live, methods=["GET"]),
            Route("/readyz", ready, methods=["GET"]),
            Route("/status.json", status, methods=["GET"]),
        ]
    )


def control_app(daemon: Control) -> Starlette:
    """What the control socket serves."""

    async def status(_: Request) -> Response:
        return _json(status_json(await daemon.status()))

    async def poll(request: Request) -> Response:
        try:
            reports = await daemon.poll(request.query_params.get("address"))
        except LookupError as error:
            return _json({"error": str(error.args[0] if error.args else error)}, 404)
        return _json([report_json(each) for each in reports])

    async def deletes(request: Request) -> Response:
        found = await daemon.deletes(request.query_params.get("address"))
        return _json([delete_json(each) for each in found])

    async def planned(request: Request) -> Response:
        try:
            found = await daemon.planned_deletes(request.query_params.get("address"))
        except LookupError as error:
            return _json({"error": str(error.args[0] if error.args else error)}, 404)
        return _json([delete_json(each) for each in found])

    return Starlette(
        routes=[
            Route("/status", status, methods=["GET"]),
            Route("/poll", poll, methods=["POST"]),
            Route("/deletes", deletes, methods=["GET"]),
            Route("/deletes/planned", planned, methods=["GET"]),
            *device_routes(daemon),
            *transfer_routes(daemon),
        ]
    )


def _json(value: Json, code: int = 200) -> Response:
    return Response(
        json.dumps(value, indent=2) + "\n",
        code,
        {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"},
        "application/json",
    )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


async def _bound(host: str, port: int) -> socket.socket:
    """A listening socket at the first address of `host`. Raises OSError."""
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
        raise OSError(error.errno, f"{error.strerror} (web.listen {host}:{port})") from None
    return server
