"""autoconfig and Autodiscover for a domain of one's own, over real sockets."""

from __future__ import annotations

from xml.dom import minidom

import pytest

from tests.profiles.test_xml import REQUEST, texts
from tests.support.page import FakeDesk, browser, served

HOSTS = ["autoconfig.home.example", "autodiscover.home.example", "home.example", "x.example"]
AUTODISCOVER = "/autodiscover/autodiscover.xml"


@pytest.mark.parametrize(
    ("host", "path"),
    [
        ("autoconfig.home.example", "/mail/config-v1.1.xml?emailaddress=anna@home.example"),
        ("home.example", "/.well-known/autoconfig/mail/config-v1.1.xml"),
    ],
)
async def test_autoconfig(host: str, path: str) -> None:
    async with served(FakeDesk(), names=HOSTS) as server:
        answer = await browser(server, host=host).get(path)
        assert answer.code == 200
        assert answer.headers["content-type"].startswith("application/xml")
        found = answer.body.encode()
        assert texts(found, "domain") == ["home.example"]
        assert texts(found, "hostname") == ["mail.home.example", "smtp.provider.example"]
        assert texts(found, "username") == ["%EMAILADDRESS%"] * 2
        assert "anna" not in answer.body  # W009: anybody may ask


async def test_a_domain_that_no_account_has() -> None:
    async with served(FakeDesk(), names=HOSTS) as server:
        for host in ("x.example", "localhost"):
            assert (await browser(server, host=host).get("/mail/config-v1.1.xml")).code == 404
        stranger = browser(server, host="autoconfig.attacker.example")
        assert (await stranger.get("/mail/config-v1.1.xml")).code == 403


async def test_autodiscover() -> None:
    async with served(FakeDesk(), names=HOSTS) as server:
        outlook = browser(server, host="autodiscover.home.example")
        body = REQUEST.decode()
        answer = await outlook.ask("POST", AUTODISCOVER, body, Origin=None)
        assert answer.code == 200
        assert texts(answer.body.encode(), "Server") == [
            "mail.home.example",
            "smtp.provider.example",
        ]
        assert minidom.parseString(answer.body).getElementsByTagName("LoginName")
        for origin in ("https://attacker.example", "null"):  # W002 stays
            answer = await outlook.ask("POST", AUTODISCOVER, body, Origin=origin)
            assert answer.code == 403
        other = body.replace("home.example", "gmx.de")
        assert (await outlook.ask("POST", AUTODISCOVER, other, Origin=None)).code == 404
        bomb = '<!DOCTYPE a [<!ENTITY b "c">]><EMailAddress>&b;</EMailAddress>'
        assert (await outlook.ask("POST", AUTODISCOVER, bomb, Origin=None)).code == 400
        assert (await outlook.ask("POST", "/login", "password=x", Origin=None)).code == 403
