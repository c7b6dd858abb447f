"""A POP3 server for tests: real sockets on loopback, a maildrop that tests change between
polls, misbehaviour on demand, and a ledger of all that clients did.

    async with Pop3Server(items=[(b"uid-1", b"Subject: a\\r\\n\\r\\nhello\\r\\n")]) as server:
        ... poll 127.0.0.1:{server.port} as server.username / server.password ...
        assert server.ledger.retrieved == {b"uid-1": 1}
        server.items.append(Item(b"uid-2", ...))     # seen by the next session

Rules: each session works on a snapshot of `items` taken at login (RFC 1939 3: the maildrop is
locked); DELE takes effect at QUIT only (RFC 1939 6); nothing sleeps, delays are events that
the test sets. `host` fits the certificate: connect to it, not to another spelling.
"""

from __future__ import annotations

import asyncio
import ssl
import tempfile
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

import trustme

from tests.support.pop3_ledger import Item, Ledger, SessionLedger, Stream, stuff
from tests.support.pop3_session import Session

__all__ = ["Certificate", "Item", "Ledger", "Pop3Server", "SessionLedger", "Stream", "stuff"]

Certificate = trustme.LeafCert

_AUTHORITY: trustme.CA | None = None


def authority() -> trustme.CA:
    """The CA of this test process, made once."""
    global _AUTHORITY
    if _AUTHORITY is None:
        _AUTHORITY = trustme.CA()
    return _AUTHORITY


class Pop3Server:
    """See the module. Every keyword is an attribute too, and may change between sessions.

    `security`: "none", "starttls" (STLS offered) or "tls" (TLS from the first byte).
    `replies`: raw bytes instead of the normal reply, by whole line (b"RETR 3") or by verb
    (b"UIDL"); a deque gives one a time and then the normal reply; to answer a login with +OK
    logs in. `holds`: the reply to a line or verb waits for this event. `hang_up`: lines or verbs
    that are answered by closing. `cut_after`: the connection is dropped after so many octets.
    `segment`: octets a write, each drained; `pace` is awaited before each. `injected`: octets
    glued to the +OK of STLS. `handshake` False: silence instead of TLS after STLS.
    `capabilities`: the CAPA lines before and after TLS, instead of those that the options give.
    `forgets_pipelined`: what came in one segment with a command is thrown away.
    `pops_retrieved`: the maildrop loses at QUIT what RETR served, as Gmail's does.
    `tokens`: the access tokens that XOAUTH2 and OAUTHBEARER take. `auth_alone`: AUTH with an
    initial response closes the connection, as Exchange does. `iterations`: what SCRAM asks for.
    `impostor`: SCRAM ends with +OK for anybody, with a signature that proves nothing.
    `client_authority`: the CA whose certificates clients must show. `streams`: as `replies`, for
    octets that are made while they are sent; b"greeting" is a key here. `lists_only`: so many of
    the oldest items, as Gmail does. `removes_only`: so many of the marked go at QUIT, which is a
    -ERR then. `rude`: connections end without goodbye. `clock`: the time of `ledger.attempts`.
    """

    session_type: type[Session] = Session

    def __init__(
        self,
        items: Iterable[Item | tuple[bytes | None, bytes]] = (),
        *,
        username: str = "user",
        password: str = "secret",
        security: Literal["none", "starttls", "tls"] = "none",
        certificate: Certificate | None = None,
        tls_context: ssl.SSLContext | None = None,
        capa: bool = True,
        pipelining: bool = True,
        uidl: bool = True,
        top: bool = True,
        sasl: Sequence[bytes] = (),
        apop: bool = False,
        extra_capabilities: Sequence[bytes] = (),
        capabilities: tuple[Sequence[bytes], Sequence[bytes]] | None = None,
        greeting: bytes | None = None,
        replies: dict[bytes, bytes | deque[bytes]] | None = None,
        holds: dict[bytes, asyncio.Event] | None = None,
        hang_up: Iterable[bytes] = (),
        cut_after: int | None = None,
        segment: int | None = None,
        pace: Callable[[], Awaitable[None]] | None = None,
        injected: bytes = b"",
        handshake: bool = True,
        forgets_pipelined: bool = False,
        pops_retrieved: bool = False,
        tokens: Iterable[str] = (),
        auth_alone: bool = False,
        iterations: int = 4096,
        impostor: bool = False,
        client_authority: trustme.CA | None = None,
        streams: dict[bytes, Stream] | None = None,
        lists_only: int | None = None,
        removes_only: int | None = None,
        rude: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.items = [item if isinstance(item, Item) else Item(*item) for item in items]
        self.username = username
        self.password = password
        self.security = security
        self.capa = capa
        self.pipelining = pipelining
        self.uidl = uidl
        self.top = top
        self.sasl = sasl
        self.apop = apop
        self.extra_capabilities = extra_capabilities
        self.capabilities = capabilities
        self.greeting = greeting
        self.replies = replies or {}
        self.holds = holds or {}
        self.hang_up = set(hang_up)
        self.cut_after = cut_after
        self.segment = segment
        self.pace = pace
        self.injected = injected
        self.handshake = handshake
        self.forgets_pipelined = forgets_pipelined
        self.pops_retrieved = pops_retrieved
        self.tokens = set(tokens)
        self.auth_alone = auth_alone
        self.iterations = iterations
        self.impostor = impostor
        self.client_authority = client_authority
        self.streams = streams or {}
        self.lists_only = lists_only
        self.removes_only = removes_only
        self.rude = rude
        self.clock = clock
        self.ledger = Ledger()
        self.host = "127.0.0.1"
        self.port = 0
        self.ca_file: str | None = None
        self.context = tls_context
        self._certificate = certificate
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._news = asyncio.Event()

    # --- life ---------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        if self.security != "none":
            self._folder = tempfile.TemporaryDirectory()
            ca_file = Path(self._folder.name) / "ca.pem"
            authority().cert_pem.write_to_path(str(ca_file))
            self.ca_file = str(ca_file)
            if self.context is None:
                self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            leaf = self._certificate or authority().issue_cert("127.0.0.1", "::1", "localhost")
            leaf.configure_cert(self.context)
            if self.client_authority is not None:
                self.context.verify_mode = ssl.CERT_REQUIRED
                self.client_authority.configure_trust(self.context)
        await self.listen()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()
        if self._folder is not None:
            self._folder.cleanup()

    async def listen(self) -> None:
        """Starts listening; on the same port as before after a `stop()`."""
        context = self.context if self.security == "tls" else None
        self._server = await asyncio.start_server(
            self._accept, self.host, self.port, ssl=context, reuse_address=True
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Stops listening and drops every connection."""
        if self._server is not None:
            self._server.close()
        await self.drop()
        if self._server is not None:
            await self._server.wait_closed()
            self._server = None

    async def drop(self) -> None:
        """Drops every connection, as a provider's restart does."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)  # the loop closes an aborted socket in its next step

    async def seen(self, verb: bytes, times: int = 1) -> None:
        """Returns when clients have sent this command so often, over all sessions."""
        await self.until(lambda ledger: ledger.count(verb) >= times)

    async def until(self, true: Callable[[Ledger], bool]) -> None:
        """Returns when the ledger says so; looked at whenever a command or connection comes."""
        while not true(self.ledger):
            self._news.clear()
            await self._news.wait()

    def heard(self) -> None:
        """Something is new in the ledger."""
        self._news.set()

    async def idle(self) -> None:
        """Returns when no client is connected any more."""
        while self._tasks:
            await asyncio.wait(set(self._tasks))

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        session = self.session_type(self, reader, writer)
        self.ledger.sessions.append(session.ledger)
        task = asyncio.get_running_loop().create_task(session.run())
        self._tasks.add(task)
        self.ledger.most_sessions = max(self.ledger.most_sessions, len(self._tasks))
        task.add_done_callback(self._tasks.discard)
        self.heard()
