"""The IMAP endpoint without a daemon: a real store in a folder, real sockets on loopback.

async with Endpoint(tmp_path) as endpoint:
    endpoint.port          # STARTTLS offered where `tls` is given; plaintext from loopback
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from bridge.auth.passwords import Passwords
from bridge.auth.throttle import LoginThrottle
from bridge.bus import Bus
from bridge.imap.mailboxes import OpenMailboxes
from bridge.imap.seams import Services
from bridge.imap.server import ImapServer
from bridge.model import Quota, Secret
from bridge.spool import Spool
from bridge.store.api import Store
from bridge.store.opening import open_store

PASSWORD = "correct horse"


class Endpoint:
    """Logins alice and bob, both with `PASSWORD`."""

    def __init__(
        self,
        folder: Path,
        *,
        tls: ssl.SSLContext | None = None,
        logins: Mapping[str, str] | None = None,
        quota: Quota | None = None,
        hidden: Mapping[str, frozenset[str]] | None = None,
    ) -> None:
        self._folder = folder
        self._tls = tls
        self._quota = quota
        self._hidden = hidden or {}
        self._logins = logins or {"alice": PASSWORD, "bob": PASSWORD}
        self.port = 0
        self.tls_port = 0
        self.store: Store
        self.server: ImapServer

    async def __aenter__(self) -> Self:
        self.store = await open_store(self._folder / "data")
        bus = Bus()
        self.store.on_change = bus.publish
        self._passwords = Passwords({name: Secret(text) for name, text in self._logins.items()})
        services = Services(
            store=self.store,
            bus=bus,
            passwords=self._passwords,
            mailboxes=OpenMailboxes(self.store, bus),
            throttle=LoginThrottle(lambda: 0.0),
            new_sink=lambda memory: Spool(self._folder, memory),
            logins={},
            starttls=self._tls is not None,
            quota=self._quota,
            hidden=self._hidden,
        )
        self.server = ImapServer(services, self._tls)
        self.port = (await self.server.listen("127.0.0.1", 0, tls=False))[0][1]
        if self._tls is not None:
            self.tls_port = (await self.server.listen("127.0.0.1", 0, tls=True))[0][1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.server.stop()
        self._passwords.close()
        await self.store.close()
