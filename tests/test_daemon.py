"""What the config says about IMAP reaches the sessions, and again when it is read anew."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from bridge import config
from bridge.daemon import Daemon
from tests.support.imap_client import Client, Server

NAME, PASSWORD = "me@example.net", "for my devices"


def settings(
    folder: Path, imap: Mapping[str, object], login: Mapping[str, object]
) -> config.Config:
    """No accounts, one login; JSON is YAML."""
    path = folder / "config.yaml"
    path.touch(mode=0o600)
    content = {
        "data_dir": "./data",
        "imap": {"listen": ["127.0.0.1:0"], "listen_tls": [], **imap},
        "web": {"listen": None},
        "accounts": [],
        "logins": [{"name": NAME, "password": PASSWORD, **login}],
    }
    path.write_text(json.dumps(content))
    return config.load(path)


async def said(daemon: Daemon, *commands: str) -> list[str]:
    """All that a new session hears after its greeting, without literals."""
    client = await Client.connect(Server("127.0.0.1", daemon.imap_ports[0], {}))
    try:
        await client.response()
        heard = []
        for command in (f'l LOGIN {NAME} "{PASSWORD}"', *commands):
            heard += [str(response[0]) for response in await client.command(command)]
        return heard
    finally:
        client.close()


async def test_quota_and_hidden_capabilities_come_from_the_config(tmp_path: Path) -> None:
    quota = {"quota": {"storage": "1MB", "messages": "7"}}
    first = settings(tmp_path, quota, {"hide_capabilities": ["move"]})
    async with Daemon(first) as daemon:
        login, _, shown, _ = await said(daemon, "a GETQUOTAROOT INBOX")
        assert " QRESYNC " in login
        assert "MOVE" not in login
        assert shown == '* QUOTA "" (STORAGE 0 1024 MESSAGE 0 7)'
        await daemon.reload(settings(tmp_path, {}, {"hide_capabilities": ["QRESYNC"]}))
        login, roots, _ = await said(daemon, "a GETQUOTAROOT INBOX")
        assert " MOVE" in login
        assert "QRESYNC" not in login
        assert roots == "* QUOTAROOT INBOX"


async def test_rev2_comes_from_the_config(tmp_path: Path) -> None:
    async with Daemon(settings(tmp_path, {}, {})) as daemon:
        assert " IMAP4rev2 " not in (await said(daemon))[0]
        hidden = {"hide_capabilities": ["IMAP4rev2"]}
        await daemon.reload(settings(tmp_path, {"rev2": True}, {}))
        assert " IMAP4rev2 " in (await said(daemon))[0]
        await daemon.reload(settings(tmp_path, {"rev2": True}, hidden))
        assert " IMAP4rev2 " not in (await said(daemon))[0]


async def test_a_quota_without_a_limit_is_none(tmp_path: Path) -> None:
    async with Daemon(settings(tmp_path, {"quota": {}}, {})) as daemon:
        assert (await said(daemon, "a GETQUOTAROOT INBOX"))[1] == "* QUOTAROOT INBOX"
