"""The message from popbridge in an account's INBOX while the account needs its owner.

Rules:
- One at a time: the gravest cause. It is written once for a cause, replaced when the cause becomes
  another one, gone when the cause is. Who deletes it is not told again of the same cause.
- The cause is looked at after each poll, and once an hour between them: time passes also for an
  account that waits, and a disk fills up while nothing is polled.
- What may pass by itself is no cause: a refusal counts from the third in a row, trouble with TLS
  from the second, silence after a day.
"""

from __future__ import annotations

import shutil
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from bridge.logs import get_logger
from bridge.model import Account, AccountId, AccountState
from bridge.store.api import Store, WriteTx
from bridge.sync import notices, stubs
from bridge.sync.plan import DAY

REFUSED = 3  # logins in a row
UNSAFE = 2  # TLS failures in a row
ENDING_SECONDS = 3 * DAY  # before the end of a sign-in
LOW_SHARE = 0.1  # of the disk, free
LOW_OCTETS = 2_000_000_000  # a tenth of a large disk is no trouble
_ENOUGH = 1.2  # times that, and the alert goes: the free space must not swing it to and fro


class Disk(NamedTuple):
    """The disk of data_dir, in octets."""

    total: int
    free: int


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of an account. Times are seconds since the epoch.

    `since` is when the first of the polls failed, while none has succeeded; `bearer` says that it
    logs in by a sign-in (OAuth), `ends` when that ends for good, where the provider said so.
    """

    state: AccountState
    now: int
    since: int | None = None
    bearer: bool = False
    ends: int | None = None
    disk: Disk | None = None
    shown: str = ""  # the cause that is shown now


def cause(facts: Facts) -> str:
    """A word for what the owner must know of; empty while all is well, or may well pass."""
    state = facts.state
    if state.error_class == "auth" and state.failures >= REFUSED:
        return "sign-in" if facts.bearer else "auth"
    if state.error_class == "tls" and state.failures >= UNSAFE:
        return "tls"
    if state.error_class in ("store", "permanent"):
        return state.error_class
    succeeded = state.last_success if state.last_success is not None else facts.since
    if state.error and succeeded is not None and facts.now - succeeded >= DAY:
        return "silent"
    if facts.ends is not None and facts.ends - facts.now < ENDING_SECONDS:
        return "ending"
    if facts.disk is not None:
        least = min(facts.disk.total * LOW_SHARE, LOW_OCTETS)
        if facts.disk.free < least * (_ENOUGH if facts.shown == "disk" else 1):
            return "disk"
    return ""


def words(wanted: str, facts: Facts) -> tuple[str, str, str]:
    """(title, what happened, what to do) of a cause."""
    state, address = facts.state, facts.state.address
    if wanted == "ending":
        return (
            f"The sign-in of {address} ends on {_day(facts.ends)}",
            f"The provider gave a sign-in that lasts until {_minute(facts.ends)} UTC. After that "
            "no mail of this account can be collected.",
            f"Sign in again before: popbridge account login {address}",
        )
    if wanted == "disk":
        assert facts.disk is not None
        free, total = facts.disk.free / 1e9, facts.disk.total / 1e9
        return (
            "The disk of popbridge is nearly full",
            f"{free:.1f} of {total:,.1f} GB are free on the disk of data_dir. When it is full, no "
            "new mail is collected; it stays at the provider.",
            "Free some space on that disk, or move data_dir to a larger one.",
        )
    since = state.last_success if state.last_success is not None else facts.since
    titles = {
        "auth": f"popbridge cannot log in to {address}",
        "sign-in": f"popbridge needs you to sign in again for {address}",
        "tls": f"popbridge has no safe connection to the provider of {address}",
        "store": f"popbridge cannot store mail of {address}",
        "permanent": f"The provider of {address} wants you to act",
        "silent": f"No mail of {address} could be collected since {_minute(since)} UTC",
    }
    return titles[wanted], state.error, state.advice


def show(tx: WriteTx, account: Account, facts: Facts) -> str:
    """Makes the mailbox show what the facts ask for; writes nothing where it does. Returns the
    cause."""
    shown = tx.alert(account.id)
    before = shown[0] if shown is not None else ""
    wanted = cause(replace(facts, shown=before))
    if before == wanted:
        return wanted
    if shown is not None:
        tx.withdraw(account.login_id, shown[1])
        tx.set_alert(account.id, None)
    if wanted:
        title, said, advice = words(wanted, facts)
        message = stubs.new_message(
            notices.alert(account.address, now=facts.now, title=title, said=said, advice=advice)
        )
        stubs.show(tx, account, message, facts.now)
        tx.set_alert(account.id, (wanted, message.digest))
    return wanted


class Alerts:
    """Keeps the alerts of all accounts true. `disk` looks at a folder's disk, and `ends` is told an
    address and says when its sign-in ends, as far as anybody knows. `on_change` is told an address,
    its new cause (empty: all is well again) and the `words` of it."""

    def __init__(self, store: Store, *, wall: Callable[[], float], folder: Path) -> None:
        self.disk: Callable[[Path], Disk] = disk_of
        self.ends: Callable[[str], Awaitable[int | None]] = _nobody_knows
        self.on_change: Callable[[str, str, tuple[str, str, str]], None] = lambda *_: None
        self._store = store
        self._wall = wall
        self._folder = folder
        self._known: dict[AccountId, tuple[Account, Facts]] = {}

    async def look(
        self, account: Account, state: AccountState, *, since: int | None, bearer: bool
    ) -> None:
        """After a poll. Raises StoreError, also where a full disk takes no message."""
        shown = self._known[account.id][1].shown if account.id in self._known else "?"
        await self._look(account, Facts(state, 0, since=since, bearer=bearer, shown=shown))

    async def review(self, accounts: Collection[AccountId]) -> None:
        """Looks at those of `accounts` that were polled since the start; forgets the others.
        Raises nothing."""
        self._known = {key: known for key, known in self._known.items() if key in accounts}
        for account, facts in list(self._known.values()):
            try:
                await self._look(account, facts)
            except Exception as error:
                get_logger(account=account.address).error("alert not shown", error=str(error))

    async def _look(self, account: Account, facts: Facts) -> None:
        facts = replace(
            facts,
            now=int(self._wall()),
            ends=await self.ends(account.address) if facts.bearer else None,
            disk=self.disk(self._folder),
        )
        self._known[account.id] = account, facts
        if cause(facts) == facts.shown:
            return  # no transaction for an account that is as it was

        def work(tx: WriteTx) -> tuple[str, str]:
            before = tx.alert(account.id)
            return before[0] if before is not None else "", show(tx, account, facts)

        before, shown = await self._store.write(work)
        self._known[account.id] = account, replace(facts, shown=shown)
        if shown != before:
            well = (f"All is well again with {account.address}", "", "")
            self.on_change(account.address, shown, words(shown, facts) if shown else well)


def disk_of(folder: Path) -> Disk:
    """Raises OSError."""
    total, _, free = shutil.disk_usage(folder)
    return Disk(total, free)


async def _nobody_knows(address: str) -> int | None:
    return None


def _minute(moment: int | None) -> str:
    return datetime.fromtimestamp(moment or 0, UTC).strftime("%Y-%m-%d %H:%M")


def _day(moment: int | None) -> str:
    return datetime.fromtimestamp(moment or 0, UTC).strftime("%Y-%m-%d")
