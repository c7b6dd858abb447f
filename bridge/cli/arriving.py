"""What `popbridge setup` does: from an address to mail on a phone.

Rules:
- Every question has an option; without a terminal nothing is asked, and a question that has no
  option given is answered with its safe default.
- Nothing is saved before the login worked, and nothing that is there is overwritten; what was made
  for an account that could not be had is gone again.
- In JSON one object is printed, on success and on failure.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import os
import shutil
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from bridge import __version__, config, logs
from bridge.arrival import Arrival, save
from bridge.auth.devices import new_password
from bridge.cli import service
from bridge.cli.common import Exit, Failure
from bridge.cli.finding import find_settings
from bridge.cli.house import House, house
from bridge.cli.logging_in import LogIn
from bridge.cli.ports import free
from bridge.cli.talk import Options, Talk
from bridge.cli.words import size
from bridge.config import Config
from bridge.config.edit import CannotEdit, Item
from bridge.discovery.address import Address, NotAnAddress, parse
from bridge.discovery.find import Settings
from bridge.model import Progress, Secret
from bridge.profiles.qr import qr_terminal

_LOOK_SECONDS = 0.5
_PORT_TRIES = 5
_SHOWN_FIRST = 200  # messages that a first sync brings before the others
_WEB_PORT = 8025
_PORTS = {"listen": ("127.0.0.1", 1143), "listen_tls": ("0.0.0.0", 1993)}  # noqa: S104  # TLS, for the house


class Setup:
    """One run of the command. `run` raises Failure."""

    settings: Settings
    password: Secret | None = None
    wants_service = False

    def __init__(self, options: Options) -> None:
        self.o = options
        self.t = Talk(options)

    # --- the way ----------------------------------------------------------------------------

    async def run(self) -> None:
        try:
            address = parse(self.o.address)
        except NotAnAddress as error:
            raise Failure(Exit.USAGE, str(error)) from None
        path = _config_path(self.o.config)
        is_new = not path.exists()
        settings, _, _ = self._base(path, is_new=is_new)
        self.t.say(
            "head",
            version=__version__,
            data=_short(settings.data_dir),
            config=_short(path),
            state=self.t.words("new" if is_new else "existing"),
        )
        self.t.line("")
        if address.typed:
            self.t.say("typed", typed=address.typed, domain=address.domain)
        self.t.said |= {
            "address": str(address),
            "config": str(path),
            "data_dir": str(settings.data_dir),
            "already": any(each.address == str(address) for each in settings.accounts),
        }
        if self.t.said["already"]:
            await self._there(path, settings, address)
            return
        self.settings = await find_settings(self.t, address)
        made = _missing(settings.data_dir)
        done = False
        try:
            async with contextlib.AsyncExitStack() as stack:
                house, settings, top, page = await self._opened(stack, path, is_new=is_new)
                login = LogIn(self.t, self.settings)
                new = await login.run(house, path, address)
                self.password = login.password
                self._save(path, new, top, page)
                await house.reread()
                done = True
                await self._device(house, new.login, settings, page)
                await self._go_on(house, path, address)
        finally:
            if made and not done:
                shutil.rmtree(settings.data_dir, ignore_errors=True)
                for folder in made[1:]:
                    with contextlib.suppress(OSError):
                        folder.rmdir()
        self._service_after(path)
        if self.o.as_json:
            print(json.dumps(self.t.said, indent=2))

    async def _there(self, path: Path, settings: Config, address: Address) -> None:
        """The account is in the config: another device may still be added."""
        self.t.say("there", address=address, config=_short(path))
        if self.o.as_json:
            print(json.dumps(self.t.said, indent=2))
        else:
            self.t.say("more devices")

    def _base(
        self, path: Path, *, is_new: bool, turn: int = 0
    ) -> tuple[Config, Item | None, Secret | None]:
        """The config to begin with; of a new one also its keys, and the page's password. Each
        `turn` looks for free ports further on."""
        if not is_new:
            if self.o.data_dir is not None:
                raise Failure(Exit.USAGE, f"--data-dir is for a new config, and {path} is there")
            return config.load(path), None, None
        top: dict[str, str | int | bool | Sequence[str] | Item] = {}
        default = config.Config(accounts=()).data_dir
        data_dir = (self.o.data_dir or default).expanduser().absolute()
        top["data_dir"] = str(data_dir)
        ahead = 20 * turn
        imap = {key: [f"{host}:{free(host, port + ahead)}"] for key, (host, port) in _PORTS.items()}
        usual = {key: [f"{host}:{port}"] for key, (host, port) in _PORTS.items()}
        if other := {key: places for key, places in imap.items() if places != usual[key]}:
            top["imap"] = other
        page = new_password()
        web = f"127.0.0.1:{free('127.0.0.1', _WEB_PORT + ahead)}"
        top["web"] = {"listen": web, "password_file": "secrets/page"}
        settings = config.Config.model_validate(
            {
                "data_dir": str(data_dir),
                "imap": imap,
                "web": {"listen": web, "password": page.reveal()},
                "accounts": [],
            }
        )
        return settings, top, page

    async def _opened(
        self, stack: contextlib.AsyncExitStack, path: Path, *, is_new: bool
    ) -> tuple[House, Config, Item | None, Secret | None]:
        """A daemon, and what it was begun with. One in here logs nothing: what goes wrong is said.
        Where somebody took a port meanwhile, a new config gets other ones."""
        nowhere = stack.enter_context(open(os.devnull, "w"))  # noqa: ASYNC230, SIM115  # at once
        logs.configure(stream=nowhere)
        for turn in range(_PORT_TRIES):
            settings, top, page = self._base(path, is_new=is_new, turn=turn)
            try:
                found = await stack.enter_async_context(house(path, settings, is_new=is_new))
            except OSError as error:
                if error.errno != errno.EADDRINUSE or not is_new or turn == _PORT_TRIES - 1:
                    raise
            else:
                return found, settings, top, page
        raise AssertionError("the last try returns or raises")

    # --- what stays -------------------------------------------------------------------------

    def _save(self, path: Path, new: Arrival, top: Item | None, page: Secret | None) -> None:
        try:
            save(path, new, self.password, top=top, page_password=page)
        except CannotEdit as error:
            raise Failure(Exit.CONFIG, f"{path}: {error}") from None
        except FileExistsError:
            raise Failure(Exit.CONFIG, f"{path} was made meanwhile; run setup again") from None

    async def _device(
        self, house: House, login: str, settings: Config, page: Secret | None
    ) -> None:
        """Makes the device's password and shows all that it must know."""
        made = await house.add_device(login, self.o.device)
        self.t.said["device"] = made
        imap = made.get("imap")
        server = imap if isinstance(imap, Mapping) else {}
        hosts = made.get("hosts")
        others = [str(each) for each in hosts[1:]] if isinstance(hosts, list) else []
        beside = f" ({', '.join(others)})" if others else ""
        port = server.get("tls_port") or server.get("port")
        provider = self.settings.provider
        name = provider.name if provider is not None else self.settings.pop3.host
        self.t.line("")
        self.t.say("ready")
        security = "TLS" if server.get("tls_port") else "STARTTLS"
        self.t.say("imap", host=f"{server.get('host')}{beside}", port=port, security=security)
        self.t.say("user", login=login)
        password = made.get("password")
        self.t.say("device password", password=password, name=self.o.device, provider=name)
        smtp = self.settings.smtp
        if smtp is not None:
            self.t.say("sending", host=smtp.host, port=smtp.port, provider=name)
        self.t.say("certificate", sha=made.get("certificate_sha256"))
        if isinstance(port, int) and port > 1023:
            self.t.say("port", port=port)
        if page is not None and settings.web.listen is not None:
            url = f"http://{settings.web.listen}"
            self.t.said["page"] = {"url": url, "password": page.reveal()}
            self.t.say("page", url=url, password=page.reveal())
        qr = made.get("qr")
        if isinstance(qr, str):
            self.t.say("qr")
            self.t.line(qr_terminal(qr))
        self.t.say("more devices")

    async def _go_on(self, house: House, path: Path, address: Address) -> None:
        """Serves until the service may take over, or until Ctrl-C where there is none."""
        command = service.command(path)
        self.t.said |= {"service": False, "start": command}
        if not house.is_ours:
            self.t.say("running")
            return
        if not self.o.start:
            self.t.say("later", command=command)
            return
        possible = await asyncio.to_thread(service.is_possible)
        self.wants_service = possible and await self.t.ask("start", False)
        foreground = not possible and not self.o.as_json
        if possible and not self.wants_service and not self.o.as_json:
            self.t.say("later", command=command)
            return
        if foreground and not self.t.interactive and not self.o.yes:
            self.t.say("no service", command=command)
            return
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop.set)
        await self._watch(house, address, stop)
        if foreground and not stop.is_set():
            self.t.say("no service", command=command)
            self.t.say("serving")
            sys.stdout.flush()
            await stop.wait()

    def _service_after(self, path: Path) -> None:
        """Hands over to the service, once the store is free."""
        if not self.wants_service:
            return
        try:
            lingers = service.install(path)
        except service.ServiceFailed as error:
            raise Failure(Exit.UNAVAILABLE, str(error)) from None
        self.t.said["service"] = True
        self.t.say("service", linger=self.t.words("lingering") if lingers else "")

    async def _watch(self, house: House, address: Address, stop: asyncio.Event) -> None:
        """Shows the first sync until it is done."""
        self.t.line("")
        shown = ""
        while not stop.is_set():
            status = await house.status()
            found = [each for each in status.accounts if each.account.address == str(address)]
            if not found or found[0].state != "polling" or found[0].progress is None:
                break
            shown = self._show(found[0].progress, shown)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), _LOOK_SECONDS)
        if shown and sys.stdout.isatty():
            print()
        status = await house.status()
        stored = [e.account.stored for e in status.accounts if e.account.address == str(address)]
        self.t.said["stored"] = sum(stored)
        self.t.say("synced", messages=f"{sum(stored):,}")

    def _show(self, now: Progress, before: str) -> str:
        """One line that is drawn again on a terminal, a new one every tenth elsewhere."""
        if not now.todo or self.o.as_json:
            return before
        if not before and now.todo > _SHOWN_FIRST:
            self.t.say("newest")
        tenth = 16 * now.done // now.todo
        bar = "#" * tenth + "-" * (16 - tenth)
        left = now.seconds_left
        eta = ""
        if left is not None:
            span = f"{left / 60:.0f} min" if left >= 90 else f"{left:.0f} s"
            eta = "   " + self.t.words("about", span=span)
        text = (
            f"{self.t.words('first sync')}   {bar}   {now.done:,}/{now.todo:,}   "
            f"{size(now.octets)}   {size(int(now.rate))}/s{eta}"
        )
        if sys.stdout.isatty():
            print(f"\r{text}   ", end="", flush=True)
            return bar
        if bar != before:
            self.t.line(text)
        return bar


def _missing(folder: Path) -> list[Path]:
    """This folder and those above it that are not there yet."""
    found = []
    while not folder.exists():
        found.append(folder)
        folder = folder.parent
    return found


def _config_path(option: Path | None) -> Path:
    """Where the config is, or will be: the user's own where there is none yet."""
    found = config.find(option)
    if option is not None or "POPBRIDGE_CONFIG" in os.environ or found.exists():
        return found.expanduser().absolute()
    home = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(home) / "popbridge" / "config.yaml"


def _short(path: Path) -> str:
    """With ~ for the home folder."""
    with contextlib.suppress(ValueError, RuntimeError):
        return f"~/{path.relative_to(Path.home())}"
    return str(path)
