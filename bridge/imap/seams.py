"""Where a session meets the rest of the house: its wire below, its services beside it.

Rules: protocols and plain values only; `server.py`, the daemon and the tests fill them in, so that
a session can be played without a socket.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from bridge.auth.guesses import Guesses
from bridge.auth.passwords import Passwords
from bridge.bus import Bus
from bridge.imap.ahead import Ahead
from bridge.imap.answers import Ready
from bridge.imap.columns import AllColumns
from bridge.imap.mailboxes import OpenMailboxes
from bridge.imap.view import View
from bridge.model import DeviceId, LoginId, Quota, Sink
from bridge.store.api import Store


class State(enum.Flag):
    """RFC 3501 3."""

    NOT_AUTHENTICATED = enum.auto()
    AUTHENTICATED = enum.auto()
    SELECTED = enum.auto()


ANY = State.NOT_AUTHENTICATED | State.AUTHENTICATED | State.SELECTED
SIGNED_IN = State.AUTHENTICATED | State.SELECTED


class Disconnected(Exception):
    """The peer is gone, or took nothing for too long."""


@dataclass(frozen=True, slots=True)
class Watch:
    """What is told of the selected mailbox (RFC 5465 6.1): messages that come and go, at once or
    when RFC 3501 lets us, and flags."""

    messages: bool = True
    flags: bool = True
    immediate: bool = False


class Teller(Protocol):
    """What NOTIFY set up; `commands/notify.py` has the real one."""

    async def tell(self) -> None:
        """Queues what is new in mailboxes that are not selected."""
        ...

    async def tell_new(self, view: View, top: int) -> None:
        """Queues what the client wants to know of messages above this UID."""
        ...

    @property
    def close(self) -> Callable[[], None]: ...


class Follower(Protocol):
    """Searches that are kept up to date (RFC 5267); `commands/context.py` has the real one."""

    def leaving(self, view: View, gone: Iterable[int]) -> Iterable[bytes]:
        """What to say of these UIDs before their EXPUNGE."""
        ...

    async def follow(self, view: View, top: int) -> None:
        """Queues what changed in the results; messages above the UID `top` have just come."""
        ...


class Wire(Protocol):
    """The connection underneath; `server.py` has the real one."""

    secure: bool  # TLS is up
    private: bool  # TLS, or the peer is this very machine
    peer: str  # address for the log and for counting failed logins

    def write(self, *pieces: bytes) -> None:
        """Octets in one go, however many pieces they are in."""
        ...

    async def drain(self) -> None:
        """Waits until the peer has taken most of what was written. Raises Disconnected when it
        is gone, or takes nothing for `limits.IMAP_WRITE_SECONDS`."""
        ...

    @property
    def compressed(self) -> bool:
        """Whether COMPRESS is active."""
        ...

    def start_compression(self) -> None:
        """From here on all octets, both ways, are deflated."""
        ...

    def write_last(self, octets: bytes) -> None:
        """Writes, and ends the compression of both sides behind it, if there is one."""
        ...

    async def start_tls(self) -> None:
        """Raises Disconnected when the handshake fails."""
        ...

    def bindings(self) -> Mapping[str, bytes]:
        """Channel bindings of this TLS connection by name (RFC 5929); none in clear."""
        ...

    def resume(self) -> None:
        """The session has consumed what was buffered: read on."""
        ...

    def signed_in(self) -> None:
        """Whoever is there has proved who it is."""
        ...


class Throttle(Protocol):
    """Counts failed logins by peer address."""

    def failed(self, peer: str) -> float:
        """Seconds that this peer must wait for its answer."""
        ...

    def succeeded(self, peer: str) -> None: ...


class Devices(Protocol):
    """Who is connected by which device's password; `bridge.auth.devices` has the real one."""

    def enter(self, device: DeviceId | None, session: Stoppable) -> None:
        """The session signed in so (None: by the login's own password)."""
        ...

    def leave(self, device: DeviceId | None, session: Stoppable) -> None: ...
    def name(self, device: DeviceId | None) -> str:
        """What a person calls it; empty for None."""
        ...


class Stoppable(Protocol):
    """A session, as far as who revokes its password must know it."""

    def stop(self, why: str) -> None: ...


class NoDevices:
    """Where no device has a password of its own."""

    def enter(self, device: DeviceId | None, session: Stoppable) -> None: ...
    def leave(self, device: DeviceId | None, session: Stoppable) -> None: ...
    def name(self, device: DeviceId | None) -> str:
        return ""


@dataclass(slots=True)
class Services:
    """What every session is given."""

    store: Store
    bus: Bus
    passwords: Passwords
    mailboxes: OpenMailboxes
    throttle: Throttle
    new_sink: Callable[[int], Sink]  # with the octets that it may keep in memory
    logins: dict[str, int]  # open sessions by login, for the cap
    starttls: bool  # whether a certificate is there to offer
    guesses: Guesses = field(default_factory=Guesses)
    columns: AllColumns = field(default_factory=AllColumns)  # what SEARCH has in memory
    ready: Ready = field(default_factory=Ready)  # answers to FETCH that are kept
    announced: dict[Hashable, bytes] = field(default_factory=dict)  # answers to CAPABILITY
    ahead: Ahead = field(default_factory=Ahead)  # what FETCH is foreseen to be asked for next
    quota: Quota | None = None  # of every login; without it nothing is limited
    rev2: bool = False  # whether IMAP4rev2 is offered
    hidden: Mapping[str, frozenset[str]] = field(default_factory=dict)  # capabilities by login
    devices: Devices = field(default_factory=NoDevices)
    on_interest: Callable[[LoginId], None] = lambda _: None  # a device looks: is there new mail?


class Request(NamedTuple):
    """The command at hand. `uid` is True for the UID variants."""

    tag: bytes
    name: str
    uid: bool
