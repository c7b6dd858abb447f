"""`popbridge device`: the devices that may sign in, each by a password of its own.

With a daemon, it is asked; without one the store is opened here, for a moment.
"""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias, TypeVar

import typer

from bridge.cli.common import ConfigOption, Exit, Failure, JsonOption, print_table

if TYPE_CHECKING:
    from bridge.config import Config
    from bridge.store.api import Store
    from bridge.web.status import Json

T = TypeVar("T")
Name: TypeAlias = Annotated[str, typer.Argument(help="What you call it, such as: Anna's phone.")]
LoginOption: TypeAlias = Annotated[
    str | None,
    typer.Option(help="The IMAP login; needed where the config has several.", show_default=False),
]

device = typer.Typer(help="Devices and their passwords: add, list, revoke.", no_args_is_help=True)


@device.callback()
def _device() -> None:
    """Devices and their passwords: add, list, revoke."""


@device.command()
def add(
    name: Name,
    login: LoginOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a password for one device, and show it with all that the device must know.

    It is shown this once: only what proves it is kept.
    """
    said = add_device(config, login, name)
    if as_json:
        print(json.dumps(said, indent=2))
        return
    print_new_device(said)


@device.command("list")
def list_devices(
    login: LoginOption = None, config: ConfigOption = None, as_json: JsonOption = False
) -> None:
    """The devices, and when each was last here."""
    from bridge.cli.control import target

    said = _ask(config, "GET", target("/devices", login=login), lambda s, c: _list(s, c, login))
    if as_json:
        print(json.dumps(said, indent=2))
        return
    found = [each for each in said if isinstance(each, Mapping)] if isinstance(said, list) else []
    if not found:
        print("no device has a password of its own; make one: popbridge device add NAME")
        return
    rows = [(_text(each, "name"), _text(each, "login"), _seen(each)) for each in found]
    print_table(("device", "login", "last seen"), rows)


@device.command()
def revoke(
    name: Name,
    login: LoginOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take a device's password back; its connections end at once, others are not touched."""
    from bridge.cli.control import target

    where = target("/devices/revoke", name=name, login=login)
    said = _ask(config, "POST", where, lambda s, c: _revoke(s, name, login))
    if as_json:
        print(json.dumps(said, indent=2))
    else:
        print(f"{name} cannot sign in any more.")


def add_device(config: Path | None, login: str | None, name: str) -> Mapping[str, Json]:
    """A new device as `bridge.web.devices.new_device_json`. Raises Failure."""
    from bridge.cli.control import target

    where = target("/devices", login=login, name=name)
    said = _ask(config, "POST", where, lambda s, c: _add(s, c, login, name))
    if not isinstance(said, Mapping):
        raise Failure(Exit.TRY_LATER, "the daemon answered something else; ask again")
    return said


def print_new_device(said: Mapping[str, Json]) -> None:
    """The lines to type into a mail program, and a QR code where there is a screen."""
    import sys

    from bridge.profiles.qr import qr_terminal

    imap = said.get("imap")
    server = imap if isinstance(imap, Mapping) else {}
    tls = server.get("tls_port")
    hosts = said.get("hosts")
    others = [str(each) for each in hosts[1:]] if isinstance(hosts, list) else []
    beside = f" ({', '.join(others)})" if others else ""
    port, kind = (tls, "TLS") if tls else (server.get("port"), "STARTTLS")
    print(f"  IMAP     {server.get('host')}{beside} port {port}, {kind}")
    print(f"  User     {said.get('login')}")
    print(f"  Password {said.get('password')}     (for this device alone)")
    print(f"  Certificate SHA-256  {said.get('certificate_sha256')}")
    qr = said.get("qr")
    if isinstance(qr, str) and sys.stdout.isatty():
        print("\nThunderbird for Android scans this (Add account, Scan QR code):\n")
        print(qr_terminal(qr))


# --- without a daemon -------------------------------------------------------------------


def _ask(
    config: Path | None,
    method: str,
    where: str,
    alone: Callable[[Store, Config], Awaitable[Json]],
) -> Json:
    """What the daemon answers, or where none runs what `alone` does with the opened store."""
    from bridge.cli.control import ask
    from bridge.config import find, load
    from bridge.store.api import DeviceExists, TooMany

    try:
        return ask(config, method, where)
    except Failure as failure:
        if failure.code != Exit.UNAVAILABLE:
            raise
    import asyncio

    settings = load(find(config))
    try:
        return asyncio.run(_opened(settings, alone))
    except (LookupError, ValueError, DeviceExists, TooMany) as error:
        raise Failure(Exit.USAGE, str(error.args[0])) from None


async def _opened(settings: Config, work: Callable[[Store, Config], Awaitable[T]]) -> T:
    from bridge.store.opening import open_store

    store = await open_store(settings.data_dir, settings.database)
    try:
        return await work(store, settings)
    finally:
        await store.close()


async def _add(store: Store, settings: Config, login: str | None, name: str) -> Json:
    from bridge.auth import devices
    from bridge.daemon import server_certificate
    from bridge.profiles.access import access
    from bridge.tls import lan_addresses
    from bridge.web.devices import NewDevice, new_device_json

    owner, now = settings.login(login), int(time.time())
    made, password = await store.write(lambda tx: devices.add_device(tx, owner, name, now))
    imap = settings.imap
    reach = access(
        imap.hostname,
        lan_addresses(),
        imap.listen,
        imap.listen_tls,
        server_certificate(settings).fingerprint,
    )
    clients = settings.clients(owner, reach)
    return new_device_json(NewDevice(owner, made.name, password, reach, clients))


async def _list(store: Store, settings: Config, login: str | None) -> Json:
    from bridge.auth.devices import DeviceState
    from bridge.web.devices import device_json

    wanted = settings.login(login) if login is not None else None
    found = await store.read(lambda tx: tx.devices())
    return [device_json(DeviceState(each)) for each in found if wanted in (None, each.login)]


async def _revoke(store: Store, name: str, login: str | None) -> Json:
    from bridge.auth import devices
    from bridge.web.devices import device_json

    found = devices.find(await store.read(lambda tx: tx.devices()), name, login)
    await store.write(lambda tx: tx.revoke_device(found.id))
    return device_json(devices.DeviceState(found))


def _text(said: Mapping[str, Json], key: str) -> str:
    return str(said.get(key) or "")


def _seen(said: Mapping[str, Json]) -> str:
    from datetime import datetime

    from bridge.cli.status import span

    if said.get("connections"):
        return "now"
    moment = said.get("last_seen")
    if not isinstance(moment, str):
        return "never"
    return span(int(datetime.fromisoformat(moment).timestamp()), int(time.time()))
