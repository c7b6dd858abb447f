"""A session at another IMAP server: the one socket of transfer/.

Rules:
- TLS 1.2 or newer with a verified name; `imap://` means STARTTLS, and clear text only to this
  machine. Octets that came in clear before TLS end the session (they would be read as protected).
- Every wait has an end. The socket is not read faster than responses are taken.
- Whatever breaks comes out as `ImapError`; with `lost` the connection is gone and may be made anew.
"""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
from collections import deque
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from bridge import limits, tls
from bridge.model import Octets, Secret, Sink
from bridge.transfer import imap_wire
from bridge.transfer.imap_wire import BadResponse, Response, ResponseParser

_READ_AHEAD = 512 * 1024  # octets that wait for us, at which the socket is not read
_STEP = 256 * 1024
_SYNC_MOST = 4096  # RFC 7888 5: the largest literal that LITERAL- takes unasked


class ImapError(Exception):
    """The server (or the way to it) refused; the text is fit for a person.

    `lost`: the connection is gone. `code` is the word that a NO had in brackets.
    """

    def __init__(self, text: str, *, lost: bool = False, code: bytes = b"") -> None:
        super().__init__(text)
        self.lost = lost
        self.code = code


@dataclass(frozen=True, slots=True)
class Server:
    """Where and as whom: of `imaps://user@host:993`."""

    host: str
    port: int
    user: str
    implicit_tls: bool
    ca_file: str | None = None

    @classmethod
    def of_url(cls, url: str, ca_file: Path | None = None) -> Server:
        """Raises ValueError with a sentence."""
        parts = urlsplit(url)
        if parts.scheme not in ("imaps", "imap") or not parts.hostname:
            raise ValueError(f"{url!r} is no address of a server; write imaps://USER@HOST[:PORT]")
        if parts.password is not None:
            raise ValueError("the password does not belong into the address; put it into a file")
        if not parts.username:
            raise ValueError(f"{url!r} names no user; write imaps://USER@HOST[:PORT]")
        implicit = parts.scheme == "imaps"
        port = parts.port or (993 if implicit else 143)
        user = unquote(parts.username)
        return cls(parts.hostname, port, user, implicit, str(ca_file) if ca_file else None)

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


class _Link(asyncio.Protocol):
    """What came, until it is taken; and whether more may be written."""

    def __init__(self) -> None:
        self.waiting: deque[bytes] = deque()
        self.octets = 0
        self.news = asyncio.Event()
        self.room = asyncio.Event()
        self.room.set()
        self.ended = False
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.waiting.append(data)
        self.octets += len(data)
        self.news.set()
        if self.octets > _READ_AHEAD and self.transport is not None:
            self.transport.pause_reading()

    def take(self) -> bytes:
        data = self.waiting.popleft()
        self.octets -= len(data)
        if self.octets <= _READ_AHEAD and self.transport is not None:
            self.transport.resume_reading()
        return data

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended = True
        self.news.set()
        self.room.set()

    def pause_writing(self) -> None:
        self.room.clear()

    def resume_writing(self) -> None:
        self.room.set()


class ImapClient:
    """One session. Commands may be sent ahead (`send`) and waited for later (`result`)."""

    def __init__(self, server: Server, new_sink: Callable[[], Sink]) -> None:
        self._server = server
        self._parser = ResponseParser(new_sink)
        self._link = _Link()
        self._number = 0
        self._responses: AsyncGenerator[Response, None] | None = None
        self._results: dict[bytes, Response] = {}
        self.capabilities: frozenset[bytes] = frozenset()
        self._bye = ""
        self.untagged: Callable[[Response], None] = lambda _: None

    # --- life ---------------------------------------------------------------------------

    async def connect(self, password: Secret) -> None:
        """Connects and logs in. Raises ImapError."""
        server = self._server
        loop = asyncio.get_running_loop()
        try:
            context = tls.client_context(server.ca_file)
            async with asyncio.timeout(limits.TRANSFER_CONNECT_SECONDS):
                if server.implicit_tls:
                    await loop.create_connection(
                        lambda: self._link, server.host, server.port,
                        ssl=context, server_hostname=server.host,
                    )  # fmt: skip
                else:
                    await loop.create_connection(lambda: self._link, server.host, server.port)
        except ssl.SSLCertVerificationError as error:
            text = f"{server} has a certificate that is not to be trusted: {error.verify_message}"
            raise ImapError(text) from None
        except TimeoutError:
            raise ImapError(f"{server} did not answer in time", lost=True) from None
        except (OSError, tls.CertificateError) as error:
            raise ImapError(f"{server} cannot be reached: {error}", lost=True) from None
        greeting = await self._next()
        if greeting.kind not in (b"OK", b"PREAUTH"):
            raise ImapError(f"{server} does not let us in: {greeting.text}", lost=True)
        if not server.implicit_tls:
            await self._start_tls(context)
        if greeting.kind == b"OK":
            await self._login(password)
        await self.command(b"CAPABILITY")

    async def _start_tls(self, context: ssl.SSLContext) -> None:
        await self.command(b"CAPABILITY")
        link, server = self._link, self._server
        if b"STARTTLS" not in self.capabilities:
            if not _is_loopback(server.host):
                raise ImapError(f"{server} offers no TLS; nothing was sent to it")
            return
        await self.command(b"STARTTLS")
        if not self._parser.is_idle or link.waiting or link.transport is None:
            raise ImapError(f"{server} sent words in clear where TLS should begin", lost=True)
        try:
            protected = await asyncio.get_running_loop().start_tls(
                link.transport,
                link,
                context,
                server_hostname=server.host,
                ssl_handshake_timeout=limits.TRANSFER_CONNECT_SECONDS,
            )
        except (OSError, ssl.SSLError) as error:
            raise ImapError(f"{server}: no TLS: {error}", lost=True) from None
        if not isinstance(protected, asyncio.Transport):
            raise ImapError(f"{server} closed the connection before TLS", lost=True)
        link.transport = protected
        self.capabilities = frozenset()  # RFC 3501 6.2.1: what was said in clear is forgotten

    async def _login(self, password: Secret) -> None:
        if not self.capabilities:
            await self.command(b"CAPABILITY")
        user, word = self._server.user, password.reveal()
        by_plain = b"AUTH=PLAIN" in self.capabilities
        name = imap_wire.quoted(user.encode()) or b""
        secret = imap_wire.quoted(word.encode()) or b""
        if not by_plain and (b"LOGINDISABLED" in self.capabilities or not name or not secret):
            raise ImapError(f"{self._server} offers no way to log in that we know")
        try:
            if not by_plain:
                await self.command(b"LOGIN %b %b" % (name, secret))
            elif b"SASL-IR" in self.capabilities:  # RFC 4959
                await self.command(b"AUTHENTICATE PLAIN " + imap_wire.plain(user, word))
            else:
                tag = await self.send(b"AUTHENTICATE PLAIN")
                if await self._continuation(tag):
                    self._write(imap_wire.plain(user, word) + b"\r\n")
                await self.result(tag)
        except ImapError as error:
            if error.lost or error.code == b"UNAVAILABLE":  # RFC 5530 3: it may be let in later
                raise
            text = f"{self._server} refused the login of {user}: {error}"
            raise ImapError(text, code=b"AUTHENTICATIONFAILED") from None
        self.capabilities = frozenset()

    async def logout(self) -> None:
        """Says good-bye as far as the server still listens."""
        try:
            async with asyncio.timeout(5):
                await self.command(b"LOGOUT")
        except (ImapError, TimeoutError):
            pass
        finally:
            self.close()

    def close(self) -> None:
        self._parser.close()
        if self._link.transport is not None:
            self._link.transport.abort()

    # --- commands -----------------------------------------------------------------------

    async def command(self, line: bytes) -> Response:
        """Sends, and waits for OK. Raises ImapError for NO, BAD and a lost connection."""
        return await self.result(await self.send(line))

    async def send(self, line: bytes) -> bytes:
        """Sends a command without literals; returns its tag."""
        tag = self._tag()
        self._write(tag + b" " + line + b"\r\n")
        await self._room()
        return tag

    async def result(self, tag: bytes) -> Response:
        """The answer to a command that was sent. Raises ImapError."""
        while tag not in self._results:
            self._note(await self._next())
        answer = self._results.pop(tag)
        if answer.kind != b"OK":
            raise ImapError(answer.text or "the server refused", code=answer.code)
        return answer

    async def fetch(self, line: bytes) -> AsyncGenerator[Response, None]:
        """Sends a command and gives its untagged responses as they come; a response's large
        octets last until the next one. Raises ImapError at the end where it is not OK."""
        tag = await self.send(line)
        while True:
            response = await self._next()
            if response.tag == tag:
                self._note(response)
                await self.result(tag)
                return
            if response.tag == b"*" and response.kind not in (b"OK", b"NO", b"BAD", b"BYE"):
                yield response
            else:
                self._note(response)

    def begin(self) -> Appending:
        """An APPEND, to be written piece by piece."""
        return Appending(self, self._tag())

    def _tag(self) -> bytes:
        self._number += 1
        return b"A%d" % self._number

    def _note(self, response: Response) -> None:
        if response.code == b"CAPABILITY":
            self.capabilities = frozenset(response.argument.upper().split())
        elif response.kind == b"CAPABILITY":
            words = [word.upper() for word in response.tokens[1:] if isinstance(word, bytes)]
            self.capabilities = frozenset(words)
        if response.tag == b"*":
            if response.kind == b"BYE":
                self._bye = f": {response.text}" if response.text else ""
                return
            self.untagged(response)
        elif response.tag != b"+":
            self._results[response.tag] = response

    async def _continuation(self, tag: bytes) -> bool:
        """Waits until the server wants the rest; False when it has answered instead."""
        while tag not in self._results:
            response = await self._next()
            if response.tag == b"+":
                return True
            self._note(response)
        return False

    # --- octets -------------------------------------------------------------------------

    def _write(self, data: bytes) -> None:
        if self._link.ended or self._link.transport is None:
            raise self._lost()
        self._link.transport.write(data)

    async def _room(self) -> None:
        """Waits until what was written is on its way."""
        try:
            async with asyncio.timeout(limits.TRANSFER_IMAP_SECONDS):
                await self._link.room.wait()
        except TimeoutError:
            raise ImapError(f"{self._server} takes nothing any more", lost=True) from None
        if self._link.ended:
            raise self._lost()

    async def _next(self) -> Response:
        if self._responses is None:
            self._responses = self._read()
        try:
            return await anext(self._responses)
        except StopAsyncIteration:
            raise self._lost() from None
        except BadResponse as error:
            raise ImapError(f"{self._server}: {error}", lost=True) from None
        except OSError as error:
            raise ImapError(f"a large message cannot be kept meanwhile: {error}") from None

    async def _read(self) -> AsyncGenerator[Response, None]:
        link = self._link
        while True:
            while not link.waiting:
                if link.ended:
                    return
                link.news.clear()
                try:
                    async with asyncio.timeout(limits.TRANSFER_IMAP_SECONDS):
                        await link.news.wait()
                except TimeoutError:
                    text = f"{self._server} owes an answer and is silent"
                    raise ImapError(text, lost=True) from None
            for response in self._parser.feed(link.take()):
                yield response

    def _lost(self) -> ImapError:
        return ImapError(f"{self._server} closed the connection{self._bye}", lost=True)


class Appending:
    """An APPEND of one or several messages (RFC 3501 6.3.11, RFC 3502) under way.

    Without LITERAL+ (RFC 7888) each message waits for the server's leave.
    """

    def __init__(self, client: ImapClient, tag: bytes) -> None:
        self._client = client
        self.tag = tag
        self.refused = False  # the server answered before it had everything

    async def mailbox(self, name: str) -> None:
        self._client._write(self.tag + b" APPEND " + imap_wire.mailbox(name))

    async def message(
        self, octets: Octets, flags: int, keywords: Sequence[str], date: int | None
    ) -> None:
        """Raises ImapError when the connection is lost."""
        if self.refused:
            return
        client = self._client
        size = len(octets)
        unasked = b"LITERAL+" in client.capabilities or (
            b"LITERAL-" in client.capabilities and size <= _SYNC_MOST
        )
        head = imap_wire.append_head(flags, keywords, date)
        client._write(head + (b"{%d+}\r\n" if unasked else b"{%d}\r\n") % size)
        if not unasked and not await client._continuation(self.tag):
            self.refused = True
            return
        for at in range(0, size, _STEP):
            client._write(octets[at : at + _STEP])
            await client._room()

    async def end(self) -> None:
        if not self.refused:
            self._client._write(b"\r\n")
            await self._client._room()


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
