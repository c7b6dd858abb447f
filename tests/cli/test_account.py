"""`popbridge account login` as a person runs it, with and without a daemon."""

from __future__ import annotations

import asyncio
import json
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bridge import config as config_module
from bridge.auth.tokens import Grants
from bridge.cli.main import main
from bridge.daemon import Daemon
from tests.support.house import PASSWORD, write_config
from tests.support.identity_provider import IdentityProvider
from tests.support.pop3_server import Pop3Server

ME = "me@example.org"


@pytest.fixture
def provider() -> Iterator[IdentityProvider]:
    with IdentityProvider() as running:
        yield running


def account(provider: IdentityProvider, port: int = 1, **more: object) -> dict[str, object]:
    oauth = {
        "provider": "custom",
        "client_id": provider.client_id,
        "token_endpoint": f"{provider.url}/token",
        "device_endpoint": f"{provider.url}/device",
        "authorization_endpoint": f"{provider.url}/authorize",
        "scope": "mail offline_access",
    }
    pop3: dict[str, Any] = {
        "host": "127.0.0.1",
        "port": str(port),
        "security": "none",
        "username": ME,
        "oauth": {key: value for key, value in (oauth | more).items() if value is not None},
    }
    return {"address": ME, "pop3": pop3}


def person(provider: IdentityProvider, *before: str, declines: bool = False) -> threading.Thread:
    """Somebody who waits for a code, and signs in with it."""

    def act() -> None:
        provider.given.wait(30)
        code = provider.user_codes[0]
        if declines:
            provider.decline(code)
        else:
            provider.approve(code, *before)

    acting = threading.Thread(target=act)
    acting.start()
    return acting


def run(*arguments: object) -> int:
    return main([str(each) for each in arguments])


def test_a_code_that_is_entered_elsewhere(
    tmp_path: Path, provider: IdentityProvider, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_config(tmp_path, [account(provider)])
    acting = person(provider, "authorization_pending")
    code = run("account", "login", ME, "--config", path)
    acting.join()
    said = capsys.readouterr()
    assert (code, said.err) == (0, "")
    assert "https://id.example.org/device" in said.out
    assert "WDJB-0001" in said.out
    assert said.out.splitlines()[-1] == "The daemon takes it at its next poll."
    kept = Grants(tmp_path / "data").load(ME)
    assert kept is not None
    assert kept.access.reveal() in provider.live
    assert kept.access.reveal() not in said.out


def test_a_person_who_declines(
    tmp_path: Path, provider: IdentityProvider, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_config(tmp_path, [account(provider)])
    acting = person(provider, declines=True)
    assert run("account", "login", ME, "--config", path) == 77
    acting.join()
    assert "declined" in capsys.readouterr().err
    assert Grants(tmp_path / "data").load(ME) is None


def test_a_browser_on_this_machine(
    tmp_path: Path,
    provider: IdentityProvider,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where the provider has no device flow, without being asked."""
    from bridge.auth import oauth

    authorize = oauth.authorize
    browsing: list[threading.Thread] = []

    def watched(client: oauth.Client, uri: str) -> oauth.Authorization:
        begun = authorize(client, uri)

        def browse() -> None:
            url = provider.browse(begun.url)
            with pytest.raises(urllib.error.HTTPError, match="400") as raised:
                urllib.request.urlopen(url.replace("state=", "state=x"), timeout=10)
            raised.value.close()
            urllib.request.urlopen(url, timeout=10).close()

        browsing.append(threading.Thread(target=browse))
        browsing[0].start()
        return begun

    monkeypatch.setattr(oauth, "authorize", watched)
    path = write_config(tmp_path, [account(provider, device_endpoint=None)])
    assert run("account", "login", ME, "--config", path) == 0
    browsing[0].join()
    said = capsys.readouterr()
    assert f"{provider.url}/authorize?" in said.out
    assert "ssh -L" in said.out
    assert Grants(tmp_path / "data").load(ME) is not None


@pytest.mark.parametrize(
    ("arguments", "more", "code", "text"),
    [
        (["you@example.org"], {}, 64, "no account you@example.org; the config has me@example.org"),
        ([ME, "--browser"], {"authorization_endpoint": None}, 64, "no sign-in for a browser"),
        ([ME], {"device_endpoint": "http://127.0.0.1:1/"}, 75, "cannot be reached"),
        ([ME], {"client_id": "other"}, 77, "invalid_client"),
    ],
)
def test_why_there_is_no_sign_in(
    tmp_path: Path,
    provider: IdentityProvider,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    more: dict[str, Any],
    code: int,
    text: str,
) -> None:
    path = write_config(tmp_path, [account(provider, **more)])
    assert run("account", "login", *arguments, "--config", path) == code
    said = capsys.readouterr()
    assert text in said.err
    assert said.err.count("\n") == 1


def test_an_account_with_a_password(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pop3 = {"host": "127.0.0.1", "username": "me", "password": "x"}
    path = write_config(tmp_path, [{"address": ME, "pop3": pop3}])
    assert run("account", "login", ME, "--config", path) == 78
    assert "pop3.oauth" in capsys.readouterr().err


async def test_X006_X008_sign_in_while_the_daemon_runs(
    tmp_path: Path, provider: IdentityProvider, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not signed in, signed in, renewed, taken back, signed in again: all with one daemon."""
    drop = [(b"u1", b"Subject: one\r\n\r\nhello\r\n")]
    async with Pop3Server(drop, username=ME, sasl=[b"XOAUTH2"]) as server:
        server.tokens = provider.live
        path = write_config(tmp_path, [account(provider, server.port)])
        async with Daemon(config_module.load(path)) as daemon:
            (report,) = await daemon.poll(None)
            assert report.error_class == "auth"
            assert report.advice == f"Sign in again: popbridge account login {ME}"
            assert server.ledger.sessions == []

            async def sign_in() -> None:
                provider.given.clear()
                provider._devices.clear()
                acting = person(provider)
                code = await asyncio.to_thread(run, "account", "login", ME, "--config", path)
                acting.join()
                assert code == 0
                told = capsys.readouterr().out.splitlines()[-1]
                assert told.startswith(f"The daemon polled {ME}: 1 listed, ")

            await sign_in()
            status = await daemon.status()
            assert status.accounts[0].account.stored == 1
            provider.live.clear()
            (report,) = await daemon.poll(ME)
            assert (report.error, report.listed) == ("", 1)
            provider.revoke()
            for _ in range(5):
                (report,) = await daemon.poll(ME)
                assert report.error_class == "auth"
                assert report.advice.endswith(f"popbridge account login {ME}")
            refused = [asked for asked in provider.asked if asked.error == "invalid_grant"]
            assert len(refused) == 3
            await sign_in()
            (report,) = await daemon.poll(ME)
            assert report.error == ""
            shown = json.dumps([report.error, report.advice])
            assert "access-" not in shown
    assert server.ledger.retrieved == {b"u1": 1}
    assert PASSWORD not in capsys.readouterr().out
