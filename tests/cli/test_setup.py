"""`popbridge setup` as a new user runs it: against Dovecot, on a net of its own."""

from __future__ import annotations

import asyncio
import json
import os
import re
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from bridge import config, tls
from bridge.cli import arriving, ports, service, words
from bridge.cli.main import main
from bridge.daemon import Daemon
from bridge.discovery import providers
from tests.support.dovecot import Dovecot
from tests.support.identity_provider import IdentityProvider
from tests.support.other_net import OtherNet, document
from tests.support.require import require
from tests.support.samples import samples
from tests.support.terminal import Terminal

ROOT = Path(__file__).resolve().parents[2]
ME = "me@mine.test"
MESSAGES = 7


@pytest.fixture(scope="module")
def dovecot(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dovecot]:
    require("dovecot")
    with Dovecot(tmp_path_factory.mktemp("dovecot")) as server:
        server.deliver(samples(MESSAGES))
        yield server


class Home:
    """A new user's home, in which commands run as processes or (`run`) in here."""

    def __init__(self, folder: Path, dovecot: Dovecot) -> None:
        self.folder = folder
        self.config = folder / ".config" / "popbridge" / "config.yaml"
        self.data = folder / ".local" / "state" / "popbridge"
        self.password = folder / "password"
        self.password.touch(mode=0o600)
        self.password.write_text(dovecot.password + "\n")
        self.table = folder / "providers.toml"
        self.env: dict[str, str] = {
            "HOME": str(folder),
            "PATH": str(folder / "programs"),  # no systemd here
            "LANG": "en_GB.UTF-8",
            "SSL_CERT_FILE": str(dovecot.ca_pem),
            "POPBRIDGE_PROVIDERS": str(self.table),
        }
        (folder / "programs").mkdir()
        (folder / "programs" / "setsid").symlink_to(require("setsid"))
        self.provide(dovecot)

    def provide(self, dovecot: Dovecot, more: str = "", name: str = "mine") -> None:
        """The table of providers: one, whose server is this Dovecot."""
        self.table.write_text(
            f'[{name}]\nname = "Mine"\ndomains = ["{name}.test"]\nhost = "{dovecot.host}"\n'
            f'port = {dovecot.pop3s_port}\nusername = "{dovecot.username}"\nsource = "this test"\n'
            f'smtp = "smtp.mine.test:465"\n{more}\n'
        )
        providers.table.cache_clear()

    def files(self) -> set[str]:
        hidden = {"password", "providers.toml", "programs", "programs/setsid"}
        found = {str(each.relative_to(self.folder)) for each in self.folder.rglob("*")}
        return {each for each in found if each not in hidden and not each.startswith("other-net")}


@pytest.fixture
def home(tmp_path: Path, dovecot: Dovecot, monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    folder = tmp_path / "home"
    folder.mkdir()
    found = Home(folder, dovecot)
    for name in (
        "XDG_CONFIG_HOME",
        "XDG_STATE_HOME",
        "POPBRIDGE_CONFIG",
        "LC_ALL",
        "STATE_DIRECTORY",
    ):
        monkeypatch.delenv(name, raising=False)
    for name, value in found.env.items():
        monkeypatch.setenv(name, value)
    trusted_anew()
    yield found
    providers.table.cache_clear()
    trusted_anew()


def trusted_anew() -> None:
    """A context keeps the CAs that SSL_CERT_FILE named when it was made."""
    tls._client_context.cache_clear()


Said = tuple[int, str, str]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Any:
    def command(*arguments: str) -> Said:
        code = main(arguments)
        said = capsys.readouterr()
        return code, said.out, said.err

    return command


def setup(home: Home, run: Any, *more: str, address: str = ME) -> Said:
    found: Said = run("setup", address, "--password-file", str(home.password), *more)
    return found


def parsed(out: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = json.loads(out)
    return found


# --- what goes well ---------------------------------------------------------------------


def test_what_a_program_is_told(home: Home, run: Any, dovecot: Dovecot) -> None:
    code, out, err = setup(home, run, "--json")
    assert (code, err) == (0, "")
    said = parsed(out)
    assert said["address"] == ME
    assert (said["source"], said["messages"], said["stable_ids"]) == ("the built-in list", 7, True)
    assert said["bytes"] == sum(map(len, samples(MESSAGES)))
    assert said["pop3"] == {
        "host": dovecot.host,
        "port": dovecot.pop3s_port,
        "security": "tls",
        "username": dovecot.username,
    }
    device = said["device"]
    qr = json.loads(device["qr"])
    assert qr[2][2:] == [device["imap"]["tls_port"], 3, 1, ME, "", device["password"]]
    assert qr[3][0][0][1:3] == ["smtp.mine.test", 465]
    assert said["start"] == service.command(home.config)
    assert (said["stored"], said["service"]) == (MESSAGES, False)
    # what is on disk is private, and says what was found
    modes = {each: stat.S_IMODE((home.folder / each).stat().st_mode) for each in home.files()}
    private = {
        f".config/popbridge/{each}" for each in ("config.yaml", "secrets/page", f"secrets/{ME}")
    }
    assert {each: modes[each] for each in private} == dict.fromkeys(private, 0o600)
    assert modes[".config/popbridge/secrets"] == modes[".local/state/popbridge"] == 0o700
    settings = config.load(home.config)
    assert settings.data_dir == home.data
    assert settings.accounts[0].password().reveal() == dovecot.password
    assert not re.search(rf"\b{dovecot.password}\b", home.config.read_text() + out)
    # a second time nothing is changed
    before = home.config.read_bytes()
    code, out, _ = setup(home, run, "--json")
    assert (code, parsed(out)["already"]) == (0, True)
    assert home.config.read_bytes() == before


def test_a_port_that_somebody_takes_meanwhile(
    home: Home, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        there = taken.getsockname()[1]
        monkeypatch.setattr(
            arriving, "free", lambda host, port: there if port == 1143 else ports.free(host, port)
        )
        code, out, err = setup(home, run, "--json", "--no-start")
        assert (code, err) == (0, "")
        assert parsed(out)["device"]["imap"]["port"] not in (there, 1143)
        assert config.load(home.config).imap.listen[0].port != there


def test_german(home: Home, run: Any, dovecot: Dovecot) -> None:
    home.provide(
        dovecot,
        'switch_on = {en = "Settings", de = "Einstellungen > POP3", url = "https://mine.test/an"}\n'
        'app_password = {en = "an app password", de = "ein App-Passwort", when = "always"}',
    )
    code, out, _ = setup(home, run, "--no-start", "--lang", "de", "--device", "Annas Handy")
    assert code == 0
    assert "Suche mine.test .......... gefunden: the built-in list" in out
    assert "  Mine erlaubt das erst, wenn Sie es einmal einschalten:\n  Einstellungen > POP3" in out
    assert "https://mine.test/an" in out
    assert "  Mine verlangt ein App-Passwort\n" in out
    assert "OK   7 Nachrichten" in out
    assert "(nur für das Gerät „Annas Handy“; nicht Ihr Passwort bei Mine)" in out
    assert "  Senden   smtp.mine.test Port 465, mit Ihrem Passwort bei Mine" in out


def test_every_text_has_the_same_names_in_both_languages() -> None:
    import string

    def names(text: str) -> set[str | None]:
        return {name for _, name, _, _ in string.Formatter().parse(text) if name}

    for english, german in words.TEXTS.values():
        assert names(english) == names(german)
        assert english != german


async def setup_process(home: Home) -> tuple[int | None, Mapping[str, Any]]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bridge"),
        *("setup", ME, "--password-file", str(home.password), "--json"),
        stdout=subprocess.PIPE,
        env=os.environ | home.env,
        cwd=ROOT,
    )
    out, _ = await process.communicate()
    return process.returncode, parsed(out.decode())


async def test_a_second_account_beside_a_daemon_that_runs(
    home: Home, dovecot: Dovecot, tmp_path: Path
) -> None:
    """The daemon takes it without a restart; the file keeps its comments."""
    home.config.parent.mkdir(parents=True)
    home.config.write_text(
        f"# mine\ndata_dir: {home.data}  # there\nimap: {{listen: ['127.0.0.1:0'], "
        "listen_tls: ['127.0.0.1:0']}\nweb: {listen: null}\naccounts: []  # none yet\n"
    )
    home.config.chmod(0o600)
    daemon = Daemon(config.load(home.config))
    daemon.config_path = home.config
    async with daemon:
        before = home.config.read_bytes()
        home.password.write_text("wrong\n")
        code, said = await setup_process(home)
        assert (code, said["code"]) == (77, 77)
        assert (home.config.read_bytes(), daemon.config.accounts) == (before, ())
        home.password.write_text(dovecot.password + "\n")
        code, said = await setup_process(home)
        assert (code, said["messages"]) == (0, 7)
        assert [each.address for each in daemon.config.accounts] == [ME]
        assert daemon.config.accounts[0].password().reveal() == dovecot.password
        (state,) = await daemon.devices(ME)
        assert state.device.name == "first device"
        (report,) = await daemon.poll(ME)
        assert (report.error, report.listed) == ("", 7)
    text = home.config.read_text()
    assert text.startswith("# mine\n")
    assert "  # there\n" in text
    assert text.count("# none yet") == 1


def test_settings_by_hand(home: Home, run: Any, dovecot: Dovecot) -> None:
    where = ("--host", dovecot.host, "--port", str(dovecot.pop3_port), "--security", "none")
    who = ("--username", dovecot.username, "--login", "family")
    code, out, _ = setup(home, run, "--json", *where, *who, address="me@unknown.test")
    assert (code, parsed(out)["source"]) == (0, "--host")
    settings = config.load(home.config)
    assert settings.accounts[0].login_name == "family"
    assert [each.name for each in settings.logins] == ["family"]
    assert parsed(out)["device"]["login"] == "family"


def test_found_by_srv_and_agreed_to(
    home: Home, run: Any, dovecot: Dovecot, monkeypatch: Any
) -> None:
    with OtherNet(home.folder, ("*.srv.test", "srv.test", "v1.ispdb.net")) as net:
        monkeypatch.setenv("POPBRIDGE_NET", str(net.file))
        net.records["_pop3s._tcp.srv.test", "SRV"] = [f"0 0 {dovecot.pop3s_port} pop.srv.test."]
        code, _, err = setup(home, run, "--json", "--yes", address="me@srv.test")
        assert code == 69
        assert "pop.srv.test" in err  # no such host, and the password went nowhere
        assert home.files() == set()


def test_a_public_name_that_leads_into_a_private_network(
    home: Home, run: Any, dovecot: Dovecot, monkeypatch: Any
) -> None:
    real = socket.getaddrinfo

    def here(host: Any, *more: Any, **named: Any) -> Any:
        return real("127.0.0.1" if host == "pop.srv.test" else host, *more, **named)

    monkeypatch.setattr(socket, "getaddrinfo", here)
    home.provide(dovecot)
    home.table.write_text(home.table.read_text().replace(f'"{dovecot.host}"', '"pop.srv.test"'))
    providers.table.cache_clear()
    code, out, err = setup(home, run)
    assert (code, err) == (64, "popbridge: Nothing was saved.\n")
    assert "  pop.srv.test leads into a private network (127.0.0.1).\n" in out
    code, _, err = setup(home, run, "--yes", "--no-start")
    assert (code, err) == (0, "")
    assert config.load(home.config).accounts[0].endpoint.private_network


def test_found_by_autoconfig(home: Home, run: Any, monkeypatch: Any) -> None:
    with OtherNet(home.folder, ("*.auto.test", "auto.test", "v1.ispdb.net")) as net:
        monkeypatch.setenv("POPBRIDGE_NET", str(net.file))
        page = "https://autoconfig.auto.test/mail/config-v1.1.xml"
        net.pages[page] = document("pop.nowhere.test")
        code, out, _ = setup(home, run, address="me@auto.test")
        assert code == 69
        assert "found in autoconfig.auto.test\n" in out
        assert "(asked with the domain alone, never with the address)" in out
        assert "POP3   pop.nowhere.test:995   TLS   user me@auto.test   every 15 min" in out
        assert "https://hoster.test/help" in out


# --- what goes wrong --------------------------------------------------------------------


def test_a_wrong_password_is_explained_and_leaves_nothing(
    home: Home, run: Any, dovecot: Dovecot
) -> None:
    home.provide(
        dovecot,
        'switch_on = {en = "Settings", de = "E", url = "https://mine.test/on"}\n'
        'app_password = {en = "an app password", de = "A", when = "2fa", '
        'url = "https://mine.test/app"}',
    )
    home.password.write_text("wrong\n")
    code, out, err = setup(home, run)
    assert code == 77
    assert (
        "Three common reasons at Mine: 1) POP3 is still switched off (https://mine.test/on)  "
        "2) it needs an app password (https://mine.test/app)  3) a typo" in out
    )
    assert "Nothing was saved." in err
    assert home.files() == set()
    assert "wrong" not in out + err


def test_where_too_soon_looks_like_a_wrong_password(home: Home, run: Any, dovecot: Dovecot) -> None:
    home.provide(dovecot, "minutes = 15\nstrict = true")
    home.password.write_text("wrong\n")
    code, _, err = setup(home, run)
    assert code == 77
    assert "Mine allows one login in 15 min and answers a sooner one like a wrong password." in err
    assert "Try again after " in err


def test_a_provider_without_pop3(home: Home, run: Any) -> None:
    for lang, text in (
        ("en", "iCloud has IMAP only; you do not need popbridge."),
        ("de", "nur IMAP"),
    ):
        code, _, err = setup(home, run, "--lang", lang, address="me@icloud.com")
        assert code == 69
        assert text in err
        assert home.files() == set()


def test_nobody_knows(home: Home, run: Any) -> None:
    code, _, err = setup(home, run, "--offline", address="me@unknown.test")
    assert (code, err) == (69, "popbridge: not in the built-in list, and --offline asks nobody\n")
    code, _, err = setup(home, run, address="no address")
    assert code == 64
    code, out, _ = setup(home, run, "--json", "--offline", address="me@unknown.test")
    assert (code, parsed(out)["code"]) == (69, 69)
    assert home.files() == set()


def test_a_known_provider_that_cannot_be_reached(home: Home, run: Any, dovecot: Dovecot) -> None:
    home.provide(dovecot)
    home.table.write_text(
        home.table.read_text().replace(f"port = {dovecot.pop3s_port}", "port = 1")
    )
    providers.table.cache_clear()
    code, _, err = setup(home, run)
    assert code == 69
    assert "Nothing was saved." in err
    assert home.files() == set()
    code, out, _ = setup(home, run, "--yes", "--no-start")
    assert code == 0
    assert "Saved as waiting; it is tried again by itself." in out
    assert [each.address for each in config.load(home.config).accounts] == [ME]


def test_oauth_is_needed(home: Home, run: Any) -> None:
    code, _, err = setup(home, run, address="me@outlook.com")
    assert code == 64
    assert "Outlook.com no longer accepts passwords: it wants a sign-in (OAuth)." in err
    assert "popbridge setup me@outlook.com --oauth --client-id ID" in err
    assert home.files() == set()


def test_no_password_is_asked_for_where_nobody_can_answer(home: Home, run: Any) -> None:
    code, _, err = run("setup", ME)
    assert (code, err) == (64, "popbridge: say where the password is: --password-file FILE\n")
    home.password.chmod(0o644)
    code, _, err = setup(home, run)
    assert code == 64
    assert "can be read by others" in err


def test_a_config_that_is_broken_stays_as_it_is(home: Home, run: Any) -> None:
    home.config.parent.mkdir(parents=True)
    home.config.write_text("accounts: 5\n")
    code, _, err = setup(home, run)
    assert (code, home.config.read_text()) == (78, "accounts: 5\n")
    assert "config.yaml:1:1 accounts: " in err


# --- a person ---------------------------------------------------------------------------


async def test_a_person_mistypes_the_password_once(home: Home, dovecot: Dovecot) -> None:
    program = (sys.executable, "-m", "bridge", "setup", ME)
    env = os.environ | home.env | {"PYTHONPATH": str(ROOT)}
    async with Terminal(*program, env=env) as terminal:
        await terminal.shows(f"Password for {ME} (not shown): ")
        terminal.press("wrong\n")
        await terminal.shows("refused: ")
        await terminal.shows("Try again? [Y/n] ")
        terminal.press("\n")
        await terminal.shows(f"Password for {ME} (not shown): ")
        terminal.press(f"{dovecot.password}\n")
        await terminal.shows("OK   7 messages")
        await terminal.shows("7 messages are here.")
        await terminal.shows("Serving until Ctrl-C.")
        terminal.press("\x03")
        assert await terminal.ended() == 0
        assert "wrong" not in terminal.text()
    assert config.load(home.config).accounts[0].password().reveal() == dovecot.password


async def test_a_person_gives_up(home: Home) -> None:
    program = (sys.executable, "-m", "bridge", "setup", ME)
    env = os.environ | home.env | {"PYTHONPATH": str(ROOT)}
    async with Terminal(*program, env=env) as terminal:
        await terminal.shows("(not shown): ")
        terminal.press("\x03")
        assert await terminal.ended() != 0
    assert home.files() == set()


# --- systemd ----------------------------------------------------------------------------


@pytest.fixture
def systemd(home: Home, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A systemctl and a loginctl that write down what they are asked."""
    folder = home.folder / "bin"
    folder.mkdir()
    for name in ("systemctl", "loginctl"):
        script = folder / name
        script.write_text(f'#!/bin/sh\necho {name} "$@" >> {folder}/asked\n')
        script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return folder / "asked"


def test_a_service_of_the_user(home: Home, run: Any, systemd: Path) -> None:
    code, out, _ = setup(home, run, "--yes")
    assert code == 0
    assert 'systemd user service "popbridge" running, lingering on' in out
    assert systemd.read_text().splitlines() == [
        "systemctl --user show-environment",
        "systemctl --user daemon-reload",
        "systemctl --user enable --now popbridge.service",
        "loginctl enable-linger",
    ]
    unit = home.folder / ".config" / "systemd" / "user" / "popbridge.service"
    text = unit.read_text()
    assert f"ExecStart={service.command(home.config)}\n" in text
    documented = (ROOT / "docs" / "systemd" / "popbridge-user.service").read_text()

    def settings_of(unit: str) -> list[str]:
        lines = unit[unit.index("[Unit]") :].splitlines()
        return [line for line in lines if line and not line.startswith("ExecStart=")]

    assert settings_of(text) == settings_of(documented)


def test_somebody_elses_unit_stays(home: Home, run: Any, systemd: Path) -> None:
    unit = home.folder / ".config" / "systemd" / "user" / "popbridge.service"
    unit.parent.mkdir(parents=True)
    unit.write_text("[Service]\n")
    code, _, err = setup(home, run, "--yes")
    assert code == 69
    assert "is there already and says something else; it stays" in err
    assert unit.read_text() == "[Service]\n"


# --- OAuth ------------------------------------------------------------------------------


def test_the_sign_in_by_a_code(
    home: Home, run: Any, dovecot: Dovecot, monkeypatch: pytest.MonkeyPatch
) -> None:
    import threading
    from dataclasses import replace

    from bridge.auth import oauth

    home.provide(dovecot, 'oauth = "microsoft"')
    with IdentityProvider() as identity:
        doors = replace(
            oauth.MICROSOFT, token=f"{identity.url}/token", device=f"{identity.url}/device"
        )
        monkeypatch.setattr(oauth, "MICROSOFT", doors)

        def person() -> None:
            identity.given.wait(30)
            identity.approve(identity.user_codes[0])

        thread = threading.Thread(target=person)
        thread.start()
        code, out, err = setup(home, run, "--client-id", identity.client_id, "--no-start")
        thread.join(30)
    # This Dovecot knows no tokens: the sign-in worked, the login did not, and nothing is left.
    assert "On any device open " in out
    assert "signed in" in out
    assert code in (69, 77)
    assert err
    assert not home.config.exists()
