"""Devices over the wire: three ways to sign in, and how a revoked one leaves."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bridge import config, limits
from bridge.auth import devices
from bridge.daemon import Daemon
from bridge.model import Secret
from tests.imap.test_scram import Device
from tests.support.imap_client import Client, Server

ME = "me@example.org"


@pytest.fixture(autouse=True)
def nobody_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "IMAP_FAILED_LOGIN_DELAY", 0.0)


def settings(folder: Path) -> config.Config:
    path = folder / "config.yaml"
    path.touch(mode=0o600)
    content = {
        "data_dir": "./data",
        "imap": {"listen": ["127.0.0.1:0"], "listen_tls": ["127.0.0.1:0"]},
        "web": {"listen": None},
        "accounts": [],
        "logins": [{"name": ME}, {"name": "you", "password": "of the config"}],
    }
    path.write_text(json.dumps(content))
    return config.load(path)


@pytest.fixture
async def daemon(tmp_path: Path) -> AsyncIterator[Daemon]:
    async with Daemon(settings(tmp_path)) as running:
        yield running


async def connect(daemon: Daemon) -> Client:
    client = await Client.connect(Server("127.0.0.1", daemon.imap_ports[0], {}))
    (greeting,) = await client.response()
    assert "AUTH=SCRAM-SHA-256" in str(greeting)
    return client


async def login(daemon: Daemon, password: str, name: str = ME) -> tuple[Client, str]:
    client = await connect(daemon)
    return client, str((await client.command(f'a LOGIN {name} "{password}"'))[-1][0])


async def scram(daemon: Daemon, password: str, name: str = ME) -> tuple[Client, str]:
    client = await connect(daemon)
    device = Device(client, name, password)
    await device.begin()
    await device.prove()
    try:
        device.scram.set_server_final(await device.challenge())
    except AssertionError as refused:
        return client, str(refused)
    await client.send(b"\r\n")
    return client, await device.answer()


async def test_three_ways_to_sign_in(daemon: Daemon) -> None:
    made = [await daemon.add_device(ME, f"device {number}") for number in range(3)]
    for each in made:
        password = each.password.reveal()
        client, answer = await login(daemon, password)
        assert answer.startswith("a OK")
        client.close()
        client, answer = await scram(daemon, password)
        assert answer.startswith("s OK")
        client.close()
        client = await connect(daemon)
        message = base64.b64encode(f"\0{ME}\0{password}".encode()).decode()
        assert str((await client.command(f"a AUTHENTICATE PLAIN {message}"))[-1][0])[:4] == "a OK"
        client.close()
    client, answer = await scram(daemon, "of the config", "you")
    assert answer.startswith("s OK")
    client.close()
    for name, password in ((ME, "wrong"), ("you", made[0].password.reveal()), ("no", "x")):
        client, answer = await login(daemon, password, name)
        assert answer.startswith("a NO [AUTHENTICATIONFAILED]")
        client.close()
        client, answer = await scram(daemon, password, name)
        assert answer.startswith("s NO [AUTHENTICATIONFAILED]")
        client.close()


async def test_a_revoked_device_is_out_at_once_and_no_other(daemon: Daemon) -> None:
    phone = (await daemon.add_device(ME, "phone")).password.reveal()
    tablet = (await daemon.add_device(ME, "tablet")).password.reveal()
    idle, answer = await login(daemon, phone)
    assert answer.startswith("a OK")
    await idle.command("b SELECT INBOX")
    await idle.send(b"c IDLE\r\n")
    assert await idle.response() == ["+ idling"]
    other, answer = await scram(daemon, tablet)
    assert answer.startswith("s OK")
    states = {each.device.name: each.connections for each in await daemon.devices(ME)}
    assert states == {"phone": 1, "tablet": 1}
    await daemon.revoke_device("phone", None)
    async with asyncio.timeout(5):
        heard = [str(each) for each in await idle.response()]
    assert heard == ["* BYE The password of this device was revoked"]
    assert str((await other.command("b NOOP"))[-1][0]).startswith("b OK")
    for client in (idle, other):
        client.close()
    client, answer = await login(daemon, phone)
    assert answer.startswith("a NO [AUTHENTICATIONFAILED]")
    client.close()


async def test_revoked_in_the_middle_of_an_exchange(daemon: Daemon) -> None:
    phone = (await daemon.add_device(ME, "phone")).password.reveal()
    client = await connect(daemon)
    device = Device(client, ME, phone)
    await device.begin()
    await daemon.revoke_device("phone", ME)
    await device.prove()
    assert (await device.answer()).startswith("s NO [AUTHENTICATIONFAILED]")
    client.close()


async def test_added_in_the_middle_of_anothers_exchange(daemon: Daemon) -> None:
    phone = (await daemon.add_device(ME, "phone")).password.reveal()
    client = await connect(daemon)
    device = Device(client, ME, phone)
    await device.begin()
    await daemon.add_device(ME, "tablet")
    await device.prove()
    device.scram.set_server_final(await device.challenge())
    await client.send(b"\r\n")
    assert (await device.answer()).startswith("s OK")
    client.close()


async def test_unauthenticate_lets_go_of_the_device(daemon: Daemon) -> None:
    phone = (await daemon.add_device(ME, "phone")).password.reveal()
    client, _ = await login(daemon, phone)
    assert str((await client.command("b UNAUTHENTICATE"))[-1][0]).startswith("b OK")
    assert [each.connections for each in await daemon.devices(None)] == [0]
    await daemon.revoke_device("phone", None)
    assert str((await client.command("c NOOP"))[-1][0]).startswith("c OK")
    client.close()


async def test_they_outlive_the_daemon(tmp_path: Path) -> None:
    async with Daemon(settings(tmp_path)) as first:
        password = (await first.add_device(ME, "phone")).password.reveal()
        client, _ = await login(first, password)
        client.close()
    async with Daemon(settings(tmp_path)) as second:
        (state,) = await second.devices(ME)
        assert state.device.last_seen is not None
        client, answer = await scram(second, password)
        assert answer.startswith("s OK")
        client.close()


async def test_a_name_that_nobody_has_has_as_many_proofs_tried(daemon: Daemon) -> None:
    for number in range(3):
        await daemon.add_device(ME, f"device {number}")
    passwords = daemon._passwords
    for name in (ME, "you", "nobody"):
        exchange = passwords.exchange()
        await passwords.challenge(exchange, f"n,,n={name},r=abc".encode())
        assert len(exchange._servers) == 1 + 3
        assert exchange.name == name


def test_the_figures_that_kept_keys_depend_on() -> None:
    """A device that was added before an upgrade must get in behind it: RFC 5802 3, by hand."""
    text = "k7qm2-x9hde-4tnfw-apz3b-8ycgrs"
    made = devices.proof(Secret(text), bytes(16))
    salted = hashlib.pbkdf2_hmac("sha256", text.encode(), bytes(16), 10_000)
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    assert made.stored_key == hashlib.sha256(client_key).digest()
    assert made.server_key == hmac.digest(salted, b"Server Key", "sha256")
    assert made.digest == hashlib.sha256(text.replace("-", "").encode()).digest()
