"""The only socket in imap/: accepts devices, moves octets between them and their sessions.

Rules:
- Reading stops while a session has more input than it may hold, writing waits while the device
  does not take it: a slow or greedy peer costs bounded memory.
- STARTTLS is upgraded here; what was buffered in clear before it never reaches the session
  behind it (the command itself refuses to go on when there is anything).
- COMPRESS is a layer in here: what is inflated goes to the session piece by piece, no faster than
  it takes it, and the rest waits deflated.
- A connection has its slot (`slots.py`) from the moment it is accepted, before any handshake. A
  server of asyncio tells of TLS connections only behind it, which is why we accept those.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import socket
import ssl
from collections.abc import Container, Mapping, Sequence
from typing import cast

import structlog

from bridge import limits
from bridge.imap.protocol.deflate import DamagedInput, Deflate
from bridge.imap.protocol.responses import untagged
from bridge.imap.seams import Disconnected, Services
from bridge.imap.session import Session
from bridge.imap.slots import Slots
from bridge.imap.table import TABLE
from bridge.tls import ShownContext

log = structlog.get_logger("imap")

DRAIN_SECONDS = 5.0  # that sessions have to finish their command when the server stops
INFLATED = 64 * 1024  # octets that are inflated at once
LINGER_SECONDS = 10.0  # that a peer has to take our last words
# Connections that the system has accepted and we have not; it may allow fewer. Whoever finds it
# full tries again after a second, which all devices of a house would do after each restart.
BACKLOG = 4096
ACCEPT_AGAIN_SECONDS = 1.0  # after there was no file descriptor for a connection


class ImapServer:
    """All listeners and all sessions of one daemon."""

    def __init__(self, services: Services, tls: ssl.SSLContext | None) -> None:
        self.services = services
        self.tls = tls
        self._listeners: list[asyncio.Server] = []
        self._accepting: list[asyncio.Task[None]] = []
        self._links: dict[Link, asyncio.Task[None]] = {}
        self._slots = Slots()
        self._stopping = False

    async def listen(self, host: str, port: int, *, tls: bool) -> list[tuple[str, int]]:
        """Listens, with TLS from the start or with STARTTLS offered. Returns the addresses
        bound (port 0 takes a free one). Raises OSError when the port cannot be had."""
        loop = asyncio.get_running_loop()
        bound: list[tuple[str, int]] = []
        for listener in _listeners(await _places(host, port)):
            listener.setblocking(False)
            if tls:
                self._accepting.append(loop.create_task(self._accept(listener)))
            else:
                server = await loop.create_server(lambda: Link(self), sock=listener)
                self._listeners.append(server)
            # Not given to asyncio, which would accept as many in one step of the loop.
            listener.listen(BACKLOG)
            bound.append(listener.getsockname()[:2])
        return bound

    async def _accept(self, listener: socket.socket) -> None:
        """Lets in who comes, and shakes hands then. Ends when it is cancelled."""
        loop = asyncio.get_running_loop()
        with listener:
            while True:
                try:
                    accepted, address = await loop.sock_accept(listener)
                except OSError as error:
                    log.warning("cannot accept a connection", error=error.strerror)
                    await asyncio.sleep(ACCEPT_AGAIN_SECONDS)
                    continue
                link = Link(self, accepted, address[0])
                if self.enter(link):
                    accepted.close()
                # While more of them wait nothing else does, and this would be the only task.
                await asyncio.sleep(0)

    async def stop(self) -> None:
        """Accepts no more, says BYE to everybody once their command is done."""
        self._stopping = True
        for listener in self._listeners:
            listener.close()
        for accepting in self._accepting:
            accepting.cancel()
        tasks = list(self._links.values())
        for link in self._links:
            link.stop("The server is going down, please connect again")
        if tasks:
            await asyncio.wait(tasks, timeout=DRAIN_SECONDS)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, *self._accepting, return_exceptions=True)
        for listener in self._listeners:
            await listener.wait_closed()

    def end_logins(self, logins: Container[str], why: str) -> None:
        """Ends the sessions that signed in by the own password of these logins."""
        for link in self._links:
            if link.session.by_own_password in logins:
                link.session.stop(why)

    @property
    def sessions(self) -> int:
        return len(self._links)

    # --- called by links ----------------------------------------------------------------

    def enter(self, link: Link) -> str:
        """Lets the connection in; returns "", or why it is refused."""
        refused = (
            "The server is going down, please connect again"
            if self._stopping
            else self._slots.take(link)
        )
        if refused:
            log.info("connection refused", peer=link.peer, why=refused)
        else:
            self._links[link] = asyncio.get_running_loop().create_task(link.serve())
        return refused

    def signed_in(self, link: Link) -> None:
        self._slots.signed_in(link)

    def leave(self, link: Link) -> None:
        self._links.pop(link, None)
        self._slots.leave(link)

    def end(self, link: Link) -> None:
        """Whatever it is at."""
        if link in self._links:
            self._links[link].cancel()


def _listeners(places: Sequence[tuple[int, str, int]]) -> list[socket.socket]:
    """A socket for each place, but for what this machine does not speak where it speaks another:
    "localhost" is ::1 too, also without IPv6. All of them are had, or none. Raises OSError."""
    listeners: list[socket.socket] = []
    unknown: OSError | None = None
    try:
        for family, host, port in places:
            try:
                listeners.append(socket.create_server((host, port), family=family))
            except OSError as error:
                if error.errno != errno.EAFNOSUPPORT:
                    raise
                unknown = error
        if unknown is not None and not listeners:
            raise unknown
    except OSError:
        for listener in listeners:
            listener.close()
        raise
    return listeners


async def _places(host: str, port: int) -> list[tuple[int, str, int]]:
    """Address family, address and port of all that a host name stands for. Raises OSError."""
    found = await asyncio.get_running_loop().getaddrinfo(
        host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    return list(dict.fromkeys((family, *address[:2]) for family, _, _, _, address in found))


class Link(asyncio.Protocol):
    """One connection: the `Wire` of its session."""

    def __init__(
        self, server: ImapServer, accepted: socket.socket | None = None, peer: str = ""
    ) -> None:
        """`accepted` waits for its TLS handshake; without it `connection_made` says who comes."""
        self._server = server
        self._accepted = accepted
        self.secure = accepted is not None
        self.private = self.secure
        self.peer = peer
        self.session = Session(self, server.services, TABLE)
        self._transport: asyncio.Transport | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self._reading = True
        self._deflate: Deflate | None = None
        self._linger: asyncio.TimerHandle | None = None

    # --- from the loop ------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports do not descend from asyncio's.
        self._transport = transport = cast(asyncio.Transport, transport)
        transport.set_write_buffer_limits(high=limits.IMAP_WRITE_BUFFER)
        if self._accepted is not None:
            return
        name = transport.get_extra_info("peername")
        self.peer = name[0] if name else ""
        self.private = is_loopback(self.peer)
        if refused := self._server.enter(self):
            transport.write(untagged(b"BYE", refused))
            transport.close()

    def data_received(self, data: bytes) -> None:
        if self._deflate is None:
            self.session.receive(data)
        else:
            self._deflate.receive_data(data)
            self._inflate()
        if self._reading and self._has_enough:
            self._reading = False
            if self._transport is not None:
                self._transport.pause_reading()

    @property
    def _has_enough(self) -> bool:
        waiting = 0 if self._deflate is None else self._deflate.waiting
        return self.session.connection.buffered + waiting > limits.IMAP_PIPELINED_INPUT

    def _inflate(self) -> None:
        """Hands over as much as the session may hold."""
        connection, deflate = self.session.connection, self._deflate
        try:
            while (
                deflate is not None
                and deflate.pending
                and connection.buffered <= limits.IMAP_PIPELINED_INPUT
            ):
                self.session.receive(deflate.inflate(INFLATED))
        except DamagedInput:
            log.info("compressed input is damaged", peer=self.peer)
            self.session.stop("What you sent is not compressed as COMPRESS has it")

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._linger is not None:
            self._linger.cancel()
        self._writable.set()
        self.session.lost()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    # --- the Wire -----------------------------------------------------------------------

    def write(self, *pieces: bytes) -> None:
        if self._transport is None:
            return
        if self._deflate is not None:
            pieces = tuple(map(self._deflate.compress, pieces))
        if len(pieces) == 1:
            self._transport.write(pieces[0])
        else:
            # One system call for all of them, and one wake-up of the peer.
            self._transport.writelines(pieces)

    @property
    def compressed(self) -> bool:
        return self._deflate is not None

    def start_compression(self) -> None:
        self._deflate = Deflate()

    def write_last(self, octets: bytes) -> None:
        deflate, self._deflate = self._deflate, None
        if deflate is None:
            self.write(octets)
        else:
            self.write(deflate.finish(octets))
            self.session.receive(deflate.rest())

    async def drain(self) -> None:
        while self._transport is not None and not self._writable.is_set():
            before = self._transport.get_write_buffer_size()
            try:
                async with asyncio.timeout(limits.IMAP_WRITE_SECONDS):
                    await self._writable.wait()
            except TimeoutError:
                if self._transport.get_write_buffer_size() >= before:
                    self._transport.abort()
                    raise Disconnected from None
        if self._transport is None:
            raise Disconnected

    def resume(self) -> None:
        self._inflate()
        if not self._reading and not self._has_enough and self._transport is not None:
            self._reading = True
            self._transport.resume_reading()

    async def start_tls(self) -> None:
        transport, context = self._transport, self._server.tls
        if transport is None or context is None:
            raise Disconnected
        try:
            upgraded = await asyncio.get_running_loop().start_tls(
                transport,
                self,
                context,
                server_side=True,
                ssl_handshake_timeout=limits.IMAP_HANDSHAKE_SECONDS,
            )
        except (OSError, ssl.SSLError) as error:
            log.info("tls failed", peer=self.peer, error=type(error).__name__)
            raise Disconnected from None
        if upgraded is None:
            raise Disconnected
        self._transport = upgraded
        upgraded.set_write_buffer_limits(high=limits.IMAP_WRITE_BUFFER)
        self.secure = self.private = True

    def bindings(self) -> Mapping[str, bytes]:
        transport = self._transport
        tunnel = None if transport is None else transport.get_extra_info("ssl_object")
        if tunnel is None:
            return {}
        found = {}
        # Not the daemon's certificate, which may be a new one by now.
        if isinstance(tunnel.context, ShownContext) and tunnel.context.end_point is not None:
            found["tls-server-end-point"] = tunnel.context.end_point
        # RFC 9266 3: TLS 1.3 has none. RFC 7627 1: that of a resumed session may be somebody
        # else's too, where the client does not mix the handshake into its keys.
        if tunnel.version() == "TLSv1.2" and not tunnel.session_reused:
            found["tls-unique"] = tunnel.get_channel_binding("tls-unique")
        return found

    def signed_in(self) -> None:
        self._server.signed_in(self)

    def give_way(self) -> None:
        log.info("a connection without login gave way", peer=self.peer)
        self._server.end(self)

    def stop(self, why: str) -> None:
        """Ends the session once its command is done, or the handshake now."""
        self.session.stop(why)
        if self._accepted is not None:
            self._server.end(self)

    # --- its life -----------------------------------------------------------------------

    async def serve(self) -> None:
        """Shakes hands where that is due, runs the session, then closes the connection."""
        try:
            if self._accepted is None or await self._shake_hands(self._accepted):
                self._accepted = None
                await self.session.run()
        finally:
            self._server.leave(self)
            if self._transport is not None:
                self._transport.close()
                # What is still unsent has this long; a peer that reads nothing keeps no memory.
                loop = asyncio.get_running_loop()
                self._linger = loop.call_later(LINGER_SECONDS, self._transport.abort)

    async def _shake_hands(self, accepted: socket.socket) -> bool:
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: self,
                accepted,
                ssl=self._server.tls,
                ssl_handshake_timeout=limits.IMAP_HANDSHAKE_SECONDS,
            )
        except (OSError, ssl.SSLError) as error:
            log.info("tls failed", peer=self.peer, error=type(error).__name__)
            return False
        return True


def is_loopback(peer: str) -> bool:
    """Whether the address is this very machine."""
    with contextlib.suppress(ValueError):
        address = ipaddress.ip_address(peer.partition("%")[0])
        mapped = getattr(address, "ipv4_mapped", None)
        return (mapped or address).is_loopback
    return False
