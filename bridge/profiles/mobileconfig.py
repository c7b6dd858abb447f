"""A configuration profile for iPhone, iPad and Mac: our IMAP, the provider's SMTP, our CA.

Source: Apple, Device Management, `Mail` (com.apple.mail.managed) and `CertificateRoot`
(com.apple.security.root).

Rules: no password is in it, the device asks; the same account makes the same identifiers, so
that a second download replaces the first instead of standing beside it.
"""

from __future__ import annotations

import plistlib
import uuid

from bridge.model import Security
from bridge.profiles.settings import ClientSettings, MailServer, ascii_host

CONTENT_TYPE = "application/x-apple-aspen-config"
_VERSION = 1


def mobileconfig(settings: ClientSettings, *, ca: bytes | None = None) -> bytes:
    """The profile, an XML property list of some 3 KB. `ca` is the certificate in DER of the CA
    that signs ours: where it is None, the device must know it already.

    A person must still trust that CA by hand: Settings, General, About, Certificate Trust.
    Raises ValueError for a host name that is none.
    """
    payloads = [_mail(settings)]
    if ca is not None:
        payloads.append(_root(ca))
    return plistlib.dumps(
        {
            **_identity("Configuration", settings.imap.host, settings.address),
            "PayloadDisplayName": f"{settings.label} (popbridge)",
            "PayloadDescription": "Reads this mailbox at popbridge, and sends at its provider.",
            "PayloadOrganization": "popbridge",
            "PayloadRemovalDisallowed": False,
            "PayloadContent": payloads,
        }
    )


def _mail(settings: ClientSettings) -> dict[str, object]:
    return {
        **_identity("com.apple.mail.managed", settings.imap.host, settings.address),
        "PayloadDisplayName": settings.label,
        "EmailAccountDescription": settings.label,
        "EmailAccountName": settings.label,
        "EmailAccountType": "EmailTypeIMAP",
        "EmailAddress": settings.address,
        **_server("Incoming", settings.imap),
        **_server("Outgoing", settings.smtp),
        "OutgoingPasswordSameAsIncomingPassword": False,
    }


def _server(way: str, server: MailServer) -> dict[str, object]:
    return {
        f"{way}MailServerAuthentication": "EmailAuthPassword",
        f"{way}MailServerHostName": ascii_host(server.host),
        f"{way}MailServerPortNumber": server.port,
        f"{way}MailServerUseSSL": server.security is not Security.NONE,
        f"{way}MailServerUsername": server.username,
    }


def _root(ca: bytes) -> dict[str, object]:
    return {
        **_identity("com.apple.security.root", ca.hex()),
        "PayloadDisplayName": "popbridge CA",
        "PayloadCertificateFileName": "popbridge-ca.cer",
        "PayloadContent": ca,
    }


def _identity(kind: str, *of: str) -> dict[str, object]:
    name = uuid.uuid5(uuid.NAMESPACE_URL, "\n".join(("popbridge", kind, *of)))
    return {
        "PayloadType": kind,
        "PayloadVersion": _VERSION,
        "PayloadIdentifier": f"popbridge.{name}",
        "PayloadUUID": str(name).upper(),
    }
