"""The settings as Thunderbird and others look for them at a domain that is one's own:
`https://autoconfig.DOMAIN/mail/config-v1.1.xml`.

Source: draft-ietf-mailmaint-autoconfig, the document `clientConfig`.

Rules: TLS is named as it is, STARTTLS never as plain; for a whole domain the user name is
`%EMAILADDRESS%`, which the mail program fills in.
"""

from __future__ import annotations

from xml.etree import ElementTree as ET

from bridge.model import Security
from bridge.profiles.settings import ClientSettings, MailServer, ascii_host

CONTENT_TYPE = "application/xml"
ANY_ADDRESS = "%EMAILADDRESS%"
_SOCKETS = {Security.TLS: "SSL", Security.STARTTLS: "STARTTLS", Security.NONE: "plain"}


def autoconfig(settings: ClientSettings) -> bytes:
    """The document for the domain of `settings.address`. Raises ValueError when it has none."""
    domain = settings.address.rpartition("@")[2]
    if not domain or "@" not in settings.address:
        raise ValueError(f"{settings.address!r} is no address")
    root = ET.Element("clientConfig", version="1.1")
    provider = ET.SubElement(root, "emailProvider", id=ascii_host(domain))
    _text(provider, "domain", ascii_host(domain))
    _text(provider, "displayName", settings.label)
    _text(provider, "displayShortName", "popbridge")
    _server(ET.SubElement(provider, "incomingServer", type="imap"), settings.imap)
    _server(ET.SubElement(provider, "outgoingServer", type="smtp"), settings.smtp)
    made: bytes = ET.tostring(root, encoding="utf-8")
    return b'<?xml version="1.0" encoding="UTF-8"?>\n' + made


def _server(parent: ET.Element, server: MailServer) -> None:
    _text(parent, "hostname", ascii_host(server.host))
    _text(parent, "port", str(server.port))
    _text(parent, "socketType", _SOCKETS[server.security])
    _text(parent, "username", server.username)
    _text(parent, "authentication", "password-cleartext")


def _text(parent: ET.Element, name: str, text: str) -> None:
    ET.SubElement(parent, name).text = text
