"""SCRAM-SHA-256 over the wire, with a client of its own: who gets in, who does not, what shows."""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path

import pytest
import scramp

from bridge import limits
from bridge.auth.passwords import PasswordHash, hash_password
from bridge.model import Secret
from tests.support.endpoint import PASSWORD, Endpoint
from tests.support.imap_client import Client, Server


@pytest.fixture(autouse=True)
def nobody_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "IMAP_FAILED_LOGIN_DELAY", 0.0)


class Device:
    """A client in the middle of an exchange."""

    def __init__(self, client: Client, name: str = "alice", password: str = PASSWORD) -> None:
        self._client = client
        self.scram = scramp.ScramClient(["SCRAM-SHA-256"], name, password)
        self.said = ""  # the server's first message

    async def begin(self, *, at_once: bool = True) -> None:
        first = encoded(self.scram.get_client_first())
        if at_once:
            await self._client.send(b"s AUTHENTICATE SCRAM-SHA-256 " + first + b"\r\n")
        else:
            await self._client.send(b"s authenticate scram-sha-256\r\n")
            assert await self._client.response() == ["+ "]
            await self._client.send(first + b"\r\n")
        self.said = await self.challenge()
        self.scram.set_server_first(self.said)

    async def challenge(self) -> str:
        (line,) = await self._client.response()
        assert str(line).startswith("+ "), line
        return base64.b64decode(str(line)[2:]).decode()

    async def prove(self) -> None:
        await self._client.send(encoded(self.scram.get_client_final()) + b"\r\n")

    async def answer(self) -> str:
        (line,) = await self._client.response()
        return str(line)


def encoded(message: str) -> bytes:
    return base64.b64encode(message.encode())


async def connect(endpoint: Endpoint) -> Client:
    client = await Client.connect(Server("127.0.0.1", endpoint.port, {}))
    (greeting,) = await client.response()
    assert "AUTH=SCRAM-SHA-256 AUTH=PLAIN" in str(greeting)
    return client


@pytest.mark.parametrize("at_once", [True, False])
async def test_both_sides_prove_that_they_know_the_password(tmp_path: Path, at_once: bool) -> None:
    async with Endpoint(tmp_path, logins={"Ållice": "pässword, and = more"}) as endpoint:
        client = await connect(endpoint)
        device = Device(client, "Ållice", "pässword, and = more")
        await device.begin(at_once=at_once)
        await device.prove()
        device.scram.set_server_final(await device.challenge())  # raises for a server that lies
        await client.send(b"\r\n")
        assert (await device.answer()).startswith("s OK [CAPABILITY ")
        assert str((await client.command("a SELECT INBOX"))[-1][0]).startswith("a OK")
        client.close()


@pytest.mark.parametrize(
    ("name", "password"), [("alice", "wrong"), ("nobody", PASSWORD), ("bob", "")]
)
async def test_whoever_does_not_know_it_stays_out(tmp_path: Path, name: str, password: str) -> None:
    async with Endpoint(tmp_path) as endpoint:
        client = await connect(endpoint)
        device = Device(client, name, password)
        await device.begin()
        await device.prove()
        assert (await device.answer()).startswith("s NO [AUTHENTICATIONFAILED] ")
        client.close()


async def test_a_name_that_nobody_has_looks_like_any_other(tmp_path: Path) -> None:
    async with Endpoint(tmp_path) as endpoint:
        salts = []
        for name in ("nobody", "nobody", "alice", "alice"):
            client = await connect(endpoint)
            device = Device(client, name)
            await device.begin()
            said = dict(part.split("=", 1) for part in device.said.split(","))
            assert said["i"] == "10000"
            salts.append(said["s"])
            client.close()
        assert salts[0] == salts[1] != salts[2] == salts[3]
        assert {len(base64.b64decode(salt)) for salt in salts} == {16}


async def test_what_was_heard_once_cannot_be_said_again(tmp_path: Path) -> None:
    async with Endpoint(tmp_path) as endpoint:
        client, other = await connect(endpoint), await connect(endpoint)
        device = Device(client)
        await device.begin()
        final = encoded(device.scram.get_client_final())
        first = b"n,,n=alice,r=" + device.scram.c_nonce.nonce.encode()
        await other.send(b"r AUTHENTICATE SCRAM-SHA-256 " + base64.b64encode(first) + b"\r\n")
        assert str((await other.response())[0]).startswith("+ ")
        await other.send(final + b"\r\n")
        assert str((await other.response())[0]).startswith("r NO [AUTHENTICATIONFAILED] ")
        client.close()
        other.close()


async def test_a_new_password_ends_what_began_with_the_old_one(tmp_path: Path) -> None:
    async with Endpoint(tmp_path) as endpoint:
        client = await connect(endpoint)
        device = Device(client)
        await device.begin()
        endpoint.server.services.passwords.replace({"alice": Secret("new")})
        await device.prove()
        assert (await device.answer()).startswith("s NO [AUTHENTICATIONFAILED] ")
        client.close()


async def test_a_login_with_a_hash_takes_it_from_everybody(tmp_path: Path) -> None:
    hashed: PasswordHash = await asyncio.to_thread(hash_password, Secret("other"))
    async with Endpoint(tmp_path) as endpoint:
        passwords = endpoint.server.services.passwords
        passwords.replace({"alice": Secret(PASSWORD), "bob": hashed})
        client = await Client.connect(Server("127.0.0.1", endpoint.port, {}))
        (greeting,) = await client.response()
        assert "AUTH=PLAIN" in str(greeting)
        assert "SCRAM" not in str(greeting)
        heard = await client.command("a AUTHENTICATE SCRAM-SHA-256")
        assert str(heard[0][0]).startswith("a NO ")
        client.close()
