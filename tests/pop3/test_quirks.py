"""What named providers want otherwise, and what response codes make us do."""

from __future__ import annotations

from collections import deque

import pytest

from bridge.model import Proxy
from bridge.pop3 import quirks
from bridge.pop3.quirks import SOFTWARE, Kind, login_refusal, of, refusal
from tests.pop3 import harness
from tests.support.pop3_server import Pop3Server
from tests.support.socks_proxy import SocksProxy


def test_every_quirk_of_software_has_a_source_a_way_to_be_known_and_an_effect() -> None:
    for quirk in SOFTWARE:
        assert quirk.name
        assert quirk.source
        assert quirk.greeting == quirk.greeting.lower() != ""
        assert quirk.refused or quirk.auth_alone or quirk.apop_for_few or quirk.least_interval


@pytest.mark.parametrize(
    ("host", "greeting", "name"),
    [
        ("pop.gmx.net", b"", "GMX"),
        ("POP.GMX.NET.", b"", "GMX"),
        ("notpop.gmx.net.example", b"", ""),
        ("mypop.gmx.net", b"", ""),
        ("imap-mail.outlook.com", b"", "Outlook.com"),
        ("mail.inbox.lv", b"", "inbox.lv"),
        ("outlook.office365.com", b"The Microsoft Exchange POP3 service is ready.", "Outlook.com"),
        ("mail.example.org", b"The Microsoft Exchange POP3 service is ready.", "Exchange"),
        ("pop.gmail.com", b"The Microsoft Exchange", "Gmail"),
        ("mail.example.org", b"Dovecot ready.", ""),
        ("", b"", ""),
    ],
)
def test_whose_quirk_it_is(host: str, greeting: bytes, name: str) -> None:
    assert of(host, greeting).name == name


def test_the_intervals_of_the_provider_table() -> None:
    """Minutes: WEB.DE and Microsoft 15, Gmail and GMX 10; nothing is known of others."""
    minutes = {host: of(host).least_interval / 60 for host in ("pop3.web.de", "pop.gmail.com")}
    assert minutes == {"pop3.web.de": 15, "pop.gmail.com": 10}
    assert of("outlook.office365.com").least_interval == 900
    assert of("pop.example.org").least_interval == 0


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("IN-USE", "busy"),
        ("LOGIN-DELAY", "busy"),
        ("SYS/TEMP", "temporary"),
        ("SYS/PERM", "permanent"),
        ("SYS/PERM/DISABLED", "permanent"),
        ("SYS/NEW", "temporary"),
        ("AUTH", "auth"),
        ("AUTH/EXPIRED", "auth"),
        ("UTF8", "permanent"),
        ("XYZ", "auth"),
        ("", "auth"),
    ],
)
def test_RFC_2449_RFC_3206_RFC_6856_codes_at_the_login(code: str, kind: Kind) -> None:
    assert login_refusal(code, b"") == kind


def test_codes_at_other_commands() -> None:
    assert refusal("SYS/PERM") == "permanent"
    assert refusal("") == "temporary"
    assert refusal("NEW/ONE") == "temporary"


async def test_a_provider_with_POP3_off_is_named_in_the_advice() -> None:
    replies: dict[bytes, bytes | deque[bytes]] = {b"PASS": b"-ERR authentication failed\r\n"}
    async with (
        Pop3Server(replies=replies) as server,
        SocksProxy({"pop.gmx.net": server.port}) as proxy,
    ):
        by = Proxy("127.0.0.1", proxy.port)
        error = await harness.refusal(server, host="pop.gmx.net", port=110, proxy=by)
    assert error.kind == "auth"
    assert "switch it on" in error.advice
    assert quirks.of("pop.gmx.net").refused == error.advice
