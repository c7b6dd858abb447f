"""The connection to a POP3 server: commands out, events in. The only socket in pop3/.

Rules:
- The socket is not read faster than the session takes the events.
- Every wait has an end, by the loop's monotonic clock: for connect, handshake, a whole status
  line, silence in a body, a least rate, the whole session.
- What came although nobody asked for it ends the session: it is out of step, or somebody put
  words into it.
- Whatever breaks comes out as a `Pop3Error`, and then the connection is gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import socket
import ssl
from collections import deque
from collections.abc import Iterator, Sequence
from typing import cast

from bridge import limits, tls
from bridge.model import Endpoint, Proxy
from bridge.pop3 import addresses, socks
from bridge.pop3.errors import Pop3Error, escape
from bridge.pop3.protocol import (
    Body,
    Broken,
    Challenge,
    End,
    Event,
    Expect,
    ProtocolError,
    ReplyParser,
    Status,
    TooLong,
)
from bridge.pop3.quirks import Kind

_HEAD_START_SECONDS = 0.25  # RFC 8305 5: before the next address is tried beside this one
_CLOSE_SECONDS = 2.0  # for the server to close after QUIT
_QUICKACK: int | None = getattr(socket, "TCP_QUICKACK", None)  # of Linux; off again by itself
_UNREAD_OCTETS = 512 * 1024  # waiting for their reader, at which the socket is not read


class Wire:
    """One connection, from dialling to its end."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.host = f"{endpoint.host}:{endpoint.port}"
        self._endpoint = endpoint
        self._loop = asyncio.get_running_loop()
        self._ends = self._loop.time() + limits.POP3_SESSION_SECONDS
        self._link = _Link()
        self._parser = ReplyParser()
        self._events: deque[Event] = deque()
        self._slow_seconds = 0.0
        self._slow_octets = 0

    # --- life ---------------------------------------------------------------------------

    async def dial(self) -> None:
        """Connects; nothing is sent. Raises Pop3Error."""
        endpoint = self._endpoint
        try:
            async with asyncio.timeout(limits.POP3_CONNECT_SECONDS):
                if endpoint.proxy is None:
                    dialled = await _dial(
                        endpoint.host, endpoint.port, private=endpoint.private_network
                    )
                else:
                    dialled = await _dial_by_proxy(endpoint.proxy, endpoint)
                await self._loop.create_connection(lambda: self._link, sock=dialled)
        except socks.SocksError as error:
            raise Pop3Error(
                "connect",
                f"{self.host} cannot be reached by the proxy: {error}",
                advice="Check proxy, host and port in the config; it is tried again by itself.",
            ) from error
        except _Private as error:
            raise Pop3Error(
                "connect",
                f"{self.host} leads into a private network ({error}), so it was not asked",
                advice="If the server is there, write private_network: true beside its host; if "
                "not, look at the name server that this machine asks.",
            ) from error
        except TimeoutError as error:
            raise Pop3Error("connect", f"{self.host} did not answer in time") from error
        except socket.gaierror as error:
            raise Pop3Error("connect", f"{self.host}: there is no such host name") from error
        except UnicodeError as error:
            raise Pop3Error("connect", f"{self.host}: this is not a host name") from error
        except OSError as error:
            # asyncio puts a sentence of its own into strerror.
            reason = os.strerror(error.errno) if error.errno else str(error)
            raise Pop3Error("connect", f"{self.host} cannot be reached: {reason}") from error

    async def start_tls(self, context: ssl.SSLContext) -> None:
        """Goes on in TLS and verifies the server. Raises Pop3Error.

        Octets that came before, in clear, end the session: they were not sent by whom TLS will
        prove. Were they kept, they would be read as the answer to our first protected command.
        """
        link = self._link
        assert link.transport is not None
        if self._parser.unread or link.waiting:
            raise self.error(
                "tls",
                "sent words in clear where TLS should begin, so nothing was sent to it",
                self._parser.unread or link.waiting[0],
                advice="Check port and security in the config; with STLS, somebody may be "
                "interfering: use security: tls on port 995 if the provider has it.",
            )
        if link.ended:  # asyncio would wait for the handshake until its timeout
            raise self.error("tls", "closed the connection before the TLS handshake")
        try:
            async with asyncio.timeout(limits.POP3_HANDSHAKE_SECONDS):
                protected = await self._loop.start_tls(
                    link.transport,
                    link,
                    context,
                    server_hostname=self._endpoint.host,
                    ssl_handshake_timeout=limits.POP3_HANDSHAKE_SECONDS + 1,
                )
        except ssl.SSLCertVerificationError as error:
            raise self.error(
                "tls",
                f"has a certificate that is not to be trusted: {error.verify_message}",
                advice="Check the host name. For a private CA, name its file as ca_file; for one "
                "certificate that you know, write its SHA-256 as tls_fingerprint.",
            ) from error
        except TimeoutError as error:
            raise self.error("tls", "did not finish the TLS handshake in time") from error
        except ssl.SSLError as error:
            raise self.error(
                "tls",
                f"has no TLS in common with us: {error.reason or error}",
                advice="TLS 1.2 or newer is needed. If the port speaks plain POP3 first, set "
                "security: starttls.",
            ) from error
        except OSError as error:
            raise self.error("tls", "closed the connection in the TLS handshake") from error
        if protected is None:  # the connection was lost between two steps of the loop
            raise self.error("tls", "closed the connection in the TLS handshake")
        link.transport = protected
        self._check_pin(protected)

    def _check_pin(self, protected: asyncio.Transport) -> None:
        """A pinned certificate counts instead of CA and name; nothing was sent to it yet."""
        pinned = self._endpoint.fingerprint
        if pinned is None:
            return
        shown = tls.fingerprint(protected.get_extra_info("ssl_object").getpeercert(True))
        if shown != pinned:
            raise self.error(
                "tls",
                f"shows another certificate than the pinned one: pinned SHA256:{pinned}, shown "
                f"SHA256:{shown}; nothing was sent to it",
                advice="Ask the provider whether it has a new certificate. If so, write "
                f"tls_fingerprint: 'SHA256:{shown}'; if not, somebody may be in between.",
            )

    @property
    def protection(self) -> tuple[str, bytes]:
        """(`TLSv1.3`, the server's certificate in DER), or nothing of both."""
        transport = self._link.transport
        secured = transport.get_extra_info("ssl_object") if transport is not None else None
        if secured is None:
            return "", b""
        return str(secured.version()), secured.getpeercert(True) or b""

    async def close(self) -> None:
        """Closes in order, and waits a little for the server to do so too."""
        if self._link.transport is not None and not self._link.lost.done():
            self._link.transport.close()
            await asyncio.wait([self._link.lost], timeout=_CLOSE_SECONDS)
        self.abort()

    def abort(self) -> None:
        """Drops the connection."""
        if self._link.transport is not None:
            self._link.transport.abort()

    @property
    def busy(self) -> bool:
        """Whether replies are still to come or to be taken."""
        return self._parser.outstanding > 0 or bool(self._events)

    # --- commands and replies -----------------------------------------------------------

    def expect(self, shape: Expect) -> None:
        """Something will come without a command: the greeting."""
        self._parser.expect(shape)

    def send(self, *lines: bytes, shape: Expect = Expect.LINE) -> None:
        """Sends commands in one piece, whose replies all have this shape. Raises Pop3Error."""
        self.send_all([(line, shape) for line in lines])

    def send_all(self, commands: Sequence[tuple[bytes, Expect]]) -> None:
        """Sends commands in one piece, each with the shape of its reply. Raises Pop3Error."""
        if self._parser.outstanding == 0:
            unasked = self._parser.unread or (self._link.waiting and self._link.waiting[0])
            if unasked:
                raise self.out_of_step("said something that nobody asked for", unasked)
        for _, shape in commands:
            self._parser.expect(shape)
        self.go_on(*(line for line, _ in commands))

    def go_on(self, *lines: bytes) -> None:
        """Sends lines that are no commands: the answers to a challenge."""
        assert self._link.transport is not None
        self._link.transport.write(b"".join(line + b"\r\n" for line in lines))
        self._link.acknowledge_at_once()

    async def command(self, line: bytes) -> Status:
        """Sends a command and returns its one line of reply. Raises Pop3Error."""
        self.send(line)
        return await self.status()

    async def status(self) -> Status:
        """The next status line. Raises Pop3Error."""
        answer = await self.answer()
        assert isinstance(answer, Status)
        return answer

    async def answer(self) -> Status | Challenge:
        """The next status line or challenge, whole within POP3_REPLY_SECONDS however slowly it
        drips. Raises Pop3Error."""
        deadline = self._loop.time() + limits.POP3_REPLY_SECONDS
        while not self._events:
            await self._receive(deadline)
        event = self._events.popleft()
        if isinstance(event, Broken):
            raise self._misunderstood(event.error)
        assert isinstance(event, Status | Challenge)
        return event

    async def content(self) -> bytes | None:
        """The next octets of a multi-line reply, or None at its end. Raises Pop3Error."""
        while not self._events:
            await self._receive(self._loop.time() + limits.POP3_REPLY_SECONDS)
        event = self._events.popleft()
        if isinstance(event, Broken):
            raise self._misunderstood(event.error)
        assert isinstance(event, Body | End)
        return event.data if isinstance(event, Body) else None

    async def _receive(self, deadline: float) -> None:
        """Reads once from the socket, within all limits."""
        parser, started = self._parser, self._loop.time()
        seconds = min(deadline, self._ends) - started
        if parser.half_ended:
            seconds = min(seconds, limits.POP3_END_MARK_SECONDS)
        try:
            data = await self._link.read(seconds)
        except TimeoutError as error:
            if self._loop.time() >= self._ends:
                raise self.error("limit", "kept a session busy beyond every measure") from error
            if parser.half_ended:
                self._events.extend(parser.accept_end())
                return
            raise self.error("connect", "fell silent") from error
        except OSError as error:
            raise self.error("connect", "dropped the connection") from error
        if not data:
            raise self.error("connect", "closed the connection")
        if parser.in_body:
            self._check_rate(self._loop.time() - started, len(data))
        self._events.extend(parser.feed(data))

    def _check_rate(self, seconds: float, octets: int) -> None:
        """Only the time that we wait for the server counts against it."""
        self._slow_seconds += seconds
        self._slow_octets += octets
        if self._slow_seconds >= limits.POP3_SLOWEST_SECONDS:
            if self._slow_octets < limits.POP3_SLOWEST * self._slow_seconds:
                raise self.error("limit", "sends too slowly to wait for it")
            self._slow_seconds, self._slow_octets = 0.0, 0

    # --- errors -------------------------------------------------------------------------

    def error(self, kind: Kind, what: str, text: bytes = b"", *, advice: str = "") -> Pop3Error:
        """Drops the connection; the error to raise says so."""
        self.abort()
        error = self.refusal(kind, what, text)
        error.fatal = True
        # Inside a body, a line that breaks is no fault of the window.
        at_fault = kind == "protocol" or not self._parser.in_body
        error.in_window = at_fault and self._parser.outstanding > 1
        error.advice = advice or error.advice
        return error

    def refusal(self, kind: Kind, what: str, text: bytes) -> Pop3Error:
        """The error for one command that was refused; the session goes on."""
        shown = escape(text)
        sentence = f"{self.host} {what}" + (f": {shown}" if shown else "")
        return Pop3Error(kind, sentence, server_text=shown, fatal=False)

    def out_of_step(self, what: str, sample: bytes) -> Pop3Error:
        return self.error("protocol", what, sample)

    @contextlib.contextmanager
    def understood(self) -> Iterator[None]:
        """Turns what the parsers raise into the session's error."""
        try:
            yield
        except ProtocolError as error:
            raise self._misunderstood(error) from error

    def _misunderstood(self, error: ProtocolError) -> Pop3Error:
        if isinstance(error, TooLong):
            return self.error("limit", f"sends without end: {error}")
        return self.out_of_step(f"is not understood, {error}", error.sample)


class _Link(asyncio.Protocol):
    """Where octets wait for the session, bounded by not reading the socket."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.waiting: deque[bytes] = deque()
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._octets = 0
        self.ended = False
        self._error: Exception | None = None
        self._wake: asyncio.Future[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports have the methods but not the class.
        self.transport = cast(asyncio.Transport, transport)

    def acknowledge_at_once(self) -> None:
        """What the server sends next. A server that writes its +OK and the message apart, and
        leaves Nagle's algorithm on, waits for our delayed acknowledgement between the two: 40 ms
        a message with popa3d 1.0 and solid-pop3d 0.15."""
        assert self.transport is not None
        connected = self.transport.get_extra_info("socket")
        if _QUICKACK is not None and connected is not None:
            with contextlib.suppress(OSError):  # gone already
                connected.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)

    def data_received(self, data: bytes) -> None:
        self.waiting.append(data)
        self._octets += len(data)
        if self._octets > _UNREAD_OCTETS:
            assert self.transport is not None
            self.transport.pause_reading()
        self._awake()

    def eof_received(self) -> None:
        self.ended = True
        self._awake()

    def connection_lost(self, error: Exception | None) -> None:
        self.ended = True
        self._error = error
        if not self.lost.done():
            self.lost.set_result(None)
        self._awake()

    def _awake(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    async def read(self, seconds: float) -> bytes:
        """What came next; b"" at the end. Raises TimeoutError, or the connection's error."""
        if not self.waiting and not self.ended:
            self._wake = asyncio.get_running_loop().create_future()
            async with asyncio.timeout(seconds):
                await self._wake
        if not self.waiting:
            if self._error is not None:
                raise self._error
            return b""
        data = self.waiting.popleft()
        self._octets -= len(data)
        if self._octets <= _UNREAD_OCTETS < self._octets + len(data) and not self.ended:
            assert self.transport is not None
            self.transport.resume_reading()
        return data


class _Private(Exception):
    """No address of the name may be asked; str() are some of them."""


async def _dial(host: str, port: int, *, private: bool) -> socket.socket:
    """A connected socket: the addresses of a name race, each with a head start before the next
    (RFC 8305 5), so that a dead IPv6 route costs a quarter of a second. Raises OSError, _Private.

    Written out because uvloop's create_connection has no happy eyeballs.
    """
    loop = asyncio.get_running_loop()
    resolved = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    found = [
        info for info in resolved if addresses.may_be_asked(host, str(info[4][0]), private=private)
    ]
    if resolved and not found:
        raise _Private(", ".join(sorted({str(info[4][0]) for info in resolved})[:3]))
    untried = deque(_families_in_turn([(info[0], info[4]) for info in found]))
    racing: set[asyncio.Task[socket.socket]] = set()
    errors: list[BaseException] = []
    try:
        while untried or racing:
            if untried:
                family, address = untried.popleft()
                racing.add(loop.create_task(_connected(family, address)))
            head_start = _HEAD_START_SECONDS if untried else None
            done, _ = await asyncio.wait(
                racing, timeout=head_start, return_when=asyncio.FIRST_COMPLETED
            )
            for task in done:
                racing.discard(task)
                error = task.exception()
                if error is None:
                    racing |= done - {task}
                    return task.result()
                errors.append(error)
    finally:
        for task in racing:
            task.cancel()
        for late in await asyncio.gather(*racing, return_exceptions=True):
            if isinstance(late, socket.socket):
                late.close()
    raise errors[0] if errors else OSError("the name has no address")


async def _dial_by_proxy(proxy: Proxy, endpoint: Endpoint) -> socket.socket:
    """A socket that a SOCKS5 proxy has connected. Raises OSError and SocksError."""
    loop = asyncio.get_running_loop()
    try:
        dialled = await _dial(proxy.host, proxy.port, private=True)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
        raise socks.SocksError(f"{proxy.host}:{proxy.port} is not there: {reason}") from error
    password = proxy.password.reveal() if proxy.password is not None else ""
    dialogue = socks.connect(endpoint.host, endpoint.port, proxy.username, password)
    try:
        octets, wanted = next(dialogue)
        while True:
            if octets:
                await loop.sock_sendall(dialled, octets)
            received = b""
            while len(received) < wanted:
                data = await loop.sock_recv(dialled, wanted - len(received))
                if not data:
                    raise socks.SocksError("it closed the connection")
                received += data
            octets, wanted = dialogue.send(received)
    except StopIteration:
        return dialled
    except BaseException:
        dialled.close()
        raise


_Address = tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]


def _families_in_turn(found: Sequence[tuple[int, _Address]]) -> list[tuple[int, _Address]]:
    """Addresses in the resolver's order, but IPv6 and IPv4 in turn (RFC 8305 4)."""
    first = [one for one in found if one[0] == found[0][0]]
    other = [one for one in found if one[0] != found[0][0]]
    turns = []
    for pair in itertools.zip_longest(first, other):
        turns += [one for one in pair if one is not None]
    return turns


async def _connected(family: int, address: _Address) -> socket.socket:
    dialled = socket.socket(family, socket.SOCK_STREAM)
    try:
        dialled.setblocking(False)
        await asyncio.get_running_loop().sock_connect(dialled, address)
    except BaseException:
        dialled.close()
        raise
    return dialled
