"""Autoconfig documents -> POP3 settings. Pure.

Source: draft-ietf-mailmaint-autoconfig, the document `clientConfig`:

    clientConfig > emailProvider > displayName, incomingServer type=pop3 { hostname, port,
    socketType SSL|STARTTLS|plain, username, authentication*, pop3 > checkInterval minutes },
    outgoingServer type=smtp, documentation url, enable visiturl { instruction lang }

Rules: a document comes from anybody, so it is short, in UTF-8, and holds elements and nothing
else (no DOCTYPE, hence no entities); a server without TLS is passed over; a host is a DNS name
with a dot, never an address; texts are cut, and whoever shows them escapes them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from xml.etree import ElementTree as ET

from bridge import limits
from bridge.discovery.address import Address, NotAnAddress, to_ascii
from bridge.model import Security
from bridge.profiles.settings import MailServer

_SECURITY = {"SSL": Security.TLS, "STARTTLS": Security.STARTTLS}
_INTERVAL_MOST = 24 * 60  # minutes


class BadDocument(ValueError):
    """It is no autoconfig document, or one that we do not read; the text says why."""


@dataclass(frozen=True, slots=True)
class Document:
    """What one document says for one address. `pop3` is None where it names no POP3 server with
    TLS; `without_tls` then says whether it names one without. `interval` is in seconds, 0 where it
    says nothing; `help` are pages about switching POP3 on."""

    name: str
    pop3: MailServer | None
    smtp: MailServer | None
    oauth_only: bool = False
    without_tls: bool = False
    interval: int = 0
    help: Sequence[str] = ()


def read(octets: bytes, address: Address) -> Document:
    """Raises BadDocument."""
    provider = _provider(octets)
    servers = [each for each in provider.findall("incomingServer") if each.get("type") == "pop3"]
    chosen, pop3 = _best(servers, address)
    smtp = _best(
        [each for each in provider.findall("outgoingServer") if each.get("type") == "smtp"],
        address,
    )[1]
    ways = [_text(each) for each in chosen.findall("authentication")] if chosen is not None else []
    interval = chosen.find("pop3/checkInterval") if chosen is not None else None
    return Document(
        name=_text(provider.find("displayName"))[:100],
        pop3=pop3,
        smtp=smtp,
        oauth_only=bool(ways) and set(ways) == {"OAuth2"},
        without_tls=pop3 is None and bool(servers),
        interval=60 * _minutes(interval),
        help=tuple(_pages(provider)),
    )


def _provider(octets: bytes) -> ET.Element:
    if len(octets) > limits.DISCOVERY_ANSWER:
        raise BadDocument(f"has more than {limits.DISCOVERY_ANSWER} octets")
    if b"<!DOCTYPE" in octets or b"<!ENTITY" in octets or b"\0" in octets:
        raise BadDocument("holds more than elements")
    try:
        octets.decode("utf-8")
        root = ET.fromstring(octets, ET.XMLParser(encoding="utf-8"))  # noqa: S314  # no DOCTYPE: no entity to expand
    except (ET.ParseError, ValueError, LookupError) as error:
        raise BadDocument(f"is no XML in UTF-8: {error}") from None
    provider = root.find("emailProvider")
    if root.tag != "clientConfig" or provider is None:
        raise BadDocument("is no autoconfig document")
    return provider


def _best(
    servers: Sequence[ET.Element], address: Address
) -> tuple[ET.Element | None, MailServer | None]:
    """The first with TLS from the first byte, else the first with STARTTLS (RFC 8314 3)."""
    for wanted in _SECURITY:
        for element in servers:
            if _text(element.find("socketType")) == wanted and (found := _server(element, address)):
                return element, found
    return None, None


def _server(element: ET.Element, address: Address) -> MailServer | None:
    port = _text(element.find("port"))
    if not re.fullmatch(r"[0-9]{1,5}", port) or not 0 < int(port) < 65536:
        return None
    try:
        host = to_ascii(_filled(_text(element.find("hostname")), address))
    except NotAnAddress:
        return None
    if not is_name(host):
        return None
    username = _filled(_text(element.find("username")), address) or str(address)
    if not username.isprintable() or len(username) > limits.ADDRESS:
        return None
    return MailServer(host, int(port), _SECURITY[_text(element.find("socketType"))], username)


def is_name(host: str) -> bool:
    """Whether this is a name out there: with a dot, and no address of a machine."""
    last = host.rpartition(".")[2]
    return "." in host and not last.isdigit() and last not in ("localhost", "local", "internal")


def _filled(text: str, address: Address) -> str:
    for name, value in (
        ("%EMAILADDRESS%", str(address)),
        ("%EMAILLOCALPART%", address.local),
        ("%EMAILDOMAIN%", address.domain),
    ):
        text = text.replace(name, value)
    return text


def _text(element: ET.Element | None) -> str:
    return (element.text or "").strip() if element is not None else ""


def _minutes(element: ET.Element | None) -> int:
    said = (element.get("minutes") or _text(element)) if element is not None else ""
    return min(int(said), _INTERVAL_MOST) if re.fullmatch(r"[0-9]{1,5}", said) else 0


def _pages(provider: ET.Element) -> Iterator[str]:
    for name, key in (("enable", "visiturl"), ("documentation", "url")):
        for element in provider.findall(name)[:3]:
            url = (element.get(key) or "").strip()
            if url.startswith("https://") and url.isprintable() and len(url) <= 300:
                yield url
