"""Every way to log in, as it is on the wire, and which is taken; tokens; UTF-8."""

from __future__ import annotations

import base64
import hashlib
import threading
from collections import deque
from pathlib import Path
from typing import Any

import pytest

from bridge import limits
from bridge.auth import sasl
from bridge.model import Auth, Endpoint, Secret, Security
from bridge.pop3.client import Pop3Error, Pop3Session
from tests.pop3.harness import MemorySink, open_session, refusal
from tests.support.dovecot import Dovecot
from tests.support.pop3_server import Pop3Server

ALL = (b"PLAIN", b"LOGIN", b"CRAM-MD5", b"SCRAM-SHA-256")


def b64(text: bytes) -> bytes:
    return base64.b64encode(text)


async def said(server: Pop3Server, **more: Any) -> list[bytes]:
    """What a client says between CAPA and QUIT."""
    opened = await open_session(server, **more)
    await opened.quit()
    await server.idle()
    assert server.ledger.commands[0] == b"CAPA"
    assert server.ledger.commands[-1] == b"QUIT"
    return server.ledger.commands[1:-1]


# --- on the wire --------------------------------------------------------------------------


async def test_LOGIN_gives_the_name_and_then_the_password() -> None:
    async with Pop3Server(security="tls", sasl=[b"LOGIN"]) as server:
        wire = await said(server, auth=Auth.LOGIN)
    assert wire == [b"AUTH LOGIN", b64(b"user"), b64(b"secret")]


async def test_RFC_2195_CRAM_MD5() -> None:
    """The challenge, the user and the response of RFC 2195 2."""
    options: Any = {"username": "tim", "password": "tanstaaftanstaaf", "sasl": [b"CRAM-MD5"]}
    async with Pop3Server(**options) as server:
        wire = await said(server, auth=Auth.CRAM_MD5)
    assert wire == [b"AUTH CRAM-MD5", b"dGltIGI5MTNhNjAyYzdlZGE3YTQ5NWI0ZTZlNzMzNGQzODkw"]


async def test_SCRAM_shows_the_password_to_nobody_and_takes_the_servers_proof() -> None:
    async with Pop3Server(sasl=[b"SCRAM-SHA-256"]) as server:
        wire = await said(server, auth=Auth.SCRAM_SHA_256)
    first = base64.b64decode(wire[0].removeprefix(b"AUTH SCRAM-SHA-256 "))
    assert first.startswith(b"n,,n=user,r=")
    assert base64.b64decode(wire[1]).startswith(b"c=biws,r=")
    assert wire[2] == b""  # RFC 5034 4: what answers the server's proof
    assert b"secret" not in b"".join(map(base64.b64decode, [wire[1]]))


async def test_SCRAM_with_a_wrong_password_is_refused_once() -> None:
    async with Pop3Server(sasl=[b"SCRAM-SHA-256"]) as server:
        error = await refusal(server, password="wrong")
        assert error.kind == "auth"
        assert "invalid-proof" in str(error)
        assert server.ledger.failed_logins == 1
        assert server.ledger.count(b"USER") == 0


async def test_SCRAM_a_server_that_does_not_know_the_password_is_not_believed() -> None:
    async with Pop3Server(sasl=[b"SCRAM-SHA-256"], impostor=True) as server:
        error = await refusal(server, auth=Auth.SCRAM_SHA_256)
        assert error.kind == "protocol"
        assert "SCRAM" in str(error)


async def test_SCRAM_an_OK_before_the_proof_is_not_believed() -> None:
    async with Pop3Server(sasl=[b"SCRAM-SHA-256"]) as server:
        server.replies = {b"AUTH": b"+OK welcome\r\n"}
        error = await refusal(server)
        assert error.kind == "protocol"
        assert "did not prove" in str(error)


@pytest.mark.parametrize("iterations", [1, 4095, limits.SCRAM_ITERATIONS + 1, 2**31])
async def test_SCRAM_iterations_that_are_unsafe_are_not_computed(iterations: int) -> None:
    """Nothing was proved until then, so another way is tried."""
    async with Pop3Server(security="tls", sasl=[b"SCRAM-SHA-256"], iterations=iterations) as server:
        wire = await said(server)
    assert wire[1:] == [b"*", b"USER user", b"PASS secret"]


async def test_SCRAM_is_computed_off_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    threads = set()
    respond = sasl.ScramSha256.respond

    def watched(self: sasl.ScramSha256, challenge: bytes) -> bytes:
        threads.add(threading.current_thread())
        return respond(self, challenge)

    monkeypatch.setattr(sasl.ScramSha256, "respond", watched)
    async with Pop3Server(sasl=[b"SCRAM-SHA-256"]) as server:
        await said(server)
    assert threads
    assert threading.current_thread() not in threads


async def test_XOAUTH2_in_one_step() -> None:
    async with Pop3Server(security="tls", sasl=[b"XOAUTH2"], tokens=["abc"]) as server:
        wire = await said(server, password="abc", auth=Auth.XOAUTH2, bearer=True)
    assert wire == [b"AUTH XOAUTH2 " + b64(b"user=user\x01auth=Bearer abc\x01\x01")]


async def test_RFC_5034_a_long_token_goes_in_two_steps() -> None:
    token = "t" * 5000
    async with Pop3Server(security="tls", sasl=[b"XOAUTH2"], tokens=[token]) as server:
        wire = await said(server, password=token, bearer=True)
    assert wire == [b"AUTH XOAUTH2", b64(f"user=user\x01auth=Bearer {token}\x01\x01".encode())]


async def test_Exchange_is_known_by_its_greeting_and_gets_AUTH_alone() -> None:
    hello = b"+OK The Microsoft Exchange POP3 service is ready. [TABP]\r\n"
    options: Any = {"greeting": hello, "auth_alone": True, "tokens": ["abc"]}
    async with Pop3Server(security="tls", sasl=[b"PLAIN", b"XOAUTH2"], **options) as server:
        wire = await said(server, password="abc", bearer=True)
    assert wire == [b"AUTH XOAUTH2", b64(b"user=user\x01auth=Bearer abc\x01\x01")]


async def test_RFC_7628_OAUTHBEARER() -> None:
    async with Pop3Server(security="tls", sasl=[b"OAUTHBEARER"], tokens=["abc"]) as server:
        port = server.port
        wire = await said(server, password="abc", bearer=True)
    message = f"n,a=user,\x01host=127.0.0.1\x01port={port}\x01auth=Bearer abc\x01\x01"
    assert wire == [b"AUTH OAUTHBEARER " + b64(message.encode())]


@pytest.mark.parametrize(
    ("mechanism", "answer", "status"),
    [(b"XOAUTH2", b"", "401"), (b"OAUTHBEARER", b"\x01", "invalid_token")],
)
async def test_the_challenge_that_tells_a_refused_token_is_answered(
    mechanism: bytes, answer: bytes, status: str
) -> None:
    async with Pop3Server(security="tls", sasl=[mechanism]) as server:
        error = await refusal(server, password="canary-token", bearer=True)
        assert server.ledger.sessions[0].failure_answer == answer
        assert server.ledger.failed_logins == 1
    assert error.kind == "auth"
    assert status in str(error)
    assert "canary" not in repr(error) + str(error) + error.server_text


async def test_a_token_goes_to_no_other_mechanism() -> None:
    """Not as a password, also where the server knows neither of the two."""
    async with Pop3Server(security="tls", sasl=[b"PLAIN"]) as server:
        error = await refusal(server, password="abc", bearer=True)
        assert error.kind == "auth"
        assert server.ledger.commands == [
            b"CAPA",
            b"AUTH XOAUTH2 " + b64(b"user=user\x01auth=Bearer abc\x01\x01"),
        ]


# --- which way ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("security", "first"),
    [("tls", b"AUTH PLAIN"), ("none", b"AUTH SCRAM-SHA-256")],
)
async def test_auto_shows_the_password_only_where_nobody_listens(
    security: Any, first: bytes
) -> None:
    async with Pop3Server(security=security, sasl=ALL, apop=True) as server:
        wire = await said(server)
    assert wire[0].startswith(first)


async def test_auto_goes_through_the_ways_that_the_server_does_not_know() -> None:
    no = b"-ERR unknown command\r\n"
    replies: dict[bytes, bytes | deque[bytes]] = dict.fromkeys([b"AUTH", b"USER"], no)
    async with Pop3Server(security="tls", sasl=ALL, apop=True, replies=replies) as server:
        wire = await said(server)
    assert [b" ".join(line.split()[:2]) for line in wire] == [
        b"AUTH PLAIN",
        b"AUTH SCRAM-SHA-256",
        b"USER user",
        b"AUTH LOGIN",
        b"AUTH CRAM-MD5",
        b"APOP user",
    ]


@pytest.mark.parametrize("mechanism", [*ALL, b"USER", b"APOP"])
async def test_a_refused_password_is_refused_once_by_every_way(mechanism: bytes) -> None:
    offers = [mechanism] if mechanism in ALL else []
    async with Pop3Server(sasl=offers, apop=mechanism == b"APOP") as server:
        error = await refusal(server, password="wrong")
        assert error.kind == "auth"
        assert server.ledger.failed_logins == 1
        assert len(server.ledger.sessions) == 1


async def test_a_refused_user_name_is_a_refused_login() -> None:
    """`-ERR no such user` at USER: the next way would be a second failure."""
    replies: dict[bytes, bytes | deque[bytes]] = {b"USER": b"-ERR no such user\r\n"}
    options: Any = {"replies": replies, "apop": True, "sasl": [b"CRAM-MD5"]}
    async with Pop3Server(security="tls", **options) as server:
        error = await refusal(server)
        assert error.kind == "auth"
        assert [line.split()[0] for line in server.ledger.commands] == [b"CAPA", b"USER"]


@pytest.mark.parametrize("way", [Auth.PLAIN, Auth.LOGIN, Auth.CRAM_MD5, Auth.SCRAM_SHA_256])
async def test_a_chosen_way_is_the_only_one(way: Auth) -> None:
    """Also where it is not announced."""
    async with Pop3Server(security="tls") as server:
        error = await refusal(server, auth=way)
        assert error.kind == "auth"
        verbs = [line.split()[0] for line in server.ledger.commands]
        assert set(verbs) == {b"CAPA", b"AUTH"}


async def test_APOP_without_a_timestamp_is_not_tried() -> None:
    async with Pop3Server() as server:
        error = await refusal(server, auth=Auth.APOP)
        assert "no timestamp" in str(error)
        assert server.ledger.commands == [b"CAPA"]


async def test_a_challenge_that_is_no_base64_is_cancelled() -> None:
    """RFC 5034 4."""
    async with Pop3Server(replies={b"AUTH": b"+ ***\r\n"}) as server:
        error = await refusal(server, auth=Auth.CRAM_MD5)
        assert server.ledger.commands == [b"CAPA", b"AUTH CRAM-MD5", b"*"]
        assert "base64" in str(error)


async def test_a_server_that_repeats_the_whole_response_shows_no_password() -> None:
    canary = "canary-4711"
    whole = b64(f"\0user\0{canary}".encode())
    replies: dict[bytes, bytes | deque[bytes]] = {b"AUTH": b"-ERR bad line: %b\r\n" % whole}
    async with Pop3Server(security="tls", sasl=[b"PLAIN"], replies=replies) as server:
        error = await refusal(server, password=canary)
    assert "bad line: ***" in str(error)
    assert whole.decode() not in str(error) + error.server_text


# --- RFC 6856 -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("capability", "password", "first"),
    [
        ([b"UTF8 USER"], "pässword", b"UTF8"),
        ([b"UTF8 USER"], "password", b"USER user"),
        ([b"UTF8"], "pässword", b"USER user"),
        ([], "pässword", b"USER user"),
    ],
)
async def test_UTF8_is_sent_where_it_is_announced_and_needed(
    capability: list[bytes], password: str, first: bytes
) -> None:
    options: Any = {"extra_capabilities": capability, "password": password}
    async with Pop3Server(security="starttls", **options) as server:
        opened = await open_session(server)
        await opened.abort()
        assert server.ledger.commands[:4] == [b"CAPA", b"STLS", b"CAPA", first]
        assert server.ledger.logins == 1


async def test_a_refused_UTF8_changes_nothing() -> None:
    replies: dict[bytes, bytes | deque[bytes]] = {b"UTF8": b"-ERR not today\r\n"}
    options: Any = {"extra_capabilities": [b"UTF8 USER"], "replies": replies}
    async with Pop3Server(username="jürgen", **options) as server:
        assert await said(server) == [b"UTF8", "USER jürgen".encode(), b"PASS secret"]


async def test_RFC_6856_2_2_APOP_of_a_password_that_is_not_ASCII_is_prepared() -> None:
    """U+2168 is "IX" after SASLprep (RFC 4013 3)."""
    async with Pop3Server(apop=True, password="IX") as server:
        stamp = b"<1896.697170952@dbc.mtview.ca.us>"
        wire = await said(server, password="\u2168", auth=Auth.APOP)
    assert wire[0].endswith(hashlib.md5(stamp + b"IX").hexdigest().encode())


# --- a real server ------------------------------------------------------------------------


async def test_Dovecot_takes_every_mechanism_and_refuses_a_wrong_password(tmp_path: Path) -> None:
    with Dovecot(tmp_path, mechanisms="plain login cram-md5 scram-sha-256") as dovecot:
        for auth in (Auth.PLAIN, Auth.LOGIN, Auth.CRAM_MD5, Auth.SCRAM_SHA_256, Auth.USER):
            port = dovecot.pop3s_port
            ca = str(dovecot.ca_pem)
            endpoint = Endpoint(dovecot.host, port, Security.TLS, "user", ca, auth=auth)
            opened = await Pop3Session.open(endpoint, Secret("secret"), new_sink=MemorySink)
            assert await opened.listing() == []
            await opened.quit()
        with pytest.raises(Pop3Error) as raised:
            await Pop3Session.open(
                Endpoint(dovecot.host, port, Security.TLS, "user", ca, auth=Auth.SCRAM_SHA_256),
                Secret("wrong"),
                new_sink=MemorySink,
            )
        assert raised.value.kind == "auth"
