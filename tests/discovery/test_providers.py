"""The table of providers: whole, without contradictions, and true to what is known."""

from __future__ import annotations

import re

import pytest

from bridge.discovery import providers
from bridge.discovery.providers import Provider, of_domain, of_host, of_mx, table
from bridge.model import Security

HOST = re.compile(r"(?:[a-z0-9-]+\.)+(?:[a-z]{2,}|\{domain\})")


@pytest.mark.parametrize("provider", table(), ids=lambda each: each.id)
def test_a_row(provider: Provider) -> None:
    assert provider.name
    assert provider.source
    assert provider.domains or provider.mx
    for domain in (*provider.domains, *provider.mx, *provider.hosts):
        assert re.fullmatch(r"(?:[a-z0-9-]+\.)+[a-z]{2,}", domain)
    if provider.no_pop3 is not None:
        assert not provider.host
    else:
        assert HOST.fullmatch(provider.host)
        assert (provider.port, provider.security) in ((995, Security.TLS), (110, Security.NONE))
    assert set(re.findall(r"\{\w+\}", provider.username)) <= {"{address}", "{local}", "{domain}"}
    assert provider.least_interval % 60 == 0
    if provider.smtp:
        assert re.fullmatch(r"(?:[a-z0-9-]+\.)+[a-z]{2,}:(465|587)", provider.smtp)
    for text in (provider.switch_on, provider.app_password, provider.note, provider.no_pop3):
        if text is not None:
            assert text.en != text.de
            assert text.url == "" or text.url.startswith("https://")
    assert (provider.app_password is None) == (provider.app_password_when == "")
    assert provider.app_password_when in ("", "always", "2fa")


def test_no_domain_and_no_mx_is_there_twice() -> None:
    domains = [domain for each in table() for domain in each.domains]
    assert len(domains) == len(set(domains))
    ends = [end for each in table() for end in each.mx]
    assert len(ends) == len(set(ends))
    assert len(table()) >= 30


@pytest.mark.parametrize(
    ("domain", "host", "username", "minutes"),
    [
        ("gmx.de", "pop.gmx.net", "{address}", 10),
        ("gmx.com", "pop.gmx.com", "{address}", 10),
        ("web.de", "pop3.web.de", "{local}", 15),
        ("t-online.de", "securepop.t-online.de", "{address}", 10),
        ("freenet.de", "mx.freenet.de", "{address}", 10),
        ("posteo.de", "posteo.de", "{address}", 10),
        ("mailbox.org", "pop3.mailbox.org", "{address}", 0),
        ("arcor.de", "pop3.vodafonemail.de", "{address}", 0),
        ("gmail.com", "pop.gmail.com", "recent:{address}", 10),
        ("outlook.de", "outlook.office365.com", "{address}", 15),
        ("yahoo.de", "pop.mail.yahoo.com", "{address}", 10),
        ("aol.com", "pop.aol.com", "{address}", 10),
        ("free.fr", "pop.free.fr", "{local}", 0),
        ("yahoo.co.jp", "pop.mail.yahoo.co.jp", "{local}", 0),
        ("ocn.ne.jp", "pop.ocn.ne.jp", "{address}", 0),
        ("inbox.lv", "mail.inbox.lv", "{address}", 10),
    ],
)
def test_facts(domain: str, host: str, username: str, minutes: int) -> None:
    found = of_domain(domain)
    assert found is not None
    assert found.server(domain) == host
    assert (found.username, found.least_interval) == (username, minutes * 60)


@pytest.mark.parametrize(
    ("mx", "name"),
    [
        ("mx00.kundenserver.de", "ionos"),
        ("smtpin.rzone.de", "strato"),
        ("example-org.mail.protection.outlook.com", "microsoft365"),
        ("outlook-com.olc.protection.outlook.com", "outlook"),
        ("aspmx.l.google.com", "gmail"),
        ("mx00.gmx.net.", "gmx"),
        ("mta5.am0.yahoodns.net", "yahoo"),
        ("mx-aol.mail.gm0.yahoodns.net", "aol"),
        ("MX1.Mailbox.org", "mailbox-org"),
    ],
)
def test_whose_mx_it_is(mx: str, name: str) -> None:
    found = of_mx(mx)
    assert found is not None
    assert found.id == name


def test_who_has_pop3_alone() -> None:
    """Mozilla's ISPDB lists no IMAP server for these."""
    alone = {each.id for each in table() if each.pop3_only}
    assert alone == {
        "yahoo-jp", "ybb", "ocn", "biglobe", "nifty", "cty", "rediffmail", "centurytel",
    }  # fmt: skip


def test_what_is_known_of_nobody() -> None:
    assert of_domain("example.org") is None
    assert of_mx("mail.example.org") is None
    assert of_mx("notgmx.net") is None
    assert of_host("pop.example.org") is None
    assert of_host("") is None


def test_where_mail_is_sent() -> None:
    gmail, web_de, sky = of_domain("gmail.com"), of_domain("web.de"), of_domain("sky.com")
    assert gmail is not None
    assert web_de is not None
    assert sky is not None
    sends = gmail.outgoing("recent:me@gmail.com")
    assert sends is not None
    assert (sends.host, sends.port, sends.security) == ("smtp.gmail.com", 465, Security.TLS)
    assert sends.username == "me@gmail.com"
    sends = web_de.outgoing("me")
    assert sends is not None
    assert (sends.port, sends.security) == (587, Security.STARTTLS)
    assert sky.outgoing("me@sky.com") is None


def test_a_row_with_a_key_that_nobody_reads_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\[x\] has hots"):
        providers._provider("x", {"name": "X", "domains": [], "source": "", "hots": "a"})
