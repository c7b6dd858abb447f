"""Who may sign in: the passwords of logins, plain or argon2id, and those of their devices.

Rules:
- Nothing about a login shows in the time that a refusal takes: an unknown name costs what a
  wrong password costs. Where any login has a hash, every refusal pays for one.
- argon2id is meant to be slow (64 MiB and 0.1 to 0.4 s) and phones open five connections at
  once: equal questions that are asked together are answered together, and a password that was
  right stays known for some minutes, as a digest under a key that lives as long as the process.
- A device password is 128 random bits, so that one round of SHA-256 proves it: it is looked for
  first, and costs the same for every name.
- argon2 runs in few threads, never on the event loop; who gives up waiting leaves the queue.
- What verified before `replace` never helps after it.
"""

from __future__ import annotations

import asyncio
import hmac
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeAlias

import argon2

from bridge import limits
from bridge.auth import devices, scram
from bridge.model import Device, DeviceId, Secret

_THREADS = 2  # each takes 64 MiB while it works
_REMEMBERED_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class PasswordHash:
    """An argon2id hash in PHC form, `$argon2id$v=19$m=65536,t=3,p=4$...`.

    Raises ValueError when it is none; the text does not show it.
    """

    encoded: str = field(repr=False)

    def __post_init__(self) -> None:
        try:
            found = argon2.extract_parameters(self.encoded)
        except argon2.exceptions.InvalidHashError:
            raise ValueError("is not an argon2 hash") from None
        if found.type is not argon2.Type.ID:
            raise ValueError("is argon2, but not argon2id")

    @property
    def cost(self) -> int:
        """KiB of memory times passes: what a check of this hash costs, roughly."""
        found = argon2.extract_parameters(self.encoded)
        return found.memory_cost * found.time_cost


Verifier: TypeAlias = Secret | PasswordHash


def hash_password(password: Secret) -> PasswordHash:
    """A hash for the config; takes some tenths of a second and 64 MiB."""
    return PasswordHash(argon2.PasswordHasher().hash(password.reveal()))


def _matches(hashed: PasswordHash, password: Secret) -> bool:
    try:
        return argon2.PasswordHasher().verify(hashed.encoded, password.reveal())
    except argon2.exceptions.VerifyMismatchError:
        return False


@dataclass(frozen=True, slots=True)
class SignedIn:
    """Who proved itself: a login, by the password of one of its devices or (None) its own."""

    login: str
    device: DeviceId | None = None


@dataclass(slots=True)
class _Asked:
    task: asyncio.Task[bool]
    waiting: int = 0


class Passwords:
    """The verifiers of all logins, by name. Make one a process, `close` it at the end."""

    def __init__(
        self,
        verifiers: Mapping[str, Verifier | None],
        devices: Sequence[Device] = (),
        *,
        salt_key: bytes | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """None stands for a login that has devices alone. `salt_key` is what the proofs of the
        devices were made with."""
        self._key = secrets.token_bytes(32)
        self._salt_key = salt_key or secrets.token_bytes(32)
        self._clock = clock
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="argon2")
        self._turn = asyncio.Semaphore(_THREADS)
        self._nobody = self._digest(Secret(secrets.token_hex(16)))
        self._known: Sequence[Device] = devices
        self._plain: dict[str, bytes] = {}
        self._hashed: dict[str, PasswordHash] = {}
        self.replace(verifiers)

    def replace(self, verifiers: Mapping[str, Verifier | None]) -> frozenset[str]:
        """Takes the logins of a new config. Returns those whose own password does not count any
        more: whoever signed in by it is the caller's to send away."""
        before = {**self._plain, **self._hashed}
        self._plain, self._hashed = {}, {}
        for name, verifier in verifiers.items():
            if isinstance(verifier, PasswordHash):
                self._hashed[name] = verifier
            elif verifier is not None:
                self._plain[name] = self._digest(verifier)
        dearest = max(self._hashed.values(), key=lambda each: each.cost, default=None)
        self._decoy = dearest
        self._names = frozenset(verifiers)
        self._for_scram = {
            name: each for name, each in verifiers.items() if not isinstance(each, PasswordHash)
        }
        self._remembered: dict[str, tuple[bytes, float]] = {}
        self._running: dict[tuple[str, bytes], _Asked] = {}
        self.replace_devices(self._known)
        after = {**self._plain, **self._hashed}
        return frozenset(name for name, own in before.items() if after.get(name) != own)

    def replace_devices(self, known: Sequence[Device]) -> None:
        """Takes the devices that there are now; those of logins that the config lacks wait."""
        self._known = known
        found = [each for each in known if each.login in self._names]
        self._devices = {
            self._device_key(each.login, each.proof.digest): SignedIn(each.login, each.id)
            for each in found
        }
        self._scram = scram.Verifiers(self._for_scram, found, len(self._hashed), self._salt_key)

    async def verify(
        self, name: str, password: Secret, *, devices_alone: bool = False
    ) -> SignedIn | None:
        """Whoever has this password at the login `name`; None for a wrong one. Unknown names take
        as long as wrong passwords. `devices_alone` leaves out the password of the login itself."""
        try:
            size = len(password.reveal().encode())
        except UnicodeEncodeError:  # lone surrogates: no password of ours holds them
            return None
        if size > limits.PASSWORD:
            return None
        device = self._devices.get(self._device_key(name, devices.digest(password)))
        if device is not None or devices_alone:
            return device
        digest = self._digest(password)
        known, until = self._remembered.get(name, (self._nobody, 0.0))
        if hmac.compare_digest(digest, known) and self._clock() < until:
            return SignedIn(name)
        if hmac.compare_digest(digest, self._plain.get(name, self._nobody)):
            return SignedIn(name)
        hashed = self._hashed.get(name)
        against = hashed or self._decoy
        if against is None:
            return None
        right = await self._ask(name, digest, against, password) and hashed is not None
        if right and self._hashed.get(name) is hashed:
            self._remembered[name] = (digest, self._clock() + _REMEMBERED_SECONDS)
        return SignedIn(name) if right else None

    # --- SCRAM --------------------------------------------------------------------------

    @property
    def offers_scram(self) -> bool:
        """Whether every login can sign in by SCRAM-SHA-256."""
        return self._scram.complete

    def exchange(
        self, bindings: Mapping[str, bytes] | None = None, *, plus: bool = False
    ) -> scram.Exchange:
        """For one AUTHENTICATE: hand it to `challenge`, then to `signed_in`. `bindings` are the
        channel bindings of the connection by name, which -PLUS chooses from."""
        return scram.Exchange(self._scram, bindings or {}, plus=plus)

    async def challenge(self, exchange: scram.Exchange, client_first: bytes) -> bytes:
        """What the client must answer. Raises ScramRefused."""
        async with self._turn:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._threads, exchange.challenge, client_first)

    async def signed_in(
        self, exchange: scram.Exchange, client_final: bytes
    ) -> tuple[SignedIn, bytes]:
        """Who proved itself, and our own proof for it. Raises ScramRefused, also where what was
        proved does not count any more."""
        async with self._turn:
            loop = asyncio.get_running_loop()
            signature = await loop.run_in_executor(self._threads, exchange.signature, client_final)
        login = exchange.verifiers.login(exchange.name)
        if login is None:
            raise scram.ScramRefused
        found = SignedIn(login, exchange.device)
        if found.device is None:
            counts = exchange.verifiers.passwords is self._for_scram
        else:
            counts = found in self._devices.values()
        if not counts:
            raise scram.ScramRefused
        return found, signature

    # --- argon2 -------------------------------------------------------------------------

    async def _ask(self, name: str, digest: bytes, against: PasswordHash, password: Secret) -> bool:
        """One thread's work for all who ask the same now; it ends with the last of them."""
        question = (name, digest)
        running = self._running
        asked = running.get(question)
        if asked is None:
            task = asyncio.create_task(self._check(against, password))
            asked = running[question] = _Asked(task)
            task.add_done_callback(lambda _: running.pop(question, None))
        asked.waiting += 1
        try:
            return await asyncio.shield(asked.task)
        finally:
            asked.waiting -= 1
            if not asked.waiting:
                asked.task.cancel()

    async def _check(self, against: PasswordHash, password: Secret) -> bool:
        async with self._turn:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._threads, _matches, against, password)

    def _device_key(self, name: str, digest: bytes) -> bytes:
        message = name.encode(errors="surrogatepass") + b"\0" + digest
        return hmac.digest(self._key, message, "sha256")

    def _digest(self, password: Secret) -> bytes:
        return hmac.digest(self._key, password.reveal().encode(errors="surrogatepass"), "sha256")

    def close(self) -> None:
        """Lets the threads go; a check that is running is not waited for."""
        self._threads.shutdown(wait=False, cancel_futures=True)
