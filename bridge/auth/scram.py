"""SCRAM-SHA-256 as a server speaks it (RFC 5802, RFC 7677): the password is never said.

Rules:
- It takes the password itself to make the keys, so that a login with a hash cannot have it. A
  device takes the strongest way that is announced and does not fall back: where one login cannot,
  SCRAM is announced to nobody (`Verifiers.complete`).
- A name that nobody has gets a salt too, always the same one while the process lives, and costs
  what a real one costs; only the proof fails.
- Keys are made anew for each exchange and kept no longer: a salt costs 10,000 rounds, about 5 ms
  in a thread.
- An exchange that began before a new config came ends without a login.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Mapping
from typing import Final

import scramp
from scramp.utils import saslprep

from bridge.model import Secret

ITERATIONS: Final = 10_000  # RFC 7677 4: at least 4096
_SALT: Final = 16  # octets

Keys = tuple[bytes, bytes, bytes, int]  # salt, StoredKey, ServerKey, iterations


class ScramRefused(Exception):
    """The exchange failed: a wrong proof, an unknown name, or no SCRAM message at all."""


class Verifiers:
    """The passwords of the logins that can use SCRAM, by prepared name (RFC 4013)."""

    def __init__(self, plain: Mapping[str, Secret], others: int) -> None:
        """`others` counts the logins whose password is not known."""
        self._key = secrets.token_bytes(32)
        self._passwords: dict[str, tuple[str, Secret]] = {}
        for name, password in plain.items():
            try:
                saslprep(password.reveal())
                prepared = saslprep(name)
            except scramp.ScramException:
                others += 1
                continue
            others += prepared in self._passwords  # two names that SCRAM cannot tell apart
            self._passwords[prepared] = name, password
        self.complete = bool(plain) and not others

    def login(self, prepared: str) -> str | None:
        found = self._passwords.get(prepared)
        return found[0] if found is not None else None

    def keys(self, prepared: str) -> Keys:
        """Of the name, or of a name that nobody has."""
        salt = hmac.digest(self._key, prepared.encode(), "sha256")[:_SALT]
        _, password = self._passwords.get(prepared, ("", None))
        text = secrets.token_hex() if password is None else password.reveal()
        made: Keys = scramp.ScramMechanism("SCRAM-SHA-256").make_auth_info(text, ITERATIONS, salt)
        return made


class Exchange:
    """One exchange: `challenge`, then `signature`; each is asked once, in a thread."""

    def __init__(self, verifiers: Verifiers) -> None:
        self.verifiers = verifiers
        self.name = ""  # as the client said it, prepared
        self._server = scramp.ScramMechanism("SCRAM-SHA-256").make_server(self._keys)

    def _keys(self, prepared: str) -> Keys:
        self.name = prepared
        return self.verifiers.keys(prepared)

    def challenge(self, client_first: bytes) -> bytes:
        """b"n,,n=alice,r=..." -> b"r=...,s=...,i=10000". Raises ScramRefused."""
        try:
            self._server.set_client_first(client_first.decode())
            return str(self._server.get_server_first()).encode()
        except (scramp.ScramException, ValueError, KeyError):
            raise ScramRefused from None

    def signature(self, client_final: bytes) -> bytes:
        """b"c=biws,r=...,p=..." -> b"v=...", our proof that we know the password too. Raises
        ScramRefused; RFC 5802 7 would let us say why, which helps who guesses."""
        try:
            self._server.set_client_final(client_final.decode())
            signed = str(self._server.get_server_final()).encode()
        except (scramp.ScramException, ValueError, KeyError):
            raise ScramRefused from None
        if self.verifiers.login(self.name) is None:
            raise ScramRefused
        return signed
