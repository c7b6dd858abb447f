"""Who may hold a connection: caps in all and by address, counted from the moment it is accepted.

Rules:
- A TLS handshake that does not end holds a connection like any other.
- The last tenth of all connections is for addresses from which somebody signed in before:
  strangers never take everything.
- Where there is none left, whoever has been here longest without signing in gives way, ten
  seconds after it came at the earliest. Who is signed in never does.
"""

from __future__ import annotations

import time
from collections import Counter, OrderedDict
from collections.abc import Callable
from typing import Protocol

from bridge import limits
from bridge.auth.throttle import network

KNOWN = 10_000  # addresses that are remembered


class Holder(Protocol):
    """A connection."""

    peer: str

    def give_way(self) -> None:
        """Ends at once."""
        ...


class Slots:
    """The connections of one server. `clock` gives monotonic seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._taken: dict[Holder, str] = {}
        self._addresses: Counter[str] = Counter()
        self._strangers: dict[Holder, float] = {}  # not signed in, since when; the oldest first
        self._known: OrderedDict[str, None] = OrderedDict()

    def take(self, holder: Holder) -> str:
        """Gives it a slot, until `leave`; returns "", or why there is none."""
        address = network(holder.peer)
        if self._addresses[address] >= limits.IMAP_CONNECTIONS_PER_ADDRESS:
            if not self._make_room(address):
                return "Too many connections from your address"
        elif len(self._taken) >= self._most(address) and not self._make_room(None):
            return "Too many connections, please try again later"
        self._taken[holder] = address
        self._addresses[address] += 1
        self._strangers[holder] = self._clock()
        return ""

    def signed_in(self, holder: Holder) -> None:
        if holder in self._taken:
            self._strangers.pop(holder, None)
            self._known[self._taken[holder]] = None
            self._known.move_to_end(self._taken[holder])
            if len(self._known) > KNOWN:
                self._known.popitem(last=False)

    def leave(self, holder: Holder) -> None:
        """May be said twice, and by who never had one."""
        address = self._taken.pop(holder, None)
        self._strangers.pop(holder, None)
        if address is not None:
            self._addresses[address] -= 1
            if not self._addresses[address]:
                del self._addresses[address]

    def _most(self, address: str) -> int:
        most = limits.IMAP_CONNECTIONS
        kept = 0 if address in self._known else int(most * limits.IMAP_CONNECTIONS_KEPT)
        return most - kept

    def _make_room(self, address: str | None) -> bool:
        """Sends a stranger away, of this address or of any; False where none is here for long."""
        until = self._clock() - limits.IMAP_GIVE_WAY_SECONDS
        for holder, since in self._strangers.items():
            if since > until:
                return False
            if address in (None, self._taken[holder]):
                self.leave(holder)
                holder.give_way()
                return True
        return False
