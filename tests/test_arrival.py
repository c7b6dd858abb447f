"""A new account: tried by its first poll, saved beside what is there, or gone without a trace."""

from __future__ import annotations

import asyncio
import json
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from bridge import arrival, config, trials
from bridge.arrival import Arrival
from bridge.config import ConfigError
from bridge.config.edit import CannotEdit, Item
from bridge.daemon import Daemon
from bridge.discovery.address import parse
from bridge.discovery.find import Settings, of_provider
from bridge.discovery.providers import of_domain
from bridge.model import MaildropFacts, PollReport, Secret, Security
from bridge.profiles.settings import MailServer
from tests.support.pop3_server import Pop3Server

ME = parse("me@example.org")
HERE = MailServer("127.0.0.1", 1, Security.NONE, "me")
MESSAGES = [(b"u%d" % number, b"Subject: %d\r\n\r\nhi\r\n" % number) for number in range(3)]


def settings(port: int) -> Settings:
    return Settings(MailServer("127.0.0.1", port, Security.NONE, "me"), "here")


def new(path: Path, port: int = 1) -> Arrival:
    return arrival.arrival(path, ME, settings(port))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "etc" / "config.yaml"


def top(tmp_path: Path) -> Item:
    return {"data_dir": str(tmp_path / "data"), "web": {"listen": "127.0.0.1:0"}}


def files(folder: Path) -> dict[str, int]:
    """Everything below, with its mode."""
    return {
        str(each.relative_to(folder)): stat.S_IMODE(each.stat().st_mode)
        for each in sorted(folder.rglob("*"))
    }


# --- saving -----------------------------------------------------------------------------


def test_a_new_config(path: Path, tmp_path: Path) -> None:
    arrival.save(path, new(path, 1110), Secret("pässword"), top=top(tmp_path))
    assert files(path.parent) == {
        "config.yaml": 0o600,
        "secrets": 0o700,
        "secrets/me@example.org": 0o600,
    }
    found = config.load(path)
    (account,) = found.accounts
    assert account.password().reveal() == "pässword"
    assert (account.pop3.port, account.interval) == (1110, 900)
    assert [each.name for each in found.logins] == ["me@example.org"]
    with pytest.raises(FileExistsError):
        arrival.save(path, new(path), Secret("y"), top=top(tmp_path))
    assert len(files(path.parent)) == 3
    assert config.load(path) == found


def test_a_second_account_keeps_every_line_and_mode(path: Path, tmp_path: Path) -> None:
    path.parent.mkdir()
    text = "# mine\naccounts: []  # none\nlogins:\n  - {name: family}\n"
    path.write_text(text)
    path.chmod(0o640)
    (path.parent / "secrets").mkdir(mode=0o700)
    (path.parent / "secrets" / "me@example.org").write_text("somebody else's\n")
    found = arrival.arrival(path, ME, settings(1), login="family")
    arrival.save(path, found, Secret("x"))
    assert path.read_text().startswith("# mine\naccounts: [{")
    assert path.read_text().endswith("# none\nlogins:\n  - {name: family}\n")
    assert files(path.parent)["config.yaml"] == 0o640
    assert (path.parent / "secrets" / "me@example.org").read_text() == "somebody else's\n"
    (account,) = config.load(path).accounts
    assert account.pop3.password_file == path.parent / "secrets" / "me@example.org-2"
    assert account.login_name == "family"


def test_what_cannot_be_saved_leaves_nothing(path: Path, tmp_path: Path) -> None:
    bad: dict[str, str | int | bool | Sequence[str] | Item] = {
        **new(path).account,
        "interval": "soon",
    }
    with pytest.raises(ConfigError):
        arrival.save(path, Arrival(bad, "me@example.org"), None, top=top(tmp_path))
    assert not path.parent.exists()
    path.parent.mkdir()
    path.write_text("accounts: 5\n")
    with pytest.raises(CannotEdit, match="add this to accounts by hand:\n  - address: me@exam"):
        arrival.save(path, new(path), Secret("x"))
    assert files(path.parent) == {"config.yaml": stat.S_IMODE(path.stat().st_mode)}


def test_what_was_saved_can_be_taken_back_and_dropped(path: Path, tmp_path: Path) -> None:
    saved = arrival.save(path, new(path), Secret("x"), top=top(tmp_path))
    assert arrival.drop(path, "me@example.org") == path.parent / "secrets" / "me@example.org"
    assert config.load(path).accounts == ()
    with pytest.raises(LookupError, match="the config has none"):
        arrival.drop(path, "me@example.org")
    saved.take_back()
    assert not path.parent.exists()


def test_a_link_to_the_config_stays_one(path: Path, tmp_path: Path) -> None:
    path.parent.mkdir()
    real = tmp_path / "real.yaml"
    real.write_text("accounts: []\n")
    real.chmod(0o600)
    path.symlink_to(real)
    arrival.save(path, new(path), Secret("x"))
    assert path.is_symlink()
    assert "me@example.org" in real.read_text()


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("me@gmx.de", {"host": "pop.gmx.net", "username": "me@gmx.de"}),
        ("me@web.de", {"host": "pop3.web.de", "username": "me"}),
        (
            "me@nifty.com",
            {
                "host": "pop.nifty.com",
                "security": "none",
                "username": "me",
                "allow_plaintext": True,
            },
        ),
    ],
)
def test_what_is_written_of_a_known_provider(
    path: Path, address: str, expected: Mapping[str, object]
) -> None:
    found = of_domain(address.partition("@")[2])
    assert found is not None
    known = of_provider(found, parse(address), "")
    assert known is not None
    account = arrival.arrival(path, parse(address), known).account
    pop3 = account["pop3"]
    assert isinstance(pop3, Mapping)
    assert {key: pop3[key] for key in pop3 if key != "password_file"} == expected
    assert "smtp" not in account  # the table knows it
    assert account["interval"] == {"me@web.de": "15m"}.get(address, "10m")


def test_oauth_and_an_unknown_sender(path: Path) -> None:
    smtp = MailServer("smtp.x.test", 587, Security.STARTTLS, "me")
    found = Settings(
        MailServer("pop.x.test", 995, Security.TLS, "me"), "", smtp=smtp, interval=1800
    )
    made = arrival.arrival(path, ME, found, oauth={"provider": "google", "client_id": "x"})
    assert made.secret_file is None
    assert made.account == {
        "address": "me@example.org",
        "pop3": {
            "host": "pop.x.test",
            "username": "me",
            "oauth": {"provider": "google", "client_id": "x"},
        },
        "interval": "30m",
        "smtp": {"host": "smtp.x.test", "port": 587, "security": "starttls", "username": "me"},
    }


# --- trying -----------------------------------------------------------------------------


def house(folder: Path) -> Daemon:
    file = folder / "config.yaml"
    file.write_text(
        json.dumps(
            {
                "data_dir": "./data",
                "imap": {"listen": ["127.0.0.1:0"], "listen_tls": ["127.0.0.1:0"]},
                "web": {"listen": None},
                "accounts": [],
            }
        )
    )
    file.chmod(0o600)
    daemon = Daemon(config.load(file))
    daemon.config_path = file
    return daemon


async def test_tried_then_saved_by_one_login(tmp_path: Path) -> None:
    async with (
        Pop3Server(MESSAGES, username="me", password="right") as server,
        house(tmp_path) as daemon,
    ):
        assert daemon.config_path is not None
        found = arrival.arrival(daemon.config_path, ME, settings(server.port))
        refused = await daemon.try_account(found.account, Secret("wrong"))
        assert isinstance(refused, PollReport)
        assert refused.error_class == "auth"
        assert daemon.config.accounts == ()
        facts = await daemon.try_account(found.account, Secret("right"))
        assert facts == MaildropFacts(3, sum(len(octets) for _, octets in MESSAGES), True)
        arrival.save(daemon.config_path, found, Secret("right"))
        await daemon.reread()
        (report,) = await daemon.poll("me@example.org")
        assert report.error == ""
        assert report.listed == 3
        with pytest.raises(ValueError, match="there is an account me@example"):
            await daemon.try_account(found.account, Secret("right"))
        (status,) = (await daemon.status()).accounts
        assert (status.account.stored, status.account.failures) == (3, 0)


def expiries() -> list[asyncio.Task[object]]:
    return [task for task in asyncio.all_tasks() if "_expire" in repr(task)]


async def test_what_worked_and_is_not_saved_goes_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        Pop3Server(MESSAGES, username="me", password="right") as server,
        house(tmp_path) as daemon,
    ):
        assert daemon.config_path is not None
        found = arrival.arrival(daemon.config_path, ME, settings(server.port))
        await daemon.try_account(found.account, Secret("right"))
        await daemon.reread()
        assert daemon.config.accounts == ()
        assert (await daemon.status()).accounts == ()
        await asyncio.sleep(0)
        assert expiries() == []  # or it would end a later trial of this address
        monkeypatch.setattr(trials, "KEPT_SECONDS", 0.0)
        await daemon.try_account(found.account, Secret("right"))
        if ends := expiries():
            await asyncio.wait(ends, timeout=5)
        assert daemon.config.accounts == ()


async def test_a_try_that_makes_no_sense(tmp_path: Path) -> None:
    async with house(tmp_path) as daemon:
        with pytest.raises(ValueError, match="this is no account"):
            await daemon.try_account({"address": "me"}, Secret("x"))
