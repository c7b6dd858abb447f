"""Slows down whoever guesses passwords: each failure in a row doubles the wait of that address.

Rules: bounded memory; a success forgives; an address that was quiet for an hour starts anew.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from bridge import limits

ADDRESSES = 10_000
FORGIVEN_SECONDS = 3600.0


class LoginThrottle:
    """Counts failed logins by peer address. `clock` gives monotonic seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._failures: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def failed(self, peer: str) -> float:
        """Counts a failure; returns the seconds that this peer must wait for its answer."""
        now = self._clock()
        count, last = self._failures.pop(peer, (0, now))
        count = count + 1 if now - last < FORGIVEN_SECONDS else 1
        self._failures[peer] = count, now
        if len(self._failures) > ADDRESSES:
            self._failures.popitem(last=False)
        delay = limits.IMAP_FAILED_LOGIN_DELAY * 2.0 ** min(count - 1, 16)
        return min(limits.IMAP_FAILED_LOGIN_DELAY_MOST, delay)

    def succeeded(self, peer: str) -> None:
        self._failures.pop(peer, None)
