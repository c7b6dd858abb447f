"""A new account on its way into the config: what is written, and how it is saved.

Rules:
- Nothing that is there is overwritten: secrets get new files, the config keeps every line.
- The secret goes first and the config last, in one rename each, so that no crash leaves a config
  that names a missing password. What cannot be read as a config afterwards is not saved at all.
- Files are 0600, folders that we make 0700.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from bridge import config
from bridge.auth.secrets import write_private
from bridge.config import edit
from bridge.config.edit import Item
from bridge.discovery.address import Address
from bridge.discovery.find import Settings
from bridge.model import Secret, Security

_KNOWN_SECONDS: Final = 600  # between two polls of a provider of which no minimum is known
_UNKNOWN_SECONDS: Final = 900
_FOLDER: Final = "secrets"


@dataclass(frozen=True, slots=True)
class Arrival:
    """An account as it goes into a config. `account` is its item there; `secret_file` where its
    password goes, None for one that has none (OAuth)."""

    account: Item
    login: str
    secret_file: Path | None = None


@dataclass(slots=True)
class Saved:
    """What `save` wrote, so that it can be taken back."""

    made: list[Path] = field(default_factory=list)

    def take_back(self) -> None:
        """Deletes what was made, also folders that are empty again."""
        for path in reversed(self.made):
            with contextlib.suppress(OSError):
                path.rmdir() if path.is_dir() else path.unlink()


def interval(settings: Settings) -> int:
    """Seconds between two polls: the provider's minimum, and never below ten minutes."""
    known = _KNOWN_SECONDS if settings.provider is not None else _UNKNOWN_SECONDS
    return max(settings.interval, known)


def arrival(
    config_path: Path,
    address: Address,
    settings: Settings,
    *,
    login: str | None = None,
    oauth: Mapping[str, str] | None = None,
) -> Arrival:
    """The account of this address, with a name for its secret that nobody has yet."""
    pop3: dict[str, str | int | bool | Sequence[str] | Item] = {"host": settings.pop3.host}
    if settings.pop3.port != (995 if settings.pop3.security is Security.TLS else 110):
        pop3["port"] = settings.pop3.port
    if settings.pop3.security is not Security.TLS:
        pop3["security"] = settings.pop3.security.value
    pop3["username"] = settings.pop3.username
    secret_file = None
    if oauth is None:
        secret_file = _unused(config_path.parent / _FOLDER, str(address))
        pop3["password_file"] = f"{_FOLDER}/{secret_file.name}"
    else:
        pop3["oauth"] = dict(oauth)
    if settings.pop3.security is Security.NONE and not config.is_loopback(settings.pop3.host):
        pop3["allow_plaintext"] = True
    if settings.private_network:
        pop3["private_network"] = True
    account: dict[str, str | int | bool | Sequence[str] | Item] = {
        "address": str(address),
        "pop3": pop3,
        "interval": f"{interval(settings) // 60}m",
    }
    if settings.smtp is not None and settings.provider is None:
        account["smtp"] = {
            "host": settings.smtp.host,
            "port": settings.smtp.port,
            "security": settings.smtp.security.value,
            "username": settings.smtp.username,
        }
    if login is not None and login != str(address):
        account["login"] = login
    return Arrival(account, login or str(address), secret_file)


def save(
    config_path: Path,
    new: Arrival,
    password: Secret | None,
    *,
    top: Item | None = None,
    page_password: Secret | None = None,
) -> Saved:
    """Writes the secrets, then the config: with `top` a new one that has these keys, else the one
    that is there, with the account and its login added.

    Raises FileExistsError (a new one, and there is one meanwhile), CannotEdit, ConfigError,
    OSError; then nothing is left behind.
    """
    saved = Saved()
    try:
        _make_folder(config_path.parent, saved)
        text = edit.fresh(top) if top is not None else config_path.read_text(encoding="utf-8")
        text = edit.add(text, "accounts", new.account)
        if not _has_login(config_path, top, new.login):
            text = edit.add(text, "logins", {"name": new.login})
        for path, secret in (
            (new.secret_file, password),
            (config_path.parent / _FOLDER / "page", page_password),
        ):
            if path is not None and secret is not None:
                _make_folder(path.parent, saved)
                write_private(path, secret.reveal().encode() + b"\n", replace=False)
                saved.made.append(path)
        _replace(config_path, text, is_new=top is not None)
        if top is not None:
            saved.made.append(config_path)
    except BaseException:
        saved.take_back()
        raise
    return saved


def drop(config_path: Path, address: str) -> Path | None:
    """Takes an account out of the config. Returns the file of its password, which stays. Raises
    LookupError, CannotEdit, ConfigError, OSError."""
    settings = config.load(config_path)
    found = [index for index, each in enumerate(settings.accounts) if each.address == address]
    if not found:
        known = ", ".join(each.address for each in settings.accounts) or "none"
        raise LookupError(f"there is no account {address}; the config has {known}")
    text = edit.remove(config_path.read_text(encoding="utf-8"), "accounts", found[0])
    _replace(config_path, text, is_new=False)
    return settings.accounts[found[0]].pop3.password_file


def _has_login(config_path: Path, top: Item | None, login: str) -> bool:
    return top is None and any(each.name == login for each in config.load(config_path).logins)


def _make_folder(folder: Path, saved: Saved) -> None:
    missing: list[Path] = []
    while not folder.exists():
        missing.append(folder)
        folder = folder.parent
    for each in reversed(missing):
        each.mkdir(mode=0o700)
        saved.made.append(each)


def _unused(folder: Path, name: str) -> Path:
    """A name of a file that is not there, made of an address."""
    plain = re.sub(r"[^A-Za-z0-9@._+-]", "_", name).lstrip(".") or "secret"
    return next(each for each in _names(folder, plain) if not each.exists())


def _names(folder: Path, plain: str) -> Iterator[Path]:
    yield folder / plain
    for number in range(2, 1000):
        yield folder / f"{plain}-{number}"
    yield folder / f"{plain}-{secrets.token_hex(8)}"


def _replace(config_path: Path, text: str, *, is_new: bool) -> None:
    """Gives the config this text, once it was read as one; whoever may read it stays as it was."""
    draft = config_path.with_name(f".{config_path.name}.{secrets.token_hex(4)}")
    target = config_path.resolve()  # behind a link, what it leads to
    try:
        write_private(draft, text.encode())
        config.load(draft)
        if is_new:
            os.link(draft, target)
            return
        before = target.stat()
        draft.chmod(stat.S_IMODE(before.st_mode))
        if os.geteuid() == 0:
            os.chown(draft, before.st_uid, before.st_gid)
        os.replace(draft, target)
    finally:
        draft.unlink(missing_ok=True)
