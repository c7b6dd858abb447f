"""Devices: each signs in by a password of its own, made here, shown once and revocable alone.

Rules:
- A password is 130 random bits as 26 letters and digits that cannot be taken for each other, in
  groups: `k7qm2-x9hde-4tnfw-apz3b-8ycgrs`. Only what proves it is kept (`DeviceProof`).
- Whoever is revoked is out at once: its sessions end, and an exchange under way leads nowhere.
- When a device was last seen is written once in some minutes, not at each login.
- Another node may add and revoke too: what is in the store is looked at every half minute.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol

from bridge import limits
from bridge.auth import scram
from bridge.model import Device, DeviceId, DeviceProof, Secret
from bridge.store.api import Store, WriteTx

LOOK_SECONDS: Final = 30.0  # between two looks at what the store has; revoking promises 60
_SEEN_SECONDS: Final = 300  # by which `last_seen` may be behind
_LETTERS: Final = "abcdefghijkmnpqrstuvwxyz23456789"  # 32: neither l and 1 nor o and 0
_GROUPS: Final = (5, 5, 5, 5, 6)
_REVOKED: Final = "The password of this device was revoked"
_SALT_KEY: Final = "scram salts"


class NoSuchDevice(LookupError):
    """There is no device of that name, or several; the text says which there are."""


class Stoppable(Protocol):
    """A session."""

    def stop(self, why: str) -> None: ...


@dataclass(frozen=True, slots=True)
class DeviceState:
    """A device and how many connections it has open now."""

    device: Device
    connections: int = 0


def new_password() -> Secret:
    return Secret("-".join("".join(map(secrets.choice, [_LETTERS] * each)) for each in _GROUPS))


def digest(password: Secret) -> bytes:
    """What LOGIN and PLAIN compare: SHA-256 of the password as a person may type it, with blanks
    or without hyphens, in capitals."""
    typed = password.reveal().replace("-", "").replace(" ", "").lower()
    return hashlib.sha256(typed.encode(errors="surrogatepass")).digest()


def proof(password: Secret, salt: bytes) -> DeviceProof:
    """Takes milliseconds."""
    return DeviceProof(digest(password), *scram.keys(password, salt))


def checked_name(name: str) -> str:
    """The name of a device as it is kept. Raises ValueError with a sentence."""
    name = name.strip()
    if not name or len(name) > limits.DEVICE_NAME or not name.isprintable():
        raise ValueError(
            f"a device wants a name of 1 to {limits.DEVICE_NAME} characters, such as Anna's phone"
        )
    return name


def add_device(tx: WriteTx, login: str, name: str, now: int) -> tuple[Device, Secret]:
    """A new device of this login (made when missing), and its password, which nobody can tell
    again. Raises ValueError, DeviceExists, TooMany."""
    password = new_password()
    salted = scram.salt(salt_key(tx), login)
    made = proof(password, salted)
    return tx.add_device(tx.ensure_login(login).id, checked_name(name), made, now), password


def salt_key(tx: WriteTx) -> bytes:
    """What all SCRAM salts of this store are derived from."""
    return tx.ensure_secret(_SALT_KEY, secrets.token_bytes(32))


def find(devices: Sequence[Device], name: str, login: str | None) -> Device:
    """The device of that name. Raises NoSuchDevice."""
    found = [each for each in devices if each.name == name and login in (None, each.login)]
    if len(found) == 1:
        return found[0]
    if found:
        logins = ", ".join(each.login for each in found)
        raise NoSuchDevice(f"several logins have a device named {name} ({logins}); say --login")
    known = ", ".join(each.name for each in devices if login in (None, each.login))
    raise NoSuchDevice(f"there is no device named {name}; there are: {known or 'none'}")


class Devices:
    """The devices of a running daemon, and their sessions. Make one by `open`.

    `on_change` is told all devices whenever they are not what they were. `wall` gives seconds
    since the epoch.
    """

    def __init__(self, store: Store, salt_key: bytes, wall: Callable[[], float]) -> None:
        self.salt_key = salt_key
        self.on_change: Callable[[Sequence[Device]], None] | None = None
        self._store = store
        self._wall = wall
        self._known: dict[DeviceId, Device] = {}
        self._sessions: dict[DeviceId, set[Stoppable]] = {}
        self._seen: dict[DeviceId, int] = {}  # not written yet

    @classmethod
    async def open(cls, store: Store, wall: Callable[[], float]) -> Devices:
        """Raises StoreError."""
        devices = cls(store, await store.write(salt_key), wall)
        await devices.look()
        return devices

    @property
    def known(self) -> Sequence[Device]:
        return tuple(self._known.values())

    def states(self, login: str | None = None) -> Sequence[DeviceState]:
        """Those of one login or of all, with what is not written yet."""
        return [
            DeviceState(
                replace(each, last_seen=self._last_seen(each)),
                len(self._sessions.get(each.id, ())),
            )
            for each in self._known.values()
            if login in (None, each.login)
        ]

    async def add(self, login: str, name: str) -> tuple[Device, Secret]:
        """As `add_device`; the device may sign in from now on."""
        now = int(self._wall())
        device, password = await self._store.write(lambda tx: add_device(tx, login, name, now))
        await self.look()
        return device, password

    async def revoke(self, name: str, login: str | None = None) -> Device:
        """Ends its sessions too. Raises NoSuchDevice, StoreError."""
        device = find(self.known, name, login)
        await self._store.write(lambda tx: tx.revoke_device(device.id))
        await self.look()
        return device

    async def look(self) -> None:
        """Writes what was seen, and takes what the store has. Raises StoreError."""
        seen = {
            each.id: moment
            for each in self._known.values()
            if (moment := self._last_seen(each)) is not None
            and moment - (each.last_seen or 0) >= _SEEN_SECONDS
        }
        await self._take(seen)

    async def close(self) -> None:
        """Writes all that was seen. Raises StoreError."""
        await self._take(dict(self._seen))

    async def _take(self, seen: dict[DeviceId, int]) -> None:
        if seen:
            await self._store.write(lambda tx: tx.see_devices(seen))
        found = {each.id: each for each in await self._store.read(lambda tx: tx.devices())}
        for device, moment in seen.items():
            if self._seen.get(device) == moment:
                del self._seen[device]
        changed = found.keys() != self._known.keys()
        self._known = found
        if changed and self.on_change is not None:
            self.on_change(self.known)
        for device in [each for each in self._sessions if each not in found]:
            for session in self._sessions.pop(device):
                session.stop(_REVOKED)

    def _last_seen(self, device: Device) -> int | None:
        if self._sessions.get(device.id):
            return int(self._wall())
        return self._seen.get(device.id, device.last_seen)

    # --- called by sessions ---------------------------------------------------------------

    def enter(self, device: DeviceId | None, session: Stoppable) -> None:
        """It signed in by this device's password (None: by the login's own)."""
        if device is None:
            return
        if device not in self._known:  # revoked just now
            session.stop(_REVOKED)
            return
        self._sessions.setdefault(device, set()).add(session)
        self._seen[device] = int(self._wall())

    def leave(self, device: DeviceId | None, session: Stoppable) -> None:
        sessions = self._sessions.get(device) if device is not None else None
        if device is None or sessions is None:
            return
        sessions.discard(session)
        if not sessions:
            del self._sessions[device]
        self._seen[device] = int(self._wall())

    def name(self, device: DeviceId | None) -> str:
        """What a person calls it; empty for None."""
        found = self._known.get(device) if device is not None else None
        return found.name if found is not None else ""
