"""The rows of mailboxes that clients ask about again and again (STATUS, SELECT, LIST), in memory.

The bus says which row is no longer true; it is read anew when somebody asks. So two hundred STATUS
in a row cost no visit to the store, and a change costs its own mailbox only.

Rules: what is here was true at the last change that the bus told of, and a change is told before
the command that made it is answered. `first_recent` moves without a change: whoever needs it asks
the store.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass

from bridge import limits
from bridge.bus import Bus
from bridge.model import Change, Login, LoginId, Mailbox
from bridge.store.api import ReadTx, Store


@dataclass(frozen=True, slots=True)
class Listing:
    """All mailboxes of a login by name, and the names that it subscribed to, of one instant."""

    mailboxes: Mapping[str, Mailbox]
    subscribed: Set[str]

    @classmethod
    def read(cls, tx: ReadTx, login: LoginId) -> Listing:
        rows = tx.mailboxes(login)
        return cls({row.name: row for row in rows}, frozenset(tx.subscriptions(login)))


class LoginRows:
    """The rows of one login, by the name that was asked for, and all together."""

    def __init__(self, login: LoginId, bus: Bus) -> None:
        self.rows: dict[str, Mailbox] = {}
        self.listing: Listing | None = None
        self.changes = 0  # that the bus told of
        self.close: Callable[[], None] = bus.subscribe(login, None, self._notice)

    def _notice(self, change: Change) -> None:
        self.changes += 1
        self.listing = None
        if change.mailbox_id is None:
            self.rows.clear()
            return
        stale = [name for name, row in self.rows.items() if row.id == change.mailbox_id]
        for name in stale:
            del self.rows[name]


class MailboxRows:
    """Those of all logins; the longest unused login goes when there are too many."""

    def __init__(self, store: Store, bus: Bus) -> None:
        self._store = store
        self._bus = bus
        self._logins: OrderedDict[LoginId, LoginRows] = OrderedDict()
        self._by_name: dict[str, Login] = {}

    async def get(self, login: LoginId, name: str) -> Mailbox:
        """Raises NoSuchMailbox."""
        held = self._of(login)
        row = held.rows.get(name)
        if row is None:
            before = held.changes
            row = await self._store.read(lambda tx: tx.mailbox(login, name))
            # What changed while we read may be newer than what we read.
            if before == held.changes and len(held.rows) < limits.ROWS_PER_LOGIN:
                held.rows[name] = row
        return row

    async def login(self, name: str) -> Login:
        """The login that has proved itself, made where it is new. It never changes, and no login
        ever goes: hundreds of devices that come back at once cost no visit to the store."""
        found = self._by_name.get(name)
        if found is None:
            found = await self._store.read(lambda tx: tx.login(name))
            if found is None:
                found = await self._store.write(lambda tx: tx.ensure_login(name))
            if len(self._by_name) >= limits.ROWS_LOGINS:
                self._by_name.clear()
            self._by_name[name] = found
        return found

    async def listing(self, login: LoginId) -> Listing:
        """What LIST is answered from."""
        held = self._of(login)
        listing = held.listing
        if listing is None:
            before = held.changes
            listing = await self._store.read(lambda tx: Listing.read(tx, login))
            count = max(len(listing.mailboxes), len(listing.subscribed))
            if before == held.changes and count <= limits.ROWS_PER_LOGIN:
                held.listing = listing
        return listing

    def _of(self, login: LoginId) -> LoginRows:
        held = self._logins.get(login)
        if held is None:
            held = self._logins[login] = LoginRows(login, self._bus)
            if len(self._logins) > limits.ROWS_LOGINS:
                self._logins.popitem(last=False)[1].close()
        self._logins.move_to_end(login)
        return held
