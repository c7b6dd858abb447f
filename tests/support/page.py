"""The page over real sockets, with a desk of one account behind it.

async with served(FakeDesk()) as server:
    browser = Browser(server.port)
    await browser.log_in()
    answer = await browser.post("/accounts/check", address="me@gmx.de")
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import ssl
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlencode

from bridge.model import AccountState, PollReport, Secret, Security, ServerDelete
from bridge.profiles.settings import ClientSettings, MailServer
from bridge.web.devices import NewDevice
from bridge.web.page import AccountFacts, Event, Facts
from bridge.web.seams import DeskError, Found, SignIn
from bridge.web.server import PublicSide, WebServer
from bridge.web.sessions import Sessions
from bridge.web.status import AccountStatus, DeviceFacts, Status, Storage
from tests.support.control import FakeDevices

PASSWORD = "the page's own password"
ME = "me@gmx.de"


class FakeControl(FakeDevices):
    """A daemon with one account, as the control socket sees it."""

    def __init__(self) -> None:
        super().__init__()
        self.polled: list[str | None] = []
        self.database_ok = True

    async def status(self) -> Status:
        account = AccountStatus(AccountState(ME), "up to date")
        return Status("1.0", 1, ("imap://127.0.0.1:1143",), self.database_ok, 0, (account,))

    async def poll(self, address: str | None) -> Sequence[PollReport]:
        if address not in (None, ME):
            raise LookupError(f"there is no account {address}")
        self.polled.append(address)
        return [PollReport(ME, listed=3, new=2, octets=99)]

    async def planned_deletes(self, address: str | None) -> Sequence[ServerDelete]:
        return [ServerDelete(ME, 0, b"u", 5, b"\1" * 32, "old", "planned")]

    async def deletes(self, address: str | None) -> Sequence[ServerDelete]:
        return [ServerDelete(ME, 0, b"u", 5, b"\1" * 32, "old", "done")]


class FakeDesk:
    """Remembers what was asked in `asked`; `facts_now` is what it says."""

    fingerprint = "4F:1C:A2"

    def __init__(self, *accounts: AccountStatus) -> None:
        self.asked: list[tuple[object, ...]] = []
        self.trouble = ""
        self.database_ok = True
        self.accounts = accounts or (
            AccountStatus(AccountState(ME, last_success=int(time.time()) - 90), "up to date"),
        )
        self.devices: list[DeviceFacts] = []
        self.happened: list[Event] = []
        self.begun: SignIn | None = None
        self._made = FakeDevices()

    async def status(self) -> Status:
        return Status(
            "1.0",
            1,
            ("imap://127.0.0.1:1143",),
            self.database_ok,
            0,
            self.accounts,
            self.devices,
            Storage(1_900_000_000, 41_000_000_000),
        )

    async def facts(self) -> Facts:
        facts = {ME: AccountFacts("pop.gmx.net", "file", ME)}
        return Facts(await self.status(), facts, self.events(), 1_900_000_000)

    def events(self) -> Sequence[Event]:
        return self.happened

    async def _ask(self, *asked: object) -> None:
        self.asked.append(asked)
        if self.trouble:
            raise DeskError(self.trouble)

    async def check(self, address: str | None) -> None:
        await self._ask("check", address)

    async def pause(self, address: str, *, paused: bool) -> None:
        await self._ask("pause" if paused else "resume", address)

    async def test(self, address: str) -> None:
        await self._ask("test", address)

    async def new_password(self, address: str, password: Secret) -> None:
        await self._ask("new password", address, password.reveal())

    async def start_sign_in(self, address: str) -> SignIn:
        await self._ask("sign in", address)
        self.begun = SignIn("waiting", "https://id.example.org/device", "F7K2-9QXM")
        return self.begun

    def sign_in(self, address: str) -> SignIn | None:
        return self.begun

    async def clients(self) -> Sequence[ClientSettings]:
        imap = MailServer("mail.home.example", 1993, Security.TLS, "anna@home.example")
        smtp = MailServer("smtp.provider.example", 465, Security.TLS, "anna@home.example")
        return [ClientSettings("anna@home.example", imap, smtp)]

    async def logins(self) -> Sequence[str]:
        return [ME]

    async def add_device(self, login: str, name: str) -> NewDevice:
        await self._ask("add device", login, name)
        self.devices.append(DeviceFacts(login, name, None))
        return await self._made.add_device(login, name)

    async def revoke_device(self, login: str, name: str) -> None:
        await self._ask("revoke", login, name)

    async def open_phone_page(self, login: str, name: str) -> str:
        await self._ask("phone", login, name)
        return "https://192.168.1.20:8026/phone/abc"

    async def find(self, address: str, language: str) -> Found:
        await self._ask("find", address, language)
        return Found(address, "pop.gmx.net", 995, "tls", address, "the built-in list")

    async def add_account(self, found: Found, password: Secret) -> None:
        await self._ask("add account", found, password.reveal())


@dataclass
class Answer:
    code: int
    headers: dict[str, str]
    body: str


@dataclass
class Browser:
    """Cookies, the origin and the form's token, as a browser has them; no redirect is followed."""

    port: int
    host: str = "localhost"
    context: ssl.SSLContext | None = None
    language: str = "en"
    cookie: str = ""
    token: str = ""
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def authority(self) -> str:
        return f"{self.host}:{self.port}"

    async def raw(self, octets: bytes, *, end: bool = False) -> bytes:
        """Sends octets, reads to the end, or to where the server cuts it."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, ssl=self.context)
        writer.write(octets)
        if end:
            writer.write_eof()
        answer = bytearray()
        async with asyncio.timeout(30):
            with contextlib.suppress(ConnectionError):
                while octets := await reader.read(65_536):
                    answer += octets
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
        return bytes(answer)

    async def ask(self, method: str, path: str, body: str = "", /, **headers: str | None) -> Answer:
        """A header given as None is left out."""
        scheme = "http" if self.context is None else "https"
        sent: dict[str, str | None] = {
            "Host": self.authority,
            "Connection": "close",
            "Accept-Language": self.language,
            "Cookie": self.cookie or None,
            **self.headers,
        }
        if method == "POST":
            sent["Origin"] = f"{scheme}://{self.authority}"
            sent["Content-Type"] = "application/x-www-form-urlencoded"
            sent["Content-Length"] = str(len(body))
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        lines = [f"{method} {path} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in sent.items() if value is not None]
        answer = await self.raw(("\r\n".join(lines) + "\r\n\r\n" + body).encode())
        return self._read(answer)

    def _read(self, answer: bytes) -> Answer:
        head, _, body = answer.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value for name, _, value in (e.partition(": ") for e in lines)}
        found = Answer(int(first.split(" ", 2)[1]), headers, body.decode())
        if "set-cookie" in headers:
            self.cookie = headers["set-cookie"].partition(";")[0]
        if token := re.search(r'name="token" value="([^"]+)"', found.body):
            self.token = token[1]
        return found

    async def get(self, path: str, **headers: str | None) -> Answer:
        return await self.ask("GET", path, **headers)

    async def post(self, path: str, /, **form: str) -> Answer:
        return await self.ask("POST", path, urlencode({"token": self.token, **form}))

    async def log_in(self, password: str = PASSWORD) -> Answer:
        answer = await self.post("/login", password=password)
        if answer.code == 303:
            await self.get("/")
        return answer


@contextlib.asynccontextmanager
async def served(
    desk: FakeDesk,
    *,
    listen: str = "127.0.0.1",
    password: str | None = PASSWORD,
    context: ssl.SSLContext | None = None,
    names: Sequence[str] = (),
    proxies: Sequence[str] = (),
    plaintext: bool = False,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> AsyncIterator[WebServer]:
    verifier = None if password is None else Secret(password)
    sessions = Sessions(verifier, time.monotonic, sleep)
    public = PublicSide((listen, 0), desk, sessions, context, names, proxies, plaintext)
    with tempfile.TemporaryDirectory() as folder:
        server = WebServer(FakeControl(), public=public, control=Path(folder) / "control.sock")
        await server.start()
        try:
            yield server
        finally:
            await server.stop()
            sessions.close()


def browser(server: WebServer, **keys: object) -> Browser:
    assert server.port is not None
    return Browser(server.port, **keys)  # type: ignore[arg-type]  # fields of the dataclass
