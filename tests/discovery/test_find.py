"""Finding a server through all sources, with a DNS and an HTTPS server on loopback."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge import limits
from bridge.discovery import sources
from bridge.discovery.address import parse
from bridge.discovery.find import Found, Settings, find
from bridge.discovery.sources import Net, Silence, from_file
from bridge.model import Security
from bridge.profiles.settings import MailServer
from tests.support.other_net import OtherNet, document

ME = parse("me@example.test")
NAMES = (
    "example.test", "*.example.test", "v1.ispdb.net", "hoster.test", "*.hoster.test", "evil.test",
)  # fmt: skip
OWN = "https://autoconfig.example.test/mail/config-v1.1.xml"
WELL_KNOWN = "https://example.test/.well-known/autoconfig/mail/config-v1.1.xml"
ISPDB = "https://v1.ispdb.net/example.test"


@pytest.fixture
def net(tmp_path: Path) -> Iterator[OtherNet]:
    with OtherNet(tmp_path, NAMES) as running:
        yield running


async def settings(net: OtherNet) -> Settings:
    found = (await find(ME, net.net)).settings
    assert found is not None
    return found


async def test_the_table_asks_nobody(net: OtherNet) -> None:
    for asked in (net.net, None):
        found = (await find(parse("me@web.de"), asked)).settings
        assert found is not None
        assert found.pop3 == MailServer("pop3.web.de", 995, Security.TLS, "me")
        assert (found.source, found.proved, found.interval) == ("the built-in list", True, 900)
    assert (net.asked, net.questions) == ([], [])


async def test_a_provider_without_pop3() -> None:
    found = await find(parse("me@icloud.com"), None)
    assert found.settings is None
    assert found.provider is not None
    assert found.provider.no_pop3 is not None
    assert "IMAP only" in found.provider.no_pop3["en"]
    assert "nur IMAP" in found.provider.no_pop3["de"]


async def test_offline_asks_nobody(net: OtherNet) -> None:
    assert await find(ME, None) == Found(None)
    assert (net.asked, net.questions) == ([], [])


async def test_the_domain_itself_goes_first(net: OtherNet) -> None:
    net.pages[OWN] = document("pop.one.test")
    net.pages[WELL_KNOWN] = document("pop.two.test")
    net.pages[ISPDB] = document("pop.three.test")
    found = await settings(net)
    assert found.pop3.host == "pop.one.test"
    assert (found.source, found.proved) == ("autoconfig.example.test", True)
    assert found.smtp == MailServer("smtp.hoster.test", 465, Security.TLS, "me@example.test")
    assert ISPDB not in net.asked  # nobody else is told of the domain
    del net.pages[OWN]
    found = await settings(net)
    assert (found.pop3.host, found.source) == ("pop.two.test", "example.test")


async def test_then_the_ispdb(net: OtherNet) -> None:
    net.pages[ISPDB] = document("pop.three.test")
    net.records["_pop3s._tcp.example.test", "SRV"] = ["0 0 995 pop.srv.test."]
    found = await settings(net)
    assert found.pop3.host == "pop.three.test"
    assert (found.source, found.proved) == ("the ISPDB (v1.ispdb.net/example.test)", True)


async def test_the_local_part_is_told_to_nobody(net: OtherNet) -> None:
    await find(parse("very-private@example.test"), net.net)
    assert len(net.asked) == 3
    assert "private" not in "".join(net.asked) + "".join(name for name, _ in net.questions)


async def test_an_own_domain_at_a_known_provider(net: OtherNet) -> None:
    net.records["example.test", "MX"] = ["20 mx01.kundenserver.de.", "10 mx00.kundenserver.de."]
    found = await settings(net)
    assert found.pop3 == MailServer("pop.ionos.de", 995, Security.TLS, "me@example.test")
    assert found.source == "the built-in list, by the MX mx00.kundenserver.de"
    assert found.proved


async def test_an_own_domain_at_a_hoster_with_autoconfig(net: OtherNet) -> None:
    net.records["example.test", "MX"] = ["10 mx.hoster.test."]
    net.pages["https://autoconfig.hoster.test/mail/config-v1.1.xml"] = document()
    found = await settings(net)
    assert found.pop3 == MailServer("pop.hoster.test", 995, Security.TLS, "me@example.test")
    assert (found.source, found.proved) == ("autoconfig.hoster.test, by the MX", False)


async def test_an_own_domain_at_a_provider_without_pop3(net: OtherNet) -> None:
    net.records["example.test", "MX"] = ["10 mx01.mail.icloud.com."]
    found = await find(ME, net.net)
    assert found.settings is None
    assert found.provider is not None
    assert found.provider.name == "iCloud"


async def test_SRV_records(net: OtherNet) -> None:
    net.records["_pop3s._tcp.example.test", "SRV"] = [
        "20 0 995 pop.later.test.",
        "10 1 9950 pop.light.test.",
        "10 5 995 pop.heavy.test.",
    ]
    net.records["_submissions._tcp.example.test", "SRV"] = ["0 0 465 smtp.heavy.test."]
    found = await settings(net)
    assert found.pop3 == MailServer("pop.heavy.test", 995, Security.TLS, "me@example.test")
    assert found.smtp == MailServer("smtp.heavy.test", 465, Security.TLS, "me@example.test")
    assert not found.proved  # RFC 6186 6
    # "." says that there is none: STARTTLS is next
    net.records["_pop3s._tcp.example.test", "SRV"] = ["0 0 0 ."]
    net.records["_pop3._tcp.example.test", "SRV"] = ["0 0 110 pop.heavy.test."]
    found = await settings(net)
    assert (found.pop3.port, found.pop3.security) == (110, Security.STARTTLS)


async def test_guesses_come_last_and_must_answer(net: OtherNet) -> None:
    tried: list[str] = []

    async def greets(host: str) -> bool:
        tried.append(host)
        return host == "mail.example.test"

    found = (await find(ME, net.net, greets)).settings
    assert found is not None
    assert found.pop3 == MailServer("mail.example.test", 995, Security.TLS, "me@example.test")
    assert not found.proved
    assert sorted(tried) == ["mail.example.test", "pop.example.test", "pop3.example.test"]
    net.pages[OWN] = document()
    tried.clear()
    await find(ME, net.net, greets)
    assert tried == []


async def test_nobody_knows_and_says_so(net: OtherNet) -> None:
    net.records["example.test", "MX"] = ["10 mx.example.test."]
    net.pages[OWN] = b"<html>"
    net.pages[ISPDB] = document(socket_type="plain")
    found = await find(ME, net.net)
    assert found.settings is None
    said = dict(found.asked)
    assert said["autoconfig.example.test"].startswith("what is there is no XML")
    assert said["example.test"] == "answers 404"
    assert said["v1.ispdb.net/example.test"] == "names a POP3 server without TLS only"
    assert said["MX of example.test"] == "nobody knows mx.example.test"
    assert said["SRV of example.test"] == "no such record"


# --- hostile answers (N003) -------------------------------------------------------------


async def silence(net: Net, url: str) -> str:
    with pytest.raises(Silence) as caught:
        await net.page(url)
    return str(caught.value)


@pytest.mark.case("N003")
async def test_redirects_stay_with_the_domain(net: OtherNet) -> None:
    other = "https://autoconfig.evil.test/mail/config-v1.1.xml"
    net.pages[other] = document("pop.evil.test")
    net.redirects[WELL_KNOWN] = other
    assert "where we do not go" in await silence(net.net, WELL_KNOWN)
    net.redirects[WELL_KNOWN] = "http://example.test/config"
    assert "where we do not go" in await silence(net.net, WELL_KNOWN)
    net.redirects[WELL_KNOWN] = "https://notexample.test/config"
    assert "where we do not go" in await silence(net.net, WELL_KNOWN)
    assert other not in net.asked
    net.redirects[WELL_KNOWN] = "/elsewhere"
    net.pages["https://example.test/elsewhere"] = b"here"
    assert await net.net.page(WELL_KNOWN) == b"here"
    net.redirects[WELL_KNOWN] = "https://www.example.test/below"
    net.pages["https://www.example.test/below"] = b"there"
    assert await net.net.page(WELL_KNOWN) == b"there"
    net.redirects[WELL_KNOWN] = WELL_KNOWN
    assert await silence(net.net, WELL_KNOWN) == "sends us round in circles"


@pytest.mark.case("N003")
async def test_an_answer_without_end(net: OtherNet) -> None:
    net.pages[OWN] = b"x" * (limits.DISCOVERY_ANSWER * 50)
    assert await silence(net.net, OWN) == "answers without end"


@pytest.mark.case("N003")
async def test_a_certificate_that_is_not_right(net: OtherNet) -> None:
    stranger = Net(net.net.dns_server, net.net.https_port, None)
    assert (await silence(stranger, OWN)).startswith("not reached (")
    assert (await silence(net.net, "https://autoconfig.other.test/x")).startswith("not reached (")
    assert net.asked == []


async def test_silence_has_an_end(net: OtherNet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "DISCOVERY_SECONDS", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as quiet:  # takes connections, says nothing
        port = quiet.getsockname()[1]
        assert await silence(Net(net.net.dns_server, port), OWN) == "no answer in time"
        with pytest.raises(Silence, match="DNS does not answer"):
            await Net(("127.0.0.1", port)).mail_exchangers("example.test")


async def test_MX_and_SRV_of_nonsense(net: OtherNet) -> None:
    net.records["example.test", "MX"] = ["0 ."]  # RFC 7505: no mail
    assert list(await net.net.mail_exchangers("example.test")) == []
    net.records["_pop3s._tcp.example.test", "SRV"] = ["0 0 995 localhost.", "1 0 0 pop.x.test."]
    with pytest.raises(Silence, match="says that there is none"):
        await net.net.service("_pop3s._tcp", "example.test")
    many = [f"{number} mx{number}.x.test." for number in range(60)]
    net.records["example.test", "MX"] = many
    assert len(await net.net.mail_exchangers("example.test")) <= sources._RECORDS


async def test_another_net_comes_from_a_file(net: OtherNet) -> None:
    assert from_file(net.file) == net.net
