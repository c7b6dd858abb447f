"""The sentences of mistakes: what is wrong, and what to write instead.

Rule: a value may be a password in the wrong place, so only short scalars of keys that hold no
secret are ever repeated, and whatever could move a terminal is taken out of them.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, Field
from pydantic_core import ErrorDetails

from bridge.config import models
from bridge.config.tree import Path
from bridge.config.values import quoted, short

SECRET_KEYS = frozenset({"password", "password_hash", "password_command", "client_secret", "proxy"})


@dataclass(frozen=True, slots=True)
class Mistake:
    """One thing that is wrong, where, and what to write instead. `line`, `column` from 1."""

    file: str
    line: int
    column: int
    key: str
    text: str
    advice: str

    def __str__(self) -> str:
        key = f" {self.key}" if self.key else ""
        return f"{self.file}:{self.line}:{self.column}{key}: {self.text}; {self.advice}"


class ConfigError(Exception):
    """The config cannot be used; `mistakes` are all of its mistakes, in the file's order."""

    def __init__(self, mistakes: Iterable[Mistake]) -> None:
        self.mistakes = tuple(mistakes)
        super().__init__("\n".join(map(str, self.mistakes)))


def explain(error: ErrorDetails, path: Path) -> tuple[str, str]:
    """A model's error in our words: (what is wrong, what to write)."""
    kind = error["type"]
    if kind == "mistake":
        return str(error["ctx"]["text"]), str(error["ctx"]["advice"])
    owner = _section(path[:-1])
    key = str(path[-1]) if path else ""
    if kind == "extra_forbidden":
        return _unknown(key, owner)
    wanted, advice = _wanted(path)
    if kind == "missing":
        return "is missing", advice
    return f"{_shown(error['input'], path)}, {wanted} is wanted", advice


def empty(path: Path) -> tuple[str, str]:
    """(what is wrong, what to write) for a key with nothing behind it."""
    wanted, advice = _wanted(path)
    return f"is empty, {wanted} is wanted", advice


def _wanted(path: Path) -> tuple[str, str]:
    field, named = _field(path)
    wanted = (field.description if field else None) or "something else"
    examples = [str(each) for each in (field.examples if field else None) or ()]
    return wanted, f"write {named}: {examples[0]}" if examples else "delete it"


def _unknown(key: str, owner: type[BaseModel] | None) -> tuple[str, str]:
    known = list(owner.model_fields) if owner else []
    for other in difflib.get_close_matches(key.lower().replace("-", "_"), known, 1, 0.6):
        return "is not known", f"write {other}"
    for section, place in _HOMES.items():
        if key in section.model_fields and section is not owner:
            return f"is not known here, it belongs {place}", "move it there"
    return "is not known", "delete it; known here: " + ", ".join(known)


_HOMES: dict[type[BaseModel], str] = {
    models.Pop3Config: "under pop3",
    models.SmtpConfig: "under smtp",
    models.OAuthConfig: "under pop3.oauth",
    models.AccountConfig: "into an account",
    models.LoginConfig: "into a login",
    models.QuotaConfig: "under imap.quota",
    models.ImapConfig: "under imap",
    models.WebConfig: "under web",
    models.Config: "at the top",
}
_SECTIONS: dict[str, type[BaseModel]] = {
    "imap": models.ImapConfig,
    "certificate": models.CertificateFiles,
    "quota": models.QuotaConfig,
    "web": models.WebConfig,
    "accounts": models.AccountConfig,
    "pop3": models.Pop3Config,
    "keep_on_server": models.KeepOnServer,
    "smtp": models.SmtpConfig,
    "oauth": models.OAuthConfig,
    "logins": models.LoginConfig,
}


def _section(path: Path) -> type[BaseModel] | None:
    names = [step for step in path if isinstance(step, str)]
    return _SECTIONS.get(names[-1]) if names else models.Config


def _is_section(path: Path) -> bool:
    """imap, imap.certificate, accounts, accounts[0] and the like."""
    named = path[:-1] if path and isinstance(path[-1], int) else path
    return bool(named) and named[-1] in _SECTIONS


def _field(path: Path) -> tuple[Any, str]:
    """The model's field that `path` is in, and its name."""
    names = [step for step in path if isinstance(step, str)]
    if not names:  # a list at the top of the file
        return None, ""
    if isinstance(path[-1], int) and _is_section(path):  # one account, one login
        return Field(description="a mapping of keys", examples=["{...}"]), names[-1]
    owner = _section(tuple(names[:-1]))
    return (owner.model_fields.get(names[-1]) if owner else None), names[-1]


def _shown(value: object, path: Path) -> str:
    if value is None or value == "":
        return "is empty"
    if isinstance(value, dict):
        return "is a mapping of keys"
    if isinstance(value, (list, tuple)):
        return "is a list"
    if not isinstance(value, str):
        return "is something else"
    return (
        "is text"
        if not SECRET_KEYS.isdisjoint(map(str, path)) or _is_section(path)
        else f"is {quoted(value)}"
    )


def dotted(path: Path) -> str:
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{short(step)}" for step in path)
    return text.removeprefix(".")
