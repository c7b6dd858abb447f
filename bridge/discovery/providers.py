"""The table of providers (`providers.toml`) as values, found by domain, by MX or by host name.

Rules: facts only, each with its source; a provider that is not here is none the worse: the net is
asked. The one table serves setup, the schedule's minimums and the advice of refused logins.
"""

from __future__ import annotations

import functools
import os
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Literal, TypeAlias

from bridge.model import Security
from bridge.profiles.settings import MailServer

Language = Literal["en", "de"]
Value: TypeAlias = "str | int | bool | Sequence[str] | Mapping[str, str]"


@dataclass(frozen=True, slots=True)
class Text:
    """What to tell a person, in both languages, and a page that says more (or "")."""

    en: str
    de: str
    url: str = ""

    def __getitem__(self, language: Language) -> str:
        return self.de if language == "de" else self.en


@dataclass(frozen=True, slots=True)
class Provider:
    """One row; see providers.toml for what the keys mean. `least_interval` is in seconds, 0 where
    nothing is known; `app_password_when` is "always", "2fa" or ""."""

    id: str
    name: str
    domains: Sequence[str]
    source: str
    mx: Sequence[str] = ()
    host: str = ""
    hosts: Sequence[str] = ()
    port: int = 995
    security: Security = Security.TLS
    username: str = "{address}"
    least_interval: int = 0
    smtp: str = ""
    switch_on: Text | None = None
    app_password: Text | None = None
    app_password_when: str = ""
    oauth: str = ""
    note: Text | None = None
    no_pop3: Text | None = None
    refused: str = ""
    auth_alone: bool = False
    strict: bool = False
    pop3_only: bool = False
    pops_oldest: bool = False

    def server(self, domain: str) -> str:
        """The POP3 host for addresses of this domain."""
        return self.host.replace("{domain}", domain)

    def outgoing(self, username: str) -> MailServer | None:
        """Where mail is sent, as far as it is known. Port 465 begins with TLS, 587 upgrades
        (RFC 8314 3.3)."""
        host, _, port = self.smtp.partition(":")
        if not host:
            return None
        security = Security.TLS if port == "465" else Security.STARTTLS
        return MailServer(host, int(port), security, username.removeprefix("recent:"))


@functools.cache
def table() -> Sequence[Provider]:
    """All providers, in the order of the file; before them those of the file of the same form that
    `$POPBRIDGE_PROVIDERS` names, for a network of one's own."""
    texts = [resources.files(__package__).joinpath("providers.toml").read_text(encoding="utf-8")]
    if own := os.environ.get("POPBRIDGE_PROVIDERS"):
        texts.insert(0, Path(own).read_text(encoding="utf-8"))
    return tuple(
        _provider(name, row) for text in texts for name, row in tomllib.loads(text).items()
    )


def of_domain(domain: str) -> Provider | None:
    """Whose addresses end so, in lower case and ASCII."""
    return next((each for each in table() if domain in each.domains), None)


def of_mx(host: str) -> Provider | None:
    """Whose mail goes to this MX: the longest end of its name counts."""
    found = [(end, each) for each in table() for end in each.mx if ends_with(host, end)]
    return max(found, key=lambda pair: len(pair[0]))[1] if found else None


def of_host(host: str) -> Provider | None:
    """Whose POP3 server this is."""
    return next(
        (
            each
            for each in table()
            if any(ends_with(host, end) for end in (each.host, *each.hosts) if end)
        ),
        None,
    )


def ends_with(host: str, end: str) -> bool:
    """`pop.gmx.net` ends with `gmx.net` and with itself, `notgmx.net` does not."""
    host = host.lower().rstrip(".")
    return host == end or host.endswith("." + end)


def _provider(name: str, row: Mapping[str, Value]) -> Provider:
    known = {
        "name", "domains", "source", "mx", "host", "hosts", "port", "security", "username",
        "minutes", "smtp", "switch_on", "app_password", "oauth", "note", "no_pop3", "refused",
        "auth_alone", "strict", "pop3_only", "pops_oldest",
    }  # fmt: skip
    if unknown := row.keys() - known:
        raise ValueError(f"providers.toml: [{name}] has {', '.join(sorted(unknown))}")
    port = row.get("port", 995)
    minutes = row.get("minutes", 0)
    app_password = row.get("app_password")
    return Provider(
        id=name,
        name=_text(row, "name"),
        domains=_texts(row, "domains"),
        source=_text(row, "source"),
        mx=_texts(row, "mx"),
        host=_text(row, "host"),
        hosts=_texts(row, "hosts"),
        port=port if isinstance(port, int) else 995,
        security=Security(_text(row, "security") or "tls"),
        username=_text(row, "username") or "{address}",
        least_interval=minutes * 60 if isinstance(minutes, int) else 0,
        smtp=_text(row, "smtp"),
        switch_on=_hint(row, "switch_on"),
        app_password=_hint(row, "app_password"),
        app_password_when=app_password["when"] if isinstance(app_password, Mapping) else "",
        oauth=_text(row, "oauth"),
        note=_hint(row, "note"),
        no_pop3=_hint(row, "no_pop3"),
        refused=_text(row, "refused"),
        auth_alone=bool(row.get("auth_alone")),
        strict=bool(row.get("strict")),
        pop3_only=bool(row.get("pop3_only")),
        pops_oldest=bool(row.get("pops_oldest")),
    )


def _text(row: Mapping[str, Value], key: str) -> str:
    value = row.get(key, "")
    if not isinstance(value, str):
        raise ValueError(f"providers.toml: {key} is no text")
    return value


def _texts(row: Mapping[str, Value], key: str) -> Sequence[str]:
    value = row.get(key, ())
    if not isinstance(value, list | tuple):
        raise ValueError(f"providers.toml: {key} is no list")
    return tuple(value)


def _hint(row: Mapping[str, Value], key: str) -> Text | None:
    value = row.get(key)
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise ValueError(f"providers.toml: {key} has no languages")
    return Text(value["en"], value["de"], value.get("url", ""))
