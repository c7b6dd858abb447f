"""From connect to login: greeting, TLS, capabilities, mechanisms, refusals; P-cases by name."""

from __future__ import annotations

import asyncio
import base64
import logging
import socket
import traceback
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

import pytest
import uvloop

from bridge import limits
from bridge.model import Auth, Endpoint, Secret, Security
from bridge.pop3.client import Learnt, Pop3Error, Pop3Session
from bridge.pop3.quirks import Kind
from tests.pop3.harness import AdvancingClock, MemorySink, endpoint, open_session, refusal
from tests.support.pop3_server import Pop3Server

CREDENTIALS = (b"USER", b"PASS", b"APOP", b"AUTH")


def no_credentials(server: Pop3Server) -> bool:
    return not any(line.upper().startswith(CREDENTIALS) for line in server.ledger.commands)


async def talk(server: Pop3Server, **options: Any) -> list[bytes]:
    """What a client says that logs in and leaves."""
    opened = await open_session(server, **options)
    await opened.quit()
    await server.idle()
    return server.ledger.commands


# --- mechanisms ---------------------------------------------------------------------------


async def test_over_TLS_SASL_PLAIN_comes_with_its_initial_response() -> None:
    async with Pop3Server(security="tls", sasl=[b"PLAIN"], apop=True) as server:
        said = await talk(server)
    assert said == [b"CAPA", b"AUTH PLAIN " + base64.b64encode(b"\0user\0secret"), b"QUIT"]


async def test_over_TLS_without_SASL_it_is_USER_and_PASS() -> None:
    async with Pop3Server(security="tls", apop=True) as server:
        assert await talk(server) == [b"CAPA", b"USER user", b"PASS secret", b"QUIT"]


async def test_in_clear_APOP_comes_first_where_the_greeting_has_a_timestamp() -> None:
    async with Pop3Server(apop=True, sasl=[b"PLAIN"]) as server:
        said = await talk(server)
    assert [line.split()[0] for line in said] == [b"CAPA", b"APOP", b"QUIT"]
    assert b"secret" not in b" ".join(said)


async def test_RFC_5034_a_long_response_is_sent_after_the_challenge() -> None:
    async with Pop3Server(password="p" * 200, security="tls", sasl=[b"PLAIN"]) as server:
        said = await talk(server)
    assert said[1] == b"AUTH PLAIN"
    assert base64.b64decode(said[2]) == b"\0user\0" + b"p" * 200


async def test_a_password_with_spaces_and_umlauts_arrives_as_it_is() -> None:
    async with Pop3Server(password=' ä "#\\% ') as server:
        said = await talk(server)
    assert said[2] == 'PASS  ä "#\\% '.encode()


async def test_without_CAPA_it_is_USER_and_PASS() -> None:
    async with Pop3Server(capa=False) as server:
        assert await talk(server) == [b"CAPA", b"USER user", b"PASS secret", b"QUIT"]


async def test_endless_CAPA_ends_the_session() -> None:
    async with Pop3Server(replies={b"CAPA": b"+OK\r\n" + b"X\r\n" * 1000}) as server:
        error = await refusal(server)
        assert error.kind == "limit"
        assert no_credentials(server)


async def test_a_mechanism_that_the_server_does_not_know_gives_way_to_the_next() -> None:
    unknown = b"-ERR unknown command\r\n"
    async with Pop3Server(apop=True, replies={b"APOP": unknown}) as server:
        server.replies = {b"AUTH": b"-ERR Unrecognized authentication type\r\n", b"APOP": unknown}
        server.sasl = [b"PLAIN"]
        said = await talk(server)
    verbs = [line.split()[0] for line in said]
    assert verbs == [b"CAPA", b"APOP", b"AUTH", b"USER", b"PASS", b"QUIT"]


async def test_APOP_refused_without_a_code_says_nothing_about_the_password() -> None:
    replies: dict[bytes, bytes | deque[bytes]] = {b"APOP": b"-ERR authentication failed\r\n"}
    async with Pop3Server(apop=True, replies=replies) as server:
        said = await talk(server)
    verbs = [line.split()[0] for line in said]
    assert verbs == [b"CAPA", b"APOP", b"USER", b"PASS", b"QUIT"]


async def test_a_server_that_hangs_up_after_refusing_APOP_refused_the_password() -> None:
    replies: dict[bytes, bytes | deque[bytes]] = {b"APOP": b"-ERR authentication failed\r\n"}
    async with Pop3Server(apop=True, replies=replies, hang_up=[b"USER"]) as server:
        error = await refusal(server)
    assert (error.kind, error.server_text) == ("auth", "authentication failed")


@pytest.mark.parametrize("security", ["none", "tls"])
async def test_a_refused_password_is_refused_once(security: Any) -> None:
    async with Pop3Server(security=security, apop=True, sasl=[b"PLAIN"]) as server:
        error = await refusal(server, password="wrong")
        assert error.kind == "auth"
        assert server.ledger.failed_logins == 1


async def test_the_password_is_not_sent_when_the_user_name_is_refused() -> None:
    replies: dict[bytes, bytes | deque[bytes]] = {b"USER": b"-ERR [AUTH] not in clear\r\n"}
    async with Pop3Server(extra_capabilities=[b"STLS"], replies=replies) as server:
        error = await refusal(server)
        assert error.kind == "auth"
        assert "starttls" in error.advice
        assert server.ledger.count(b"PASS") == 0


async def test_a_server_that_asks_without_end_in_AUTH() -> None:
    async with Pop3Server(sasl=[b"PLAIN"], security="tls") as server:
        server.replies = {
            b"AUTH": b"+ \r\n",
            base64.b64encode(b"\0user\0secret"): b"+ \r\n",
            b"*": b"+ \r\n",
        }
        assert (await refusal(server)).kind == "protocol"


@pytest.mark.parametrize("password", ["a\r\nDELE 1", "a\nb", "a\0b", ""])
async def test_a_password_that_would_be_two_commands_is_not_sent(password: str) -> None:
    async with Pop3Server() as server:
        error = await refusal(server, password=password)
        assert error.kind == "auth"
        assert no_credentials(server)


# --- refusals -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        pytest.param(b"-ERR [IN-USE] maildrop busy", "busy", id="P071"),
        pytest.param(b"-ERR [LOGIN-DELAY] wait 900 s", "busy", id="P072"),
        pytest.param(b"-ERR [SYS/TEMP] try later", "temporary", id="P073"),
        pytest.param(b"-ERR [SYS/PERM] call us", "permanent", id="P074"),
        pytest.param(b"-ERR [AUTH] wrong", "auth", id="P075 code"),
        pytest.param(b"-ERR invalid password", "auth", id="P075 text"),
        pytest.param(b"-ERR authentication failed", "auth", id="P076"),
        pytest.param(
            b"-ERR Exceeded the login limit for a 15 minute period.", "busy", id="P077 Hotmail"
        ),
        pytest.param(b"-ERR maildrop already locked", "busy", id="RFC 1939 9"),
        pytest.param(b"-ERR Server error - Please try again later.", "temporary", id="Yahoo"),
        pytest.param(b"-ERR", "auth", id="no text"),
    ],
)
async def test_what_a_refused_login_means(reply: bytes, kind: Kind) -> None:
    async with Pop3Server(replies={b"PASS": reply + b"\r\n"}) as server:
        error = await refusal(server)
        assert error.kind == kind
        assert error.advice
        assert error.fatal
        assert server.host in str(error)
        assert server.ledger.count(b"PASS") == 1


async def test_what_a_server_says_is_shown_escaped_and_cut() -> None:
    nasty = b"-ERR \x1b[31m<script>\x07\x9b\xff" + b"x" * 5000 + b"\r\n"
    async with Pop3Server(replies={b"PASS": nasty}) as server:
        error = await refusal(server)
    assert "\\x1b[31m<script>\\x07\\x9b\\xff" in error.server_text
    assert error.server_text.isprintable()
    assert len(error.server_text) <= 200
    assert str(error).isprintable()
    assert len(str(error)) < 400


async def test_X001_no_password_is_in_an_error_that_repeats_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    canary = "canary-4711-pässword"
    shown = [canary, base64.b64encode(canary.encode()).decode()]
    repeats = f"-ERR no such password {shown[0]} ({shown[1]})\r\n".encode()
    with caplog.at_level(logging.DEBUG):
        async with Pop3Server(replies={b"PASS": repeats}) as server:
            error = await refusal(server, password=canary)
    told = "".join(traceback.format_exception(error)) + repr(error) + caplog.text
    told += repr(vars(error)) + repr(Secret(canary))
    assert "no such password" in told
    assert not any(secret in told for secret in shown)


# --- greetings ----------------------------------------------------------------------------


@pytest.mark.case("N002")
@pytest.mark.parametrize(
    ("greeting", "kind", "hint"),
    [
        (b"-ERR [SYS/TEMP] down\r\n", "temporary", ""),
        (b"-ERR too many connections\r\n", "busy", ""),
        (b"-ERR go away\r\n", "temporary", ""),
        (b"\r\n", "protocol", ""),
        (b"", "connect", ""),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "protocol", "a web server"),
        (b"220 mx ESMTP\r\n", "protocol", "an SMTP"),
        (b"* OK IMAP4rev1\r\n", "protocol", "an IMAP server"),
        (b"SSH-2.0-OpenSSH\r\n", "protocol", "an SSH server"),
        (b"\x15\x03\x01\x00\x02\x02\x46", "protocol", "TLS"),
        (bytes(range(256)), "protocol", ""),
        (b"+OK " + b"x" * 1_000_000, "limit", ""),
    ],
)
async def test_nothing_is_sent_to_what_is_no_POP3_server(
    greeting: bytes, kind: Kind, hint: str
) -> None:
    async with Pop3Server(greeting=greeting, cut_after=len(greeting) or 1) as server:
        if not greeting:
            server.greeting, server.cut_after = b"+", 1
        error = await refusal(server)
        await server.idle()
        assert error.kind == kind
        assert hint in error.advice
        assert server.ledger.commands == []


async def test_no_greeting_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "POP3_REPLY_SECONDS", 0.05)
    async with Pop3Server(holds={b"greeting": asyncio.Event()}) as server:
        error = await refusal(server)
        assert error.kind == "connect"
        assert "silent" in str(error)


async def test_a_greeting_that_drips(monkeypatch: pytest.MonkeyPatch) -> None:
    """A status line must be whole within the limit, not only each of its octets."""
    clock = AdvancingClock(monkeypatch, seconds=10)
    async with Pop3Server(greeting=b"+OK ready\r\n", segment=1, pace=clock.advance) as server:
        error = await refusal(server)
        assert error.kind == "connect"
        await server.idle()
        assert server.ledger.sessions[0].sent == 0
        assert server.ledger.commands == []


async def test_a_session_has_an_end_however_much_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "POP3_SESSION_SECONDS", 0.1)
    async with Pop3Server(holds={b"CAPA": asyncio.Event()}) as server:
        assert (await refusal(server)).kind == "limit"


# --- connecting ---------------------------------------------------------------------------


async def test_nobody_listens() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        nobody = Endpoint("127.0.0.1", port, Security.NONE, "user")
        with pytest.raises(Pop3Error, match="cannot be reached: Connection refused") as raised:
            await Pop3Session.open(nobody, Secret("secret"), new_sink=MemorySink)
    assert raised.value.kind == "connect"


@pytest.mark.parametrize("host", ["no-such-host.invalid", "x" * 300, "a..b", ""])
async def test_a_host_without_an_address(host: str) -> None:
    nowhere = Endpoint(host, 1, Security.NONE, "user")
    with pytest.raises(Pop3Error) as raised:
        await Pop3Session.open(nowhere, Secret("secret"), new_sink=MemorySink)
    assert raised.value.kind == "connect"


async def test_connect_takes_its_time_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "POP3_CONNECT_SECONDS", 0.05)

    async def black_hole(sock: socket.socket, address: Any) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(asyncio.get_running_loop(), "sock_connect", black_hole)
    with pytest.raises(Pop3Error, match="in time") as raised:
        await Pop3Session.open(
            Endpoint("127.0.0.1", 110, Security.NONE, "u"), Secret("p"), new_sink=MemorySink
        )
    assert raised.value.kind == "connect"


# --- TLS ----------------------------------------------------------------------------------


async def test_STLS_protects_the_password_and_asks_for_capabilities_again() -> None:
    async with Pop3Server(security="starttls") as server:
        said = await talk(server)
        assert server.ledger.sessions[0].in_clear == [b"CAPA", b"STLS"]
    assert said == [b"CAPA", b"STLS", b"CAPA", b"USER user", b"PASS secret", b"QUIT"]


def on_both_loops(test: Callable[[], Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """A test that asyncio and uvloop must pass: their TLS is not the same code."""

    def on_a_loop(run: Callable[[Coroutine[Any, Any, None]], None]) -> None:
        run(test())

    loops = [asyncio.run, uvloop.run]
    marked: Callable[..., None] = pytest.mark.parametrize("run", loops, ids=["asyncio", "uvloop"])(
        on_a_loop
    )
    return marked


@on_both_loops
async def test_a_connection_that_ends_where_TLS_should_begin() -> None:
    hello = b"+OK ready\r\n"
    capa = b"+OK\r\nSTLS\r\n.\r\n"
    for answer in (b"+OK begin TLS\r\n", b"+OK"):
        cut = len(hello) + len(capa) + len(answer)
        replies: dict[bytes, bytes | deque[bytes]] = {b"CAPA": capa, b"STLS": answer}
        options: Any = {"security": "starttls", "replies": replies, "cut_after": cut}
        async with Pop3Server(**options) as server:
            started = asyncio.get_running_loop().time()
            error = await refusal(server)
            assert error.kind in ("tls", "connect")
            assert "closed" in str(error) or "dropped" in str(error)
            assert asyncio.get_running_loop().time() - started < 5


@on_both_loops
async def test_a_TLS_port_that_closes_at_once() -> None:
    def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()

    closing = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    async with closing:
        port = closing.sockets[0].getsockname()[1]
        with pytest.raises(Pop3Error) as raised:
            await Pop3Session.open(
                Endpoint("127.0.0.1", port, Security.TLS, "u"), Secret("p"), new_sink=MemorySink
            )
        assert raised.value.kind == "tls"


async def test_TLS_where_the_port_speaks_plain_POP3_says_so() -> None:
    async with Pop3Server() as server:
        plain = endpoint(server)
        wrong = Endpoint(plain.host, plain.port, Security.TLS, plain.username)
        with pytest.raises(Pop3Error) as raised:
            await Pop3Session.open(wrong, Secret("secret"), new_sink=MemorySink)
        assert raised.value.kind == "tls"
        assert raised.value.advice
        assert no_credentials(server)


@pytest.mark.parametrize("content", [None, "no certificate"])
async def test_a_ca_file_that_cannot_be_used_is_no_reason_to_connect(
    tmp_path: Path, content: str | None
) -> None:
    ca_file = tmp_path / "ca.pem"
    if content is not None:
        ca_file.write_text(content)
    async with Pop3Server() as server:
        wrong = Endpoint(server.host, server.port, Security.TLS, "user", str(ca_file))
        with pytest.raises(Pop3Error, match=r"ca\.pem") as raised:
            await Pop3Session.open(wrong, Secret("secret"), new_sink=MemorySink)
        assert raised.value.kind == "tls"
        assert server.ledger.sessions == []


async def test_a_server_that_hangs_up_at_the_login() -> None:
    async with Pop3Server(hang_up=[b"PASS"]) as server:
        error = await refusal(server)
        assert error.kind == "connect"
        assert server.ledger.logins == 0


async def test_a_cancelled_login_leaves_no_connection() -> None:
    async with Pop3Server(holds={b"PASS": asyncio.Event()}) as server:
        opening = asyncio.create_task(open_session(server))
        await server.seen(b"PASS")
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening
        server.holds[b"PASS"].set()
        await server.idle()


# --- what a former session learnt -----------------------------------------------------------


async def second(server: Pop3Server, **more: Any) -> tuple[Pop3Session, list[bytes]]:
    """A session that knows what one before it learnt, and the verbs that it said."""
    first = await open_session(server)
    await first.quit()
    server.replies |= more.pop("replies", {})
    opened = await Pop3Session.open(
        endpoint(server), Secret(server.password), new_sink=MemorySink, learnt=first.learnt
    )
    return opened, server.ledger.sessions[-1].verbs()


@pytest.mark.parametrize(
    ("sasl", "verbs"), [((), [b"CAPA", b"USER", b"PASS"]), ((b"PLAIN",), [b"CAPA", b"AUTH"])]
)
async def test_what_worked_before_goes_out_together(
    sasl: Sequence[bytes], verbs: list[bytes]
) -> None:
    async with Pop3Server(security="tls", sasl=sasl) as server:
        opened, said = await second(server)
        assert said == verbs
        assert server.ledger.sessions[-1].most_outstanding == len(verbs)
        assert server.ledger.sessions[0].most_outstanding == 1
        assert await opened.listing() == []
        await opened.quit()


async def test_without_PIPELINING_before_the_login_nothing_goes_out_together() -> None:
    async with Pop3Server(pipelining=False) as server:
        opened, _ = await second(server)
        assert opened.learnt == Learnt()
        assert server.ledger.sessions[-1].most_outstanding == 1
        await opened.quit()


async def test_a_way_that_the_server_no_longer_knows_gives_way_to_the_next() -> None:
    gone = {b"AUTH": b"-ERR unknown command\r\n"}
    async with Pop3Server(security="tls", sasl=[b"PLAIN"]) as server:
        opened, said = await second(server, replies=gone)
        assert said == [b"CAPA", b"AUTH", b"USER", b"PASS"]
        assert opened.learnt.ahead is Auth.USER
        await opened.quit()


@pytest.mark.parametrize("sasl", [[], [b"PLAIN"]])
async def test_a_password_that_changed_is_refused_once_there_too(sasl: list[bytes]) -> None:
    async with Pop3Server(security="tls", sasl=sasl) as server:
        first = await open_session(server)
        await first.quit()
        with pytest.raises(Pop3Error) as raised:
            await Pop3Session.open(
                endpoint(server), Secret("wrong"), new_sink=MemorySink, learnt=first.learnt
            )
        assert raised.value.kind == "auth"
        assert not raised.value.in_window
        assert server.ledger.failed_logins == 1


async def test_a_password_in_letters_of_the_world_does_not_go_ahead() -> None:
    """RFC 6856 2.1: UTF8 has to come before it."""
    async with Pop3Server(password="gr\u00fcn", extra_capabilities=[b"UTF8 USER"]) as server:
        opened, said = await second(server)
        assert said == [b"CAPA", b"UTF8", b"USER", b"PASS"]
        await opened.quit()


async def test_a_server_that_throws_away_what_came_together_is_told_so_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "POP3_REPLY_SECONDS", 0.2)
    async with Pop3Server(forgets_pipelined=True) as server:
        with pytest.raises(Pop3Error) as raised:
            await second(server)
        assert (raised.value.kind, raised.value.in_window) == ("connect", True)
