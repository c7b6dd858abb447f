"""Addresses, taken apart: N004 of our list of hostile input."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge import limits
from bridge.discovery.address import Address, NotAnAddress, base_domains, parse, to_ascii


@pytest.mark.case("N004")
@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("me@gmx.de", Address("me", "gmx.de")),
        ("  Me.Too+tag@GMX.de ", Address("Me.Too+tag", "gmx.de")),
        ("me@gmx.de.", Address("me", "gmx.de")),
        ("me@Bücher.example", Address("me", "xn--bcher-kva.example", "Bücher.example")),
        ("müller@gmx.de", Address("müller", "gmx.de")),
        # Cyrillic "а": another domain, and its ASCII form shows it
        ("me@gmаil.com", Address("me", "xn--gmil-63d.com", "gmаil.com")),
        ("me@faß.de", Address("me", "xn--fa-hia.de", "faß.de")),
    ],
)
def test_addresses(text: str, address: Address) -> None:
    assert parse(text) == address


@pytest.mark.case("N004")
@pytest.mark.parametrize(
    "text",
    [
        "", "me", "@gmx.de", "me@", "me@gmx.de@evil.example", "user:pw@gmx.de@", "me@gmx..de",
        "me@-gmx.de", "me@[192.0.2.1]", "me me@gmx.de", "me@gmx .de", "me\n@gmx.de", "me@gmx.de/x",
        "me@gmx.de:995", "<me@gmx.de>", "me@" + "a" * 64 + ".de", "x" * 65 + "@gmx.de",
        "me@gmx\u3002\u3002de", "me@\u200b.de", "me@" + "a." * 150 + "de",
    ],
)  # fmt: skip
def test_what_is_none(text: str) -> None:
    with pytest.raises(NotAnAddress):
        parse(text)


@pytest.mark.case("N004")
def test_lengths_are_capped_before_anything_is_encoded() -> None:
    with pytest.raises(NotAnAddress, match="at most 320 characters"):
        parse("me@" + "ü" * limits.ADDRESS)
    start = time.process_time()
    with pytest.raises(NotAnAddress, match="at most 1000 characters"):
        to_ascii("ü" * 100_000)
    with pytest.raises(NotAnAddress):
        to_ascii("ü" * limits.HOST_NAME)
    assert time.process_time() - start < 1.0


@pytest.mark.parametrize(
    ("host", "domains"),
    [
        ("mx1.mail.example.co.uk", ("mail.example.co.uk", "example.co.uk")),
        ("mx00.kundenserver.de", ("kundenserver.de",)),
        ("a.b.hoster.net", ("b.hoster.net", "hoster.net")),
        ("hoster.net", ("hoster.net",)),
        ("mx.ocn.ne.jp", ("ocn.ne.jp",)),
        ("localhost", ()),
        ("192.0.2.1", ()),
    ],
)
def test_whose_host_it_is(host: str, domains: tuple[str, ...]) -> None:
    assert base_domains(host) == domains


@given(st.text(max_size=400))
def test_any_text_is_an_address_or_refused(text: str) -> None:
    try:
        found = parse(text)
    except NotAnAddress:
        return
    assert found.domain.isascii()
    assert found.domain == found.domain.lower()
    assert parse(str(found)).domain == found.domain


@given(st.from_regex(r"[a-z0-9.-]{1,60}", fullmatch=True))
def test_base_domains_are_ends_of_the_host(host: str) -> None:
    for domain in base_domains(host):
        assert host.endswith(domain)
