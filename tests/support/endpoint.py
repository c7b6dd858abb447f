"""Our IMAP server without a daemon: a real store in a folder, with a session or a socket in front.

async with Core(tmp_path) as core:
    client = await core.connect()        # talks to a session, no socket anywhere
async with Endpoint(tmp_path) as endpoint:
    endpoint.port          # STARTTLS offered where `tls` is given; plaintext from loopback
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from bridge.auth.passwords import Passwords
from bridge.auth.throttle import LoginThrottle
from bridge.bus import Bus
from bridge.imap.mailboxes import OpenMailboxes
from bridge.imap.protocol.deflate import Deflate
from bridge.imap.seams import Disconnected, Services
from bridge.imap.server import ImapServer
from bridge.imap.session import Session
from bridge.imap.table import TABLE
from bridge.model import Quota, Secret
from bridge.spool import Spool
from bridge.store.api import Store
from bridge.store.opening import open_store
from tests.support.imap_client import LONGEST, Talk

PASSWORD = "correct horse"


class _House:
    """Store and services for logins alice and bob, both with `PASSWORD`."""

    def __init__(
        self,
        folder: Path,
        *,
        logins: Mapping[str, str] | None = None,
        quota: Quota | None = None,
        hidden: Mapping[str, frozenset[str]] | None = None,
        rev2: bool = False,
        starttls: bool = False,
    ) -> None:
        self._folder = folder
        self._quota = quota
        self._hidden = hidden or {}
        self._rev2 = rev2
        self._logins = logins or {"alice": PASSWORD, "bob": PASSWORD}
        self._starttls = starttls
        self.store: Store
        self.services: Services

    async def __aenter__(self) -> Self:
        self.store = await open_store(self._folder / "data")
        bus = Bus()
        self.store.on_change = bus.publish
        self._passwords = Passwords({name: Secret(text) for name, text in self._logins.items()})
        self.services = Services(
            store=self.store,
            bus=bus,
            passwords=self._passwords,
            mailboxes=OpenMailboxes(self.store, bus),
            throttle=LoginThrottle(lambda: 0.0),
            new_sink=lambda memory: Spool(self._folder, memory),
            logins={},
            starttls=self._starttls,
            quota=self._quota,
            hidden=self._hidden,
            rev2=self._rev2,
        )
        await self._open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._shut()
        self._passwords.close()
        await self.store.close()

    async def _open(self) -> None:
        raise NotImplementedError

    async def _shut(self) -> None:
        raise NotImplementedError


class Endpoint(_House):
    """Real sockets on loopback."""

    def __init__(
        self,
        folder: Path,
        *,
        tls: ssl.SSLContext | None = None,
        logins: Mapping[str, str] | None = None,
        quota: Quota | None = None,
        hidden: Mapping[str, frozenset[str]] | None = None,
        rev2: bool = False,
    ) -> None:
        super().__init__(
            folder, logins=logins, quota=quota, hidden=hidden, rev2=rev2, starttls=tls is not None
        )
        self._tls = tls
        self.port = 0
        self.tls_port = 0
        self.server: ImapServer

    async def _open(self) -> None:
        self.server = ImapServer(self.services, self._tls)
        self.port = (await self.server.listen("127.0.0.1", 0, tls=False))[0][1]
        if self._tls is not None:
            self.tls_port = (await self.server.listen("127.0.0.1", 0, tls=True))[0][1]

    async def _shut(self) -> None:
        await self.server.stop()


class Core(_House):
    """A `Place` whose clients hand their octets to sessions: neither socket nor TLS."""

    def __init__(
        self,
        folder: Path,
        *,
        remote: bool = False,
        quota: Quota | None = None,
        hidden: Mapping[str, frozenset[str]] | None = None,
        rev2: bool = False,
    ) -> None:
        super().__init__(folder, quota=quota, hidden=hidden, rev2=rev2, starttls=True)
        self._remote = remote
        self._tasks: dict[asyncio.Task[None], Session] = {}
        self.users = {name: (name, password) for name, password in self._logins.items()}

    async def connect(self) -> Talk:
        wire = _Wire(private=not self._remote)
        session = wire.session = Session(wire, self.services, TABLE)
        task = asyncio.create_task(session.run())
        task.add_done_callback(lambda _: wire.reader.feed_eof())
        self._tasks[task] = session
        return _CoreTalk(wire)

    async def _open(self) -> None: ...

    async def _shut(self) -> None:
        for session in self._tasks.values():
            session.lost()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=10)
        for task in self._tasks:
            task.result()


class _Wire:
    """The `Wire` of a session, in memory. TLS is agreed upon, and then left out."""

    peer = "127.0.0.1"

    def __init__(self, *, private: bool) -> None:
        self.secure = False
        self.private = private
        self.reader = asyncio.StreamReader(LONGEST)
        self.session: Session
        self._deflate: Deflate | None = None
        self._gone = False

    def bindings(self) -> Mapping[str, bytes]:
        return {"tls-server-end-point": b"of no certificate"} if self.secure else {}

    def receive(self, octets: bytes) -> None:
        if self._deflate is None:
            self.session.receive(octets)
            return
        self._deflate.receive_data(octets)
        while self._deflate is not None and self._deflate.pending:
            self.session.receive(self._deflate.inflate(65536))

    def write(self, *pieces: bytes) -> None:
        octets = b"".join(pieces)
        self.reader.feed_data(octets if self._deflate is None else self._deflate.compress(octets))

    async def drain(self) -> None:
        if self._gone:
            raise Disconnected

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

    async def start_tls(self) -> None:
        self.secure = self.private = True

    def resume(self) -> None: ...

    def signed_in(self) -> None: ...

    def hang_up(self) -> None:
        self._gone = True
        self.session.lost()


class _CoreTalk(Talk):
    def __init__(self, wire: _Wire) -> None:
        super().__init__(wire.reader)
        self._wire = wire

    async def start_tls(self) -> None: ...

    async def _put(self, octets: bytes) -> None:
        self._wire.receive(octets)

    def _hang_up(self) -> None:
        self._wire.hang_up()
