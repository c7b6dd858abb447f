"""Where a browser on this machine brings the authorization code: one page on loopback.

Rules: only this machine reaches it, for as long as the sign-in lasts; a request without the right
`state` is refused and changes nothing; a token in the URL is refused; a request is capped in
octets and seconds; what was asked for is never shown again in the page.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from types import TracebackType
from typing import Self
from urllib.parse import parse_qs, urlsplit

from bridge import limits
from bridge.auth.oauth import OAuthError
from bridge.logs import printable
from bridge.model import Secret

_REQUEST_SECONDS = 10.0


class Redirect:
    """Listens while it is entered; `uri` is what the provider is told. Raises OSError when the
    port is taken."""

    def __init__(self, host: str = "127.0.0.1", port: int = 0) -> None:
        self._host = host
        self._port = port
        self._state = ""
        self._servers: list[asyncio.Server] = []
        self._open: set[asyncio.StreamWriter] = set()
        self._code: asyncio.Future[Secret] = asyncio.get_running_loop().create_future()

    @property
    def uri(self) -> str:
        return f"http://{self._host}:{self._port}/"

    @property
    def port(self) -> int:
        return self._port

    async def __aenter__(self) -> Self:
        await self._listen("127.0.0.1")
        if self._host == "localhost":  # a browser may take it for ::1
            with contextlib.suppress(OSError):
                await self._listen("::1")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for server in self._servers:
            server.close()
        for writer in self._open:  # browsers connect ahead, and would be waited for
            writer.transport.abort()
        for server in self._servers:
            await server.wait_closed()
        await asyncio.sleep(0)  # the loop closes an aborted socket in its next step
        self._code.cancel()

    async def _listen(self, address: str) -> None:
        server = await asyncio.start_server(
            self._serve, address, self._port, limit=limits.OAUTH_REDIRECT
        )
        self._servers.append(server)
        self._port = server.sockets[0].getsockname()[1]

    async def code(self, state: str) -> Secret:
        """Waits for the code that comes with this state. Raises OAuthError: declined, too late."""
        self._state = state
        try:
            async with asyncio.timeout(limits.OAUTH_LOGIN_SECONDS):
                return await self._code
        except TimeoutError:
            raise OAuthError("auth", "nobody signed in in time") from None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            async with asyncio.timeout(_REQUEST_SECONDS):
                request = await reader.readuntil(b"\r\n\r\n")
                status, text = self._answer(request)
                page = text.encode()
                writer.write(
                    f"HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\n"
                    f"Content-Length: {len(page)}\r\nCache-Control: no-store\r\n"
                    "Referrer-Policy: no-referrer\r\nConnection: close\r\n\r\n".encode()
                    + page
                )
                await writer.drain()
        except (TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        finally:
            self._open.discard(writer)
            writer.close()

    def _answer(self, request: bytes) -> tuple[str, str]:
        method, _, rest = request.decode("latin-1").partition(" ")
        try:
            target = urlsplit(rest.partition(" ")[0])
            query = parse_qs(target.query, max_num_fields=20)
        except ValueError:
            return _REFUSED
        if method != "GET" or target.path != "/":
            return "404 Not Found", "popbridge: there is nothing here.\n"
        said = {name: values[0] for name, values in query.items() if len(values) == 1}
        mine = bool(self._state) and secrets.compare_digest(
            said.get("state", "").encode(), self._state.encode()
        )
        # RFC 6749 10.3: a token never travels in a URL.
        if not mine or "access_token" in query or self._code.done():
            return _REFUSED
        if "error" in said:
            reason = printable(said["error"], 60)
            self._code.set_exception(OAuthError("auth", f"the sign-in was declined: {reason}"))
            return "200 OK", "popbridge: the sign-in was declined. You may close this page.\n"
        if not said.get("code"):
            return _REFUSED
        self._code.set_result(Secret(said["code"]))
        return "200 OK", "popbridge: you are signed in. You may close this page.\n"


_REFUSED = "400 Bad Request", "popbridge: this is not the sign-in that it waits for.\n"
