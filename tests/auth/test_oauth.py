"""Sign-in and renewal at an identity provider: by a device code, in a browser, and what may go
wrong. X-cases by name."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections import deque
from dataclasses import replace
from urllib.parse import parse_qs, urlsplit

import pytest

from bridge import limits
from bridge.auth import oauth
from bridge.auth.oauth import Client, OAuthError, Provider
from bridge.auth.redirect import Redirect
from bridge.model import Secret
from tests.support.identity_provider import IdentityProvider


class Naps:
    """Instead of sleeping: remembers how long, and lets the person act meanwhile."""

    def __init__(self) -> None:
        self.taken: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.taken.append(seconds)


def client_of(url: str) -> Client:
    return Client(Provider("the test", token=url, device=url, scope="mail"), "id")


# --- the device flow ----------------------------------------------------------------------


async def test_RFC_8628_pending_and_slow_down_until_the_person_has_signed_in() -> None:
    naps = Naps()
    with IdentityProvider(interval=5) as provider:
        client = provider.client()
        code = await oauth.start_device(client)
        assert code.uri == "https://id.example.org/device"
        assert code.user_code == provider.user_codes[0]
        pending = ["authorization_pending", "slow_down", "authorization_pending", "slow_down"]
        provider.approve(code.user_code, *pending)
        tokens = await oauth.await_device(client, code, sleep=naps)
        assert tokens.access.reveal() in provider.live
        assert tokens.refresh.reveal() in provider.refreshable
        assert tokens.lifetime == 3600
    assert naps.taken == [5, 5, 10, 10, 15]
    assert [asked.error for asked in provider.asked] == ["", *pending, ""]


async def test_RFC_8628_a_declined_sign_in() -> None:
    with IdentityProvider() as provider:
        client = provider.client()
        code = await oauth.start_device(client)
        provider.decline(code.user_code)
        with pytest.raises(OAuthError, match="declined") as raised:
            await oauth.await_device(client, code, sleep=Naps())
    assert raised.value.kind == "auth"
    assert len(provider.asked) == 2


async def test_RFC_8628_a_code_that_expired() -> None:
    with IdentityProvider() as provider:
        client = provider.client()
        code = await oauth.start_device(client)
        provider.expire(code.user_code)
        with pytest.raises(OAuthError, match="in time"):
            await oauth.await_device(client, code, sleep=Naps())


async def test_RFC_8628_nobody_asks_longer_than_the_code_lives() -> None:
    """Also where the provider forgets to say that it expired."""
    naps = Naps()
    with IdentityProvider(interval=60) as provider:
        client = provider.client()
        code = await oauth.start_device(client)
        with pytest.raises(OAuthError, match="in time"):
            await oauth.await_device(client, code, sleep=naps)
    assert sum(naps.taken) == 900


async def test_a_person_has_half_an_hour_at_most() -> None:
    said = {"device_code": "d", "user_code": "u", "verification_uri": "https://x"}
    with IdentityProvider() as provider:
        body = json.dumps({**said, "expires_in": 10**8, "interval": 0}).encode()
        provider.answers["/device"] = deque([(200, body)])
        code = await oauth.start_device(provider.client())
    assert code.lifetime == limits.OAUTH_LOGIN_SECONDS
    assert code.interval == 1


async def test_RFC_8628_3_5_a_network_that_fails_meanwhile_is_waited_out() -> None:
    naps = Naps()
    with IdentityProvider(interval=2) as provider:
        client = provider.client()
        code = await oauth.start_device(client)
        provider.approve(code.user_code)
        provider.answers["/token"] = deque([(503, b"down"), (200, b"not JSON")])
        tokens = await oauth.await_device(client, code, sleep=naps)
        assert tokens.access.reveal() in provider.live
    assert naps.taken == [2, 2, 2]
    nobody = client_of("http://127.0.0.1:1/")
    with pytest.raises(OAuthError, match="in time"):
        await oauth.await_device(nobody, replace(code, lifetime=25), sleep=naps)
    assert naps.taken[3:] == [2, 4, 8, 16]


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"device_code": "d", "user_code": "u"},
        {"device_code": "d", "user_code": "u", "verification_uri": "javascript:x"},
        {"device_code": 1, "user_code": "u", "verification_uri": "https://x"},
    ],
)
async def test_a_device_code_that_is_none(answer: dict[str, object]) -> None:
    with IdentityProvider() as provider:
        provider.answers["/device"] = deque([(200, json.dumps(answer).encode())])
        with pytest.raises(OAuthError) as raised:
            await oauth.start_device(provider.client())
    assert raised.value.kind == "temporary"


async def test_what_a_terminal_is_shown_moves_nothing() -> None:
    said = {"device_code": "d", "user_code": "\x1b[2J", "verification_uri": "https://x\x1b]0;"}
    with IdentityProvider() as provider:
        provider.answers["/device"] = deque([(200, json.dumps(said).encode())])
        code = await oauth.start_device(provider.client())
    assert code.user_code.isprintable()
    assert code.uri.isprintable()


# --- in a browser -------------------------------------------------------------------------


async def get(url: str) -> tuple[int, str]:
    """What a browser is shown."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    target = parts.path + ("?" + parts.query if parts.query else "")
    writer.write(f"GET {target} HTTP/1.1\r\nHost: {parts.netloc}\r\n\r\n".encode())
    answer = (await reader.read()).decode()
    writer.close()
    await writer.wait_closed()
    return int(answer.split()[1]), answer


async def test_RFC_7636_RFC_8252_a_browser_brings_the_code() -> None:
    with IdentityProvider() as provider:
        client = provider.client()
        async with Redirect() as redirect:
            authorization = oauth.authorize(client, redirect.uri)
            waiting = asyncio.create_task(redirect.code(authorization.state))
            await asyncio.sleep(0)
            status, page = await get(provider.browse(authorization.url))
            code = await waiting
            tokens = await oauth.exchange(client, authorization, code)
        assert status == 200
        assert "signed in" in page
        assert code.reveal() not in page
        assert "no-store" in page
        assert tokens.access.reveal() in provider.live
    # RFC 7636 4.2: the verifier itself does not travel with the request for the code.
    assert authorization.verifier.reveal() not in authorization.url


async def test_every_sign_in_has_its_own_state_and_verifier() -> None:
    with IdentityProvider() as provider:
        begun = [oauth.authorize(provider.client(), "http://127.0.0.1:1/") for _ in range(20)]
    assert len({each.state for each in begun}) == 20
    assert len({each.verifier.reveal() for each in begun}) == 20
    assert all(43 <= len(each.verifier.reveal()) <= 128 for each in begun)  # RFC 7636 4.1


async def test_X007_a_code_with_another_state_changes_nothing() -> None:
    with IdentityProvider() as provider:
        client = provider.client()
        async with Redirect() as redirect:
            authorization = oauth.authorize(client, redirect.uri)
            waiting = asyncio.create_task(redirect.code(authorization.state))
            await asyncio.sleep(0)
            good = provider.browse(authorization.url)
            state = f"state={authorization.state}"
            for bad in (
                good.replace(state, "state=other"),
                good.replace("&" + state, ""),
                good + "&state=other",
                f"{redirect.uri}?code=&{state}",
                f"{redirect.uri}?{state}",
                good + "&access_token=abc",
                f"{redirect.uri}?error=access_denied&state=other",
            ):
                status, page = await get(bad)
                assert (status, waiting.done()) == (400, False), bad
                assert "other" not in page
            assert (await get(redirect.uri + "favicon.ico"))[0] == 404
            assert (await get(good))[0] == 200
            assert (await waiting).reveal() in good
            assert (await get(good))[0] == 400  # once
        assert provider.asked == []


async def test_X007_a_code_that_was_put_in_our_way_is_of_no_use() -> None:
    """PKCE: the code of another sign-in does not go with our verifier."""
    with IdentityProvider() as provider:
        client = provider.client()
        uri = "http://127.0.0.1:1/"
        ours, theirs = oauth.authorize(client, uri), oauth.authorize(client, uri)
        answer = provider.browse(theirs.url)
        code = Secret(parse_qs(urlsplit(answer).query)["code"][0])
        with pytest.raises(OAuthError, match="invalid_grant") as raised:
            await oauth.exchange(client, ours, code)
        assert raised.value.kind == "auth"
        assert provider.live == set()


async def test_a_sign_in_that_is_declined_in_the_browser() -> None:
    with IdentityProvider() as provider:
        async with Redirect("localhost") as redirect:
            assert redirect.uri.startswith("http://localhost:")
            authorization = oauth.authorize(provider.client(), redirect.uri)
            waiting = asyncio.create_task(redirect.code(authorization.state))
            await asyncio.sleep(0)
            status, page = await get(provider.browse(authorization.url, declined=True))
            assert (status, "declined" in page) == (200, True)
            with pytest.raises(OAuthError, match="access_denied"):
                await waiting


async def test_nobody_comes_to_the_redirect(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "OAUTH_LOGIN_SECONDS", 0.01)
    async with Redirect() as redirect:
        with pytest.raises(OAuthError, match="in time"):
            await redirect.code("state")


async def test_a_request_to_the_redirect_without_end() -> None:
    async with Redirect() as redirect:
        reader, writer = await asyncio.open_connection("127.0.0.1", redirect.port)
        writer.write(b"GET /" + b"x" * (limits.OAUTH_REDIRECT * 2))
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()


# --- requests -----------------------------------------------------------------------------


async def test_a_client_secret_is_sent_in_the_body_and_shown_nowhere() -> None:
    with IdentityProvider(client_secret="canary") as provider:
        client = provider.client()
        code = await oauth.start_device(client)
        provider.approve(code.user_code)
        await oauth.await_device(client, code, sleep=Naps())
        assert all(asked.form["client_secret"] == "canary" for asked in provider.asked)
        assert all("canary" not in asked.path for asked in provider.asked)
        assert "canary" not in repr(client)
        with pytest.raises(OAuthError, match="invalid_client") as raised:
            await oauth.refresh(replace(client, client_secret=Secret("canary2")), Secret("x"))
    assert raised.value.kind == "auth"
    assert "canary" not in str(raised.value)


async def test_a_token_that_the_provider_repeats_is_masked() -> None:
    said = r"invalid_grant: the token \*\*\*"
    with IdentityProvider() as provider, pytest.raises(OAuthError, match=said) as raised:
        await oauth.refresh(provider.client(), Secret("canary-4711"))
    assert "canary" not in str(raised.value)


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("http://id.example.org/token", "clear"),
        ("http://127.0.0.1.example.org/token", "clear"),
        ("ftp://id.example.org/token", "no URL"),
        ("https://user:word@id.example.org/token", "no URL"),
        ("https://", "no URL"),
        ("token", "no URL"),
        ("https://id.example.org:x/", "no URL"),
        ("https://[id/", "no URL"),
        ("https://id.example.org/token", ""),
        ("http://127.0.0.1:8080/token", ""),
        ("http://[::1]:8080/token", ""),
        ("http://localhost/token", ""),
    ],
)
async def test_X007_no_endpoint_in_clear(url: str, problem: str) -> None:
    assert problem in oauth.why_unsafe(url)
    assert bool(oauth.why_unsafe(url)) == bool(problem)
    if problem:
        with pytest.raises(OAuthError, match="nothing was sent"):
            await oauth.refresh(client_of(url), Secret("canary"))


async def test_X007_a_redirect_is_not_followed() -> None:
    with IdentityProvider() as provider, IdentityProvider() as thief:
        provider.headers = {"Location": f"{thief.url}/token"}
        for status in (301, 302, 303, 307, 308):
            provider.answers["/token"] = deque([(status, b"")])
            with pytest.raises(OAuthError, match="elsewhere") as raised:
                await oauth.refresh(provider.client(), Secret("canary"))
            assert raised.value.kind == "temporary"
        assert thief.asked == []


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (500, b"oops", "temporary"),
        (503, b'{"error": "temporarily_unavailable"}', "temporary"),
        (400, b'{"error": "temporarily_unavailable"}', "temporary"),
        (429, b'{"error": "invalid_grant"}', "temporary"),
        (400, b"<html>", "temporary"),
        (200, b"<html>", "temporary"),
        (200, b"[]", "temporary"),
        (200, b"[" * 60_000, "temporary"),
        (200, b'{"access_token": "a"}', "temporary"),
        (200, b'{"access_token": "", "token_type": "Bearer"}', "temporary"),
        (200, b'{"access_token": "a\\u0001b", "token_type": "Bearer"}', "temporary"),
        (200, b'{"access_token": "a", "token_type": "mac"}', "temporary"),
        (200, b"x" * (limits.OAUTH_ANSWER + 1), "temporary"),
        (400, b'{"error": "invalid_grant"}', "auth"),
        (401, b'{"error": "invalid_client"}', "auth"),
        (400, b'{"error": "interaction_required"}', "auth"),
    ],
)
async def test_what_an_answer_means(status: int, body: bytes, kind: str) -> None:
    with IdentityProvider() as provider:
        provider.answers["/token"] = deque([(status, body)])
        with pytest.raises(OAuthError) as raised:
            await oauth.refresh(provider.client(), Secret("t"))
    assert raised.value.kind == kind
    assert len(str(raised.value)) < 600


async def test_an_answer_that_was_packed_is_not_unpacked() -> None:
    """A megabyte in a kilobyte is where a bomb begins."""
    said = b'{"access_token": "a", "token_type": "Bearer"}' + b" " * 1_000_000
    with IdentityProvider() as provider:
        provider.headers = {"Content-Encoding": "gzip"}
        provider.answers["/token"] = deque([(200, gzip.compress(said))])
        with pytest.raises(OAuthError) as raised:
            await oauth.refresh(provider.client(), Secret("t"))
    assert raised.value.kind == "temporary"


async def test_the_longest_token() -> None:
    with IdentityProvider() as provider:
        for length, fits in ((limits.OAUTH_TOKEN, True), (limits.OAUTH_TOKEN + 1, False)):
            said = {"access_token": "x" * length, "token_type": "bearer", "expires_in": "60"}
            provider.answers["/token"] = deque([(200, json.dumps(said).encode())])
            if fits:
                tokens = await oauth.refresh(provider.client(), Secret("t"))
                assert (len(tokens.access.reveal()), tokens.lifetime) == (length, 60)
                assert tokens.refresh.reveal() == ""
            else:
                with pytest.raises(OAuthError, match="no token"):
                    await oauth.refresh(provider.client(), Secret("t"))


async def test_a_provider_that_is_not_there_or_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OAuthError, match="cannot be reached") as raised:
        await oauth.refresh(client_of("http://127.0.0.1:1/token"), Secret("t"))
    assert raised.value.kind == "connect"
    monkeypatch.setattr(limits, "OAUTH_SECONDS", 0.05)

    over = asyncio.Event()

    async def silence(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()
        await writer.wait_closed()
        over.set()

    silent = await asyncio.start_server(silence, "127.0.0.1", 0)
    async with silent:
        port = silent.sockets[0].getsockname()[1]
        with pytest.raises(OAuthError) as raised:
            await oauth.refresh(client_of(f"http://127.0.0.1:{port}/token"), Secret("t"))
        assert raised.value.kind == "connect"
        await over.wait()


def test_the_doors_of_the_two_big_ones() -> None:
    ours = oauth.microsoft("consumers")
    start = "https://login.microsoftonline.com/consumers/oauth2/v2.0/"
    assert (ours.token, ours.device) == (start + "token", start + "devicecode")
    assert "offline_access" in ours.scope.split()
    for provider in (ours, oauth.GOOGLE):
        doors = (provider.token, provider.authorization, provider.device or provider.token)
        assert [oauth.why_unsafe(door) for door in doors] == ["", "", ""]
    query = parse_qs(urlsplit(oauth.authorize(Client(oauth.GOOGLE, "id"), "http://x/").url).query)
    assert (query["access_type"], query["prompt"]) == (["offline"], ["consent"])
