"""What the net says about a domain: pages over HTTPS, MX and SRV records. The only socket here.

Rules:
- HTTPS only, certificates are checked, a redirect is followed to the same domain or one below it
  and nowhere else; an answer is capped in octets and seconds.
- Only the domain is asked for: no part of the address before the @ leaves this machine.
- DNS answers prove nothing: what they lead to is marked as such (`find.Settings.proved`).
- Whatever goes wrong is a `Silence` with a short reason.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import dns.asyncresolver
import dns.exception
import dns.rdatatype
import dns.resolver
import httpx2
from dns.rdata import Rdata
from dns.rdtypes.ANY.MX import MX
from dns.rdtypes.IN.SRV import SRV

from bridge import limits, tls
from bridge.discovery.address import NotAnAddress, to_ascii
from bridge.discovery.providers import ends_with
from bridge.logs import printable

_REDIRECTS = 3
_RECORDS = 20  # of one DNS answer that are looked at
_HEADERS = {"Accept": "application/xml, text/xml", "Accept-Encoding": "identity"}


class Silence(Exception):
    """A source that has nothing for us; the text says why, in a few words."""


@dataclass(frozen=True, slots=True)
class Service:
    """An SRV record (RFC 2782): where a service is."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Net:
    """How the net is asked: as this machine does, or (`from_file`) by a DNS server and with CAs of
    one's own."""

    dns_server: tuple[str, int] | None = None
    https_port: int = 443
    ca_file: str | None = None

    async def page(self, url: str) -> bytes:
        """The octets of a page. Raises Silence."""
        # httpx2 closes what its own timeout ends; one that is cancelled from outside it leaves
        # open, so that the outer one is for a server that drips.
        try:
            async with asyncio.timeout(3 * limits.DISCOVERY_SECONDS):
                return await self._page(url, urlsplit(url).hostname or "")
        except (TimeoutError, httpx2.TimeoutException):
            raise Silence("no answer in time") from None
        except (httpx2.HTTPError, httpx2.InvalidURL, ssl.SSLError, OSError, ValueError) as error:
            reason = printable(str(error), 100) or type(error).__name__
            raise Silence(f"not reached ({reason})") from None

    async def _page(self, url: str, domain: str) -> bytes:
        async with httpx2.AsyncClient(
            verify=tls.client_context(self.ca_file),
            timeout=limits.DISCOVERY_SECONDS,
            trust_env=False,
        ) as http:
            for _ in range(_REDIRECTS):
                parts = urlsplit(url)
                host = parts.hostname or ""
                if parts.scheme != "https" or not ends_with(host, domain):
                    raise Silence(f"sends us to {printable(host, 60)}, where we do not go")
                address = (await self._addresses(host))[0]
                shown = f"[{address}]" if ":" in address else address
                path = parts.path + (f"?{parts.query}" if parts.query else "")
                async with http.stream(
                    "GET",
                    f"https://{shown}:{parts.port or self.https_port}{path}",
                    headers={**_HEADERS, "Host": host},
                    extensions={"sni_hostname": host},
                ) as response:
                    if response.status_code in (301, 302, 303, 307, 308):
                        url = urljoin(url, response.headers.get("Location", ""))
                        continue
                    if response.status_code != 200:
                        raise Silence(f"answers {response.status_code}")
                    return await _body(response)
        raise Silence("sends us round in circles")

    async def date(self, url: str) -> float:
        """Seconds since the epoch, as the server at `url` has it in its Date header (RFC 9110
        6.6.1). Raises Silence."""
        parts = urlsplit(url)
        host = parts.hostname or ""
        try:
            async with httpx2.AsyncClient(
                # A clock that is off makes certificates seem invalid, and is what is looked for.
                verify=tls.client_context(self.ca_file, pinned=True),
                timeout=limits.DISCOVERY_SECONDS,
                trust_env=False,
            ) as http:
                address = (await self._addresses(host))[0]
                shown = f"[{address}]" if ":" in address else address
                answer = await http.head(
                    f"https://{shown}:{parts.port or self.https_port}/",
                    headers={"Host": host},
                    extensions={"sni_hostname": host},
                )
                return parsedate_to_datetime(answer.headers["Date"]).timestamp()
        except (httpx2.HTTPError, OSError, KeyError, ValueError, IndexError) as error:
            raise Silence(f"not reached ({type(error).__name__})") from None

    async def resolves(self, host: str) -> None:
        """Raises Silence where the host has no address."""
        try:
            await self._addresses(host)
        except OSError as error:
            raise Silence(f"no address ({error.strerror or type(error).__name__})") from None

    async def _addresses(self, host: str) -> Sequence[str]:
        if self.dns_server is None:
            loop = asyncio.get_running_loop()
            found = await loop.getaddrinfo(host, None, type=socket.SOCK_STREAM)
            return [str(each[4][0]) for each in found]
        answer = await self._ask(host, "A")
        return [record.to_text() for record in answer]

    async def mail_exchangers(self, domain: str) -> Sequence[str]:
        """The hosts of the domain's MX records (RFC 5321 5.1), the first first. Raises Silence."""
        records = [each for each in await self._ask(domain, "MX") if isinstance(each, MX)]
        return _names(
            host
            for _, host in sorted((each.preference, each.exchange.to_text()) for each in records)
        )

    async def service(self, name: str, domain: str) -> Service:
        """The best SRV record of `_pop3s._tcp` and the like (RFC 6186). Raises Silence, also for
        a target of ".", which says that there is no such service (RFC 2782)."""
        records = [
            each for each in await self._ask(f"{name}.{domain}", "SRV") if isinstance(each, SRV)
        ]
        for each in sorted(records, key=lambda each: (each.priority, -each.weight)):
            if (host := _names([each.target.to_text()])) and each.port:
                return Service(host[0], each.port)
        raise Silence("says that there is none")

    async def _ask(self, name: str, kind: str) -> Sequence[Rdata]:
        resolver = dns.asyncresolver.Resolver(configure=self.dns_server is None)
        if self.dns_server is not None:
            resolver.nameservers = [self.dns_server[0]]
            resolver.port = self.dns_server[1]
        try:
            answer = await resolver.resolve(
                name + ".", dns.rdatatype.from_text(kind), lifetime=limits.DISCOVERY_SECONDS
            )
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            raise Silence("no such record") from None
        except (dns.exception.DNSException, OSError, ValueError) as error:
            raise Silence(f"DNS does not answer ({type(error).__name__})") from None
        return list(answer)[:_RECORDS]


def from_file(path: Path) -> Net:
    """Another net than that of this machine, in TOML: `dns = "127.0.0.1:5353"`, `https_port`,
    `ca_file`. Raises OSError, ValueError."""
    said = tomllib.loads(path.read_text(encoding="utf-8"))
    host, _, port = str(said["dns"]).rpartition(":")
    ca_file = said.get("ca_file")
    return Net(
        (host, int(port)), int(said.get("https_port", 443)), str(ca_file) if ca_file else None
    )


async def _body(response: httpx2.Response) -> bytes:
    """Raises Silence over the cap."""
    body = bytearray()
    async for piece in response.aiter_raw():  # unpacked, a small one may be huge
        body += piece
        if len(body) > limits.DISCOVERY_ANSWER:
            raise Silence("answers without end")
    return bytes(body)


def _names(found: Iterable[str]) -> Sequence[str]:
    """Host names as we use them; what is none, such as ".", is left out."""
    names = []
    for host in found:
        with contextlib.suppress(NotAnAddress):
            names.append(to_ascii(host))
    return [name for name in names if "." in name]
