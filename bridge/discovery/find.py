"""All sources, in their order: what POP3 server does this address have?

    1 the table of providers, by domain
    2 https://autoconfig.DOMAIN/mail/config-v1.1.xml and
      https://DOMAIN/.well-known/autoconfig/mail/config-v1.1.xml
    3 the ISPDB, https://v1.ispdb.net/DOMAIN
    4 the MX of the domain: a provider of the table, else 2 and 3 again with the MX's domain
    5 SRV records (RFC 6186, RFC 8314 5.1)
    6 names that are often right: pop.DOMAIN, pop3.DOMAIN, mail.DOMAIN

Source of the order: draft-ietf-mailmaint-autoconfig, with 1, 5 and 6 added.

Rules:
- Sources of one line are asked at once; a later line only when the earlier ones had nothing.
- Plain http, which the draft lists last, is not asked: whoever sits between would choose the
  server that is told the password.
- What an unsigned DNS answer led to is not `proved`: a person must agree before a password goes
  there (RFC 6186 6). The table, and what a domain itself says over TLS, need no asking.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, replace

from bridge.discovery import documents, providers
from bridge.discovery.address import Address, base_domains
from bridge.discovery.providers import Provider
from bridge.discovery.sources import Net, Silence
from bridge.model import Security
from bridge.profiles.settings import MailServer

ISPDB = "v1.ispdb.net"
_WELL_KNOWN = "/.well-known/autoconfig/mail/config-v1.1.xml"
_GUESSES = ("pop", "pop3", "mail")


@dataclass(frozen=True, slots=True)
class Settings:
    """How mail of an address is fetched, and where that was found (`source`, such as "the
    built-in list"). `interval` is in seconds: the least that is known, or 0. `provider` is the row
    of the table, `help` has pages about switching POP3 on. `private_network`: a person agreed that
    the name leads into one."""

    pop3: MailServer
    source: str
    proved: bool = True
    smtp: MailServer | None = None
    interval: int = 0
    provider: Provider | None = None
    oauth: bool = False
    help: Sequence[str] = ()
    private_network: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """`settings` is None where nobody knows. `provider` is set where the table knows one, also
    one without POP3; `asked` are the sources that were asked in vain and what they said."""

    settings: Settings | None
    provider: Provider | None = None
    asked: Sequence[tuple[str, str]] = ()


Greets = Callable[[str], Awaitable[bool]]
"""Whether a POP3 server with a certificate of this name answers at port 995 there."""


async def find(address: Address, net: Net | None, greets: Greets | None = None) -> Found:
    """Asks all sources until one answers; with `net` None the table alone. Never raises for what
    the net says."""
    known = providers.of_domain(address.domain)
    if known is not None:
        return Found(of_provider(known, address, "the built-in list"), known)
    if net is None:
        return Found(None)
    search = _Search(address, net)
    settings = await search.run(greets)
    provider = settings.provider if settings is not None else search.provider
    return Found(settings, provider, tuple(search.asked))


def of_provider(
    provider: Provider, address: Address, source: str, *, proved: bool = True
) -> Settings | None:
    """The settings that the table has; None for a provider without POP3."""
    if provider.no_pop3 is not None:
        return None
    username = provider.username
    for name, value in (
        ("{address}", str(address)),
        ("{local}", address.local),
        ("{domain}", address.domain),
    ):
        username = username.replace(name, value)
    host = provider.server(address.domain)
    return Settings(
        MailServer(host, provider.port, provider.security, username),
        source,
        proved=proved,
        smtp=provider.outgoing(username),
        interval=provider.least_interval,
        provider=provider,
        oauth=bool(provider.oauth),
    )


class _Search:
    def __init__(self, address: Address, net: Net) -> None:
        self._address = address
        self._net = net
        self.provider: Provider | None = None
        self.asked: list[tuple[str, str]] = []

    async def run(self, greets: Greets | None) -> Settings | None:
        domain = self._address.domain
        found = await self._first(self._own(domain, domain))
        found = found or await self._first([self._ispdb(domain), self._by_mx(), self._by_srv()])
        if found is None and greets is not None and self.provider is None:
            found = await self._first([self._guess(name, greets) for name in _GUESSES])
        return found

    async def _first(self, questions: Sequence[Coroutine[None, None, Settings]]) -> Settings | None:
        """The answer of the first question that has one, in their order; all are asked at once."""
        for answer in await asyncio.gather(*questions, return_exceptions=True):
            if isinstance(answer, _Nothing):
                self.asked += answer.asked
            elif isinstance(answer, BaseException):
                raise answer
            else:
                return answer
        return None

    # --- one source each ------------------------------------------------------------------

    def _own(self, domain: str, asked: str) -> list[Coroutine[None, None, Settings]]:
        """What a domain says of itself, over HTTPS."""
        return [
            self._document(f"https://autoconfig.{asked}/mail/config-v1.1.xml", domain),
            self._document(f"https://{asked}{_WELL_KNOWN}", domain),
        ]

    def _ispdb(self, domain: str) -> Coroutine[None, None, Settings]:
        return self._document(f"https://{ISPDB}/{domain}", domain)

    async def _document(self, url: str, domain: str) -> Settings:
        source = url.removeprefix("https://").removesuffix("/mail/config-v1.1.xml")
        source = source.removesuffix("/.well-known/autoconfig")
        try:
            said = documents.read(await self._net.page(url), self._address)
        except Silence as silence:
            raise _Nothing(source, str(silence)) from None
        except documents.BadDocument as bad:
            raise _Nothing(source, f"what is there {bad}"[:200]) from None
        if said.pop3 is None:
            without = "names a POP3 server without TLS only" if said.without_tls else "has no POP3"
            raise _Nothing(source, without)
        known = providers.of_host(said.pop3.host)
        return Settings(
            said.pop3,
            f"the ISPDB ({source})" if source.startswith(ISPDB) else source,
            smtp=said.smtp or (known.outgoing(said.pop3.username) if known else None),
            interval=max(said.interval, known.least_interval if known else 0),
            provider=known,
            oauth=said.oauth_only,
            help=said.help,
        )

    async def _by_mx(self) -> Settings:
        domain = self._address.domain
        try:
            exchangers = await self._net.mail_exchangers(domain)
        except Silence as silence:
            raise _Nothing(f"MX of {domain}", str(silence)) from None
        for host in exchangers:
            known = providers.of_mx(host)
            if known is None:
                continue
            self.provider = known
            # The provider is a known one, whoever forged the answer.
            found = of_provider(known, self._address, f"the built-in list, by the MX {host}")
            if found is None:
                raise _Nothing(f"MX {host}", f"is {known.name}, which has no POP3")
            return found
        asked: list[tuple[str, str]] = []
        for other in dict.fromkeys(base for host in exchangers for base in base_domains(host)):
            if other == domain:
                continue
            search = _Search(self._address, self._net)
            found = await search._first([*search._own(domain, other), search._ispdb(other)])
            asked += search.asked
            if found is not None:
                return replace(found, source=f"{found.source}, by the MX", proved=False)
        raise _Nothing(f"MX of {domain}", f"nobody knows {', '.join(exchangers[:3])}", asked)

    async def _by_srv(self) -> Settings:
        """RFC 6186 3.3: _pop3s goes before _pop3, whose TLS begins with STLS."""
        domain = self._address.domain
        why = ""
        for name, security in (("_pop3s", Security.TLS), ("_pop3", Security.STARTTLS)):
            try:
                found = await self._net.service(f"{name}._tcp", domain)
            except Silence as silence:
                why = str(silence)
                continue
            # RFC 6186 4: the address is the user name to begin with.
            pop3 = MailServer(found.host, found.port, security, str(self._address))
            known = providers.of_host(found.host)
            return Settings(
                pop3,
                f"the SRV record {name}._tcp.{domain}",
                proved=False,
                smtp=await self._submission(),
                interval=known.least_interval if known else 0,
                provider=known,
            )
        raise _Nothing(f"SRV of {domain}", why)

    async def _submission(self) -> MailServer | None:
        """RFC 8314 5.1."""
        for name, security in (
            ("_submissions", Security.TLS),
            ("_submission", Security.STARTTLS),
        ):
            try:
                found = await self._net.service(f"{name}._tcp", self._address.domain)
            except Silence:
                continue
            return MailServer(found.host, found.port, security, str(self._address))
        return None

    async def _guess(self, name: str, greets: Greets) -> Settings:
        host = f"{name}.{self._address.domain}"
        if not await greets(host):
            raise _Nothing(host, "no POP3 server answers at port 995")
        pop3 = MailServer(host, 995, Security.TLS, str(self._address))
        return Settings(pop3, f"a guess that answers: {host}", proved=False)


class _Nothing(Exception):
    """A source that does not help: its name and why, and those that it asked itself."""

    def __init__(self, source: str, why: str, asked: Sequence[tuple[str, str]] = ()) -> None:
        super().__init__(why)
        self.asked = [*asked, (source, why)]
