"""The one place that knows everyone: store, bus, pollers, IMAP and web, in one event loop.

Rules:
- Start: store, certificate, IMAP, web and control, then the schedule. Stop goes the other way
  round: polls are cut off (what is committed stays, no QUIT), devices hear BYE, the store is
  closed last.
- SIGTERM and SIGINT drain and leave within 10 s, a second one leaves at once; SIGHUP reads
  config and certificate again without dropping a session, and a broken new config changes
  nothing.
- The daemon never ends because of one account.

Over 500 lines because it alone knows everyone: what joins two rooms can only stand here.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import os
import resource
import shutil
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from bridge import __version__, allocator, config, limits, logs
from bridge.auth.devices import LOOK_SECONDS, Devices, DeviceState
from bridge.auth.passwords import Passwords, Verifier
from bridge.auth.throttle import LoginThrottle
from bridge.auth.tokens import AccessToken, Grants
from bridge.bus import Bus
from bridge.config import AccountConfig, Config, ConfigError, Listen
from bridge.desk import RealDesk
from bridge.events import Recent
from bridge.imap.mailboxes import OpenMailboxes
from bridge.imap.seams import Services
from bridge.imap.server import ImapServer
from bridge.imap.table import ROWS
from bridge.indexing import TextIndexer
from bridge.messenger import Alert, Messenger
from bridge.model import Account, Change, MaildropFacts, PollReport, Quota, Secret, ServerDelete
from bridge.notify import Notifier, summary
from bridge.profiles.access import Access, access
from bridge.spool import Spool
from bridge.store.api import Store, StoreError, WriteTx
from bridge.store.opening import DATABASE, network_filesystem, open_store
from bridge.sync.poll import Poller
from bridge.sync.retention import Policy
from bridge.sync.schedule import Job, NoSuchAccount, Schedule
from bridge.tls import CertificateError, ServerCertificate, lan_addresses
from bridge.transfer.door import LocalDoor
from bridge.trials import Trials
from bridge.web.devices import NewDevice
from bridge.web.page import Event
from bridge.web.phone import PhonePages
from bridge.web.server import PublicSide, WebServer
from bridge.web.sessions import Sessions
from bridge.web.status import AccountStatus, DeviceFacts, Status, Storage

log = logs.get_logger()

SWITCH_SECONDS = 0.0005  # that a thread keeps Python from the event loop; the default is 0.005
STOP_SECONDS = 9.0
TELL_EVERY_SECONDS = 60.0  # the service manager, where nothing asks for more
PURGE_EVERY_SECONDS = 3600.0
OPEN_FILES_BESIDE = 1_000  # of IMAP: database, polls, the page
PURGE_AFTER_SECONDS = 24 * 3600  # a device may still be reading what another one expunged


@dataclass(frozen=True, slots=True)
class _Credential:
    """What an account logs in with, asked for at each poll; equal while the settings are."""

    account: AccountConfig
    grants: Grants
    candidate: Callable[[str], Secret | None]

    async def __call__(self) -> Secret:
        if (candidate := self.candidate(self.account.address)) is not None:
            return candidate
        oauth = self.account.pop3.oauth
        if oauth is None:
            return await asyncio.to_thread(self.account.password)
        return AccessToken(self.grants, self.account.address, oauth.client)


class Daemon:
    """Everything, started by `async with`. Raises StoreError, CertificateError, OSError (a port
    that is taken) or SecretError when it cannot start; then nothing is left running."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.config_path: Path | None = None  # where `reread` finds it
        self.imap_ports: list[int] = []
        self.imap_tls_ports: list[int] = []
        self.certificate: ServerCertificate
        self.store: Store
        self.phone_pages: PhonePages | None = None
        self._listening: list[str] = []
        self._accounts: dict[str, Account] = {}
        self._stack = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with contextlib.AsyncExitStack() as stack:
            await self._start(stack)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._stack.aclose()

    async def _start(self, stack: contextlib.AsyncExitStack) -> None:
        loop = asyncio.get_running_loop()
        settings = self.config
        verifiers = await asyncio.to_thread(_verifiers, settings)
        self._grants = Grants(settings.data_dir)
        if kind := await asyncio.to_thread(network_filesystem, settings.data_dir):
            log.warning(
                "data_dir is on a network file system, where the database can be damaged; move it "
                "to a disk of this machine",
                data_dir=str(settings.data_dir),
                kind=kind,
            )
        self.store = await open_store(settings.data_dir, settings.database)
        stack.push_async_callback(self.store.close)
        bus = Bus()
        indexer = TextIndexer(self.store)

        def told(changes: Sequence[Change]) -> None:
            bus.publish(changes)
            indexer.wake()

        self.store.on_change = told
        self.certificate = await asyncio.to_thread(server_certificate, settings)
        self._devices = await Devices.open(self.store, time.time)
        self._passwords = Passwords(verifiers, self._devices.known, salt_key=self._devices.salt_key)
        self._devices.on_change = self._passwords.replace_devices
        stack.callback(self._passwords.close)
        stack.push_async_callback(self._leave_devices)
        spool = functools.partial(Spool, settings.data_dir)
        self._imap = ImapServer(
            Services(
                store=self.store,
                bus=bus,
                passwords=self._passwords,
                mailboxes=OpenMailboxes(self.store, bus),
                throttle=LoginThrottle(loop.time),
                new_sink=spool,
                logins={},
                starttls=True,
                quota=_quota(settings),
                hidden=_hidden(settings),
                devices=self._devices,
                rev2=settings.imap.rev2,
            ),
            self.certificate.context,
        )
        stack.push_async_callback(self._imap.stop)
        self.imap_ports = await self._listen(settings.imap.listen, tls=False)
        self.imap_tls_ports = await self._listen(settings.imap.listen_tls, tls=True)
        self._recent = Recent()
        self._recent.install()
        stack.callback(self._recent.remove)
        self.desk = RealDesk(self, self._grants)
        self._trials = Trials(self)
        stack.callback(self._trials.close)
        public = await asyncio.to_thread(self._public, settings)
        if public is not None:
            stack.callback(public.sessions.close)
        self.phone_pages = self._phone(settings)
        self._web = WebServer(self, public=public, control=settings.data_dir / "control.sock")
        self._poller = Poller(self.store, wall=time.time, spool_dir=settings.data_dir)
        self._schedule = Schedule(self._poller.poll)
        self._imap.services.on_interest = self._schedule.interest
        self._poller.on_login = self.desk.logged_in
        self._poller.on_listing = self._trials.listed
        self._poller.alerts.ends = self._sign_in_ends
        messenger = Messenger(settings.alerts.webhook, settings.alerts.ntfy)
        stack.push_async_callback(messenger.close)
        self._poller.alerts.on_change = lambda address, cause, said: messenger.tell(
            Alert(address, cause, *said)
        )
        stack.push_async_callback(self._schedule.stop)
        await self._take_accounts(settings)
        await self._web.start()
        stack.push_async_callback(self._web.stop)
        stack.push_async_callback(self.desk.close)
        if self.phone_pages is not None:
            stack.push_async_callback(self.phone_pages.stop)
        for task in (indexer.run(), self._keep_house(), self._keep_devices()):
            stack.callback(loop.create_task(task).cancel)

    def _public(self, settings: Config) -> PublicSide | None:
        """What listens over TCP; None where the config wants none. Raises SecretError."""
        web = settings.web
        if web.listen is None:
            return None
        return PublicSide(
            web.listen,
            self.desk,
            Sessions(web.verifier(), time.monotonic),
            context=self.certificate.context,
            names=web.hosts,
            proxies=web.proxies,
            plaintext=web.allow_plaintext,
        )

    def _phone(self, settings: Config) -> PhonePages | None:
        """What gives phones their settings; it does not listen yet."""
        if settings.web.phone is None:
            return None
        reach = self.access
        return PhonePages(
            settings.web.phone,
            self.certificate.context,
            self.desk.add_device,
            names=[*reach.hosts, *settings.web.hosts],
            ca=self.certificate.ca,
        )

    async def _listen(self, places: Sequence[Listen], *, tls: bool) -> list[int]:
        ports = []
        for place in places:
            for _, port in await self._imap.listen(place.host, place.port, tls=tls):
                ports.append(port)
                shown = Listen(place.host, port)
                self._listening.append(f"{'imaps' if tls else 'imap'}://{shown}")
        return ports

    async def _take_accounts(self, settings: Config) -> None:
        """Makes the logins and accounts of the config known to store and schedule."""
        _warn_of_twins(settings)

        def work(tx: WriteTx) -> dict[str, Account]:
            accounts = {}
            for each in settings.accounts:
                login = tx.ensure_login(each.login_name)
                accounts[each.address] = tx.ensure_account(each.address, login.id, each.mailbox)
            return accounts

        self._accounts = await self.store.write(work)
        self._poller.policies = {
            self._accounts[each.address].id: _policy(each) for each in settings.accounts
        }
        states = await self.store.read(lambda tx: tx.account_states())
        known = {state.address: state for state in states}
        self._schedule.update(
            Job(
                self._accounts[each.address],
                each.endpoint,
                each.interval,
                _Credential(each, self._grants, self._candidate),
                None if self._trials.is_tried(each.address) else known.get(each.address),
            )
            for each in settings.accounts
        )

    def _candidate(self, address: str) -> Secret | None:
        """A password that is being tried; it goes before the one that is saved."""
        return self._trials.candidate(address) or self.desk.candidate(address)

    async def _sign_in_ends(self, address: str) -> int | None:
        return await asyncio.to_thread(self._grants.ends_at, address)

    async def _keep_house(self) -> None:
        """Frees the bytes of messages that nobody can see any more, and keeps alerts true."""
        while True:
            await self._poller.alerts.review({each.id for each in self._accounts.values()})
            try:
                while await self.store.write(_purge):
                    pass
            except StoreError as error:
                log.warning("housekeeping put off", error=str(error))
            await asyncio.sleep(PURGE_EVERY_SECONDS)

    async def _keep_devices(self) -> None:
        """Keeps up with the devices in the store."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                await self._devices.look()
            except StoreError as error:
                log.warning("devices not looked at", error=str(error))

    async def _leave_devices(self) -> None:
        try:
            await self._devices.close()
        except StoreError as error:
            log.warning("when devices were last seen is not kept", error=str(error))

    async def reload(self, settings: Config) -> None:
        """Takes accounts, logins, passwords, intervals and the certificate's files anew.

        Sessions and running polls go on; where to listen and data_dir need a restart. Raises
        SecretError, CertificateError, StoreError; what could not be taken stays as it was.
        """
        verifiers = await asyncio.to_thread(_verifiers, settings)
        await asyncio.to_thread(self.certificate.reload)
        if _fixed(settings) != _fixed(self.config):
            log.warning("data_dir, web, alerts and where imap listens take effect after a restart")
        changed = self._passwords.replace(verifiers)
        self._imap.end_logins(changed, "The password of this login was changed; sign in again")
        self._imap.services.quota = _quota(settings)
        self._imap.services.hidden = _hidden(settings)
        self._imap.services.rev2 = settings.imap.rev2
        await self._take_accounts(settings)
        self.config = settings

    async def reread(self) -> None:
        """Takes the config file anew; what was tried and is not in it goes. Raises ConfigError and
        what `reload` raises."""
        if self.config_path is None:
            raise ConfigError([])
        settings = await asyncio.to_thread(config.load, self.config_path)
        self._trials.forget()
        await self.reload(settings)

    async def try_account(
        self, account: Mapping[str, object], password: Secret | None
    ) -> MaildropFacts | PollReport:
        """Logs in with an account that the config does not have, by its first poll, which goes on:
        what the maildrop holds, or the report of a poll that failed. The account stays until
        `reread`, which finds it in the config or lets it go. Raises ValueError."""
        return await self._trials.run(account, password)

    @property
    def page_url(self) -> str:
        """Where a browser finds the page; empty where there is none."""
        return self._web.url

    # --- what web and control ask -------------------------------------------------------

    async def poll(self, address: str | None) -> Sequence[PollReport]:
        """Polls now, or joins the poll under way. Raises NoSuchAccount."""
        return await self._schedule.poll_now(address)

    async def pause(self, address: str, *, paused: bool) -> None:
        """Leaves an account alone, also after a restart, or takes it up again. Raises
        NoSuchAccount, StoreError."""
        if address not in self._accounts:
            raise NoSuchAccount(f"there is no account {address}; the config names the accounts")
        account = self._accounts[address].id
        await self.store.write(lambda tx: tx.set_paused(account, paused))
        self._schedule.pause(address, paused=paused)
        log.info("paused" if paused else "resumed", account=address)

    async def planned_deletes(self, address: str | None) -> Sequence[ServerDelete]:
        """What `keep_on_server` would delete at the providers now. Raises NoSuchAccount."""
        if address is not None and address not in self._accounts:
            raise NoSuchAccount(f"there is no account {address}; the config names the accounts")
        chosen = [a for a in self._accounts.values() if address in (None, a.address)]
        return [due for account in chosen for due in await self._poller.preview(account)]

    async def deletes(self, address: str | None) -> Sequence[ServerDelete]:
        """The audit of deletes at providers, the newest first."""
        return await self.store.read(lambda tx: tx.server_deletes(address))

    async def devices(self, login: str | None) -> Sequence[DeviceState]:
        """The devices of a login or of all. Raises LookupError."""
        if login is not None:
            self._login(login)
        return self._devices.states(login)

    async def add_device(self, login: str | None, name: str) -> NewDevice:
        """Raises LookupError, ValueError, DeviceExists, TooMany."""
        device, password = await self._devices.add(self._login(login), name)
        log.info("device added", login=device.login, device=device.name)
        reach = self.access
        clients = self.config.clients(device.login, reach)
        return NewDevice(device.login, device.name, password, reach, clients)

    async def revoke_device(self, name: str, login: str | None) -> DeviceState:
        """Raises LookupError."""
        gone = await self._devices.revoke(name, login)
        log.info("device revoked", login=gone.login, device=gone.name)
        return DeviceState(gone)

    def _login(self, name: str | None) -> str:
        """The login of that name, or the only one. Raises LookupError."""
        return self.config.login(name)

    @property
    def access(self) -> Access:
        """How devices reach us."""
        imap = self.config.imap
        plain = zip((each.host for each in imap.listen), self.imap_ports, strict=False)
        tls = zip((each.host for each in imap.listen_tls), self.imap_tls_ports, strict=False)
        fingerprint = self.certificate.fingerprint
        return access(imap.hostname, lan_addresses(), list(plain), list(tls), fingerprint)

    async def door(self, login: str) -> LocalDoor:
        """What import, export and migrate reach a login by. Raises LookupError."""
        name = self._login(login)
        found = await self.store.write(lambda tx: tx.ensure_login(name))
        return LocalDoor(self.store, found.id, self.config.data_dir)

    def new_spool(self) -> Spool:
        return Spool(self.config.data_dir)

    async def backup(self, path: Path) -> int:
        """A consistent copy of the store as it is now; returns its octets. Raises StoreError."""
        return await self.store.backup(path)

    async def status(self) -> Status:
        """The facts for `popbridge status`, /status.json and the health checks."""
        try:
            states = await self.store.read(lambda tx: tx.account_states())
            healthy = True
        except StoreError as error:
            log.error("database does not answer", error=str(error))
            states, healthy = (), False
        now = time.time()
        accounts = []
        for state in states:
            if state.address not in self._accounts:
                continue
            pause = self._schedule.next_poll(state.address)
            accounts.append(
                AccountStatus(
                    account=state,
                    state=self._schedule.state(state.address),
                    next_poll=None if pause is None else int(now + pause),
                    progress=self._poller.progress(state.address),
                    waits=self._schedule.why(state.address),
                )
            )
        return Status(
            version=__version__,
            pid=os.getpid(),
            listening=tuple(self._listening),
            database_ok=healthy,
            sessions=self._imap.sessions,
            accounts=tuple(accounts),
            devices=[
                DeviceFacts(each.device.login, each.device.name, each.device.last_seen)
                for each in self._devices.states()
            ],
            storage=await asyncio.to_thread(_storage, self.config.data_dir),
        )

    def events(self) -> Sequence[Event]:
        """The last lines of the log, the newest first."""
        return self._recent.newest()


def _storage(data_dir: Path) -> Storage | None:
    """What the database takes, and what its disk has left; None where nobody can say."""
    try:
        used = sum(each.stat().st_size for each in data_dir.glob(f"{DATABASE}*"))
        return Storage(used, shutil.disk_usage(data_dir).free)
    except OSError:
        return None


def _purge(tx: WriteTx) -> int:
    return tx.purge(int(time.time()) - PURGE_AFTER_SECONDS)


def _verifiers(settings: Config) -> dict[str, Verifier | None]:
    return {login.name: login.verifier() for login in settings.logins}


def _policy(account: AccountConfig) -> Policy:
    kept = account.keep_on_server
    return Policy(kept.days, kept.after_device_delete, kept.max_size)


def _fixed(settings: Config) -> object:
    """What a running daemon cannot take anew."""
    imap = settings.imap
    listening = imap.listen, imap.listen_tls, imap.certificate
    return settings.data_dir, settings.web, settings.alerts, listening


def _quota(settings: Config) -> Quota | None:
    quota = settings.imap.quota
    if quota is None or (quota.storage is None and quota.messages is None):
        return None
    return Quota(quota.storage, quota.messages)


def _hidden(settings: Config) -> dict[str, frozenset[str]]:
    """Capabilities that are hidden, by login. One that we never announce is warned of."""
    offered = {word.upper() for row in ROWS for word in (row.capability or "").split()}
    hidden = {each.name: frozenset(each.hide_capabilities) for each in settings.logins}
    for name, words in hidden.items():
        for word in sorted(words - offered):
            log.warning("no such capability to hide", login=name, capability=word)
    return hidden


def _warn_of_twins(settings: Config) -> None:
    """Two accounts with one maildrop: each has all of its mail, which is seldom meant."""
    first: dict[tuple[str, int, str], str] = {}
    for account in settings.accounts:
        there = account.endpoint.host, account.endpoint.port, account.endpoint.username
        other = first.setdefault(there, account.address)
        if other != account.address:
            log.warning("two accounts collect one maildrop", account=account.address, other=other)


def server_certificate(settings: Config) -> ServerCertificate:
    files = settings.imap.certificate
    if files is None:
        return ServerCertificate.auto(
            settings.data_dir, [settings.imap.hostname] if settings.imap.hostname else []
        )
    return ServerCertificate.from_files(files.cert, files.key)


# --- the process --------------------------------------------------------------------------


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop where it is installed."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


def allow_open_files() -> None:
    """As many open files as the system lets us have, up to one for every connection that we take:
    its default, often 1,024, would be reached by the devices of one office."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = limits.IMAP_CONNECTIONS + OPEN_FILES_BESIDE
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def run(config_path: Path, log_format: logs.LogFormat = "logfmt") -> int:
    """The daemon in the foreground, until a signal. Returns the exit code.

    Raises ConfigError, SecretError, StoreError, CertificateError, OSError when it cannot start.
    """
    allocator.configure()
    logs.configure(log_format)
    allow_open_files()
    # A core dump would hold passwords and tokens.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    settings = config.load(config_path)
    sys.setswitchinterval(SWITCH_SECONDS)
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        return runner.run(_serve(config_path, settings))


async def _serve(config_path: Path, settings: Config) -> int:
    loop = asyncio.get_running_loop()
    stop, hangup = asyncio.Event(), asyncio.Event()
    notifier = Notifier()

    def on_stop() -> None:
        if stop.is_set():
            log.warning("second signal, leaving at once")
            sys.stdout.flush()
            os._exit(1)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_stop)
    loop.add_signal_handler(signal.SIGHUP, hangup.set)
    daemon = Daemon(settings)
    daemon.config_path = config_path
    async with daemon:
        log.info(
            "listening",
            version=__version__,
            at=" ".join(daemon._listening),
            page=daemon.page_url or "off",
            accounts=len(settings.accounts),
            data_dir=str(settings.data_dir),
            certificate=daemon.certificate.fingerprint,
        )
        # What is there now stays: without this, a full collection held the event loop for 44 ms.
        gc.collect()
        gc.freeze()
        notifier.tell("READY=1", summary(await daemon.status()))
        tasks = [loop.create_task(_reload_on(hangup, daemon, config_path, notifier))]
        if notifier.is_heard:
            tasks.append(loop.create_task(_keep_telling(notifier, daemon)))
        await stop.wait()
        log.info("stopping")
        notifier.tell("STOPPING=1", "STATUS=stopping")
        for task in tasks:
            task.cancel()
    log.info("stopped")
    return 0


async def _keep_telling(notifier: Notifier, daemon: Daemon) -> None:
    """A daemon whose loop hangs or whose database is gone does not feed its watchdog."""
    pause = TELL_EVERY_SECONDS
    if notifier.watchdog_seconds is not None:
        pause = min(pause, notifier.watchdog_seconds / 2)  # sd_watchdog_enabled(3)
    while True:
        status = await daemon.status()
        alive = ["WATCHDOG=1"] if status.database_ok else []
        notifier.tell(*alive, summary(status))
        await asyncio.sleep(pause)


async def _reload_on(
    hangup: asyncio.Event, daemon: Daemon, config_path: Path, notifier: Notifier
) -> None:
    while True:
        await hangup.wait()
        hangup.clear()
        notifier.reloading()
        try:
            await daemon.reread()
        except ConfigError as error:
            for mistake in error.mistakes:
                log.error("config not taken", mistake=str(mistake))
        except (CertificateError, StoreError, OSError, Exception) as error:
            log.error("config not taken", error=str(error))
        else:
            log.info("config reloaded", accounts=len(daemon.config.accounts))
        notifier.tell("READY=1")
