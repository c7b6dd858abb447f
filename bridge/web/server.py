"""The only HTTP sockets: the page and health for people and watchers, control for the commands.

    web.listen               the page (`site`)  GET /livez /readyz /metrics /status.json
                             autoconfig and Autodiscover (`wellknown`)
    data_dir/control.sock    GET /status  POST /poll?address=
                             GET /deletes?address=  GET /deletes/planned?address=  GET /events
                             and those of accounts.py and devices.py
                             /transfer/...  POST /backup?file=  (`bridge.web.transfer`)

Rules:
- Whatever comes over TCP passes `guard` first.
- /livez, /readyz and /metrics name no account and no address. /status.json does, and wants a
  session of the page, or its password (HTTP Basic, RFC 7617); so do the metrics of each account.
- Off loopback the page speaks TLS, with the certificate that the devices know, for a password
  must not cross the network in clear; and it does not listen there without a password.
- Who the peer is, is what the connection says; X-Forwarded-For counts from `proxies` alone.
- Connections, header sizes, and the time for a request are capped.
"""

from __future__ import annotations

import asyncio
import base64
import json
import socket
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, cast

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from bridge.model import PollReport, ServerDelete
from bridge.web import control_socket
from bridge.web.accounts import AccountControl, account_routes
from bridge.web.devices import DeviceControl, device_routes
from bridge.web.guard import Guard
from bridge.web.listener import Listener, bound_socket, is_loopback
from bridge.web.page import Event, event_json
from bridge.web.seams import Desk
from bridge.web.sessions import Sessions
from bridge.web.site import Site
from bridge.web.status import Json, Status, delete_json, report_json, status_json
from bridge.web.transfer import Transfers, transfer_routes
from bridge.web.wellknown import AUTODISCOVER, wellknown_routes


class Control(AccountControl, DeviceControl, Transfers, Protocol):
    """What the daemon answers and does."""

    async def status(self) -> Status: ...

    async def poll(self, address: str | None) -> Sequence[PollReport]:
        """Polls one account or all now, or joins the poll under way. Raises LookupError with a
        sentence when there is no such account."""
        ...

    def events(self) -> Sequence[Event]:
        """The last lines of the log, the newest first."""
        ...

    async def planned_deletes(self, address: str | None) -> Sequence[ServerDelete]:
        """What the next poll would delete at the provider. Raises LookupError as `poll`."""
        ...

    async def deletes(self, address: str | None) -> Sequence[ServerDelete]:
        """What was deleted at providers, the newest first."""
        ...


class NeedsPassword(Exception):
    """The page would be reachable from the network without a password."""


@dataclass(frozen=True, slots=True)
class PublicSide:
    """What listens over TCP: where, for whom, and who may come in.

    `names` are host names beside this machine's own, `proxies` addresses whose X-Forwarded-For
    and -Proto are believed, `context` our TLS, for every address but loopback; `plaintext` is the
    consent to do without it there.
    """

    listen: tuple[str, int]
    desk: Desk
    sessions: Sessions
    context: ssl.SSLContext | None = None
    names: Sequence[str] = ()
    proxies: Sequence[str] = field(default=())
    plaintext: bool = False


class WebServer:
    """Both HTTP listeners of a daemon. `public` None leaves only the control socket.

    `port` is the TCP port that is bound, once started, `url` how a browser gets there.
    """

    def __init__(self, daemon: Control, *, public: PublicSide | None, control: Path) -> None:
        self._daemon = daemon
        self._public = public
        self._control = control
        self._running: list[Listener] = []
        self.port: int | None = None
        self.url = ""

    async def start(self) -> None:
        """Listens. Raises OSError when an address cannot be had, NeedsPassword when it may not
        be listened at; then nothing listens."""
        try:
            await self._serve(control_app(self._daemon), control_socket.listening(self._control))
            if self._public is not None:
                await self._start_public(self._public)
        except BaseException:
            await self.stop()
            raise

    async def _start_public(self, public: PublicSide) -> None:
        bound = await bound_socket(*public.listen, "web.listen")
        host, self.port = bound.getsockname()[:2]
        context = None
        if not is_loopback(host):
            if not public.sessions.has_password:
                bound.close()
                raise NeedsPassword(
                    f"web.listen {host}:{self.port} is reachable from the network, and the page "
                    "has no password: write web.password_file, or web.listen: 127.0.0.1:8025"
                )
            context = None if public.plaintext else public.context
        self.url = f"{'http' if context is None else 'https'}://{public.listen[0]}:{self.port}"
        names = [*public.names, public.listen[0], socket.gethostname()]
        app: ASGIApp = Guard(public_app(public), names, {AUTODISCOVER})
        if public.proxies:
            app = cast(ASGIApp, ProxyHeadersMiddleware(cast(Any, app), list(public.proxies)))
        await self._serve(app, bound, context)

    async def _serve(
        self, app: ASGIApp, bound: socket.socket, context: ssl.SSLContext | None = None
    ) -> None:
        listener = Listener(app, bound, context)
        await listener.start()
        self._running.append(listener)

    async def stop(self) -> None:
        """Ends both; requests that run get a moment."""
        await asyncio.gather(*(each.stop() for each in self._running))
        self._running.clear()
        self._control.unlink(missing_ok=True)


def public_app(public: PublicSide) -> Starlette:
    """What web.listen serves."""
    desk, sessions = public.desk, public.sessions

    async def live(_: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def ready(_: Request) -> Response:
        is_ready = (await desk.status()).ready
        return PlainTextResponse("ready\n" if is_ready else "not ready\n", 200 if is_ready else 503)

    async def is_known(request: Request) -> bool:
        if sessions.session(request) is not None:
            return True
        password = _basic_password(request.headers.get("authorization", ""))
        peer = request.client.host if request.client else ""
        return password is not None and await sessions.knows(peer, password)

    async def status(request: Request) -> Response:
        if not await is_known(request):
            ask = {"WWW-Authenticate": 'Basic realm="popbridge", charset="UTF-8"'}
            return PlainTextResponse("The password of the page is wanted.\n", 401, ask)
        return _json(status_json(await desk.status()))

    async def for_prometheus(request: Request) -> Response:
        from bridge.web.metrics import CONTENT_TYPE, metrics

        named = await is_known(request)
        text = metrics(await desk.facts(), named=named)
        return Response(text, headers={"Content-Type": CONTENT_TYPE})

    app = Starlette(
        routes=[
            Route("/livez", live, methods=["GET"]),
            Route("/readyz", ready, methods=["GET"]),
            Route("/status.json", status, methods=["GET"]),
            Route("/metrics", for_prometheus, methods=["GET"]),
            *wellknown_routes(desk.clients),
            *Site(desk, sessions).routes(),
        ]
    )
    app.router.redirect_slashes = False  # a path is ours, or it is not
    return app


def _basic_password(authorization: str) -> str | None:
    """The password of `Basic base64(user:password)`, whoever the user."""
    scheme, _, said = authorization.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        user_and_password = base64.b64decode(said.strip(), validate=True).decode()
    except ValueError:
        return None
    return user_and_password.partition(":")[2]


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

    async def events(_: Request) -> Response:
        return _json([event_json(each) for each in daemon.events()])

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
            Route("/events", events, methods=["GET"]),
            Route("/deletes", deletes, methods=["GET"]),
            Route("/deletes/planned", planned, methods=["GET"]),
            *account_routes(daemon),
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
