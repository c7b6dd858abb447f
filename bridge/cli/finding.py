"""The part of setup that finds the settings, and says what the provider wants first."""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace
from pathlib import Path

from bridge.arrival import interval
from bridge.cli.common import Exit, Failure
from bridge.cli.talk import Talk
from bridge.config import is_loopback
from bridge.discovery.address import Address
from bridge.discovery.find import Found, Settings, find
from bridge.discovery.providers import of_host
from bridge.discovery.sources import Net, from_file
from bridge.model import Endpoint, Security
from bridge.pop3.addresses import may_be_asked
from bridge.pop3.client import Pop3Session
from bridge.pop3.errors import Pop3Error
from bridge.profiles.settings import MailServer

_GREETING_SECONDS = 8.0


async def find_settings(talk: Talk, address: Address) -> Settings:
    """The settings of this address, shown and agreed to. Raises Failure."""
    finding = _Finding(talk)
    finding.settings = await finding.find(address)
    await finding.introduce()
    if await finding.is_private():
        if talk.o.host is None and not await talk.ask("private", False):
            raise Failure(Exit.USAGE, talk.words("not saved"))
        finding.settings = replace(finding.settings, private_network=True)
    return finding.settings


class _Finding:
    settings: Settings

    def __init__(self, talk: Talk) -> None:
        self.t = talk
        self.o = talk.o

    async def find(self, address: Address) -> Settings:
        label = self.t.words.step("looking", domain=address.domain)
        if self.o.host is not None:
            security = self.o.security or Security.TLS
            port = self.o.port or (995 if security is Security.TLS else 110)
            known = of_host(self.o.host)
            username = self.o.username or str(address)
            self.t.line(label + self.t.words("given"))
            found = Settings(
                MailServer(self.o.host, port, security, username),
                "--host",
                smtp=known.outgoing(username) if known else None,
                interval=known.least_interval if known else 0,
                provider=known,
                oauth=self.o.oauth,
            )
        else:
            answer = await find(address, None if self.o.offline else net(), _greets)
            found = self._judged(answer, label)
        pop3 = MailServer(
            found.pop3.host,
            self.o.port or found.pop3.port,
            self.o.security or found.pop3.security,
            self.o.username or found.pop3.username,
        )
        self.t.said |= {
            "source": found.source,
            "pop3": {
                "host": pop3.host,
                "port": pop3.port,
                "security": pop3.security.value,
                "username": pop3.username,
            },
        }
        return replace(found, pop3=pop3)

    def _judged(self, answer: Found, label: str) -> Settings:
        provider = answer.provider
        if answer.settings is None and provider is not None and provider.no_pop3 is not None:
            self.t.line(label + provider.name)
            text = provider.no_pop3[self.t.words.language]
            raise Failure(Exit.UNAVAILABLE, f"{text} {provider.no_pop3.url}".strip())
        if answer.settings is None:
            self.t.line(label + self.t.words("no"))
            for source, why in answer.asked:
                self.t.line(f"  {source}: {why}")
            if self.o.offline:
                raise Failure(Exit.UNAVAILABLE, self.t.words("offline"))
            raise Failure(Exit.UNAVAILABLE, self.t.words("not found"))
        self.t.line(label + self.t.words("found", source=answer.settings.source))
        if answer.asked or answer.settings.source != "the built-in list":
            self.t.line("  " + self.t.words("sent"))
        return answer.settings

    async def introduce(self) -> None:
        """The settings, what the provider wants first, and whether they may be used."""
        found, lang = self.settings, self.t.words.language
        security = {Security.TLS: "TLS", Security.STARTTLS: "STARTTLS"}.get(
            found.pop3.security, "-"
        )
        self.t.say(
            "server",
            host=found.pop3.host,
            port=found.pop3.port,
            security=security,
            username=found.pop3.username,
            minutes=interval(found) // 60,
        )
        provider = found.provider
        if provider is not None:
            if provider.switch_on is not None:
                text = provider.switch_on
                self.t.say("first", name=provider.name, text=text[lang], url=_url(text.url))
            if provider.app_password is not None:
                text = provider.app_password
                self.t.say(
                    "password wanted", name=provider.name, text=text[lang], url=_url(text.url)
                )
            if provider.note is not None:
                self.t.line(f"  {provider.note[lang]}")
        for page in found.help:
            self.t.line(f"  {page}")
        plain = found.pop3.security is Security.NONE and not is_loopback(found.pop3.host)
        if (
            plain
            and self.o.security is not Security.NONE
            and not await self.t.ask("plaintext", False)
        ):
            raise Failure(Exit.USAGE, self.t.words("not saved"))
        if not found.proved and not await self.t.ask("unproved", True):
            raise Failure(Exit.USAGE, self.t.words("not saved"))

    async def is_private(self) -> bool:
        """Whether a public name leads into a private network: no password goes there unasked."""
        pop3 = self.settings.pop3
        try:
            found = await asyncio.get_running_loop().getaddrinfo(pop3.host, pop3.port)
        except (OSError, UnicodeError):
            return False  # the login says so
        places = [str(each[4][0]) for each in found]
        host = pop3.host
        if any(may_be_asked(host, each, private=False) for each in places):
            return False
        self.t.say("leads", host=host, places=", ".join(sorted(set(places))[:3]))
        return True


def net() -> Net:
    """The net of this machine, or the one that `$POPBRIDGE_NET` describes (tests do)."""
    other = os.environ.get("POPBRIDGE_NET")
    return from_file(Path(other)) if other else Net()


async def _greets(host: str) -> bool:
    try:
        async with asyncio.timeout(_GREETING_SECONDS):
            await Pop3Session.look(Endpoint(host, 995, Security.TLS, ""))
    except (Pop3Error, TimeoutError):
        return False
    return True


def _url(url: str) -> str:
    return f"      {url}" if url else ""
