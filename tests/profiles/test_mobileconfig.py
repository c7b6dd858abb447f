"""The Apple profile, read back by plistlib and by a reader of XML that knows nothing of it."""

from __future__ import annotations

import plistlib
from dataclasses import replace
from pathlib import Path
from xml.dom import minidom

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from bridge.profiles.mobileconfig import mobileconfig
from bridge.tls import ServerCertificate
from tests.profiles.accounts import ACCOUNT, OWN_DOMAIN, PASSWORD


def second_reader(profile: bytes) -> object:
    """A property list as plain values, by a walk over its XML."""

    def value(node: minidom.Element) -> object:
        inside = [each for each in node.childNodes if isinstance(each, minidom.Element)]
        text = "".join(each.data for each in node.childNodes if isinstance(each, minidom.Text))
        match node.tagName:
            case "dict":
                names = [str(value(each)) for each in inside[::2]]
                return dict(zip(names, map(value, inside[1::2]), strict=True))
            case "array":
                return [value(each) for each in inside]
            case "integer":
                return int(text)
            case "true" | "false":
                return node.tagName == "true"
            case "data":
                return text.split()
            case _:
                return text

    root = minidom.parseString(profile).documentElement
    assert root is not None
    (top,) = [each for each in root.childNodes if isinstance(each, minidom.Element)]
    return value(top)


def test_the_mail_payload() -> None:
    profile = plistlib.loads(mobileconfig(ACCOUNT))
    (mail,) = profile["PayloadContent"]
    identity = {key: mail.pop(key) for key in ("PayloadIdentifier", "PayloadUUID")}
    assert mail == {
        "PayloadType": "com.apple.mail.managed",
        "PayloadVersion": 1,
        "PayloadDisplayName": "me@gmx.de",
        "EmailAccountDescription": "me@gmx.de",
        "EmailAccountName": "me@gmx.de",
        "EmailAccountType": "EmailTypeIMAP",
        "EmailAddress": "me@gmx.de",
        "IncomingMailServerAuthentication": "EmailAuthPassword",
        "IncomingMailServerHostName": "192.168.1.20",
        "IncomingMailServerPortNumber": 1993,
        "IncomingMailServerUseSSL": True,
        "IncomingMailServerUsername": "me@gmx.de",
        "OutgoingMailServerAuthentication": "EmailAuthPassword",
        "OutgoingMailServerHostName": "mail.gmx.net",
        "OutgoingMailServerPortNumber": 465,
        "OutgoingMailServerUseSSL": True,
        "OutgoingMailServerUsername": "me@gmx.de",
        "OutgoingPasswordSameAsIncomingPassword": False,
    }
    assert identity["PayloadUUID"].lower() in identity["PayloadIdentifier"]
    assert profile["PayloadType"] == "Configuration"


def test_a_second_reader_sees_the_same() -> None:
    made = mobileconfig(OWN_DOMAIN)
    assert second_reader(made) == plistlib.loads(made)
    assert plistlib.loads(made)["PayloadContent"][0]["EmailAccountName"] == OWN_DOMAIN.name


def test_no_password_is_in_it() -> None:
    made = mobileconfig(ACCOUNT)
    assert PASSWORD.reveal().encode() not in made
    assert b"<key>IncomingPassword<" not in made


def test_the_ca_is_a_payload(tmp_path: Path) -> None:
    certificate = ServerCertificate.auto(tmp_path)
    assert certificate.ca_pem_path is not None
    ca = x509.load_pem_x509_certificate(certificate.ca_pem_path.read_bytes())
    profile = plistlib.loads(mobileconfig(ACCOUNT, ca=ca.public_bytes(serialization.Encoding.DER)))
    root = profile["PayloadContent"][1]
    assert root["PayloadType"] == "com.apple.security.root"
    assert x509.load_der_x509_certificate(root["PayloadContent"]) == ca


def test_the_same_account_has_the_same_identity_and_others_have_others() -> None:
    def identity(made: bytes) -> tuple[str, str]:
        profile = plistlib.loads(made)
        return profile["PayloadUUID"], profile["PayloadContent"][0]["PayloadUUID"]

    assert identity(mobileconfig(ACCOUNT)) == identity(mobileconfig(replace(ACCOUNT, name="Me")))
    other = mobileconfig(replace(ACCOUNT, address="you@gmx.de"))
    assert len({*identity(mobileconfig(ACCOUNT)), *identity(other)}) == 4
