"""Autoconfig documents: what is read, and what is refused (N003 of our list of hostile input)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge import limits
from bridge.discovery.address import parse
from bridge.discovery.documents import BadDocument, Document, read
from bridge.model import Security
from bridge.profiles.settings import MailServer
from tests.support.other_net import document

ME = parse("me@example.test")


def found(octets: bytes) -> Document:
    return read(octets, ME)


def test_a_whole_document() -> None:
    more = "<pop3><leaveMessagesOnServer>true</leaveMessagesOnServer>"
    more += '<checkInterval minutes="15"/></pop3>'
    assert found(document(more=more)) == Document(
        name="Hoster",
        pop3=MailServer("pop.hoster.test", 995, Security.TLS, "me@example.test"),
        smtp=MailServer("smtp.hoster.test", 465, Security.TLS, "me@example.test"),
        interval=900,
        help=("https://hoster.test/help",),
    )


@pytest.mark.parametrize(
    ("username", "name"),
    [
        ("%EMAILLOCALPART%", "me"),
        ("%EMAILLOCALPART%.%EMAILDOMAIN%", "me.example.test"),
        ("", "me@example.test"),
        ("shared", "shared"),
    ],
)
def test_user_names(username: str, name: str) -> None:
    pop3 = found(document(username=username)).pop3
    assert pop3 is not None
    assert pop3.username == name


def test_the_host_may_be_that_of_the_address() -> None:
    pop3 = found(document("mail.%EMAILDOMAIN%")).pop3
    assert pop3 is not None
    assert pop3.host == "mail.example.test"


def test_tls_goes_before_starttls_and_plain_is_none() -> None:
    text = document(socket_type="STARTTLS", port=110).decode()
    assert found(text.encode()).pop3 == MailServer(
        "pop.hoster.test", 110, Security.STARTTLS, "me@example.test"
    )
    second = text[text.index('<incomingServer type="pop3">') : text.index("<outgoingServer")]
    both = text.replace("<outgoingServer", second.replace("STARTTLS", "SSL") + "<outgoingServer")
    pop3 = found(both.encode()).pop3
    assert pop3 is not None
    assert pop3.security is Security.TLS
    plain = found(document(socket_type="plain", port=110))
    assert (plain.pop3, plain.without_tls) == (None, True)
    without = found(document().replace(b'type="pop3"', b'type="jmap"'))
    assert (without.pop3, without.without_tls) == (None, False)


def test_oauth_alone() -> None:
    assert not found(document()).oauth_only
    only = document().replace(b"password-cleartext", b"OAuth2")
    assert found(only).oauth_only
    both = document(more="<authentication>OAuth2</authentication>")
    assert not found(both).oauth_only


@pytest.mark.case("N001")
@pytest.mark.parametrize(
    "host",
    ["localhost", "pop", "127.0.0.1", "169.254.169.254", "[::1]", "0x7f000001", "a b.test",
     "pop.local", "pop.hoster.test/x", "me@pop.hoster.test", "pop.hoster.test:25", "",
     "x" * 5000 + ".test"],
)  # fmt: skip
def test_a_host_that_is_none(host: str) -> None:
    assert found(document(host)).pop3 is None


@pytest.mark.parametrize("port", ["0", "65536", "-1", "99999999999", "x", "", "٩٩٥"])
def test_a_port_that_is_none(port: str) -> None:
    octets = document().replace(b"<port>995</port>", f"<port>{port}</port>".encode())
    assert found(octets).pop3 is None


LAUGHS = b"""<!DOCTYPE clientConfig [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>
<clientConfig><emailProvider>&b;</emailProvider></clientConfig>"""


@pytest.mark.case("N003")
@pytest.mark.parametrize(
    "octets",
    [
        LAUGHS,
        LAUGHS.decode().encode("utf-16"),
        b'<!DOCTYPE x SYSTEM "file:///etc/passwd"><clientConfig><emailProvider/></clientConfig>',
        b"<clientConfig/>",
        b"<html><emailProvider/></html>",
        b"<clientConfig><emailProvider></clientConfig>",
        b"",
        b"\0",
        b"\xff\xfe<clientConfig/>",
        b'<?xml version="1.0" encoding="utf-7"?>+ADwAIQ-DOCTYPE',
        b"not XML at all",
    ],
)
def test_what_is_no_document(octets: bytes) -> None:
    with pytest.raises(BadDocument):
        found(octets)


@pytest.mark.case("N003")
def test_the_longest_document() -> None:
    octets = document()
    padding = b"<!--" + b"x" * (limits.DISCOVERY_ANSWER - len(octets) - 7) + b"-->"
    longest = octets + padding
    assert len(longest) == limits.DISCOVERY_ANSWER
    assert found(longest).pop3 is not None
    with pytest.raises(BadDocument, match="has more than"):
        found(longest + b" ")


@pytest.mark.case("N003")
def test_deep_nesting_is_survived() -> None:
    depth = limits.DISCOVERY_ANSWER // 3
    deep = b"<clientConfig><emailProvider>" + b"<a>" * depth
    whole = deep[: limits.DISCOVERY_ANSWER - 40] + b"</emailProvider></clientConfig>"
    with pytest.raises(BadDocument):
        found(whole)
    depth = limits.DISCOVERY_ANSWER // 8
    deep = b"<clientConfig><emailProvider>" + b"<a>" * depth + b"</a>" * depth
    assert found(deep + b"</emailProvider></clientConfig>").pop3 is None


def test_help_pages_are_https_and_few() -> None:
    octets = document().replace(
        b"<documentation",
        b'<documentation url="javascript:alert(1)"/><enable visiturl="https://hoster.test/on"/>'
        b"<documentation",
    )
    assert found(octets).help == ("https://hoster.test/on", "https://hoster.test/help")


@given(st.binary(max_size=300))
def test_any_octets(octets: bytes) -> None:
    with pytest.raises(BadDocument):
        found(octets)


@given(st.data())
def test_any_damage(data: st.DataObject) -> None:
    octets = bytearray(document())
    at = data.draw(st.integers(0, len(octets) - 1))
    octets[at : at + data.draw(st.integers(0, 40))] = data.draw(st.binary(max_size=20))
    try:
        pop3 = found(bytes(octets)).pop3
    except BadDocument:
        return
    if pop3 is not None:
        assert 0 < pop3.port < 65536
        assert "." in pop3.host
        assert pop3.host.isascii()
