"""Accounts that are tried before they are saved: `popbridge setup`, the page's wizard.

Rules:
- The login that proves an account is its first poll, which goes on: some providers allow one login
  in 15 minutes and answer a second one as if the password were wrong.
- What was tried and refused is gone again; what worked stays for `KEPT_SECONDS` without being
  saved. One trial an address at a time. The password is in memory only.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

from pydantic import ValidationError

from bridge import logs
from bridge.config import AccountConfig, Config, LoginConfig
from bridge.model import MaildropFacts, PollReport, Secret

log = logs.get_logger()
KEPT_SECONDS: Final = 900.0  # for whoever tried to save it


class House(Protocol):
    """The daemon."""

    config: Config

    async def reload(self, settings: Config) -> None: ...
    async def poll(self, address: str | None) -> Sequence[PollReport]: ...


class Trials:
    """The accounts of a daemon that are not in its config file."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._tried: dict[str, Secret | None] = {}
        self._listings: dict[str, asyncio.Future[MaildropFacts]] = {}
        self._tasks: set[asyncio.Task[object]] = set()
        self._expiries: dict[str, asyncio.Task[None]] = {}

    def close(self) -> None:
        for task in (*self._tasks, *self._expiries.values()):
            task.cancel()

    def is_tried(self, address: str) -> bool:
        """Whether it begins anew, whatever the store remembers of failures."""
        return address in self._tried

    def candidate(self, address: str) -> Secret | None:
        return self._tried.get(address)

    def forget(self) -> None:
        """The config file says what counts now."""
        self._tried.clear()
        for address in list(self._expiries):
            self._expiries.pop(address).cancel()

    def listed(self, address: str, facts: MaildropFacts) -> None:
        """A poll of this account read its listing."""
        waiting = self._listings.get(address)
        if waiting is not None and not waiting.done():
            waiting.set_result(facts)

    async def run(
        self, item: Mapping[str, object], password: Secret | None
    ) -> MaildropFacts | PollReport:
        """See `Daemon.try_account`."""
        account = _account(item)
        address, config = account.address, self._house.config
        if address in self._listings:
            raise ValueError(f"{address} is being tried already; wait a moment")
        if any(each.address == address for each in config.accounts) and address not in self._tried:
            raise ValueError(f"there is an account {address} already")
        await self._drop(address)
        self._tried[address] = password
        listing: asyncio.Future[MaildropFacts] = asyncio.get_running_loop().create_future()
        self._listings[address] = listing
        try:
            await self._house.reload(_with(self._house.config, account))
            poll = asyncio.create_task(self._house.poll(address))
            self._keep(poll)
            waiting: set[asyncio.Future[Any]] = {poll, listing}
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            if listing.done():
                self._expiries[address] = asyncio.create_task(self._expire(address))
                facts: MaildropFacts = listing.result()
                return facts
            (report,) = poll.result()
        except BaseException:
            await self._drop(address)
            raise
        finally:
            del self._listings[address]
        await self._drop(address)
        return report

    async def _expire(self, address: str) -> None:
        await asyncio.sleep(KEPT_SECONDS)
        del self._expiries[address]
        if address in self._tried:
            log.warning("an account that was tried was not saved", account=address)
            await self._drop(address)

    async def _drop(self, address: str) -> None:
        if (expiry := self._expiries.pop(address, None)) is not None:
            expiry.cancel()
        if address in self._tried:
            del self._tried[address]
            await self._house.reload(_without(self._house.config, address))

    def _keep(self, task: asyncio.Task[object]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _account(item: Mapping[str, object]) -> AccountConfig:
    try:
        return AccountConfig.model_validate(item)
    except ValidationError as error:
        found = "; ".join(str(each["msg"]) for each in error.errors(include_input=False))
        raise ValueError(f"this is no account: {found}") from None


def _with(config: Config, account: AccountConfig) -> Config:
    logins = config.logins
    if all(each.name != account.login_name for each in logins):
        logins = (*logins, LoginConfig(name=account.login_name))
    accounts = (*config.accounts, account)
    return config.model_copy(update={"accounts": accounts, "logins": logins})


def _without(config: Config, address: str) -> Config:
    accounts = tuple(each for each in config.accounts if each.address != address)
    return config.model_copy(update={"accounts": accounts})
