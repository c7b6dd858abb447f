"""What a person at the page may ask of the daemon: facts, logins to try, secrets to save.

Rules:
- A new password is saved after the provider took it, and a refused one is forgotten. It is tried
  by a poll, so that one login serves for both: some providers allow one in 15 minutes.
- Errors are sentences for a person; none of them holds a secret.
- A sign-in by code (RFC 8628) goes on while nobody looks, and ends with the daemon.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

from bridge import logs
from bridge.auth import oauth
from bridge.auth.devices import DeviceState, checked_name
from bridge.auth.oauth import OAuthError
from bridge.auth.secrets import SecretError, write_private
from bridge.auth.tokens import Grants
from bridge.config import AccountConfig, Config, ConfigError
from bridge.config.edit import CannotEdit
from bridge.discovery.address import Address, NotAnAddress, parse
from bridge.model import MaildropFacts, PollReport, Secret, Security
from bridge.profiles.access import Access
from bridge.profiles.settings import ClientSettings, MailServer
from bridge.store.api import StoreError
from bridge.tls import ServerCertificate
from bridge.web.devices import NewDevice
from bridge.web.page import AccountFacts, Event, Facts
from bridge.web.phone import PhonePages
from bridge.web.seams import DeskError, Found, SignIn
from bridge.web.status import Status
from bridge.web.words import Language

log = logs.get_logger()
_T = TypeVar("_T")


class House(Protocol):
    """The daemon."""

    config: Config
    config_path: Path | None
    certificate: ServerCertificate
    phone_pages: PhonePages | None

    @property
    def access(self) -> Access: ...
    async def status(self) -> Status: ...
    def events(self) -> Sequence[Event]: ...
    async def poll(self, address: str | None) -> Sequence[PollReport]: ...
    async def pause(self, address: str, *, paused: bool) -> None: ...
    async def devices(self, login: str | None) -> Sequence[DeviceState]: ...
    async def add_device(self, login: str | None, name: str) -> NewDevice: ...
    async def revoke_device(self, name: str, login: str | None) -> DeviceState: ...
    async def try_account(
        self, account: Mapping[str, object], password: Secret | None
    ) -> MaildropFacts | PollReport: ...
    async def reread(self) -> None: ...


class RealDesk:
    """`bridge.web.seams.Desk` over a running daemon. `close` it before the daemon ends."""

    def __init__(self, house: House, grants: Grants) -> None:
        self._house = house
        self._grants = grants
        self._tasks: set[asyncio.Task[Any]] = set()
        self._candidates: dict[str, Secret] = {}
        self._logged_in: dict[str, asyncio.Event] = {}
        self._sign_ins: dict[str, SignIn] = {}

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # --- facts ----------------------------------------------------------------------------

    async def status(self) -> Status:
        return await self._house.status()

    async def facts(self) -> Facts:
        return Facts(
            status=await self._house.status(),
            accounts={each.address: _facts(each) for each in self._house.config.accounts},
            events=self.events(),
            certificate_end=self._house.certificate.ends,
        )

    def events(self) -> Sequence[Event]:
        return self._house.events()

    @property
    def fingerprint(self) -> str:
        return self._house.certificate.fingerprint

    # --- accounts -------------------------------------------------------------------------

    async def check(self, address: str | None) -> None:
        if address is not None:
            self._account(address)
        self._spawn(self._house.poll(address))

    async def pause(self, address: str, *, paused: bool) -> None:
        self._account(address)
        with _as_sentences():
            await self._house.pause(address, paused=paused)

    async def test(self, address: str) -> None:
        self._account(address)
        await self._try(address)

    async def new_password(self, address: str, password: Secret) -> None:
        account = self._account(address)
        file = account.pop3.password_file
        if file is None:
            raise DeskError(
                f"the password of {address} stands in the config or comes from a command: change "
                "it there, then check again"
            )
        if not password.reveal() or any(each in password.reveal() for each in "\0\r\n"):
            raise DeskError("a password of one line is wanted")
        if address in self._candidates or await self._is_polled(address):
            raise DeskError(f"{address} is being checked right now: try again in a moment")
        self._candidates[address] = password
        try:
            await self._try(address)
            await asyncio.to_thread(write_private, file, password.reveal().encode() + b"\n")
        except OSError as error:
            raise DeskError(f"{file} cannot be written: {error.strerror}") from None
        finally:
            del self._candidates[address]
        log.info("password saved", account=address)

    def candidate(self, address: str) -> Secret | None:
        """A password that is being tried; it goes before the one that is saved."""
        return self._candidates.get(address)

    def logged_in(self, address: str) -> None:
        """A poll of this account got past the login."""
        if (event := self._logged_in.get(address)) is not None:
            event.set()

    async def _try(self, address: str) -> None:
        """Polls; returns once the login worked, and leaves the poll running."""
        event = self._logged_in.setdefault(address, asyncio.Event())
        poll = self._spawn(self._house.poll(address))
        waiting = asyncio.create_task(event.wait())
        try:
            await asyncio.wait({poll, waiting}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
            self._logged_in.pop(address, None)
        if event.is_set():
            return
        for report in poll.result():
            if report.error:
                raise DeskError("; ".join(filter(None, (report.error, report.advice))))

    async def _is_polled(self, address: str) -> bool:
        status = await self._house.status()
        return any(
            each.account.address == address and each.state == "polling" for each in status.accounts
        )

    def _account(self, address: str) -> AccountConfig:
        for each in self._house.config.accounts:
            if each.address == address:
                return each
        raise DeskError(f"there is no account {address}; the config names the accounts")

    # --- OAuth ----------------------------------------------------------------------------

    async def start_sign_in(self, address: str) -> SignIn:
        account = self._account(address)
        if account.pop3.oauth is None:
            raise DeskError(f"{address} logs in with a password")
        client = account.pop3.oauth.client
        if not client.provider.device:
            raise DeskError(
                f"{client.provider.name} has no sign-in by code; on the machine itself: "
                f"popbridge account login {address} --browser"
            )
        try:
            code = await oauth.start_device(client)
        except OAuthError as error:
            raise DeskError(f"no sign-in for {address}: {error}") from None
        found = SignIn("waiting", code.uri, code.user_code)
        self._sign_ins[address] = found
        self._spawn(self._finish_sign_in(address, found, client, code))
        return found

    async def _finish_sign_in(
        self, address: str, begun: SignIn, client: oauth.Client, code: oauth.DeviceCode
    ) -> None:
        try:
            tokens = await oauth.await_device(client, code)
            await asyncio.to_thread(self._grants.sign_in, address, client, tokens)
        except (OAuthError, SecretError, OSError) as error:
            after = replace(begun, state="failed", said=f"no sign-in for {address}: {error}")
        else:
            after = replace(begun, state="done")
        if self._sign_ins.get(address) is begun:
            self._sign_ins[address] = after
        if after.state == "done":
            log.info("signed in", account=address)
            await self._house.poll(address)

    def sign_in(self, address: str) -> SignIn | None:
        return self._sign_ins.get(address)

    # --- devices --------------------------------------------------------------------------

    async def clients(self) -> Sequence[ClientSettings]:
        config, reach = self._house.config, self._house.access
        names = dict.fromkeys(each.login_name for each in config.accounts)
        return [client for name in names for client in config.clients(name, reach)]

    async def logins(self) -> Sequence[str]:
        return [each.name for each in self._house.config.logins]

    async def add_device(self, login: str, name: str) -> NewDevice:
        with _as_sentences():
            return await self._house.add_device(login, name)

    async def revoke_device(self, login: str, name: str) -> None:
        with _as_sentences():
            await self._house.revoke_device(name, login)

    async def open_phone_page(self, login: str, name: str) -> str:
        pages = self._house.phone_pages
        if pages is None:
            raise DeskError("the page for phones is switched off: web.phone in the config")
        if login not in await self.logins():
            raise DeskError(f"there is no login {login}")
        if any(name == each.device.name for each in await self._house.devices(login)):
            raise DeskError(f"{login} has a device named {name} already; choose another name")
        with _as_sentences():
            name = checked_name(name)
        path, port = await pages.open(login, name)
        host = self._house.access.host
        return f"https://{f'[{host}]' if ':' in host else host}:{port}{path}"

    # --- the wizard -----------------------------------------------------------------------

    async def find(self, address: str, language: Language) -> Found:
        # Asking the net takes libraries that a daemon at rest need not hold.
        from bridge.discovery import find as discovery
        from bridge.discovery.sources import Net

        parsed = self._new(address)
        found = await discovery.find(parsed, Net())
        provider, settings = found.provider, found.settings
        if provider is not None and provider.no_pop3 is not None:
            told = provider.no_pop3
            return Found(str(parsed), refusal=f"{told[language]} {told.url}".strip())
        if settings is None:
            return Found(str(parsed), username=str(parsed))
        if settings.oauth:
            raise DeskError(
                f"{settings.pop3.host} takes no passwords. On the machine itself: "
                f"popbridge setup {parsed}"
            )
        texts = [] if provider is None else [provider.switch_on, provider.app_password]
        told_first = [text for text in texts if text is not None]
        return Found(
            str(parsed),
            settings.pop3.host,
            settings.pop3.port,
            settings.pop3.security.value,
            settings.pop3.username,
            settings.source,
            hints=[text[language] for text in told_first],
            page=next((text.url for text in told_first if text.url), ""),
        )

    async def add_account(self, found: Found, password: Secret) -> None:
        from bridge.arrival import arrival, save
        from bridge.discovery.find import Settings
        from bridge.discovery.providers import of_host

        path = self._house.config_path
        if path is None:
            raise DeskError("this daemon has no config file to write to")
        parsed = self._new(found.address)
        provider = of_host(found.host)
        settings = Settings(
            MailServer(found.host, found.port, Security(found.security), found.username),
            found.source,
            smtp=None if provider is None else provider.outgoing(found.username),
            interval=0 if provider is None else provider.least_interval,
            provider=provider,
        )
        new = arrival(path, parsed, settings)
        with _as_sentences():
            result = await self._house.try_account(new.account, password)
        if isinstance(result, PollReport):
            raise DeskError("; ".join(filter(None, (result.error, result.advice))))
        try:
            await asyncio.to_thread(save, path, new, password)
            await self._house.reread()
        except ConfigError as error:
            raise DeskError("; ".join(str(each) for each in error.mistakes)) from None
        except CannotEdit as error:
            raise DeskError(f"{path}: {error}") from None
        except OSError as error:
            raise DeskError(f"{path} cannot be written: {error.strerror}") from None

    def _new(self, address: str) -> Address:
        """An address that has no account yet."""
        try:
            parsed = parse(address)
        except NotAnAddress as error:
            raise DeskError(str(error)) from None
        if any(each.address == str(parsed) for each in self._house.config.accounts):
            raise DeskError(f"there is an account {parsed} already")
        return parsed

    def _spawn(self, work: Coroutine[Any, Any, _T]) -> asyncio.Task[_T]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("what the page asked for failed", error=f"{type(error).__name__}: {error}")


@contextlib.contextmanager
def _as_sentences() -> Iterator[None]:
    """What devices raise, for a person."""
    try:
        yield
    except (LookupError, ValueError, StoreError) as error:
        raise DeskError(str(error.args[0] if error.args else error)) from None


def _facts(account: AccountConfig) -> AccountFacts:
    pop3 = account.pop3
    by: Literal["file", "oauth", "elsewhere"] = "elsewhere"
    if pop3.oauth is not None:
        by = "oauth"
    elif pop3.password_file is not None:
        by = "file"
    return AccountFacts(pop3.host, by, account.login_name)
