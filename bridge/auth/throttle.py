"""Slows down whoever guesses passwords: each failure in a row doubles the wait of that address.

Rules: bounded memory; a success forgives; an address that was quiet for an hour starts anew. Who
has one IPv6 address has its /64, which counts as one.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from collections.abc import Callable

from bridge import limits

ADDRESSES = 10_000
FORGIVEN_SECONDS = 3600.0


def network(peer: str) -> str:
    """What counts as one address: IPv4 as it is, IPv6 by its first 64 bits (RFC 4291 2.5.4)."""
    try:
        address = ipaddress.ip_address(peer.partition("%")[0])
    except ValueError:
        return peer
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.IPv6Address(int(address) >> 64 << 64))


class LoginThrottle:
    """Counts failed logins by peer address. `clock` gives monotonic seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._failures: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def failed(self, peer: str) -> float:
        """Counts a failure; returns the seconds that this peer must wait for its answer."""
        now, peer = self._clock(), network(peer)
        count, last = self._failures.pop(peer, (0, now))
        count = count + 1 if now - last < FORGIVEN_SECONDS else 1
        self._failures[peer] = count, now
        if len(self._failures) > ADDRESSES:
            self._failures.popitem(last=False)
        delay = limits.IMAP_FAILED_LOGIN_DELAY * 2.0 ** min(count - 1, 16)
        return min(limits.IMAP_FAILED_LOGIN_DELAY_MOST, delay)

    def succeeded(self, peer: str) -> None:
        self._failures.pop(network(peer), None)
