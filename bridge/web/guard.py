"""What every request passes before anything else looks at it.

Rules, in this order:
- Host must be a name of this machine, or one that the config lists: DNS rebinding ends here.
- A body is at most `limits.WEB_BODY` octets in `limits.WEB_REQUEST_SECONDS`; a length and chunks
  together are no request (RFC 9112 6.3), and end the connection.
- What changes something (POST) names its Origin, and that is us: a foreign, a missing and the
  "null" origin are refused. Other methods than GET, HEAD and POST are not known here.
- Every answer carries the policy: nothing but what we serve ourselves, no inline script or style,
  in nobody's frame, kept in no cache.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
from collections.abc import Collection, Iterable

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bridge import limits

POLICY = {
    "Content-Security-Policy": "default-src 'self'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'; object-src 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


_TOO_LONG = 413, "That is too long.\n"


class Guard:
    """An ASGI application around another. `names` are those of this machine, beside localhost;
    its addresses need not be listed. `without_origin` are paths where a POST changes nothing."""

    def __init__(
        self, app: ASGIApp, names: Iterable[str], without_origin: Collection[str] = ()
    ) -> None:
        self._app = app
        self._without_origin = without_origin
        self._names = {name.lower().removesuffix(".") for name in ("localhost", *names)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        refusal = self._refusal(scope, Headers(scope=scope))
        body = b""
        if refusal is None and scope["method"] == "POST":
            try:
                async with asyncio.timeout(limits.WEB_REQUEST_SECONDS):
                    body = await _body(receive)
            except TimeoutError:
                refusal = 408, "That came too slowly.\n"
            except ValueError:
                refusal = _TOO_LONG

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in POLICY.items():
                    headers.setdefault(name, value)
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        if refusal is not None:
            answer = PlainTextResponse(refusal[1], refusal[0], {"Connection": "close"})
            await answer(scope, receive, guarded)
            return
        await self._app(scope, _replay(body, receive), guarded)

    def _refusal(self, scope: Scope, headers: Headers) -> tuple[int, str] | None:
        hosts = headers.getlist("host")
        if len(hosts) != 1 or not self._is_own(hosts[0]):
            return 403, "This name is not mine.\n"
        length = headers.get("content-length")
        if length is not None and "transfer-encoding" in headers:
            return 400, "Both a length and chunks.\n"
        if length is not None and int(length) > limits.WEB_BODY:  # h11 has seen that it is digits
            return _TOO_LONG
        if scope["method"] in ("GET", "HEAD"):
            return None
        if scope["method"] != "POST":
            return 405, "GET, HEAD and POST are known here.\n"
        if scope["path"] in self._without_origin and "origin" not in headers:
            return None
        own = f"{scope['scheme']}://{hosts[0].strip().lower()}"
        if [origin.lower() for origin in headers.getlist("origin")] != [own]:
            return 403, "This came from another page.\n"
        return None

    def _is_own(self, host: str) -> bool:
        host = host.strip().lower()
        bare = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
        with contextlib.suppress(ValueError):
            return bool(ipaddress.ip_address(bare))
        return bare.removesuffix(".") in self._names


async def _body(receive: Receive) -> bytes:
    """The whole body. Raises ValueError when it is too long."""
    body = bytearray()
    while True:
        message = await receive()
        body += message.get("body", b"")
        if len(body) > limits.WEB_BODY:
            raise ValueError
        if not message.get("more_body", False):
            return bytes(body)


def _replay(body: bytes, receive: Receive) -> Receive:
    """The body again, then what comes: that the peer is gone."""
    first = True

    async def replayed() -> Message:
        nonlocal first
        if not first:
            return await receive()
        first = False
        return {"type": "http.request", "body": body, "more_body": False}

    return replayed
