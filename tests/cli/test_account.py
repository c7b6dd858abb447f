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


# --- list, pause, resume, remove, test --------------------------------------------------


def plain(folder: Path, port: int) -> Path:
    pop3 = {
        "host": "127.0.0.1",
        "port": str(port),
        "security": "none",
        "username": "u",
        "password": "p",
    }
    return write_config(folder, [{"address": ME, "pop3": pop3}])


async def test_accounts_beside_a_daemon(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with Pop3Server([(b"u1", b"A: 1\r\n\r\nb\r\n")], username="u", password="p") as server:
        path = plain(tmp_path, server.port)
        daemon = Daemon(config_module.load(path))
        daemon.config_path = path
        where = ("--config", str(path))

        async def run(*arguments: str) -> tuple[int, str, str]:
            capsys.readouterr()
            code = await asyncio.to_thread(main, ["account", *arguments, *where])
            said = capsys.readouterr()
            return code, said.out, said.err

        async with daemon:
            await daemon.poll(None)
            code, out, _ = await run("list", "--json")
            assert json.loads(out[out.index("[\n") :])[0]["state"] == "up to date"
            code, out, _ = await run("test", ME)
            assert code == 0
            assert out.endswith(f"{ME}: the login works; messages: 1\n")
            code, out, _ = await run("pause", ME)
            assert (code, out.splitlines()[-1]) == (0, f"{ME} is paused.")
            assert (await daemon.status()).accounts[0].state == "paused"
            code, _, err = await run("test", ME)
            assert (code, f"{ME} is paused" in err) == (75, True)
            assert (await run("pause", "you@x"))[0] == 64
        async with Daemon(config_module.load(path)) as again:  # it stays so over a restart
            assert (await again.status()).accounts[0].state == "paused"
            again.config_path = path
            code, out, _ = await run("resume", ME, "--json")
            assert json.loads(out.splitlines()[-1]) == {"address": ME, "paused": False}
            assert (await again.poll(ME))[0].error == ""
            code, out, _ = await run("remove", ME, "--yes")
            assert code == 0
            assert "Its mail stays readable; the provider has it too." in out
            assert again.config.accounts == ()
            assert config_module.load(path).accounts == ()


async def test_accounts_without_a_daemon(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with Pop3Server([(b"u1", b"A: 1\r\n\r\nb\r\n")], username="u", password="p") as server:
        path = plain(tmp_path, server.port)

        async def run(*arguments: str) -> tuple[int, str, str]:
            code = await asyncio.to_thread(main, ["account", *arguments, "--config", str(path)])
            said = capsys.readouterr()
            return code, said.out, said.err

        code, out, _ = await run("list")
        assert out.splitlines()[1].split() == [ME, "127.0.0.1", ME, "no", "daemon", "runs"]
        assert (await run("pause", ME))[:2] == (0, f"{ME} is paused.\n")
        code, out, _ = await run("test", ME, "--json")
        assert json.loads(out) == {
            "address": ME, "ok": True, "messages": 1, "bytes": 11, "stable_ids": True,
        }  # fmt: skip
        assert (await run("remove", ME))[0] == 64  # nobody to ask
        assert (await run("remove", "you@x", "--yes"))[0] == 64
        server.password = "other"
        code, _, err = await run("test", ME)
        assert code == 77
        assert "refused the login" in err
        assert (await run("remove", ME, "--yes"))[0] == 0
        assert (await run("list"))[
            1
        ] == "there is no account yet; add one: popbridge setup ADDRESS\n"
