"""The daemon that `setup` talks to: the one that runs, or one that is started in here.

Rules: the store has one daemon. Where none runs, ours is one like any other: it serves IMAP from
the first moment, so that mail can be read while the rest is still coming.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from bridge.cli.common import Exit, Failure
from bridge.cli.control import ask, target
from bridge.model import MaildropFacts, PollReport, Secret
from bridge.web.devices import new_device_json
from bridge.web.status import Json, Status, reports_of_json, status_of_json

if TYPE_CHECKING:
    from bridge.config import Config
    from bridge.daemon import Daemon


class House(Protocol):
    """What setup needs of a daemon. All raise Failure."""

    is_ours: bool  # started in here, ends with us

    async def try_account(
        self, account: Mapping[str, Json], password: Secret | None
    ) -> MaildropFacts | PollReport: ...
    async def reread(self) -> None: ...
    async def add_device(self, login: str, name: str) -> Mapping[str, Json]:
        """As `bridge.web.devices.new_device_json`."""
        ...

    async def status(self) -> Status: ...


class Beside:
    """The daemon that runs on this config."""

    is_ours = False

    def __init__(self, config_path: Path) -> None:
        self._config = config_path

    async def _ask(self, method: str, where: str, body: Json = None) -> Json:
        return await asyncio.to_thread(ask, self._config, method, where, body=body, seconds=300.0)

    async def try_account(
        self, account: Mapping[str, Json], password: Secret | None
    ) -> MaildropFacts | PollReport:
        body: Json = {
            "account": account,
            "password": password.reveal() if password is not None else None,
        }
        said = await self._ask("POST", "/accounts/try", body)
        if not isinstance(said, Mapping):
            raise Failure(Exit.TRY_LATER, "the daemon answered something else; ask again")
        if not said.get("ok"):
            return reports_of_json([said.get("report")])[0]
        figures = [said.get("messages"), said.get("bytes")]
        messages, octets = (each if isinstance(each, int) else 0 for each in figures)
        return MaildropFacts(messages, octets, bool(said.get("stable_ids")))

    async def reread(self) -> None:
        await self._ask("POST", "/reload")

    async def add_device(self, login: str, name: str) -> Mapping[str, Json]:
        said = await self._ask("POST", target("/devices", login=login, name=name))
        if not isinstance(said, Mapping):
            raise Failure(Exit.TRY_LATER, "the daemon answered something else; ask again")
        return said

    async def status(self) -> Status:
        return status_of_json(await self._ask("GET", "/status"))


class Inside:
    """A daemon in this very process."""

    is_ours = True

    def __init__(self, daemon: Daemon) -> None:
        self.daemon = daemon

    async def try_account(
        self, account: Mapping[str, Json], password: Secret | None
    ) -> MaildropFacts | PollReport:
        try:
            return await self.daemon.try_account(account, password)
        except ValueError as error:
            raise Failure(Exit.USAGE, str(error)) from None

    async def reread(self) -> None:
        await self.daemon.reread()

    async def add_device(self, login: str, name: str) -> Mapping[str, Json]:
        from bridge.store.api import DeviceExists, TooMany

        try:
            return new_device_json(await self.daemon.add_device(login, name))
        except (LookupError, ValueError, DeviceExists, TooMany) as error:
            raise Failure(Exit.USAGE, str(error.args[0])) from None

    async def status(self) -> Status:
        return await self.daemon.status()


@contextlib.asynccontextmanager
async def house(config_path: Path, settings: Config, *, is_new: bool) -> AsyncIterator[House]:
    """The daemon that runs with these settings, else one that is started until the block ends;
    `is_new` says that the config is not there yet. Raises what `Daemon` raises when it cannot
    start."""
    from bridge.daemon import Daemon
    from bridge.web import control_socket

    if not is_new and await asyncio.to_thread(_answers, settings.data_dir / control_socket.NAME):
        yield Beside(config_path)
        return
    daemon = Daemon(settings)
    daemon.config_path = config_path
    async with daemon:
        yield Inside(daemon)


def _answers(path: Path) -> bool:
    from bridge.web import control_socket

    try:
        control_socket.connected(path, 5.0).close()
    except OSError:
        return False
    return True
