"""How a server is reached: pinned and client certificates, old TLS, SOCKS5."""

from __future__ import annotations

import hashlib
import socket
import ssl
from collections import deque
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography.hazmat.primitives import serialization
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge import limits
from bridge.model import Proxy, Secret
from bridge.pop3 import socks
from bridge.pop3.client import Learnt, Pop3Error, Pop3Session
from tests.pop3.harness import MemorySink, endpoint, open_session, refusal, session, take
from tests.support.pop3_server import Certificate, Pop3Server
from tests.support.socks_proxy import SocksProxy

SECURITIES = ["tls", "starttls"]


def leaf_fingerprint(leaf: Certificate) -> str:
    der = ssl.PEM_cert_to_DER_cert(leaf.cert_chain_pems[0].bytes().decode())
    return hashlib.sha256(der).digest().hex(":").upper()


def untrusted(*names: str) -> Certificate:
    return trustme.CA().issue_cert(*names or ("pop.example.org",))


# --- pins ---------------------------------------------------------------------------------


@pytest.mark.parametrize("security", SECURITIES)
async def test_a_pinned_certificate_counts_instead_of_CA_and_name(security: Any) -> None:
    leaf = untrusted()
    async with Pop3Server(security=security, certificate=leaf) as server:
        more: Any = {"fingerprint": leaf_fingerprint(leaf), "ca_file": None}
        opened = await open_session(server, **more)
        assert await opened.listing() == []
        await opened.quit()


def old_tls() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    return context


def null_cipher() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers("eNULL:@SECLEVEL=0")
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    return context


# --- client certificates ------------------------------------------------------------------


@pytest.mark.parametrize("one_file", [True, False])
async def test_a_client_certificate_is_shown(tmp_path: Path, one_file: bool) -> None:
    authority = trustme.CA()
    ours = authority.issue_cert("me@example.org")
    cert, key = tmp_path / "client.pem", tmp_path / "client.key"
    cert.write_bytes(ours.cert_chain_pems[0].bytes())
    if one_file:
        ours.private_key_pem.write_to_path(str(cert), append=True)
    else:
        ours.private_key_pem.write_to_path(str(key))
    more: Any = {"client_cert": str(cert), "client_key": None if one_file else str(key)}
    async with Pop3Server(security="tls", client_authority=authority) as server:
        opened = await open_session(server, **more)
        assert await opened.listing() == []
        await opened.quit()


async def test_without_its_client_certificate_a_server_says_no() -> None:
    async with Pop3Server(security="tls", client_authority=trustme.CA()) as server:
        error = await refusal(server)
        assert error.kind in ("tls", "connect")
        assert server.ledger.commands == []


@pytest.mark.parametrize("broken", ["missing", "no key", "another key", "a key with a password"])
async def test_a_client_certificate_that_cannot_be_used_is_no_reason_to_connect(
    tmp_path: Path, broken: str
) -> None:
    ours = trustme.CA().issue_cert("me@example.org")
    cert, key = tmp_path / "client.pem", tmp_path / "client.key"
    if broken != "missing":
        cert.write_bytes(ours.cert_chain_pems[0].bytes())
    if broken == "another key":
        untrusted().private_key_pem.write_to_path(str(key))
    elif broken == "a key with a password":
        plain = serialization.load_pem_private_key(ours.private_key_pem.bytes(), None)
        key.write_bytes(
            plain.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.BestAvailableEncryption(b"words"),
            )
        )
    more: Any = {"client_cert": str(cert), "client_key": str(key) if key.exists() else None}
    async with Pop3Server(security="tls") as server:
        error = await refusal(server, **more)
        assert error.kind == "tls"
        assert "client.pem" in str(error)
        assert "client_cert" in error.advice
        assert server.ledger.sessions == []


# --- SOCKS5 -------------------------------------------------------------------------------


@pytest.mark.parametrize("login", [None, ("me", "wörd:@")])
@pytest.mark.parametrize("security", ["none", "tls", "starttls"])
async def test_a_proxy_resolves_the_name_and_carries_the_session(
    login: tuple[str, str] | None, security: Any
) -> None:
    leaf = trustme.CA().issue_cert("pop.example.org")
    async with (
        Pop3Server(security=security, certificate=leaf) as server,
        SocksProxy({"pop.example.org": server.port}, login=login) as proxy,
    ):
        name, word = login or ("", "")
        by = Proxy("127.0.0.1", proxy.port, name, Secret(word) if word else None)
        pin = None if security == "none" else leaf_fingerprint(leaf)
        more: Any = {"host": "pop.example.org", "port": 995, "proxy": by, "fingerprint": pin}
        opened = await open_session(server, **more)
        assert await opened.listing() == []
        await opened.quit()
        assert proxy.asked == [("pop.example.org", 995)]
        assert server.ledger.logins == 1


async def test_the_certificate_is_checked_for_the_name_behind_the_proxy() -> None:
    async with (
        Pop3Server(security="tls") as server,
        SocksProxy({"pop.example.org": server.port}) as proxy,
    ):
        by = Proxy("127.0.0.1", proxy.port)
        error = await refusal(server, host="pop.example.org", proxy=by)
        assert error.kind == "tls"
        assert server.ledger.commands == []


@pytest.mark.parametrize(
    ("login", "answer", "reason"),
    [
        (None, None, "host unreachable"),
        (("me", "other"), None, "refused the user name or password"),
        (None, b"HTTP/1.1 400 Bad Request\r\n\r\n", "does not speak SOCKS5"),
        (None, b"\x05\xff", "another way to log in"),
        (None, b"\x05", "closed the connection"),
        (None, b"\x05\x00\x05\x00\x00\x09", "its answer is not SOCKS5"),
    ],
)
async def test_a_proxy_that_does_not_connect_us(
    login: tuple[str, str] | None, answer: bytes | None, reason: str
) -> None:
    async with (
        Pop3Server() as server,
        SocksProxy({}, login=login, answer=answer) as proxy,
    ):
        by = Proxy("127.0.0.1", proxy.port, "me" if login else "", Secret("canary"))
        error = await refusal(server, host="pop.example.org", port=110, proxy=by)
        assert error.kind == "connect"
        assert reason in str(error)
        assert "proxy" in error.advice
        assert "canary" not in str(error)
        assert server.ledger.sessions == []


async def test_a_proxy_that_is_not_there() -> None:
    async with Pop3Server() as server:
        error = await refusal(server, proxy=Proxy("127.0.0.1", 1))
        assert error.kind == "connect"
        assert "127.0.0.1:1 is not there: Connection refused" in str(error)
        assert server.ledger.sessions == []


async def test_a_proxy_that_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "POP3_CONNECT_SECONDS", 0.05)
    async with SocksProxy({}, login=("a", "b")) as proxy, Pop3Server() as server:
        more: Any = {"proxy": Proxy("127.0.0.1", proxy.port, "", None), "host": "x"}
        monkeypatch.setattr(SocksProxy, "_talk", _silence)
        error = await refusal(server, **more)
        assert "in time" in str(error)


async def _silence(self: SocksProxy, reader: Any, writer: Any) -> None:
    await reader.read()


def dialogue(answers: list[bytes], *of: Any) -> list[bytes]:
    """What a client sends that gets these answers, in one piece each."""
    steps = socks.connect(*of)
    sent, wanted = next(steps)
    wire = [sent] if sent else []
    incoming = b"".join(answers)
    try:
        while True:
            octets, incoming = incoming[:wanted], incoming[wanted:]
            sent, wanted = steps.send(octets)
            wire += [sent] if sent else []
    except StopIteration:
        assert incoming == b""
        return wire


def test_RFC_1928_and_RFC_1929_on_the_wire() -> None:
    done = b"\x05\x00\x00\x01" + bytes(6)
    assert dialogue([b"\x05\x00", done], "pop.example.org", 995) == [
        b"\x05\x01\x00",
        b"\x05\x01\x00\x03\x0fpop.example.org\x03\xe3",
    ]
    assert dialogue([b"\x05\x02", b"\x01\x00", done], "192.0.2.7", 110, "me", "pw") == [
        b"\x05\x02\x00\x02",
        b"\x01\x02me\x02pw",
        b"\x05\x01\x00\x01\xc0\x00\x02\x07\x00n",
    ]
    six = b"\x05\x00\x00\x04" + bytes(18)
    assert dialogue([b"\x05\x00", six], "2001:db8::1", 110)[1][:4] == b"\x05\x01\x00\x04"
    assert dialogue([b"\x05\x00", done], "bücher.example", 1)[1][5:-2] == b"xn--bcher-kva.example"


@settings(deadline=None)
@given(st.lists(st.binary(max_size=40), max_size=8), st.text(max_size=300), st.text(max_size=300))
def test_a_proxy_can_only_end_the_dialogue_or_be_refused(
    answers: list[bytes], host: str, password: str
) -> None:
    """Whatever a proxy says and whatever is in the config: steps of bounded size, or SocksError."""
    steps = socks.connect(host, 995, "me", password)
    stream = b"".join(answers)
    try:
        sent, wanted = next(steps)
        while len(stream) >= wanted:
            assert 0 < wanted <= 257
            assert len(sent) <= 520
            octets, stream = stream[:wanted], stream[wanted:]
            sent, wanted = steps.send(octets)
    except (StopIteration, socks.SocksError):
        pass


# --- several commands at once -------------------------------------------------------------


@pytest.mark.parametrize("pipelining", [True, False])
async def test_deletes_go_together_where_the_server_can(pipelining: bool) -> None:
    drop = [(b"u%d" % number, b"Subject: x\r\n\r\n") for number in range(1, 701)]
    async with Pop3Server(drop, pipelining=pipelining) as server:
        opened = await open_session(server)
        refused = await opened.delete_all([*range(1, 601), 5, 9999])
        await opened.quit()
        assert refused == {5: "no such message", 9999: "no such message"}
        assert server.ledger.deleted == [b"u%d" % number for number in range(1, 601)]
        assert server.ledger.count(b"DELE") == 602
        outstanding = server.ledger.sessions[0].most_outstanding
        assert outstanding > 50 if pipelining else outstanding == 1
        assert outstanding <= limits.POP3_WINDOW_COMMANDS


async def test_deletes_without_QUIT_delete_nothing() -> None:
    drop = [(b"u%d" % number, b"Subject: x\r\n\r\n") for number in range(1, 11)]
    async with Pop3Server(drop, hang_up=[b"DELE 4"]) as server:
        async with session(server) as opened:
            with pytest.raises(Pop3Error) as raised:
                await opened.delete_all(range(1, 8))
            assert raised.value.fatal
        assert server.ledger.count(b"QUIT") == 0
        assert server.ledger.deleted == []
        assert len(server.items) == 10


async def test_what_a_former_session_learnt_sends_LIST_and_UIDL_together() -> None:
    """PIPELINING that is announced after the login only (RFC 2449 5)."""
    drop = [(b"u%d" % number, b"Subject: x\r\n\r\n") for number in range(1, 4)]
    before, after = b"+OK\r\nUIDL\r\n.\r\n", b"+OK\r\nUIDL\r\nPIPELINING\r\n.\r\n"
    async with Pop3Server(drop) as server:
        learnt: Learnt | None = None
        for together in (1, 2):
            server.replies = {b"CAPA": deque([before, after])}
            opened = await Pop3Session.open(
                endpoint(server), Secret("secret"), new_sink=MemorySink, learnt=learnt
            )
            items = await opened.listing()
            assert server.ledger.sessions[-1].most_outstanding == together
            await take(opened, items)
            learnt = opened.learnt
            await opened.quit()
        assert server.ledger.count(b"CAPA") == 3  # the second session did not ask again


async def test_what_a_server_sends_in_two_pieces_is_acknowledged_at_once() -> None:
    """popa3d 1.0 and solid-pop3d 0.15 write +OK and message apart, with Nagle's algorithm."""
    drop = [(b"u%d" % number, b"Subject: x\r\n\r\n") for number in range(1, 4)]
    async with Pop3Server(drop, pipelining=False) as server, session(server) as opened:
        await take(opened)
        transport = opened._wire._link.transport
        assert transport is not None
        connected = transport.get_extra_info("socket")
        assert connected.getsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK) == 1
