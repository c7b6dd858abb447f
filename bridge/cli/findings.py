"""What `popbridge doctor` looks at: everything that is known to go wrong, and what to do.

Rules: every finding ends in a next step; nothing is changed, nobody is logged in; what cannot be
looked at is told as that and is no finding. It works beside a daemon and without one.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import stat
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from bridge.config import AccountConfig, Config, ConfigError
    from bridge.discovery.sources import Net

_SQLITE: Final = (3, 51, 3)  # sqlite.org/releaselog/3_51_3.html: a WAL that is reset twice
_CLOCK: Final = 120.0  # seconds
_CLOCK_URL: Final = "https://v1.ispdb.net/"
_CERTIFICATE: Final = 14 * 86400.0
_DISK_SHARE: Final = 0.10
_DISK_OCTETS: Final = 500 * 1000**2
_POP3_SECONDS: Final = 20.0


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. `next_step` is empty where all is well."""

    topic: str
    said: str
    next_step: str = ""

    @property
    def is_well(self) -> bool:
        return not self.next_step


async def examine(path: Path | None, *, verify: bool, offline: bool) -> Sequence[Finding]:
    from bridge.cli.finding import net
    from bridge.config import ConfigError, find, load
    from bridge.store.opening import engine_version

    config_path = find(path)
    found = [python(sys.version_info[:3]), sqlite(engine_version())]
    try:
        settings = load(config_path)
    except ConfigError as error:
        return [*found, *mistakes(error)]
    running = await asyncio.to_thread(_is_running, settings.data_dir)
    found += [
        Finding("config", f"{config_path} is right"),
        Finding("daemon", "is running" if running else "is not running"),
        *permissions(settings),
        *ports(settings, running=running),
        certificate(settings, time.time()),
        disk(settings.data_dir),
        filesystem(settings.data_dir),
        clock_here(settings.data_dir, time.time()),
    ]
    if verify:
        found.append(await asyncio.to_thread(database, settings.data_dir))
    if not offline:
        outside = net()
        found.append(await clock(outside, time.time()))
        found += await asyncio.gather(*(name(outside, each) for each in _hosts(settings)))
        found += await asyncio.gather(*(provider(each) for each in settings.accounts))
    if running:
        found += await asyncio.to_thread(accounts, config_path)
    return found


def mistakes(error: ConfigError) -> Iterator[Finding]:
    """What is wrong with the config, also who may read its secrets."""
    for each in error.mistakes:
        key = f" {each.key}" if each.key else ""
        said = f"{each.file}:{each.line}:{each.column}{key}: {each.text}"
        yield Finding("config", said, each.advice)


# --- this machine -------------------------------------------------------------------------


def python(version: Sequence[int]) -> Finding:
    from bridge import __version__

    return Finding("popbridge", f"{__version__} on Python {'.'.join(map(str, version))}")


def sqlite(version: tuple[int, ...]) -> Finding:
    """SQLite before 3.51.3 can damage a database that two connections write and checkpoint at
    once; one of ours alone does."""
    said = f"version {'.'.join(map(str, version))}"
    if version >= _SQLITE:
        return Finding("SQLite", said)
    return Finding(
        "SQLite",
        f"{said}, older than 3.51.3, which mends a fault that can damage databases; popbridge "
        "works round it (one connection writes)",
        "take a newer Python or system when there is one, or the container image; never open the "
        "database with another program while the daemon runs",
    )


def permissions(settings: Config) -> Iterator[Finding]:
    """What only its owner may read. Secret files of the config are checked by `load`."""
    folder = settings.data_dir
    if not folder.exists():
        yield Finding("data_dir", f"{folder} is not there yet; the first start makes it")
        return
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        owner = folder.stat().st_uid
        yield Finding(
            "permissions",
            f"{folder} belongs to user {owner} and cannot be used by user {os.geteuid()}",
            f"chown -R {os.geteuid()} {folder}, or run as the user that owns it",
        )
        return
    private = [folder, folder / "tls", *folder.glob("popbridge.sqlite*"), *folder.glob("tls/*")]
    private += [folder / "grants", folder / "control.sock"]
    open_ones = [each for each in private if each.exists() and _mode(each) & 0o077]
    for each in open_ones:
        wanted = "700" if each.is_dir() else "600"
        yield Finding(
            "permissions",
            f"{each} can be read by others (mode {_mode(each):04o})",
            f"chmod {wanted} {each}",
        )
    if not open_ones:
        yield Finding("permissions", f"{folder} and what is in it is private")


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def ports(settings: Config, *, running: bool) -> Iterator[Finding]:
    from bridge.cli.ports import why_not

    places = [("imap.listen", each) for each in settings.imap.listen]
    places += [("imap.listen_tls", each) for each in settings.imap.listen_tls]
    if settings.web.listen is not None:
        places.append(("web.listen", settings.web.listen))
    for key, place in places:
        why = "" if running or not place.port else why_not(place.host, place.port)
        if why == "EADDRINUSE":
            yield Finding(
                "port",
                f"{place} is taken by another program",
                f"find it: ss -ltnp 'sport = :{place.port}'; end it, or write another port at "
                f"{key}",
            )
        elif why == "EACCES":
            yield Finding(
                "port",
                f"{place} may not be used by user {os.geteuid()}",
                f"write a port from 1024 on at {key}, or give the service CAP_NET_BIND_SERVICE",
            )
        elif why:
            yield Finding("port", f"{place}: {why}", f"write an address of this machine at {key}")
        else:
            yield Finding("port", f"{place} {'is ours' if running else 'is free'}")


def certificate(settings: Config, now: float) -> Finding:
    """The one that devices are shown."""
    from bridge.tls import CertificateError, ServerCertificate

    files = settings.imap.certificate
    own = settings.data_dir / "tls" / "server.pem"
    if files is None and not own.exists():
        return Finding("certificate", "the first start makes one")
    cert, key = (own, own) if files is None else (files.cert, files.key)
    try:
        ends = ServerCertificate.from_files(cert, key).ends
    except CertificateError as error:
        return Finding("certificate", str(error), "name files in PEM form at imap.certificate")
    left = (ends - now) / 86400
    day = time.strftime("%Y-%m-%d", time.gmtime(ends))
    if ends - now > _CERTIFICATE:
        return Finding("certificate", f"lasts until {day}")
    said = f"ended on {day}" if left < 0 else f"ends on {day}, in {left:.0f} days"
    if files is None:
        return Finding("certificate", said, "start the daemon again: it renews its own certificate")
    return Finding(
        "certificate", said, f"renew {cert}, then tell the daemon: kill -HUP, or start it again"
    )


def disk(folder: Path) -> Finding:
    """Where the database grows."""
    while not folder.exists():
        folder = folder.parent
    usage = shutil.disk_usage(folder)
    share = usage.free / usage.total
    said = f"{usage.free / 1e9:.1f} GB free of {usage.total / 1e9:.1f} GB ({share:.0%})"
    if share >= _DISK_SHARE and usage.free >= _DISK_OCTETS:
        return Finding("disk", said)
    return Finding(
        "disk", f"nearly full: {said}", f"free some space on the disk of {folder}: new mail waits"
    )


def filesystem(folder: Path) -> Finding:
    """Whether the disk is one of this machine."""
    from bridge.store.opening import network_filesystem

    kind = network_filesystem(folder)
    if not kind:
        return Finding("file system", f"{folder} is on a disk of this machine")
    return Finding(
        "file system",
        f"{folder} is on a network file system ({kind}), where the database can be damaged",
        "stop the daemon, move data_dir to a disk of this machine, and name it at data_dir",
    )


def clock_here(folder: Path, now: float) -> Finding:
    """Whether time has gone back since something was written."""
    written = [each.stat().st_mtime for each in folder.glob("*") if each.is_file()]
    ahead = max(written, default=0.0) - now
    if ahead <= _CLOCK:
        return Finding("clock", "is not behind what was written here")
    return Finding(
        "clock",
        f"is {ahead / 60:.0f} minutes behind the newest file in {folder}",
        "set it, and keep it right: timedatectl set-ntp true",
    )


def database(folder: Path) -> Finding:
    from bridge.store.opening import DATABASE, faults

    if not (folder / DATABASE).exists():
        return Finding("database", "is not there yet")
    wrong = faults(folder)
    if not wrong:
        return Finding("database", "is whole: every message and every count fits")
    return Finding(
        "database",
        f"is damaged: {'; '.join(wrong[:5])}{' ...' if len(wrong) > 5 else ''}",
        "stop the daemon, keep a copy of data_dir, and restore the last backup: popbridge restore "
        "FILE; mail that is still at the provider comes again",
    )


def _is_running(data_dir: Path) -> bool:
    from bridge.web import control_socket

    try:
        control_socket.connected(data_dir / control_socket.NAME, 5.0).close()
    except OSError:
        return False
    return True


# --- the net ------------------------------------------------------------------------------


async def clock(net: Net, now: float) -> Finding:
    """This clock beside another one, which a wrong date at a provider could not tell."""
    from bridge.discovery.sources import Silence

    try:
        there = await net.date(_CLOCK_URL)
    except Silence as silence:
        return Finding("clock", f"not compared with another one: {silence}")
    off = now - there
    if abs(off) <= _CLOCK:
        return Finding("clock", "is right")
    way = "ahead" if off > 0 else "behind"
    return Finding(
        "clock",
        f"is {abs(off) / 60:.0f} minutes {way}: certificates may seem invalid, mail is misdated",
        "set it, and keep it right: timedatectl set-ntp true",
    )


async def name(net: Net, host: str) -> Finding:
    from bridge.discovery.sources import Silence

    try:
        await net.resolves(host)
    except Silence as silence:
        return Finding(
            "DNS",
            f"{host} is not found: {silence}",
            "check the spelling in the config; if no name is found at all, check /etc/resolv.conf "
            "and the network",
        )
    return Finding("DNS", f"{host} is found")


def _hosts(settings: Config) -> Sequence[str]:
    return list(dict.fromkeys(each.pop3.host for each in settings.accounts))


async def provider(account: AccountConfig) -> Finding:
    """What the provider's server says before anybody logs in."""
    from bridge.pop3.client import Pop3Session
    from bridge.pop3.errors import Pop3Error

    try:
        async with asyncio.timeout(_POP3_SECONDS):
            look = await Pop3Session.look(account.endpoint)
    except Pop3Error as error:
        return Finding("provider", f"{account.address}: {error}", error.advice)
    except TimeoutError:
        text = f"{account.address}: {account.pop3.host} does not answer"
        return Finding("provider", text, "check host and port in the config, and the network")
    known = look.capabilities
    words = [look.tls or "no TLS", "UIDL" if known.uidl else "no word of UIDL"]
    words += ["PIPELINING"] if known.pipelining else []
    words += [f"LOGIN-DELAY {known.login_delay}"] if known.login_delay else []
    said = f"{account.address}: {account.pop3.host} answers ({', '.join(words)})"
    if known.expire == 0:
        return Finding(
            "provider",
            f"{said}; it keeps no mail that was fetched (EXPIRE 0)",
            "keep backups: this copy is the only one (popbridge backup FILE)",
        )
    return Finding("provider", said)


def accounts(config_path: Path) -> list[Finding]:
    """What the daemon says of its accounts."""
    from bridge.cli.common import Failure
    from bridge.cli.control import ask
    from bridge.web.status import NEEDS_ATTENTION, status_of_json

    try:
        status = status_of_json(ask(config_path, "GET", "/status"))
    except (Failure, ValueError) as error:
        return [Finding("daemon", str(error), "look at its log, and start it again")]
    found = []
    for each in status.accounts:
        account = each.account
        said = f"{account.address}: {each.state}"
        if each.state == NEEDS_ATTENTION:
            said = f"{said}: {account.error}"
            found.append(Finding("account", said, account.advice or "popbridge status says more"))
        else:
            found.append(Finding("account", said))
    return found
