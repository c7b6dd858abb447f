"""A migration straight from POP3: the mail is collected into a store of its own, without a daemon.

The store is a temporary one unless one is named; nothing is deleted at the provider.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bridge.cli.common import Exit, Failure
from bridge.model import Endpoint, Secret, Security

if TYPE_CHECKING:
    from bridge.config import AccountConfig
    from bridge.transfer.door import Door
    from bridge.transfer.tally import Tally

_POLLS = 20  # one brings everything, where the line holds


@dataclass(frozen=True, slots=True)
class Maildrop:
    """What is collected, from where, and into which mailbox of which login."""

    address: str
    endpoint: Endpoint
    password: Callable[[], Secret]
    login: str
    mailbox: str = "INBOX"


def of_config(account: AccountConfig) -> Maildrop:
    """Raises Failure for an account that signs in by OAuth."""
    if account.pop3.oauth is not None:
        text = f"{account.address} signs in by OAuth; start the daemon, then run this again"
        raise Failure(Exit.USAGE, text)
    return Maildrop(
        account.address,
        account.endpoint,
        account.password,
        account.login_name,
        account.mailbox,
    )


def maildrop_of(
    address: str,
    host: str | None,
    port: int | None,
    security: str,
    username: str | None,
    ca_file: Path | None,
    password_file: Path | None,
) -> Maildrop:
    """From the options; the server is found where they do not name one. Raises Failure."""
    from bridge.cli.moving import password_of
    from bridge.config import is_loopback

    try:
        how = Security(security)
    except ValueError:
        raise Failure(Exit.USAGE, "--security is tls, starttls or none") from None
    default = 995 if how is Security.TLS else 110
    if host is None:
        endpoint = asyncio.run(_found(address))
        if username is not None:
            endpoint = Endpoint(endpoint.host, endpoint.port, endpoint.security, username)
    else:
        if how is Security.NONE and not is_loopback(host):
            text = f"the password would go to {host} in clear; use --security tls or starttls"
            raise Failure(Exit.USAGE, text)
        endpoint = Endpoint(
            host, port or default, how, username or address, str(ca_file) if ca_file else None
        )
    secret = password_of(password_file, "--password-file")
    return Maildrop(address, endpoint, lambda: secret, address)


async def _found(address: str) -> Endpoint:
    from bridge.discovery.address import NotAnAddress, parse
    from bridge.discovery.find import find
    from bridge.discovery.sources import Net

    try:
        found = await find(parse(address), Net())
    except NotAnAddress as error:
        raise Failure(Exit.USAGE, str(error)) from None
    settings = found.settings
    if settings is None or not settings.proved:
        hint = f"; {settings.pop3.host} may be it" if settings is not None else ""
        text = f"nobody says for sure which POP3 server {address} has{hint}: name it with --host"
        raise Failure(Exit.USAGE, text)
    pop3 = settings.pop3
    return Endpoint(pop3.host, pop3.port, pop3.security, pop3.username)


@contextlib.asynccontextmanager
async def collected(maildrop: Maildrop, folder: Path, tally: Tally) -> AsyncIterator[Door]:
    """The door of a store that has all mail of the maildrop. Raises Failure, StoreError."""
    from bridge import logs
    from bridge.model import Account
    from bridge.store.api import WriteTx
    from bridge.store.opening import open_store
    from bridge.sync.poll import Poller
    from bridge.transfer.door import LocalDoor

    logs.configure(level="error", stream=sys.stderr)
    store = await open_store(folder)
    try:

        def begin(tx: WriteTx) -> Account:
            login = tx.ensure_login(maildrop.login)
            return tx.ensure_account(maildrop.address, login.id, maildrop.mailbox)

        account = await store.write(begin)
        poller = Poller(store, wall=time.time, spool_dir=folder)

        async def password() -> Secret:
            return await asyncio.to_thread(maildrop.password)

        tally.doing = f"collecting {maildrop.address} from {maildrop.endpoint.host}"
        tally.step()
        for _ in range(_POLLS):
            report = await poller.poll(account, maildrop.endpoint, password)
            if not report.error:
                break
            if not report.new:  # it brought nothing, and so would the next one
                code = Exit.PERMISSION if report.error_class == "auth" else Exit.TRY_LATER
                said = "; ".join(filter(None, (report.error, report.advice)))
                raise Failure(code, f"{maildrop.address}: {said}")
        yield LocalDoor(store, account.login_id, folder)
    finally:
        await store.close()
