"""The settings as Outlook asks for them at a domain that is one's own: it posts an address to
`https://autodiscover.DOMAIN/autodiscover/autodiscover.xml`.

Source: MS-OXDSCLI (the POX request and response), the parts that an IMAP account needs.

Rules: the request comes from anybody, so it is short, holds no DOCTYPE, and only its address is
looked at; Outlook takes the answer from a server with a certificate that it knows, and no other.
"""

from __future__ import annotations

from xml.etree import ElementTree as ET

from bridge import limits
from bridge.model import Security
from bridge.profiles.settings import ClientSettings, MailServer, ascii_host

CONTENT_TYPE = "application/xml"
_BASE = "http://schemas.microsoft.com/exchange/autodiscover"
_ENVELOPE = f"{_BASE}/responseschema/2006"
_OUTLOOK = f"{_BASE}/outlook/responseschema/2006a"


def requested_address(body: bytes) -> str:
    """The address that a request asks about. Raises ValueError when it is no request."""
    if len(body) > limits.AUTODISCOVER_REQUEST:
        raise ValueError("is too long")
    if b"<!" in body or b"\0" in body:  # a DOCTYPE, or another encoding in which to hide one
        raise ValueError("holds more than elements")
    try:
        root = ET.fromstring(body)  # noqa: S314  # without a DOCTYPE there is no entity to expand
    except (ET.ParseError, ValueError, LookupError) as error:
        raise ValueError(f"is no XML: {error}") from None
    for element in root.iter():
        if element.tag.rpartition("}")[2] == "EMailAddress" and element.text:
            return element.text.strip()
    raise ValueError("names no address")


def autodiscover(settings: ClientSettings) -> bytes:
    """The answer: IMAP here, SMTP at the provider."""
    root = ET.Element("Autodiscover", xmlns=_ENVELOPE)
    response = ET.SubElement(root, "Response", xmlns=_OUTLOOK)
    user = ET.SubElement(response, "User")
    ET.SubElement(user, "DisplayName").text = settings.label
    account = ET.SubElement(response, "Account")
    ET.SubElement(account, "AccountType").text = "email"
    ET.SubElement(account, "Action").text = "settings"
    _protocol(account, "IMAP", settings.imap)
    _protocol(account, "SMTP", settings.smtp)
    made: bytes = ET.tostring(root, encoding="utf-8")
    return b'<?xml version="1.0" encoding="utf-8"?>\n' + made


def _protocol(account: ET.Element, kind: str, server: MailServer) -> None:
    protocol = ET.SubElement(account, "Protocol")
    encryption = {Security.TLS: "SSL", Security.STARTTLS: "TLS", Security.NONE: "None"}
    for name, text in (
        ("Type", kind),
        ("Server", ascii_host(server.host)),
        ("Port", str(server.port)),
        ("LoginName", server.username),
        ("DomainRequired", "off"),
        ("SPA", "off"),
        ("SSL", "on" if server.security is Security.TLS else "off"),
        ("Encryption", encryption[server.security]),
        ("AuthRequired", "on"),
    ):
        ET.SubElement(protocol, name).text = text
