"""autoconfig and Autodiscover: the bytes, and what a reader of XML makes of them."""

from __future__ import annotations

from dataclasses import replace
from xml.dom import minidom

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge import limits
from bridge.profiles.autoconfig import autoconfig
from bridge.profiles.autodiscover import autodiscover, requested_address
from tests.profiles.accounts import ACCOUNT, OWN_DOMAIN

AUTOCONFIG = """<?xml version="1.0" encoding="UTF-8"?>
<clientConfig version="1.1"><emailProvider id="xn--bcher-kva.example">\
<domain>xn--bcher-kva.example</domain>\
<displayName>Anna's &lt;"books"&gt; &amp; more</displayName>\
<displayShortName>popbridge</displayShortName>\
<incomingServer type="imap"><hostname>mail.xn--bcher-kva.example</hostname><port>993</port>\
<socketType>SSL</socketType><username>%EMAILADDRESS%</username>\
<authentication>password-cleartext</authentication></incomingServer>\
<outgoingServer type="smtp"><hostname>smtp.example</hostname><port>587</port>\
<socketType>STARTTLS</socketType><username>%EMAILADDRESS%</username>\
<authentication>password-cleartext</authentication></outgoingServer>\
</emailProvider></clientConfig>"""
REQUEST = b"""<?xml version="1.0" encoding="utf-8"?>
<Autodiscover xmlns="http://schemas.microsoft.com/exchange/autodiscover/outlook/requestschema/2006">
 <Request><EMailAddress> me@home.example </EMailAddress>
 <AcceptableResponseSchema>
  http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a
 </AcceptableResponseSchema></Request>
</Autodiscover>"""


def texts(document: bytes, name: str) -> list[str]:
    found = minidom.parseString(document).getElementsByTagName(name)
    return [
        "".join(child.data for child in each.childNodes if isinstance(child, minidom.Text))
        for each in found
    ]


def test_autoconfig() -> None:
    made = autoconfig(OWN_DOMAIN)
    assert made.decode() == AUTOCONFIG
    assert texts(made, "displayName") == [OWN_DOMAIN.name]


@pytest.mark.parametrize("address", ["me", "", "me@", "me@" + "ü" * 80])
def test_autoconfig_of_no_address(address: str) -> None:
    with pytest.raises(ValueError, match="is no"):
        autoconfig(replace(ACCOUNT, address=address))


def test_autodiscover() -> None:
    made = autodiscover(ACCOUNT)
    assert texts(made, "AccountType") == ["email"]
    assert texts(made, "Action") == ["settings"]
    assert texts(made, "Type") == ["IMAP", "SMTP"]
    assert texts(made, "Server") == ["192.168.1.20", "mail.gmx.net"]
    assert texts(made, "Port") == ["1993", "465"]
    assert texts(made, "SSL") == ["on", "on"]
    assert texts(made, "LoginName") == ["me@gmx.de", "me@gmx.de"]
    root = minidom.parseString(made).documentElement
    assert root is not None
    response = root.getElementsByTagName("Response")[0]
    base = "http://schemas.microsoft.com/exchange/autodiscover"
    assert root.namespaceURI == f"{base}/responseschema/2006"
    assert response.namespaceURI == f"{base}/outlook/responseschema/2006a"


def test_the_address_that_is_asked_about() -> None:
    assert requested_address(REQUEST) == "me@home.example"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"<a>",
        b"<a/>",
        b"<EMailAddress/>",
        b"\xff\xfe<\0a\0",
        b'<!DOCTYPE a [<!ENTITY b "c">]><EMailAddress>&b;</EMailAddress>',
        b'<?xml version="1.0" encoding="nonsense"?><EMailAddress>a@b</EMailAddress>',
        b"<EMailAddress>" + b"x" * limits.AUTODISCOVER_REQUEST + b"</EMailAddress>",
    ],
)
def test_what_is_no_request(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"is |holds|names"):
        requested_address(body)


@given(
    st.binary(max_size=200) | st.text("<>/?!a &;EMailAddress=\"'\0", max_size=80).map(str.encode)
)
def test_any_bytes_are_a_request_or_none(body: bytes) -> None:
    try:
        assert requested_address(body) == requested_address(body).strip() != ""
    except ValueError:
        return
