"""Who may sign in: passwords of logins, plain or argon2id.

Rules:
- Nothing about a login shows in the time that a refusal takes: an unknown name costs what a
  wrong password costs. Where any login has a hash, every refusal pays for one.
- argon2id is meant to be slow (64 MiB and 0.1 to 0.4 s) and phones open five connections at
  once: equal questions that are asked together are answered together, and a password that was
  right stays known for some minutes, as a digest under a key that lives as long as the process.
- It runs in few threads, never on the event loop; who gives up waiting leaves the queue.
- What verified before `replace` never helps after it.
"""

from __future__ import annotations

import asyncio
import hmac
import secrets
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeAlias

import argon2

from bridge import limits
from bridge.auth import scram
from bridge.model import Secret

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


@dataclass(slots=True)
class _Asked:
    task: asyncio.Task[bool]
    waiting: int = 0


class Passwords:
    """The verifiers of all logins, by name. Make one a process, `close` it at the end."""

    def __init__(
        self,
        verifiers: Mapping[str, Verifier],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._key = secrets.token_bytes(32)
        self._clock = clock
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="argon2")
        self._turn = asyncio.Semaphore(_THREADS)
        self._nobody = self._digest(Secret(secrets.token_hex(16)))
        self.replace(verifiers)

    def replace(self, verifiers: Mapping[str, Verifier]) -> None:
        """Takes the logins of a new config; sessions that are signed in are not touched."""
        self._plain: dict[str, bytes] = {}
        self._hashed: dict[str, PasswordHash] = {}
        for name, verifier in verifiers.items():
            if isinstance(verifier, PasswordHash):
                self._hashed[name] = verifier
            else:
                self._plain[name] = self._digest(verifier)
        dearest = max(self._hashed.values(), key=lambda each: each.cost, default=None)
        self._decoy = dearest
        plain = {name: each for name, each in verifiers.items() if isinstance(each, Secret)}
        self._scram = scram.Verifiers(plain, others=len(self._hashed))
        self._remembered: dict[str, tuple[bytes, float]] = {}
        self._running: dict[tuple[str, bytes], _Asked] = {}

    async def verify(self, name: str, password: Secret) -> bool:
        """Is this the password of the login `name`? Unknown names take as long as wrong ones."""
        try:
            size = len(password.reveal().encode())
        except UnicodeEncodeError:  # lone surrogates: no password of ours holds them
            return False
        if size > limits.PASSWORD:
            return False
        digest = self._digest(password)
        known, until = self._remembered.get(name, (self._nobody, 0.0))
        if hmac.compare_digest(digest, known) and self._clock() < until:
            return True
        if hmac.compare_digest(digest, self._plain.get(name, self._nobody)):
            return True
        hashed = self._hashed.get(name)
        against = hashed or self._decoy
        if against is None:
            return False
        right = await self._ask(name, digest, against, password) and hashed is not None
        if right and self._hashed.get(name) is hashed:
            self._remembered[name] = (digest, self._clock() + _REMEMBERED_SECONDS)
        return right

    # --- SCRAM --------------------------------------------------------------------------

    @property
    def offers_scram(self) -> bool:
        """Whether every login can sign in by SCRAM-SHA-256."""
        return self._scram.complete

    def exchange(self) -> scram.Exchange:
        """For one AUTHENTICATE: hand it to `challenge`, then to `signed_in`."""
        return scram.Exchange(self._scram)

    async def challenge(self, exchange: scram.Exchange, client_first: bytes) -> bytes:
        """What the client must answer. Raises ScramRefused."""
        async with self._turn:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._threads, exchange.challenge, client_first)

    def signed_in(self, exchange: scram.Exchange, client_final: bytes) -> tuple[str, bytes]:
        """The login that proved itself, and our own proof for it. Raises ScramRefused."""
        signature = exchange.signature(client_final)
        login = exchange.verifiers.login(exchange.name)
        if login is None or exchange.verifiers is not self._scram:
            raise scram.ScramRefused
        return login, signature

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

    def _digest(self, password: Secret) -> bytes:
        return hmac.digest(self._key, password.reveal().encode(errors="surrogatepass"), "sha256")

    def close(self) -> None:
        """Lets the threads go; a check that is running is not waited for."""
        self._threads.shutdown(wait=False, cancel_futures=True)
