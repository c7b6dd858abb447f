"""What the page asks of a real daemon, with real providers on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import imaplib
import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest

from bridge import config, limits
from bridge.daemon import Daemon
from bridge.desk import RealDesk
from bridge.model import Secret
from bridge.web.page import screen
from bridge.web.seams import DeskError, Found
from bridge.web.status import Json
from tests.support.identity_provider import IdentityProvider
from tests.support.pop3_server import Pop3Server

ME = "me@example.org"
MAIL = [(b"one", b"Subject: one\r\n\r\nhello\r\n"), (b"two", b"Subject: two\r\n\r\nhello\r\n")]


def pop3_of(server: Pop3Server, **keys: Json) -> dict[str, Json]:
    return {
        "host": server.host,
        "port": server.port,
        "security": "none",
        "username": server.username,
        **keys,
    }


def written(folder: Path, pop3: Mapping[str, Json] | None) -> Path:
    accounts = [] if pop3 is None else [{"address": ME, "interval": "1h", "pop3": pop3}]
    text = json.dumps(
        {
            "data_dir": "./data",
            "imap": {"listen": ["127.0.0.1:0"], "listen_tls": ["127.0.0.1:0"]},
            "web": {"listen": None, "phone": "127.0.0.1:0"},
            "accounts": accounts,
            "logins": [{"name": each["address"]} for each in accounts],
        },
        indent=2,
    )
    path = folder / "config.yaml"
    path.touch(mode=0o600)
    path.write_text(text)
    (folder / "secrets").mkdir(mode=0o700, exist_ok=True)
    return path


def secret(folder: Path, text: str) -> Path:
    path = folder / "secrets" / "provider"
    path.parent.mkdir(mode=0o700, exist_ok=True)
    path.touch(mode=0o600)
    path.write_text(f"{text}\n")
    return path


@contextlib.asynccontextmanager
async def running(path: Path) -> AsyncIterator[tuple[Daemon, RealDesk]]:
    daemon = Daemon(config.load(path))
    daemon.config_path = path
    async with daemon:
        yield daemon, daemon.desk


async def word(daemon: Daemon) -> str:
    """The word of the one account, after the poll under way or another one."""
    await daemon.poll(ME)
    (row,) = screen(await daemon.desk.facts(), "en", 0).accounts
    return row.word


async def test_the_login_is_tested(tmp_path: Path) -> None:
    file = secret(tmp_path, "wrong")
    async with Pop3Server(MAIL) as server:
        path = written(tmp_path, pop3_of(server, password_file="secrets/provider"))
        async with running(path) as (_, desk):
            with pytest.raises(DeskError, match="refused the login"):
                await desk.test(ME)
            with pytest.raises(DeskError, match="there is no account you"):
                await desk.test("you")
            file.write_text(f"{server.password}\n")
            await desk.test(ME)


async def test_only_a_password_that_works_is_saved(tmp_path: Path) -> None:
    file = secret(tmp_path, "old")
    async with Pop3Server(MAIL) as server:
        path = written(tmp_path, pop3_of(server, password_file="secrets/provider"))
        async with running(path) as (daemon, desk):
            await daemon.poll(None)
            for bad, why in (("wrong", "refused"), ("", "one line"), ("two\nlines", "one line")):
                with pytest.raises(DeskError, match=why):
                    await desk.new_password(ME, Secret(bad))
                assert file.read_text() == "old\n"
            await desk.new_password(ME, Secret(server.password))
            assert file.read_text() == f"{server.password}\n"
            assert file.stat().st_mode & 0o777 == 0o600
            assert await word(daemon) == "up to date"


async def test_a_password_that_stands_elsewhere_is_not_ours_to_change(tmp_path: Path) -> None:
    async with Pop3Server(MAIL) as server:
        path = written(tmp_path, pop3_of(server, password="wrong"))
        async with running(path) as (_, desk):
            with pytest.raises(DeskError, match="stands in the config"):
                await desk.new_password(ME, Secret(server.password))


async def test_paused_and_resumed(tmp_path: Path) -> None:
    async with Pop3Server(MAIL) as server:
        path = written(tmp_path, pop3_of(server, password=server.password))
        async with running(path) as (daemon, desk):
            assert await word(daemon) == "up to date"
            await desk.pause(ME, paused=True)
            (row,) = screen(await desk.facts(), "de", 0).accounts
            assert (row.word, row.button and row.button.action) == (
                "angehalten",
                "/accounts/resume",
            )
            await desk.pause(ME, paused=False)
            assert await word(daemon) == "up to date"


async def test_a_sign_in_by_code(tmp_path: Path) -> None:
    with IdentityProvider() as provider:
        client = provider.client()
        oauth: Json = {
            "provider": "custom",
            "client_id": client.client_id,
            "token_endpoint": client.provider.token,
            "device_endpoint": client.provider.device,
            "scope": client.provider.scope,
        }
        async with Pop3Server(MAIL, sasl=[b"XOAUTH2"]) as server:
            path = written(tmp_path, pop3_of(server, oauth=oauth))
            async with running(path) as (daemon, desk):
                await daemon.poll(None)
                (row,) = screen(await desk.facts(), "en", 0).accounts
                assert row.button is not None
                assert row.button.action == "/accounts/sign-in"
                begun = await desk.start_sign_in(ME)
                assert begun.state == "waiting"
                assert desk.sign_in(ME) == begun
                server.tokens = provider.live
                provider.approve(begun.code)
                async with asyncio.timeout(30):
                    await server.until(lambda ledger: ledger.logins > 0)
                assert await word(daemon) == "up to date"
                found = desk.sign_in(ME)
                assert found is not None
                assert found.state == "done"


async def test_who_logs_in_with_a_password_signs_in_nowhere(tmp_path: Path) -> None:
    async with Pop3Server(MAIL) as server:
        path = written(tmp_path, pop3_of(server, password="x"))
        async with running(path) as (_, desk):
            with pytest.raises(DeskError, match="logs in with a password"):
                await desk.start_sign_in(ME)
            assert desk.sign_in(ME) is None


async def test_an_account_is_added(tmp_path: Path) -> None:
    path = written(tmp_path, None)
    before = path.read_text()
    async with Pop3Server(MAIL, password="kelp") as server, running(path) as (daemon, desk):
        found = Found(ME, server.host, server.port, "none", server.username)
        with pytest.raises(DeskError, match="refused the login"):
            await desk.add_account(found, Secret("wrong"))
        assert path.read_text() == before
        assert list((tmp_path / "secrets").iterdir()) == []
        assert (await desk.facts()).status.accounts == ()
        await desk.add_account(found, Secret(server.password))
        saved = config.load(path)
        assert [each.address for each in saved.accounts] == [ME]
        assert saved.accounts[0].password().reveal() == server.password
        assert server.password not in path.read_text()
        assert await word(daemon) == "up to date"
        assert await desk.logins() == [ME]
        with pytest.raises(DeskError, match="already"):
            await desk.add_account(found, Secret(server.password))


async def test_what_is_found_and_what_is_not(tmp_path: Path) -> None:
    """Of providers in the table: nobody else is asked."""
    async with running(written(tmp_path, None)) as (_, desk):
        gmx = await desk.find("anna@gmx.de", "de")
        assert (gmx.host, gmx.port, gmx.security) == ("pop.gmx.net", 995, "tls")
        assert gmx.hints
        assert gmx.page.startswith("https://")
        assert (await desk.find("anna@gmx.de", "en")).hints != gmx.hints
        assert (await desk.find("anna@icloud.com", "en")).refusal
        with pytest.raises(DeskError, match=r"popbridge setup anna@outlook\.com"):
            await desk.find("anna@outlook.com", "en")
        with pytest.raises(DeskError):
            await desk.find("nobody", "en")


async def test_a_phone_is_waited_for(tmp_path: Path) -> None:
    async with Pop3Server(MAIL) as server:
        path = written(tmp_path, pop3_of(server, password=server.password))
        async with running(path) as (_, desk):
            url = await desk.open_phone_page(ME, "Anna's phone")
            assert url.startswith("https://127.0.0.1:")
            await desk.add_device(ME, "iPhone")
            for login, name in ((ME, "iPhone"), ("nobody", "x"), (ME, "")):
                with pytest.raises(DeskError):
                    await desk.open_phone_page(login, name)
            await desk.revoke_device(ME, "iPhone")
            with pytest.raises(DeskError, match="there is no device"):
                await desk.revoke_device(ME, "iPhone")


async def test_w006_imap_does_not_mind_a_besieged_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More connections than the page takes, none of which says anything: devices sign in."""
    monkeypatch.setattr(limits, "WEB_CONNECTIONS", 20)
    path = written(tmp_path, None)
    settings = json.loads(path.read_text())
    settings["web"] = {"listen": "127.0.0.1:0", "password": "for the page"}
    settings["logins"] = [{"name": ME, "password": "for a device"}]
    path.write_text(json.dumps(settings))
    async with running(path) as (daemon, _):
        port = int(daemon.page_url.rpartition(":")[2])
        held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(40)]
        for _, writer in held:
            writer.write(b"GET / HTTP/1.1\r\nHost: ")

        def device() -> bytes:
            with imaplib.IMAP4("127.0.0.1", daemon.imap_ports[0], timeout=20) as imap:
                imap.login(ME, "for a device")
                return imap.select("INBOX")[1][0] or b""

        assert await asyncio.to_thread(device) == b"0"
        for _, writer in held:
            writer.close()
