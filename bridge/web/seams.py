"""What the site asks of the daemon; `bridge.desk` has the real one, tests a small one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from bridge.model import Secret
from bridge.profiles.settings import ClientSettings
from bridge.web.devices import NewDevice
from bridge.web.page import Event, Facts
from bridge.web.status import Status
from bridge.web.words import Language


class DeskError(Exception):
    """It did not work: one sentence for a person, and what to do."""


@dataclass(frozen=True, slots=True)
class SignIn:
    """How far a sign-in by a code is (RFC 8628): open `uri`, enter `code`."""

    state: Literal["waiting", "done", "failed"]
    uri: str = ""
    code: str = ""
    said: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    """POP3 settings for an address, and who told them; `source` empty where nobody did. `hints`
    are what the provider wants first, `page` where it says so."""

    address: str
    host: str = ""
    port: int = 995
    security: str = "tls"
    username: str = ""
    source: str = ""
    hints: Sequence[str] = ()
    page: str = ""
    refusal: str = ""  # why this address cannot be added at all


class Desk(Protocol):
    """The daemon, as far as a person at the page may ask. All raise DeskError."""

    async def status(self) -> Status: ...
    async def facts(self) -> Facts: ...
    def events(self) -> Sequence[Event]:
        """The last lines of the log, the newest first."""
        ...

    async def check(self, address: str | None) -> None:
        """Begins a poll, of one account or of all; does not wait for it."""
        ...

    async def pause(self, address: str, *, paused: bool) -> None: ...
    async def test(self, address: str) -> None:
        """One login at the provider, with what is saved."""
        ...

    async def new_password(self, address: str, password: Secret) -> None:
        """Tries it at the provider, then saves it and polls."""
        ...

    async def start_sign_in(self, address: str) -> SignIn: ...
    def sign_in(self, address: str) -> SignIn | None:
        """The one that was started, or None."""
        ...

    async def clients(self) -> Sequence[ClientSettings]:
        """What a device is told, for each account."""
        ...

    async def logins(self) -> Sequence[str]: ...
    async def add_device(self, login: str, name: str) -> NewDevice: ...
    async def revoke_device(self, login: str, name: str) -> None: ...
    async def open_phone_page(self, login: str, name: str) -> str:
        """Opens it, and returns its address, `https://192.168.1.20:8026/phone/...`."""
        ...

    async def find(self, address: str, language: Language) -> Found: ...
    async def add_account(self, found: Found, password: Secret) -> None:
        """Tries the login, then saves the account and begins its first sync."""
        ...

    @property
    def fingerprint(self) -> str:
        """Of our certificate: `4F:1C:...:A2`."""
        ...
