"""Which addresses of a host name are asked."""

from __future__ import annotations

import pytest

from bridge.pop3.addresses import is_local_name, may_be_asked

PUBLIC = "pop.example.org"


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:2800:220:1::1"])
def test_a_public_address_may_be_asked(address: str) -> None:
    assert may_be_asked(PUBLIC, address, private=False)


@pytest.mark.case("N001")
@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "10.1.2.3", "192.168.1.2", "172.16.0.1", "100.100.100.200", "::1"),
        *("fd00::1", "::ffff:127.0.0.1", "0:0:0:0:0:ffff:a01:203"),
    ],
)
def test_a_public_name_leads_into_a_private_network_only_if_the_config_says_so(
    address: str,
) -> None:
    assert not may_be_asked(PUBLIC, address, private=False)
    assert may_be_asked(PUBLIC, address, private=True)
    assert may_be_asked("nas", address, private=False)


@pytest.mark.case("N001")
@pytest.mark.parametrize("address", ["169.254.169.254", "fe80::1%eth0", "::ffff:169.254.169.254"])
def test_a_link_local_address_needs_its_own_name(address: str) -> None:
    """169.254.169.254 is where clouds keep what their machines may do."""
    assert not may_be_asked(PUBLIC, address, private=True)
    assert may_be_asked("pop.local", address, private=False)
    assert may_be_asked(address, address, private=False)


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "224.0.0.1", "ff02::1", "no address"])
def test_what_is_nobodys_is_never_asked(address: str) -> None:
    for host in (PUBLIC, "nas", address):
        assert not may_be_asked(host, address, private=True)


@pytest.mark.case("N001")
@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("localhost", True), ("nas", True), ("pop.fritz.home.arpa", True), ("MAIL.LAN.", True),
        (PUBLIC, False), ("0x7f000001", False), ("2130706433", False), ("local.example.org", False),
    ],
)  # fmt: skip
def test_local_names(host: str, local: bool) -> None:
    assert is_local_name(host) == local
