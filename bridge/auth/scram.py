"""SCRAM-SHA-256 as a server speaks it (RFC 5802, RFC 7677): the password is never said. -PLUS
also binds the login to the TLS connection, so that nobody in between can pass it on (RFC 5929).

Rules:
- A login may have several passwords: that of the config, and one for each device. They share one
  salt, which is all that an exchange must know before the proof comes; the proof is then held
  against each.
- It takes the password itself to make the keys, or the keys that were made with it, so that a
  login with a hash cannot have it. A device takes the strongest way that is announced and does not
  fall back: where one login cannot, SCRAM is announced to nobody (`Verifiers.complete`).
- A name that nobody has gets a salt too, always the same one, and costs what a real one costs: as
  many proofs are tried for each name as the login with the most devices has.
- Keys of the config's passwords are made anew for each exchange and kept no longer: a salt costs
  10,000 rounds, about 5 ms in a thread.
"""

from __future__ import annotations

import contextlib
import hmac
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import scramp
from scramp.utils import ServerError, saslprep

from bridge.model import Device, DeviceId, DeviceProof, Secret

# RFC 7677 4: at least 4096. The keys of devices are kept and were made with it: a change would
# lock all of them out.
ITERATIONS: Final = 10_000
_SALT: Final = 16  # octets
_MECHANISM: Final = scramp.ScramMechanism("SCRAM-SHA-256")
_PLUS: Final = scramp.ScramMechanism("SCRAM-SHA-256-PLUS")

Keys = tuple[bytes, bytes, bytes, int]  # salt, StoredKey, ServerKey, iterations
Bound = tuple[str, bytes]  # a channel binding: its name and its octets


class ScramRefused(Exception):
    """The exchange failed: a wrong proof, an unknown name, or no SCRAM message at all. A text says
    what to do where the password is not the matter; else there is none, as it helps who guesses."""


_NOT_OURS: Final = (
    "TLS does not end here for your device: something in between opens it (a proxy, a virus "
    "scanner); take that away, or use a login without channel binding"
)
_DOWNGRADED: Final = (
    "Your device was told that there is no channel binding, and there is: something in between "
    "changes what we say"
)


def salt(key: bytes, login: str) -> bytes:
    """The salt of a login's passwords, under the key of this store. RFC 4013 may not allow the
    name: then there is no SCRAM, and the salt does not matter."""
    with contextlib.suppress(scramp.ScramException):
        login = saslprep(login)
    return hmac.digest(key, login.encode(errors="surrogatepass"), "sha256")[:_SALT]


def keys(password: Secret, salted: bytes) -> tuple[bytes, bytes]:
    """StoredKey and ServerKey (RFC 5802 3). Takes milliseconds."""
    _, stored, server, _ = _MECHANISM.make_auth_info(password.reveal(), ITERATIONS, salted)
    return stored, server


@dataclass(frozen=True, slots=True)
class _Login:
    name: str
    password: Secret | None
    devices: tuple[tuple[DeviceId, DeviceProof], ...]


class Verifiers:
    """The passwords of the logins that can use SCRAM, by prepared name (RFC 4013)."""

    def __init__(
        self,
        passwords: Mapping[str, Secret | None],
        devices: Sequence[Device],
        others: int,
        key: bytes,
    ) -> None:
        """`passwords` has None for a login that has devices alone, `others` counts the logins
        whose password is not known."""
        self._key = key
        self._logins: dict[str, _Login] = {}
        self.passwords = passwords
        for name, password in passwords.items():
            try:
                if password is not None:
                    saslprep(password.reveal())
                prepared = saslprep(name)
            except scramp.ScramException:
                others += 1
                continue
            others += prepared in self._logins  # two names that SCRAM cannot tell apart
            proofs = tuple((each.id, each.proof) for each in devices if each.login == name)
            self._logins[prepared] = _Login(name, password, proofs)
        self.complete = bool(passwords) and not others
        self._most = max((len(each.devices) for each in self._logins.values()), default=0)

    def login(self, prepared: str) -> str | None:
        found = self._logins.get(prepared)
        return found.name if found is not None else None

    def keys(self, prepared: str) -> Sequence[tuple[DeviceId | None, Keys]]:
        """All that this name, or one that nobody has, may prove; None is the config's password."""
        salted = hmac.digest(self._key, prepared.encode(), "sha256")[:_SALT]
        found = self._logins.get(prepared, _Login("", None, ()))
        password = found.password or Secret(secrets.token_hex())
        made: list[tuple[DeviceId | None, Keys]] = [
            (None, (salted, *keys(password, salted), ITERATIONS))
        ]
        for device, proof in found.devices:
            made.append((device, (salted, proof.stored_key, proof.server_key, ITERATIONS)))
        for _ in range(self._most - len(found.devices)):
            nobody = secrets.token_bytes(32), secrets.token_bytes(32)
            made.append((DeviceId(0), (salted, *nobody, ITERATIONS)))
        return made


class Exchange:
    """One exchange: `challenge`, then `signature`; each is asked once, in a thread."""

    def __init__(self, verifiers: Verifiers, bindings: Mapping[str, bytes], *, plus: bool) -> None:
        """`bindings` are those of the connection, by name; with any of them -PLUS was announced."""
        self.verifiers = verifiers
        self.name = ""  # as the client said it, prepared
        self._bindings = bindings
        self._plus = plus
        self.device: DeviceId | None = None  # whose password was proved; None: the config's
        self._servers: list[tuple[DeviceId | None, scramp.ScramServer]] = []

    def challenge(self, client_first: bytes) -> bytes:
        """b"n,,n=alice,r=..." -> b"r=...,s=...,i=10000". Raises ScramRefused."""
        bound = self._bound(client_first)
        said = ""
        nonce = secrets.token_urlsafe(18)
        try:
            text = client_first.decode()
            self.name = _name(text, bound)
            for device, known in self.verifiers.keys(self.name):
                server = _server(known, bound, nonce)
                server.set_client_first(text)
                said = str(server.get_server_first())
                self._servers.append((device, server))
        except (scramp.ScramException, ValueError, KeyError):
            raise ScramRefused from None
        return said.encode()

    def _bound(self, client_first: bytes) -> Bound | None:
        """The channel binding that the client chose; only -PLUS has one. Raises ScramRefused."""
        # RFC 5802 7: "n", "y" or "p=" and the name of a channel binding
        flag, _, name = client_first.partition(b",")[0].partition(b"=")
        if flag == b"y" and self._bindings:
            raise ScramRefused(_DOWNGRADED)  # RFC 5802 6
        if self._plus != (flag == b"p"):
            raise ScramRefused
        if not self._plus:
            return None
        found = self._bindings.get(name.decode("ascii", "replace"))
        if found is None:
            raise ScramRefused
        return name.decode(), found

    def signature(self, client_final: bytes) -> bytes:
        """b"c=biws,r=...,p=..." -> b"v=...", our proof that we know the password too. Raises
        ScramRefused; RFC 5802 7 would let us say why, which helps who guesses."""
        signed: dict[DeviceId | None, bytes] = {}
        for device, server in self._servers:
            try:
                server.set_client_final(client_final.decode())
                signed[device] = str(server.get_server_final()).encode()
            except (scramp.ScramException, ValueError, KeyError) as error:
                code = getattr(error, "server_error", None)
                if self._plus and code is ServerError.CHANNEL_BINDINGS_DONT_MATCH:
                    raise ScramRefused(_NOT_OURS) from None
        if not signed or self.verifiers.login(self.name) is None:
            raise ScramRefused
        self.device, signature = next(iter(signed.items()))
        return signature


def _server(
    known: Keys, bound: Bound | None, nonce: str, hear: Callable[[str], None] = lambda _: None
) -> scramp.ScramServer:
    """For one password; `hear` is told the name that the client says, prepared."""

    def look(prepared: str) -> Keys:
        hear(prepared)
        return known

    mechanism = _MECHANISM if bound is None else _PLUS
    return mechanism.make_server(look, channel_binding=bound, s_nonce=nonce)


def _name(client_first: str, bound: Bound | None) -> str:
    """The name in a client's first message, prepared. Raises ScramException."""
    heard: list[str] = []
    nobody = bytes(_SALT), bytes(32), bytes(32), ITERATIONS
    _server(nobody, bound, "x", heard.append).set_client_first(client_first)
    return heard[0]
