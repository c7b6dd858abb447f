"""A session that logs in with OAuth: the identity provider and the mail server together."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import uvloop

from bridge.auth.oauth import Tokens
from bridge.auth.tokens import AccessToken, Grants
from bridge.model import Auth, Endpoint, Proxy, Secret, Security
from bridge.pop3.client import Pop3Error, Pop3Session
from tests.pop3.harness import MemorySink, endpoint
from tests.support.dovecot import Dovecot
from tests.support.identity_provider import IdentityProvider
from tests.support.pop3_server import Pop3Server
from tests.support.socks_proxy import SocksProxy

ME = "me@example.org"


@pytest.fixture
def provider() -> Iterator[IdentityProvider]:
    with IdentityProvider() as running:
        yield running


def signed_in(folder: Path, provider: IdentityProvider) -> AccessToken:
    _, said = provider._give(None)
    given = Tokens(Secret(str(said["access_token"])), Secret(str(said["refresh_token"])), 3600)
    grants = Grants(folder)
    grants.sign_in(ME, provider.client(), given)
    return AccessToken(grants, ME, provider.client())


def mail_server(provider: IdentityProvider, **options: Any) -> Pop3Server:
    """One that takes the tokens which the provider has given, at that very moment."""
    server = Pop3Server(
        [(b"u1", b"Subject: a\r\n\r\n")],
        username=ME,
        security="tls",
        sasl=[b"PLAIN", b"XOAUTH2"],
        **options,
    )
    server.tokens = provider.live
    return server


async def opened(server: Pop3Server, token: AccessToken, **more: Any) -> Pop3Session:
    return await Pop3Session.open(endpoint(server, bearer=True, **more), token, new_sink=MemorySink)


async def test_a_fresh_token_logs_in(tmp_path: Path, provider: IdentityProvider) -> None:
    token = signed_in(tmp_path, provider)
    async with mail_server(provider) as server:
        session = await opened(server, token)
        assert len(await session.listing()) == 1
        await session.quit()
        assert server.ledger.logins == 1
        assert provider.asked == []


async def test_a_token_that_is_refused_is_renewed_once_in_a_session(
    tmp_path: Path, provider: IdentityProvider
) -> None:
    token = signed_in(tmp_path, provider)
    provider.live.clear()  # revoked, though its time is not over
    async with mail_server(provider, auth_alone=True, greeting=_EXCHANGE) as server:
        session = await opened(server, token)
        await session.quit()
        assert (server.ledger.failed_logins, server.ledger.logins) == (1, 1)
        assert len(provider.asked) == 1
        session = await opened(server, token)
        await session.quit()
        assert (server.ledger.failed_logins, server.ledger.logins) == (1, 2)


_EXCHANGE = b"+OK The Microsoft Exchange POP3 service is ready.\r\n"


async def test_a_server_that_refuses_the_renewed_token_too_is_not_asked_again(
    tmp_path: Path, provider: IdentityProvider
) -> None:
    token = signed_in(tmp_path, provider)
    async with mail_server(provider) as server:
        server.tokens = set()
        with pytest.raises(Pop3Error) as raised:
            await opened(server, token)
        assert raised.value.kind == "auth"
        assert f"popbridge account login {ME}" in raised.value.advice
        assert server.ledger.failed_logins == 2
        assert len(provider.asked) == 1


async def test_X008_a_sign_in_that_was_taken_back_is_refused_once_by_the_mail_server(
    tmp_path: Path, provider: IdentityProvider
) -> None:
    token = signed_in(tmp_path, provider)
    provider.revoke()
    async with mail_server(provider) as server:
        for _ in range(5):
            with pytest.raises(Pop3Error) as raised:
                await opened(server, token)
            assert raised.value.kind == "auth"
            assert raised.value.advice == f"Sign in again: popbridge account login {ME}"
            assert "revoked" in str(raised.value) or "not asked any more" in str(raised.value)
            assert server.ledger.failed_logins == 1  # with the token that looked fresh
        assert len(provider.asked) == 3


async def test_a_provider_that_is_down_is_no_refused_login(
    tmp_path: Path, provider: IdentityProvider
) -> None:
    """The breaker for refused logins must not open."""
    token = signed_in(tmp_path, provider)
    provider.live.clear()
    async with mail_server(provider) as server:
        provider.answers["/token"] = deque([(503, b"")])
        with pytest.raises(Pop3Error) as raised:
            await opened(server, token)
        assert raised.value.kind == "temporary"


async def test_X001_no_token_is_in_a_log_at_debug_level(
    tmp_path: Path, provider: IdentityProvider, caplog: pytest.LogCaptureFixture
) -> None:
    """Of ours, and of the libraries that carry them."""
    token = signed_in(tmp_path, provider)
    provider.live.clear()
    with caplog.at_level(logging.DEBUG):
        async with mail_server(provider) as server:
            session = await opened(server, token)
            await session.quit()
    assert "HTTP Request: POST" in caplog.text  # the log was on
    assert len(provider.asked) == 1
    assert "access-" not in caplog.text
    assert "refresh-" not in caplog.text


async def test_a_busy_maildrop_is_no_reason_to_renew(
    tmp_path: Path, provider: IdentityProvider
) -> None:
    token = signed_in(tmp_path, provider)
    async with mail_server(provider, replies={b"AUTH": b"-ERR [IN-USE] busy\r\n"}) as server:
        with pytest.raises(Pop3Error) as raised:
            await opened(server, token)
        assert raised.value.kind == "busy"
        assert provider.asked == []


def test_on_uvloop_with_a_proxy_and_a_renewal(tmp_path: Path) -> None:
    """The loop that the daemon runs on."""

    async def work() -> None:
        with IdentityProvider() as provider:
            token = signed_in(tmp_path, provider)
            provider.live.clear()
            async with (
                mail_server(provider) as server,
                SocksProxy({"127.0.0.1": server.port}) as proxy,
            ):
                session = await opened(server, token, proxy=Proxy("127.0.0.1", proxy.port))
                assert len(await session.listing()) == 1
                await session.quit()
                assert proxy.asked == [("127.0.0.1", server.port)] * 2

    uvloop.run(work())


@pytest.mark.parametrize("auth", [Auth.XOAUTH2, Auth.OAUTHBEARER, Auth.AUTO])
async def test_Dovecot_takes_our_tokens_and_our_answer_to_its_refusal(
    tmp_path: Path, provider: IdentityProvider, auth: Auth
) -> None:
    token = signed_in(tmp_path, provider)
    info = f"{provider.url}/tokeninfo?access_token="
    with Dovecot(tmp_path, mechanisms="plain xoauth2 oauthbearer", token_info=info) as dovecot:
        dovecot.deliver([b"Subject: a\r\n\r\nhello\r\n"])
        at = Endpoint(
            host=dovecot.host,
            port=dovecot.pop3s_port,
            security=Security.TLS,
            username=dovecot.username,
            ca_file=str(dovecot.ca_pem),
            auth=auth,
            bearer=True,
        )
        session = await Pop3Session.open(at, token, new_sink=MemorySink)
        assert len(await session.listing()) == 1
        await session.quit()
        with pytest.raises(Pop3Error) as raised:
            await Pop3Session.open(at, Secret("no-token"), new_sink=MemorySink)
        assert raised.value.kind == "auth"
        assert raised.value.server_text
        provider.live.clear()
        session = await Pop3Session.open(at, token, new_sink=MemorySink)
        await session.quit()
        assert len(provider.asked) == 1
