"""Signing in with what is no password, as somebody else, too often, and all at once."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path

import argon2
import pytest
import structlog

from bridge import config, limits
from bridge.auth import passwords
from bridge.daemon import Daemon
from bridge.model import Secret
from tests.imap.conftest import Play
from tests.support import figures
from tests.support.endpoint import PASSWORD, Core
from tests.support.imap_client import Client, Server
from tests.support.lag import Lag

HASHED = argon2.PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1).hash(PASSWORD)


def settings(folder: Path, **password: str) -> config.Config:
    path = folder / "config.yaml"
    path.touch(mode=0o600)
    content = {
        "data_dir": "./data",
        "imap": {"listen": ["127.0.0.1:0"], "listen_tls": []},
        "web": {"listen": None},
        "accounts": [],
        "logins": [{"name": "alice", **password}, {"name": "bob", "password": PASSWORD}],
    }
    path.write_text(json.dumps(content))
    return config.load(path)


async def connect(daemon: Daemon) -> Client:
    client = await Client.connect(Server("127.0.0.1", daemon.imap_ports[0], {}))
    await client.response()
    return client


async def login(client: Client, password: str, name: str = "alice") -> str:
    return str((await client.command(f'l LOGIN {name} "{password}"'))[-1][0])


@pytest.mark.case("I043")
async def test_a_device_signs_in_whatever_others_guess(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From a new address, by its own password; and by the login's own from where it was before.
    Whoever comes from elsewhere with the login's own is told what to do."""
    monkeypatch.setattr(limits, "IMAP_FAILED_LOGIN_DELAY", 0.0)
    monkeypatch.setattr(limits, "GUESSES_PER_LOGIN", 5)
    async with Core(tmp_path) as core:
        before = await core.connect()
        await before.response()
        assert (await login(before, PASSWORD)).startswith("l OK")  # type: ignore[arg-type]
        for number in range(10):
            core.services.guesses.failed(f"198.51.100.{number}", "alice")
        guesses = core.services.guesses
        assert guesses.allows("127.0.0.1", "alice")
        assert not guesses.allows("198.51.100.77", "alice")
        assert not guesses.allows("192.0.2.1", "alice")
        before.close()
        again = await core.connect()
        await again.response()
        assert (await login(again, PASSWORD)).startswith("l OK")  # type: ignore[arg-type]
        again.close()
    async with Daemon(settings(tmp_path, password=PASSWORD)) as daemon:
        phone = (await daemon.add_device("alice", "phone")).password.reveal()
        for _ in range(10):
            daemon._imap.services.guesses.failed("198.51.100.1", "alice")
        client = await connect(daemon)
        said = await login(client, PASSWORD)
        assert said.startswith("l NO [AUTHENTICATIONFAILED] Too many wrong passwords")
        assert (await login(client, "wrong")) == said
        assert (await login(client, phone)).startswith("l OK")
        client.close()


@pytest.mark.case("I045")
async def test_what_is_no_password(play: Play) -> None:
    """The same plain NO for all of it, but for a NUL, which no line has."""
    await play(
        rf"""
    @ limit IMAP_BAD_COMMANDS_BEFORE_LOGIN 20
    @ base64 nul \x00{{alice}}\x00a\x00b
    @ login 2 alice
    1 open
    1 S: * OK ~
    1 C: a1 LOGIN {{alice}} ""
    1 S: a1 NO [AUTHENTICATIONFAILED] Wrong user name or password
    1 C: a2 LOGIN {{alice}} {"p" * 5_000}
    1 S: a2 NO [AUTHENTICATIONFAILED] Wrong user name or password
    1 C: a3 LOGIN {{alice}} %s%n{{}}$(id)
    1 S: a3 ~
    1 C> a4 LOGIN alice {{4+}}\r\n\xff\xfe\xc3(\r\n
    1 S: a4 ~
    1 C> a5 LOGIN alice {{3+}}\r\na\0b\r\n
    1 S: a5 ~
    1 C: a6 AUTHENTICATE PLAIN {{nul}}
    1 S: a6 BAD ~
    1 C: a7 LOGIN {{alice}} "%s %n $(id)"
    1 S: a7 NO [AUTHENTICATIONFAILED] Wrong user name or password
    1 C: a8 LOGIN {{alice}} {{1048576}}
    1 S: a8 BAD ~
    1 C: a9 LOGIN {{alice}} "{{password}}"
    1 S: a9 OK ~
    """
    )


@pytest.mark.case("I047")
async def test_odd_names_open_nothing_and_are_one_line_of_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "IMAP_FAILED_LOGIN_DELAY", 0.0)
    monkeypatch.setattr(limits, "IMAP_BAD_COMMANDS_BEFORE_LOGIN", 99)
    names = [
        "../../etc/passwd", "alice/../bob", "%n%s", "$(touch /tmp/owned)", "\u0430lice", "ALICE",
        "alice ", "'; DROP TABLE logins; --", "alice\u202e", "\U0001f600",
    ]  # fmt: skip
    async with Core(tmp_path) as core:
        client = await core.connect()
        await client.response()
        with structlog.testing.capture_logs() as logged:
            for name in names:
                octets = name.encode()
                await client.send(
                    b"a LOGIN {%d+}\r\n%b {%d+}\r\n%b\r\n"
                    % (len(octets), octets, len(PASSWORD), PASSWORD.encode())
                )
                heard = await client.response()
                assert heard == ["a NO [AUTHENTICATIONFAILED] Wrong user name or password"]
        client.close()
        assert await core.store.read(lambda tx: tx.login("alice")) is None
    assert [each["login"] for each in logged if each["event"] == "login refused"] == names
    # How such a value becomes a line: tests/test_logs.py::test_any_text_is_one_harmless_line.


@pytest.mark.case("I048")
async def test_signing_in_as_somebody_else(play: Play) -> None:
    await play(
        r"""
    @ base64 other {bob}\x00{alice}\x00{password}
    @ login 2 bob
    1 open
    1 S: * OK ~
    1 C: a1 AUTHENTICATE PLAIN {other}
    1 S: a1 NO [AUTHORIZATIONFAILED] ~
    1 C: a2 NAMESPACE
    1 S: a2 BAD ~
    """
    )


@pytest.mark.case("I049")
async def test_no_password_in_clear_from_elsewhere(play: Play) -> None:
    await play(
        r"""
    @ remote
    @ base64 plain \x00{alice}\x00{password}
    1 open
    1 S: * OK [CAPABILITY ~ LOGINDISABLED ~
    1 C: a1 LOGIN {alice} "{password}"
    1 S: a1 NO [PRIVACYREQUIRED] ~
    1 C: a2 AUTHENTICATE PLAIN {plain}
    1 S: a2 NO [PRIVACYREQUIRED] ~
    """
    )


@pytest.mark.case("I051")
@pytest.mark.parametrize("mechanism", ["XOAUTH2", "OAUTHBEARER", "CRAM-MD5", "EXTERNAL", "NTLM"])
async def test_mechanisms_that_we_have_not(play: Play, mechanism: str) -> None:
    """No token of anybody's opens our endpoint, whatever it says: there is no such mechanism."""
    await play(
        rf"""
    @ base64 token user={{alice}}\x01auth=Bearer\x20eyJhbGciOiJub25lIn0.eyJhdWQiOiJ4In0.\x01\x01
    1 open
    1 S: * OK ~
    1 C: a1 AUTHENTICATE {mechanism} {{token}}
    1 S: a1 NO ~
    1 C: a2 NAMESPACE
    1 S: a2 BAD ~
    """
    )


@pytest.mark.case("I046")
async def test_a_hundred_that_sign_in_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """argon2 runs in few threads, once for all who ask the same, and never holds up the loop."""
    checked = []
    matches = passwords._matches

    def counted(hashed: passwords.PasswordHash, password: Secret) -> bool:
        checked.append(1)
        return matches(hashed, password)

    monkeypatch.setattr(passwords, "_matches", counted)
    slow = argon2.PasswordHasher().hash(PASSWORD)
    async with Daemon(settings(tmp_path, password_hash=slow)) as daemon:
        clients = [await connect(daemon) for _ in range(100)]
        async with Lag() as lag, asyncio.timeout(60):
            answers = await asyncio.gather(*(login(client, PASSWORD) for client in clients))
            assert all(each.startswith("l OK") for each in answers)
        for client in clients:
            client.close()
    assert len(checked) == 1
    assert passwords._THREADS <= 4
    figures.note("logins at once", tried=100, hashes=len(checked), lag_p99_ms=lag.percentile(99))


@pytest.mark.case("I052")
@pytest.mark.parametrize("form", ["password", "password_hash"])
async def test_a_new_password_ends_the_sessions_of_the_old_one(tmp_path: Path, form: str) -> None:
    """Those of the login's own password, at once; a device keeps its own, and others theirs. (A
    device that is revoked: test_devices.py.)"""
    old = PASSWORD if form == "password" else HASHED
    new = "another" if form == "password" else argon2.PasswordHasher(1, 1024, 1).hash("another")
    async with Daemon(settings(tmp_path, **{form: old})) as daemon:
        phone = (await daemon.add_device("alice", "phone")).password.reveal()
        own, device, bob = [await connect(daemon) for _ in range(3)]
        assert (await login(own, PASSWORD)).startswith("l OK")
        assert (await login(device, phone)).startswith("l OK")
        assert (await login(bob, PASSWORD, "bob")).startswith("l OK")
        await daemon.reload(settings(tmp_path, **{form: old}))
        assert str((await own.command("a NOOP"))[-1][0]).startswith("a OK")
        await own.send(b"i IDLE\r\n")
        assert await own.response() == ["+ idling"]
        await daemon.reload(settings(tmp_path, **{form: new}))
        async with asyncio.timeout(10):
            assert re.match(r"\* BYE The password .* was changed", str((await own.response())[0]))
        for client in (device, bob):
            assert str((await client.command("a NOOP"))[-1][0]).startswith("a OK")
        again = await connect(daemon)
        assert (await login(again, PASSWORD)).startswith("l NO")
        assert (await login(again, "another")).startswith("l OK")
        for client in (own, device, bob, again):
            client.close()
