"""OAuth grants on disk, one sealed file an account, and the access tokens that come from them.

Rules:
- A renewed token is on disk before it is used; the refresh token from which it came is kept until
  the new one has proved to work, so that a crash at any instant leaves one that does.
- A sign-in by `popbridge account login` counts from the moment when its file has its name: a
  renewal that was under way meanwhile is thrown away, never written over it.
- A refresh token goes only to the endpoint and the client that it was given to.
- After three refusals in a row the provider is not asked any more, until somebody signs in.
- One renewal an account at a time; a poll that is cancelled does not cut one off.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import hashlib
import json
import os
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from bridge.auth import oauth
from bridge.auth.oauth import Client, OAuthError, Tokens, Trouble
from bridge.auth.secrets import SecretError, write_private
from bridge.auth.vault import Vault
from bridge.model import Secret

REFUSALS = 3
FOLDER = "oauth"
_EARLY_SECONDS = 300  # before its end a token is renewed
_MOST_FILE = 256 * 1024


class TokenError(Exception):
    """There is no access token to log in with. `advice` is what to do next."""

    def __init__(self, kind: Trouble, text: str, advice: str) -> None:
        super().__init__(text)
        self.kind: Trouble = kind
        self.advice = advice


@dataclass(frozen=True, slots=True)
class Grant:
    """What a sign-in gave us, as it is now. `previous` is the refresh token before `refresh`,
    until that has proved to work. `sign_in` tells one sign-in from the next. `ends_at` is when it
    can be renewed no more, 0 where the provider did not say."""

    sign_in: str
    issuer: str  # token endpoint and client id
    access: Secret
    refresh: Secret
    previous: Secret
    expires_at: int
    lifetime: int
    refusals: int = 0
    ends_at: int = 0

    def octets(self) -> bytes:
        return json.dumps(
            {
                "sign_in": self.sign_in,
                "issuer": self.issuer,
                "access": self.access.reveal(),
                "refresh": self.refresh.reveal(),
                "previous": self.previous.reveal(),
                "expires_at": self.expires_at,
                "lifetime": self.lifetime,
                "refusals": self.refusals,
                "ends_at": self.ends_at,
            }
        ).encode()

    @classmethod
    def of(cls, octets: bytes) -> Grant:
        """Raises ValueError, KeyError."""
        said = json.loads(octets)
        return cls(
            sign_in=str(said["sign_in"]),
            issuer=str(said["issuer"]),
            access=Secret(str(said["access"])),
            refresh=Secret(str(said["refresh"])),
            previous=Secret(str(said["previous"])),
            expires_at=int(said["expires_at"]),
            lifetime=int(said["lifetime"]),
            refusals=int(said["refusals"]),
            ends_at=int(said.get("ends_at", 0)),  # grants of 0.1 have none
        )


class Grants:
    """The sealed files in `data_dir/oauth`. Its methods block, but for `access_token`.

    `wall` tells the time in seconds since the epoch.
    """

    def __init__(self, data_dir: Path, *, wall: Callable[[], float] = time.time) -> None:
        self._folder = data_dir / FOLDER
        self._vault = Vault(data_dir)
        self._wall = wall
        self._locks: dict[str, asyncio.Lock] = {}
        self._running: set[asyncio.Task[str]] = set()
        # A renewal that could not be written (a full disk) waits here for the next try.
        self._unwritten: dict[str, tuple[Grant, Grant]] = {}

    def sign_in(self, address: str, client: Client, tokens: Tokens) -> None:
        """Keeps what a person's sign-in gave. Raises SecretError, OSError."""
        now = int(self._wall())
        lasts = tokens.refresh_lifetime if tokens.refresh.reveal() else tokens.lifetime
        grant = Grant(
            sign_in=secrets.token_hex(8),
            issuer=_issuer(client),
            access=tokens.access,
            refresh=tokens.refresh,
            previous=Secret(""),
            expires_at=now + tokens.lifetime,
            lifetime=tokens.lifetime,
            ends_at=now + lasts if lasts else 0,
        )
        with self._locked():
            self._write(address, grant)

    def load(self, address: str) -> Grant | None:
        """None where nobody has signed in. Raises SecretError."""
        path = self._path(address)
        try:
            with path.open("rb") as file:
                sealed = file.read(_MOST_FILE)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise SecretError(f"{path} cannot be read: {error.strerror}") from None
        try:
            return Grant.of(self._vault.open(sealed, _purpose(address)))
        except SecretError as error:
            raise SecretError(f"{path}: {error}") from None
        except (ValueError, KeyError, TypeError):
            raise SecretError(f"{path}: it is not what popbridge wrote") from None

    def ends_at(self, address: str) -> int | None:
        """When the sign-in can be renewed no more, in seconds since the epoch; None where nobody
        knows."""
        try:
            grant = self.load(address)
        except SecretError:
            return None
        return grant.ends_at or None if grant is not None else None

    def replace(self, address: str, before: Grant, after: Grant) -> None:
        """Writes `after`, unless somebody signed in since `before`. Raises SecretError, OSError."""
        with self._locked():
            now = self.load(address)
            if now is not None and now.sign_in == before.sign_in:
                self._write(address, after)

    def _write(self, address: str, grant: Grant) -> None:
        write_private(self._path(address), self._vault.seal(grant.octets(), _purpose(address)))

    def _path(self, address: str) -> Path:
        return self._folder / f"{hashlib.sha256(address.encode()).hexdigest()[:32]}.token"

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Between this process and another one that signs in."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if os.geteuid() == 0:
            owner = self._folder.parent.stat()
            os.chown(self._folder, owner.st_uid, owner.st_gid)
        fd = os.open(self._folder, os.O_RDONLY)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield
        finally:
            os.close(fd)

    # --- access tokens ----------------------------------------------------------------------

    async def access_token(self, address: str, client: Client, refused: str) -> str:
        """A token to log in with; `refused` is one that the server did not take. Raises
        TokenError."""
        task = asyncio.create_task(self._access_token(address, client, refused))
        self._running.add(task)
        task.add_done_callback(self._done)
        return await asyncio.shield(task)

    def _done(self, task: asyncio.Task[str]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            task.exception()  # seen, also when whoever asked is gone

    async def _access_token(self, address: str, client: Client, refused: str) -> str:
        async with self._locks.setdefault(address, asyncio.Lock()):
            try:
                if (waiting := self._unwritten.get(address)) is not None:
                    await self._store(address, *waiting)
                grant = await asyncio.to_thread(self.load, address)
            except SecretError as error:
                raise TokenError("auth", str(error), advice(address)) from error
            if grant is None:
                text = f"nobody has signed in for {address} yet"
                raise TokenError("auth", text, advice(address))
            if grant.issuer != _issuer(client):
                text = f"the sign-in of {address} is for another provider or client_id"
                raise TokenError("auth", text, advice(address))
            token = grant.access.reveal()
            early = min(_EARLY_SECONDS, grant.lifetime // 10)
            if token != refused and self._wall() < grant.expires_at - early:
                return token
            # A refused token is not shown again, whatever comes next.
            spent = replace(grant, expires_at=0) if token == refused else grant
            return await self._renewed(address, client, grant, spent)

    async def _renewed(self, address: str, client: Client, before: Grant, grant: Grant) -> str:
        refusals, problem = grant.refusals, ""
        for token in (grant.refresh, grant.previous):
            if not token.reveal() or refusals >= REFUSALS:
                continue
            try:
                tokens = await oauth.refresh(client, token)
            except OAuthError as error:
                if error.kind != "auth":
                    text = f"the sign-in of {address} could not be renewed: {error}"
                    raise TokenError(error.kind, text, _WAIT) from error
                refusals, problem = refusals + 1, str(error)
                continue
            after = replace(
                grant,
                access=tokens.access,
                # Without a new one this one has proved to work, and stays.
                refresh=tokens.refresh if tokens.refresh.reveal() else token,
                previous=token if tokens.refresh.reveal() else Secret(""),
                expires_at=int(self._wall()) + tokens.lifetime,
                lifetime=tokens.lifetime,
                refusals=0,
                ends_at=self._ends_at(grant, tokens),
            )
            await self._store(address, before, after)
            return tokens.access.reveal()
        failed = replace(grant, refusals=refusals)
        if failed != before:
            await self._store(address, before, failed)
        if not problem:
            problem = (
                f"it was refused {refusals} times, and the provider is not asked any more"
                if refusals
                else "the provider gave no refresh token"
            )
        text = f"the sign-in of {address} cannot be renewed: {problem}"
        raise TokenError("auth", text, advice(address))

    def _ends_at(self, grant: Grant, tokens: Tokens) -> int:
        if tokens.refresh_lifetime is not None:
            return int(self._wall()) + tokens.refresh_lifetime
        return 0 if tokens.refresh.reveal() else grant.ends_at

    async def _store(self, address: str, before: Grant, after: Grant) -> None:
        self._unwritten[address] = before, after
        try:
            await asyncio.to_thread(self.replace, address, before, after)
        except OSError as error:
            text = f"the new token of {address} cannot be kept: {error.strerror}"
            raise TokenError("temporary", text, "Look at the disk of data_dir.") from error
        except SecretError as error:
            raise TokenError("auth", str(error), advice(address)) from error
        del self._unwritten[address]


class AccessToken(Secret):
    """A `Secret` that is asked for when it is needed: `obtain` gives its text."""

    __slots__ = ("_address", "_client", "_grants")

    def __init__(self, grants: Grants, address: str, client: Client) -> None:
        super().__init__("")
        self._grants = grants
        self._address = address
        self._client = client

    @property
    def advice(self) -> str:
        return advice(self._address)

    async def obtain(self, *, refused: str = "") -> str:
        """The token, renewed where it is near its end or equals `refused`. Raises TokenError."""
        return await self._grants.access_token(self._address, self._client, refused)


_WAIT = "It is tried again by itself; look at the network if it stays."


def advice(address: str) -> str:
    return f"Sign in again: popbridge account login {address}"


def _issuer(client: Client) -> str:
    return f"{client.provider.token} {client.client_id}"


def _purpose(address: str) -> str:
    return f"oauth {address}"
