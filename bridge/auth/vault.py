"""Secrets of ours on disk, encrypted: AES-256-GCM under a key that lies elsewhere.

Rules:
- The key is systemd's credential `popbridge.key` where there is one, else `data_dir/secret.key`,
  made at first need with mode 0600. A key that others can read is refused.
- What was sealed with the key of the file is still opened when a credential comes later.
- The purpose is authenticated too: a sealed value that is moved to another name does not open.
- No error shows what was sealed.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from bridge.auth.secrets import SecretError, why_not_private, write_private

CREDENTIAL = "popbridge.key"
KEY_FILE = "secret.key"

_MAGIC = b"popbridge sealed 1\n"
_KEY = 32
_KEY_NAME = 8  # octets of a hash that tell which key it was
_NONCE = 12
_MOST_KEY = 4096


class VaultError(SecretError):
    """A secret cannot be sealed or opened; the text says which file is wrong."""


class Vault:
    """Seals and opens. `environ` is where systemd says that there are credentials."""

    def __init__(self, data_dir: Path, environ: Mapping[str, str] = os.environ) -> None:
        self._file = data_dir / KEY_FILE
        folder = environ.get("CREDENTIALS_DIRECTORY")
        self._credential = Path(folder) / CREDENTIAL if folder else None

    def seal(self, secret: bytes, purpose: str) -> bytes:
        """Raises VaultError, OSError."""
        key = self._credential_key() or self._file_key() or self._new_key()
        nonce = os.urandom(_NONCE)
        head = _MAGIC + _name(key)
        return head + nonce + AESGCM(key).encrypt(nonce, secret, head + purpose.encode())

    def open(self, sealed: bytes, purpose: str) -> bytes:
        """Raises VaultError: another key, or not as we wrote it."""
        start = len(_MAGIC) + _KEY_NAME
        head, nonce = sealed[:start], sealed[start : start + _NONCE]
        if not head.startswith(_MAGIC) or len(nonce) < _NONCE:
            raise VaultError("it is not what popbridge wrote")
        for key in (self._credential_key(), self._file_key()):
            if key is not None and head.endswith(_name(key)):
                try:
                    rest = sealed[start + _NONCE :]
                    return AESGCM(key).decrypt(nonce, rest, head + purpose.encode())
                except InvalidTag:
                    raise VaultError("it was changed since popbridge wrote it") from None
        raise VaultError(f"it was encrypted with another key than {self._places()}")

    def _places(self) -> str:
        return f"{self._credential} or {self._file}" if self._credential else str(self._file)

    def _credential_key(self) -> bytes | None:
        content = _read(self._credential) if self._credential is not None else None
        return None if content is None else hashlib.sha256(content).digest()

    def _file_key(self) -> bytes | None:
        return _read(self._file)

    def _new_key(self) -> bytes:
        """Makes the key file; where another process is quicker, its key counts."""
        write_private(self._file, os.urandom(_KEY), replace=False)
        key = self._file_key()
        assert key is not None
        return key


def _read(path: Path) -> bytes | None:
    if not path.exists():
        return None
    if complaint := why_not_private(path):
        raise VaultError(f"{path} {'; '.join(complaint)}")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise VaultError(f"{path} cannot be read: {error.strerror}") from None
    if not _KEY <= len(content) <= _MOST_KEY:
        raise VaultError(f"{path} is no key: {_KEY} random octets are wanted")
    return content if len(content) == _KEY else hashlib.sha256(content).digest()


def _name(key: bytes) -> bytes:
    return hashlib.sha256(b"popbridge key name\n" + key).digest()[:_KEY_NAME]
