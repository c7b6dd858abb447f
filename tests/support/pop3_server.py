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
import base64
import hashlib
import hmac
import ssl
import tempfile
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

import trustme

Certificate = trustme.LeafCert


@dataclass(frozen=True, slots=True)
class Item:
    """One message of the maildrop; equal items are told apart by identity.

    `uidl` None leaves the message's line out of UIDL listings; `listed` is what LIST says
    instead of the true size; `wire` is the whole reply to RETR instead of a stuffed +OK;
    `error` is the text after -ERR that RETR and TOP give for this message.
    """

    uidl: bytes | None
    octets: bytes
    listed: bytes | None = None
    wire: bytes | None = None
    error: bytes | None = None


@dataclass(slots=True)
class SessionLedger:
    """One connection as the server saw it. `commands` are whole lines, passwords included."""

    commands: list[bytes] = field(default_factory=list)
    in_clear: list[bytes] = field(default_factory=list)  # lines that came before TLS
    sent: int = 0
    logged_in: bool = False
    quit: bool = False
    failure_answer: bytes | None = None  # to the challenge that says why a token is refused
    most_outstanding: int = 0  # whole commands that waited at once: above 1 is pipelining

    def verbs(self) -> list[bytes]:
        return [line.split(b" ", 1)[0].upper() for line in self.commands]


@dataclass(slots=True)
class Ledger:
    """What all clients did, over all sessions. Counters are keyed by UIDL."""

    sessions: list[SessionLedger] = field(default_factory=list)
    logins: int = 0
    failed_logins: int = 0
    retrieved: Counter[bytes] = field(default_factory=Counter)  # RETRs served to their end
    topped: Counter[bytes] = field(default_factory=Counter)
    deleted: list[bytes] = field(default_factory=list)  # UIDLs removed by a QUIT
    sent: int = 0
    received: int = 0

    @property
    def commands(self) -> list[bytes]:
        """Every command line of every session, in order within a session."""
        return [line for session in self.sessions for line in session.commands]

    def count(self, verb: bytes) -> int:
        """How often a command was sent, over all sessions: count(b"DELE") == 0."""
        return sum(session.verbs().count(verb) for session in self.sessions)


def stuff(octets: bytes) -> bytes:
    """A message as RETR sends it after its +OK line (RFC 1939 3), end mark included."""
    body = octets.replace(b"\r\n.", b"\r\n..")
    if body.startswith(b"."):
        body = b"." + body
    if body and not body.endswith(b"\r\n"):
        body += b"\r\n"
    return body + b".\r\n"


_AUTHORITY: trustme.CA | None = None


def authority() -> trustme.CA:
    """The CA of this test process, made once."""
    global _AUTHORITY
    if _AUTHORITY is None:
        _AUTHORITY = trustme.CA()
    return _AUTHORITY


class _Closed(Exception):
    """The script ends this connection here."""


class _Cancelled(Exception):
    """The client gave an AUTH exchange up."""


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
    `client_authority`: the CA whose certificates clients must show.
    """

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
        self.ledger = Ledger()
        self.host = "127.0.0.1"
        self.port = 0
        self.ca_file: str | None = None
        self._context = tls_context
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
            if self._context is None:
                self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            leaf = self._certificate or authority().issue_cert("127.0.0.1", "::1", "localhost")
            leaf.configure_cert(self._context)
            if self.client_authority is not None:
                self._context.verify_mode = ssl.CERT_REQUIRED
                self.client_authority.configure_trust(self._context)
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
        context = self._context if self.security == "tls" else None
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

    async def idle(self) -> None:
        """Returns when no client is connected any more."""
        while self._tasks:
            await asyncio.wait(set(self._tasks))

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        session = _Session(self, reader, writer)
        self.ledger.sessions.append(session.ledger)
        task = asyncio.get_running_loop().create_task(session.run())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self._news.set()


class _Session:
    """One connection: reads lines, answers them."""

    def __init__(
        self, server: Pop3Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.server = server
        self.reader = reader
        self.writer = writer
        self.ledger = SessionLedger()
        self.buffer = b""
        self.tls = server.security == "tls"
        self.user = b""
        self.stamp = b"<1896.697170952@dbc.mtview.ca.us>"  # RFC 1939 7
        self.items: list[Item] = []
        self.marked: set[int] = set()
        self.served: set[int] = set()

    async def run(self) -> None:
        try:
            await self._greet()
            while True:
                await self._answer(await self._line())
        except (_Closed, ConnectionError, ssl.SSLError, asyncio.IncompleteReadError):
            pass
        finally:
            self.writer.transport.abort()

    async def _greet(self) -> None:
        await self._wait(b"greeting")
        if self.server.greeting is not None:
            await self._send(self.server.greeting)
        else:
            stamp = b" " + self.stamp if self.server.apop else b""
            await self._send(b"+OK ready" + stamp + b"\r\n")

    async def _line(self) -> bytes:
        while b"\n" not in self.buffer:
            data = await self.reader.read(65536)
            if not data:
                raise _Closed
            self.server.ledger.received += len(data)
            self.buffer += data
        waiting = self.buffer.count(b"\n")
        self.ledger.most_outstanding = max(self.ledger.most_outstanding, waiting)
        line, _, self.buffer = self.buffer.partition(b"\n")
        if self.server.forgets_pipelined:
            self.buffer = b""
        return line.rstrip(b"\r")

    async def _send(self, data: bytes) -> None:
        """Writes, in segments where told, and drops the connection at the told octet."""
        server = self.server
        cut = server.cut_after is not None and self.ledger.sent + len(data) >= server.cut_after
        if cut:
            assert server.cut_after is not None
            data = data[: max(0, server.cut_after - self.ledger.sent)]
        step = server.segment or max(1, len(data))
        for start in range(0, len(data), step):
            if server.pace is not None:
                await server.pace()
            self.writer.write(data[start : start + step])
            await self.writer.drain()
        self.ledger.sent += len(data)
        server.ledger.sent += len(data)
        if cut:
            await self._hang_up()

    async def _hang_up(self) -> None:
        """Closes in order, so that what was sent arrives."""
        self.writer.close()
        await self.writer.wait_closed()
        raise _Closed

    async def _wait(self, key: bytes) -> None:
        if key in self.server.holds:
            await self.server.holds[key].wait()

    async def _answer(self, line: bytes) -> None:
        server = self.server
        self.ledger.commands.append(line)
        if not self.tls:
            self.ledger.in_clear.append(line)
        server._news.set()
        verb, _, argument = line.partition(b" ")
        verb = verb.upper()
        await self._wait(line)
        await self._wait(verb)
        if line in server.hang_up or verb in server.hang_up:
            await self._hang_up()
        told = self._told(line, verb)
        if told is not None:
            if told.startswith(b"+OK") and verb in (b"PASS", b"APOP", b"AUTH"):
                self._log_in()
            await self._send(told)
            if verb == b"STLS" and told.startswith(b"+OK"):
                await self._start_tls()
            return
        handler = _HANDLERS.get(verb)
        if handler is None or (verb in _TRANSACTION and not self.ledger.logged_in):
            await self._send(b"-ERR unknown command\r\n")
        else:
            await handler(self, argument)

    def _told(self, line: bytes, verb: bytes) -> bytes | None:
        for key in (line, verb):
            reply = self.server.replies.get(key)
            if isinstance(reply, deque):
                if reply:
                    return reply.popleft()
            elif reply is not None:
                return reply
        return None

    # --- authorization state --------------------------------------------------------------

    def _log_in(self) -> None:
        self.ledger.logged_in = True
        self.server.ledger.logins += 1
        self.items = list(self.server.items)

    async def _check(self, right: bool) -> None:
        if right:
            self._log_in()
            await self._send(b"+OK logged in\r\n")
        else:
            self.server.ledger.failed_logins += 1
            await self._send(b"-ERR [AUTH] authentication failed\r\n")

    async def capa(self, argument: bytes) -> None:
        server = self.server
        if not server.capa:
            await self._send(b"-ERR unknown command\r\n")
            return
        if server.capabilities is not None:
            lines = list(server.capabilities[1 if self.tls else 0])
        else:
            lines = [b"USER", b"RESP-CODES", *server.extra_capabilities]
            lines += [b"TOP"] if server.top else []
            lines += [b"UIDL"] if server.uidl else []
            lines += [b"PIPELINING"] if server.pipelining else []
            lines += [b"SASL " + b" ".join(server.sasl)] if server.sasl else []
            lines += [b"STLS"] if server.security == "starttls" and not self.tls else []
        await self._send(b"+OK\r\n" + b"".join(line + b"\r\n" for line in lines) + b".\r\n")

    async def stls(self, argument: bytes) -> None:
        if self.server.security != "starttls" or self.tls:
            await self._send(b"-ERR not now\r\n")
            return
        await self._send(b"+OK begin TLS\r\n" + self.server.injected)
        await self._start_tls()

    async def _start_tls(self) -> None:
        if not self.server.handshake:
            await self.reader.read()
            raise _Closed
        assert self.server._context is not None
        await self.writer.start_tls(self.server._context)
        self.tls = True
        self.buffer = b""

    async def username(self, argument: bytes) -> None:
        self.user = argument
        await self._send(b"+OK\r\n")

    async def password(self, argument: bytes) -> None:
        server = self.server
        right = (server.username.encode(), server.password.encode())
        await self._check((self.user, argument) == right)

    async def apop(self, argument: bytes) -> None:
        server = self.server
        digest = hashlib.md5(self.stamp + server.password.encode()).hexdigest()
        await self._check(server.apop and argument == f"{server.username} {digest}".encode())

    async def utf8(self, argument: bytes) -> None:
        """RFC 6856 2.1: before the login only."""
        right = not self.ledger.logged_in and not argument
        await self._send(b"+OK UTF8\r\n" if right else b"-ERR not now\r\n")

    async def auth(self, argument: bytes) -> None:
        mechanism, space, response = argument.partition(b" ")
        if mechanism.upper() not in self.server.sasl:
            await self._send(b"-ERR unsupported mechanism\r\n")
            return
        if self.server.auth_alone and space:
            await self._send(b"-ERR Protocol error. Connection is closed. 10\r\n")
            await self._hang_up()
        initial = base64.b64decode(response.removeprefix(b"=")) if space else None
        try:
            right = await _MECHANISMS[mechanism.upper()](self, initial)
        except _Cancelled:
            await self._send(b"-ERR cancelled\r\n")
            return
        await self._check(right)

    async def _challenge(self, challenge: bytes) -> bytes:
        """What the client answers to a challenge."""
        await self._send(b"+ " + base64.b64encode(challenge) + b"\r\n")
        line = await self._line()
        self.ledger.commands.append(line)
        if line == b"*":
            raise _Cancelled
        return base64.b64decode(line)

    async def _auth_plain(self, initial: bytes | None) -> bool:
        said = initial if initial is not None else await self._challenge(b"")
        return said == f"\0{self.server.username}\0{self.server.password}".encode()

    async def _auth_login(self, initial: bytes | None) -> bool:
        user = initial if initial is not None else await self._challenge(b"Username:")
        word = await self._challenge(b"Password:")
        return (user, word) == (self.server.username.encode(), self.server.password.encode())

    async def _auth_cram(self, initial: bytes | None) -> bool:
        challenge = b"<1896.697170952@postoffice.reston.mci.net>"
        said = await self._challenge(challenge)
        digest = hmac.digest(self.server.password.encode(), challenge, "md5").hex()
        return said == f"{self.server.username} {digest}".encode()

    async def _auth_scram(self, initial: bytes | None) -> bool:
        """RFC 5802 3, written out: a second opinion on what the client's library computes."""
        said = initial if initial is not None else await self._challenge(b"")
        bare = said.partition(b"n,,")[2]
        nonce = bare.partition(b",r=")[2] + b"fyko"
        salt = b"sixteen octets.."
        first = b"r=%b,s=%b,i=%d" % (nonce, base64.b64encode(salt), self.server.iterations)
        final = await self._challenge(first)
        without_proof, _, proof = final.partition(b",p=")
        password = self.server.password.encode()
        salted = hashlib.pbkdf2_hmac("sha256", password, salt, self.server.iterations)
        client_key = hmac.digest(salted, b"Client Key", "sha256")
        signed = b",".join([bare, first, without_proof])
        signature = hmac.digest(hashlib.sha256(client_key).digest(), signed, "sha256")
        expected = bytes(a ^ b for a, b in zip(client_key, signature, strict=True))
        if not self.server.impostor and base64.b64decode(proof) != expected:
            await self._challenge(b"e=invalid-proof")
            return False
        server_key = hmac.digest(salted, b"Server Key", "sha256")
        proof = hmac.digest(b"?" if self.server.impostor else server_key, signed, "sha256")
        await self._challenge(b"v=" + base64.b64encode(proof))
        return True

    async def _auth_xoauth2(self, initial: bytes | None) -> bool:
        said = initial if initial is not None else await self._challenge(b"")
        expected = {
            f"user={self.server.username}\x01auth=Bearer {token}\x01\x01".encode()
            for token in self.server.tokens
        }
        if said in expected:
            return True
        self.ledger.failure_answer = await self._challenge(
            b'{"status":"401","schemes":"bearer","scope":"https://mail.example.org/"}'
        )
        return False

    async def _auth_oauthbearer(self, initial: bytes | None) -> bool:
        """RFC 7628 3.1: the host and port may be those that the client dialled."""
        said = initial if initial is not None else await self._challenge(b"")
        head, *pairs, _, _ = said.split(b"\x01")
        right = head == f"n,a={self.server.username},".encode()
        tokens = {f"auth=Bearer {token}".encode() for token in self.server.tokens}
        if right and tokens.intersection(pairs):
            return True
        self.ledger.failure_answer = await self._challenge(b'{"status":"invalid_token"}')
        return False

    # --- transaction state ------------------------------------------------------------------

    def _size(self, item: Item) -> bytes:
        return item.listed if item.listed is not None else b"%d" % len(item.octets)

    def _numbered(self) -> list[tuple[int, Item]]:
        return [(n, i) for n, i in enumerate(self.items, 1) if n not in self.marked]

    async def _item(self, argument: bytes) -> tuple[int, Item] | None:
        number = int(argument) if argument.isdigit() and len(argument) < 8 else 0
        if 0 < number <= len(self.items) and number not in self.marked:
            return number, self.items[number - 1]
        await self._send(b"-ERR no such message\r\n")
        return None

    async def stat(self, argument: bytes) -> None:
        octets = sum(len(item.octets) for _, item in self._numbered())
        await self._send(b"+OK %d %d\r\n" % (len(self._numbered()), octets))

    async def listing(self, argument: bytes) -> None:
        if argument:
            if found := await self._item(argument):
                await self._send(b"+OK %d %s\r\n" % (found[0], self._size(found[1])))
            return
        lines = [b"%d %s\r\n" % (n, self._size(item)) for n, item in self._numbered()]
        await self._send(b"+OK\r\n" + b"".join(lines) + b".\r\n")

    async def unique_ids(self, argument: bytes) -> None:
        if not self.server.uidl:
            await self._send(b"-ERR unknown command\r\n")
            return
        if argument:
            if found := await self._item(argument):
                await self._send(b"+OK %d %s\r\n" % (found[0], found[1].uidl or b""))
            return
        lines = [
            b"%d %s\r\n" % (n, item.uidl) for n, item in self._numbered() if item.uidl is not None
        ]
        await self._send(b"+OK\r\n" + b"".join(lines) + b".\r\n")

    async def retrieve(self, argument: bytes) -> None:
        found = await self._item(argument)
        if found is None:
            return
        number, item = found
        if item.error is not None:
            await self._send(b"-ERR " + item.error + b"\r\n")
            return
        await self._send(item.wire if item.wire is not None else b"+OK\r\n" + stuff(item.octets))
        self.served.add(number)
        self.server.ledger.retrieved[item.uidl or b""] += 1
        self.server._news.set()

    async def top(self, argument: bytes) -> None:
        number, _, lines = argument.partition(b" ")
        found = await self._item(number)
        if found is None:
            return
        item = found[1]
        if not self.server.top or item.error is not None:
            await self._send(b"-ERR " + (item.error or b"unknown command") + b"\r\n")
            return
        header, blank, body = item.octets.partition(b"\r\n\r\n")
        cut = b"".join(body.splitlines(keepends=True)[: int(lines)])
        await self._send(b"+OK\r\n" + stuff(header + blank + cut))
        self.server.ledger.topped[item.uidl or b""] += 1

    async def delete(self, argument: bytes) -> None:
        if found := await self._item(argument):
            self.marked.add(found[0])
            await self._send(b"+OK\r\n")

    async def noop(self, argument: bytes) -> None:
        await self._send(b"+OK\r\n")

    async def reset(self, argument: bytes) -> None:
        self.marked.clear()
        await self._send(b"+OK\r\n")

    async def quit(self, argument: bytes) -> None:
        self.ledger.quit = True
        gone = self.marked | (self.served if self.server.pops_retrieved else set())
        for number in gone:
            item = self.items[number - 1]
            self.server.items = [kept for kept in self.server.items if kept is not item]
            if number in self.marked:
                self.server.ledger.deleted.append(item.uidl or b"")
        await self._send(b"+OK bye\r\n")
        await self._hang_up()


_MECHANISMS = {
    b"PLAIN": _Session._auth_plain,
    b"LOGIN": _Session._auth_login,
    b"CRAM-MD5": _Session._auth_cram,
    b"SCRAM-SHA-256": _Session._auth_scram,
    b"XOAUTH2": _Session._auth_xoauth2,
    b"OAUTHBEARER": _Session._auth_oauthbearer,
}
_HANDLERS = {
    b"CAPA": _Session.capa,
    b"STLS": _Session.stls,
    b"USER": _Session.username,
    b"PASS": _Session.password,
    b"APOP": _Session.apop,
    b"AUTH": _Session.auth,
    b"UTF8": _Session.utf8,
    b"STAT": _Session.stat,
    b"LIST": _Session.listing,
    b"UIDL": _Session.unique_ids,
    b"RETR": _Session.retrieve,
    b"TOP": _Session.top,
    b"DELE": _Session.delete,
    b"NOOP": _Session.noop,
    b"RSET": _Session.reset,
    b"QUIT": _Session.quit,
}
_TRANSACTION = {b"STAT", b"LIST", b"UIDL", b"RETR", b"TOP", b"DELE", b"NOOP", b"RSET"}
