"""`popbridge device` as a person runs it: beside a daemon, and alone."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from bridge import config as config_module
from bridge.cli.main import main
from bridge.daemon import Daemon
from bridge.store.opening import open_store
from tests.cli.test_commands import FakeDaemon, config, fake, run
from tests.support.control import PASSWORD
from tests.support.imap_client import Client, Server

__all__ = ["config", "fake"]  # fixtures

ME = "me@example.org"
CONFIG = {
    "data_dir": "./data",
    "imap": {"listen": ["127.0.0.1:0"], "listen_tls": ["127.0.0.1:0"]},
    "web": {"listen": None},
    "accounts": [],
    "logins": [{"name": ME}],
}


@pytest.fixture
def alone(tmp_path: Path) -> str:
    path = tmp_path / "config.yaml"
    path.write_text(json.dumps(CONFIG))
    return str(path)


def test_beside_a_daemon(fake: FakeDaemon, capsys: pytest.CaptureFixture[str]) -> None:
    where = ("--config", "config.yaml")
    assert run(capsys, "device", "list", *where) == (
        0,
        "no device has a password of its own; make one: popbridge device add NAME\n",
        "",
    )
    code, out, _ = run(capsys, "device", "add", "Anna's phone", *where)
    assert code == 0
    assert out.splitlines() == [
        "  IMAP     192.168.1.20 (homeserver.local) port 1993, TLS",
        "  User     me@gmx.de",
        f"  Password {PASSWORD}     (for this device alone)",
        "  Certificate SHA-256  4F:1C:A2",
    ]
    code, out, _ = run(capsys, "device", "list", *where)
    assert out == "DEVICE        LOGIN      LAST SEEN\nAnna's phone  me@gmx.de  never\n"
    code, out, _ = run(capsys, "device", "list", "--json", *where)
    assert json.loads(out) == [
        {
            "name": "Anna's phone",
            "login": "me@gmx.de",
            "created": "2026-11-27T14:10:02Z",
            "last_seen": None,
            "connections": 0,
        }
    ]
    assert run(capsys, "device", "add", "Anna's phone", *where) == (
        64,
        "",
        "popbridge: me@gmx.de has a device named Anna's phone already\n",
    )
    assert run(capsys, "device", "add", "x", "--login", "you", *where)[0] == 64
    assert run(capsys, "device", "revoke", "Anna's phone", *where) == (
        0,
        "Anna's phone cannot sign in any more.\n",
        "",
    )
    code, _, err = run(capsys, "device", "revoke", "Anna's phone", *where)
    assert (code, err) == (
        64,
        "popbridge: there is no device named Anna's phone; there are: none\n",
    )


def test_what_a_program_is_told(fake: FakeDaemon, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "device", "add", "phone", "--json", "--config", "config.yaml")
    assert code == 0
    said = json.loads(out)
    qr = json.loads(said.pop("qr"))
    assert said == {
        "login": "me@gmx.de",
        "name": "phone",
        "password": PASSWORD,
        "imap": {"host": "192.168.1.20", "port": 1143, "tls_port": 1993},
        "hosts": ["192.168.1.20", "homeserver.local"],
        "addresses": ["me@gmx.de"],
        "certificate_sha256": "4F:1C:A2",
    }
    assert qr[2] == [0, "192.168.1.20", 1993, 3, 1, "me@gmx.de", "", PASSWORD]


def test_without_a_daemon_and_then_with_one(alone: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "device", "add", "phone", "--json", "--config", alone)
    assert (code, err) == (0, "")
    password = json.loads(out)["password"]
    assert run(capsys, "device", "add", "phone", "--config", alone) == (
        64,
        "",
        f"popbridge: {ME} has a device named phone already; choose another name.\n",
    )
    assert run(capsys, "device", "add", "", "--config", alone)[0] == 64
    assert run(capsys, "device", "add", "x", "--login", "you", "--config", alone) == (
        64,
        "",
        f"popbridge: there is no login you; the config has {ME}\n",
    )

    async def signs_in() -> str:
        async with Daemon(config_module.load(Path(alone))) as daemon:
            client = await Client.connect(Server("127.0.0.1", daemon.imap_ports[0], {}))
            await client.response()
            answer = await client.command(f'a LOGIN {ME} "{password}"')
            client.close()
            return str(answer[-1][0])

    assert asyncio.run(signs_in()).startswith("a OK")
    code, out, _ = run(capsys, "device", "list", "--config", alone)
    assert out.splitlines()[-1].split()[:2]  # behind the daemon's log == ["phone", ME]
    assert "never" not in out
    code, out, _ = run(capsys, "device", "revoke", "phone", "--config", alone)
    assert (code, out) == (0, "phone cannot sign in any more.\n")
    assert run(capsys, "device", "list", "--json", "--config", alone)[1] == "[]\n"


def test_a_daemon_that_does_not_answer_is_not_gone_behind(alone: str, tmp_path: Path) -> None:
    """The store's lock keeps a command from writing beside a daemon whose socket is not there."""

    async def held() -> int:
        store = await open_store(tmp_path / "data")
        try:
            return await asyncio.to_thread(main, ["device", "add", "x", "--config", alone])
        finally:
            await store.close()

    assert asyncio.run(held()) == 75
