"""The commands as a person runs them: what they print, where, and what they end with."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from bridge import __version__, daemon
from bridge.auth.secrets import SecretError
from bridge.cli import common, status
from bridge.cli.main import main
from bridge.model import AccountState, PollReport, Progress, ServerDelete
from bridge.store.api import SchemaTooNew, StoreBusy, StoreError
from bridge.tls import CertificateError
from bridge.web.page import Event
from bridge.web.server import WebServer
from bridge.web.status import AccountStatus, DeviceFacts, Status, Storage
from tests.support.control import FakeDevices

CONFIG = """\
data_dir: data
accounts: []
logins: [{name: me, password: x}]
"""


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = Path("config.yaml")
    path.write_text(CONFIG)
    path.chmod(0o600)
    Path("data").mkdir(mode=0o700)
    return path


class FakeDaemon(FakeDevices):
    """Answers on data/control.sock, from a thread of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.reports: Sequence[PollReport] = ()
        self.accounts: Sequence[AccountStatus] = ()
        self.database_ok = True
        self.polled: list[str | None] = []
        self.gone: Sequence[ServerDelete] = ()
        self.more: tuple[Sequence[DeviceFacts], Storage | None] = ((), None)

    async def poll(self, address: str | None) -> Sequence[PollReport]:
        self.polled.append(address)
        if address == "nobody":
            raise LookupError("there is no account nobody; the config names the accounts")
        return self.reports

    async def planned_deletes(self, address: str | None) -> Sequence[ServerDelete]:
        if address == "nobody":
            raise LookupError("there is no account nobody; the config names the accounts")
        return [replace(each, outcome="planned") for each in self.gone]

    async def deletes(self, address: str | None) -> Sequence[ServerDelete]:
        return [each for each in self.gone if address in (None, each.address)]

    async def status(self) -> Status:
        urls = ("imap://127.0.0.1:1143",)
        return Status("1.0", 7, urls, self.database_ok, 1, self.accounts, *self.more)


@pytest.fixture
def fake(config: Path) -> Iterator[FakeDaemon]:
    found = FakeDaemon()
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    server = WebServer(found, public=None, control=Path("data/control.sock"))
    asyncio.run_coroutine_threadsafe(server.start(), loop).result(10)
    yield found
    asyncio.run_coroutine_threadsafe(server.stop(), loop).result(10)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)
    loop.close()


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = main(arguments)
    said = capsys.readouterr()
    return code, said.out, said.err


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "--version") == (0, f"popbridge {__version__}\n", "")


def test_help_names_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "--help")
    assert code == 0
    for command in ("run", "check", "poll", "status", "demo", "healthcheck"):
        assert f"\n  {command} " in out


@pytest.mark.parametrize(
    "arguments", [["chekc"], ["check", "--nope"], ["demo", "--port", "x"], ["check", "--config"]]
)
def test_wrong_usage(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    code, out, err = run(capsys, *arguments)
    assert (code, out) == (64, "")
    assert "Error: " in err


def test_as_a_module() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bridge", "--version"], capture_output=True, check=True, text=True
    )
    assert done.stdout == f"popbridge {__version__}\n"


# --- check ------------------------------------------------------------------------------


def test_check_of_a_good_config(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "check", "--config", "config.yaml") == (
        0,
        f"config.yaml: ok, 0 accounts, 1 login, data in {config.parent.absolute() / 'data'}\n",
        "",
    )


def test_check_says_every_mistake(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config.write_text("databse: sqlite\naccounts: {}\n")
    code, out, err = run(capsys, "check", "--config", "config.yaml")
    assert (code, err) == (78, "")
    assert out == (
        "config.yaml:1:1 databse: is not known; write database\n"
        "config.yaml:2:1 accounts: is a mapping of keys, a list of accounts is wanted; "
        "write accounts: [{address: me@example.org, pop3: {...}}]\n"
    )


def test_check_finds_the_config_by_environment(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POPBRIDGE_CONFIG", str(config.absolute()))
    code, out, _ = run(capsys, "check")
    assert code == 0
    assert out.startswith(f"{config.absolute()}: ok")


def test_check_of_no_file(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "check", "-c", "nowhere.yaml")
    assert code == 78
    assert out.startswith("nowhere.yaml:1:1: cannot be read: No such file or directory; ")


# --- run --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (StoreBusy("another daemon has it open"), 75, "another daemon has it open"),
        (SchemaTooNew("made by a newer version"), 78, "made by a newer version"),
        (StoreError("disk"), 69, "disk"),
        (SecretError("secret is empty"), 78, "secret is empty"),
        (CertificateError("cert.pem has no certificate"), 78, "cert.pem has no certificate"),
        (PermissionError(13, "Permission denied", "data"), 77, "data: Permission denied"),
        (
            OSError(98, "Address already in use (web.listen 127.0.0.1:8025)"),
            69,
            "Address already in use (web.listen 127.0.0.1:8025); end what listens there, or "
            "choose another port",
        ),
    ],
)
def test_why_it_does_not_run(
    config: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    code: int,
    said: str,
) -> None:
    def fails(path: Path, log_format: str) -> int:
        assert (path, log_format) == (Path("config.yaml"), "json")
        raise error

    monkeypatch.setattr(daemon, "run", fails)
    arguments = ("run", "--config", "config.yaml", "--log-format", "json")
    assert run(capsys, *arguments) == (code, "", f"popbridge: {said}\n")


def test_a_mistake_of_ours_is_said_so(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(path: Path, log_format: str) -> int:
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr(daemon, "run", fails)
    code, _, err = run(capsys, "run")
    assert code == 69
    assert "this is a mistake of ours (ZeroDivisionError at test_commands.py:" in err


def test_run_with_a_broken_config(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config.write_text("databse: sqlite\naccounts: []\n")
    assert run(capsys, "run", "--config", "config.yaml") == (
        78,
        "",
        "config.yaml:1:1 databse: is not known; write database\n",
    )


# --- poll -------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["poll", "status", "healthcheck"])
def test_no_daemon(config: Path, capsys: pytest.CaptureFixture[str], command: str) -> None:
    folder = config.parent.absolute() / "data"
    assert run(capsys, command, "--config", "config.yaml") == (
        69,
        "",
        f"popbridge: no daemon is running on {folder}; start it: "
        "popbridge run --config config.yaml\n",
    )


def test_poll(fake: FakeDaemon, capsys: pytest.CaptureFixture[str]) -> None:
    fake.reports = [
        PollReport("me@gmx.de", 2143, 3, 1, 0, 0, 48213, 1.234),
        PollReport("you@web.de"),
    ]
    assert run(capsys, "poll", "--config", "config.yaml") == (
        0,
        "ACCOUNT     LISTED  NEW  RELINKED  DELETED  FAILED  BYTES  SECONDS\n"
        "me@gmx.de     2143    3         1        0       0  48213      1.2\n"
        "you@web.de       0    0         0        0       0      0      0.0\n",
        "",
    )
    assert fake.polled == [None]


def test_poll_of_one_account_as_json(fake: FakeDaemon, capsys: pytest.CaptureFixture[str]) -> None:
    fake.reports = [PollReport("me+x@gmx.de", 1, 1, octets=5)]
    code, out, err = run(capsys, "poll", "me+x@gmx.de", "--json", "--config", "config.yaml")
    assert (code, err) == (0, "")
    assert json.loads(out) == [
        {
            "address": "me+x@gmx.de",
            "listed": 1,
            "new": 1,
            "relinked": 0,
            "deleted": 0,
            "failed": 0,
            "left": 0,
            "bytes": 5,
            "seconds": 0.0,
            "error": "",
            "error_class": "",
            "advice": "",
        }
    ]
    assert fake.polled == ["me+x@gmx.de"]


@pytest.mark.parametrize(
    ("error_class", "code"),
    [("auth", 77), ("busy", 75), ("store", 75), ("connect", 69), ("tls", 69), ("protocol", 69)],
)
def test_poll_that_fails(
    fake: FakeDaemon, capsys: pytest.CaptureFixture[str], error_class: str, code: int
) -> None:
    fake.reports = [
        PollReport("a"),
        PollReport("b", error="refused: \x1b[2J\n", error_class=error_class, advice="look there"),
    ]
    found, _, err = run(capsys, "poll", "--config", "config.yaml")
    assert (found, err) == (code, "b: refused: \\x1b[2J\\n; look there\n")


def test_poll_of_nobody(fake: FakeDaemon, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "poll", "nobody", "--config", "config.yaml") == (
        64,
        "",
        "popbridge: there is no account nobody; the config names the accounts\n",
    )


# --- deletes ----------------------------------------------------------------------------

GONE = ServerDelete(
    "me@gmx.de", 1_795_788_602, b"u\x1b1", 4711, b"\1" * 32, "here for 30 days or more", "done"
)


def test_log_deletes(fake: FakeDaemon, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "log", "deletes", "--config", "config.yaml") == (
        0,
        "nothing was deleted at a provider\n",
        "",
    )
    fake.gone = [GONE]
    assert run(capsys, "log", "deletes", "--config", "config.yaml") == (
        0,
        "AT                    ACCOUNT    UIDL    BYTES  OUTCOME  REASON\n"
        "2026-11-27T14:10:02Z  me@gmx.de  u\\x1b1   4711  done     here for 30 days or more\n",
        "",
    )
    code, out, _ = run(capsys, "log", "deletes", "you@web.de", "--json", "--config", "config.yaml")
    assert (code, json.loads(out)) == (0, [])


def test_a_dry_run_polls_nobody(fake: FakeDaemon, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "poll", "--dry-run", "--config", "config.yaml") == (
        0,
        "nothing would be deleted at a provider\n",
        "",
    )
    fake.gone = [GONE]
    code, out, _ = run(capsys, "poll", "--dry-run", "--json", "--config", "config.yaml")
    assert code == 0
    assert json.loads(out) == [
        {
            "address": "me@gmx.de",
            "at": "2026-11-27T14:10:02Z",
            "uidl": "u\\x1b1",
            "size": 4711,
            "sha256": "01" * 32,
            "reason": "here for 30 days or more",
            "outcome": "planned",
        }
    ]
    assert fake.polled == []
    assert run(capsys, "poll", "nobody", "--dry-run", "--config", "config.yaml")[0] == 64


# --- status -----------------------------------------------------------------------------


def test_status(fake: FakeDaemon, capsys: pytest.CaptureFixture[str]) -> None:
    fake.accounts = [AccountStatus(AccountState("me@gmx.de", listed=20, stored=19), "up to date")]
    fake.more = (
        [DeviceFacts("me@gmx.de", "iPhone", int(time.time()))],
        Storage(1_900_000_000, 41_000_000_000),
    )
    assert run(capsys, "status", "--config", "config.yaml") == (
        0,
        "All mail is up to date\n"
        "ACCOUNT    STATE       LAST SUCCESS  NEXT POLL  LISTED  STORED\n"
        "me@gmx.de  up to date  -             -              20      19\n"
        "Devices: iPhone (last seen just now)\n"
        "Storage: 1.9 GB used, 41.0 GB free on this disk\n"
        "popbridge 1.0, imap://127.0.0.1:1143, 1 connection\n",
        "",
    )


def test_status_tells_how_far_a_poll_is(
    fake: FakeDaemon, capsys: pytest.CaptureFixture[str]
) -> None:
    state = AccountState("me@gmx.de", notice="The provider gave new ids to 40 messages.")
    going = Progress("fetching", 812, 2143, 498_000_000, 1_300_000_000, 160.0)
    fake.accounts = [
        AccountStatus(state, "polling", progress=going),
        AccountStatus(AccountState("you@web.de"), "polling", progress=Progress("connecting")),
        AccountStatus(AccountState("us@web.de"), "waiting", waits="waits for a session"),
    ]
    code, out, err = run(capsys, "status", "--config", "config.yaml")
    assert (code, err) == (0, "me@gmx.de: The provider gave new ids to 40 messages.\n")
    assert out.splitlines()[5:8] == [
        "me@gmx.de: fetching 812 of 2,143 messages, 498.0 of 1,300.0 MB, 3.1 MB/s, "
        "about 4 min left",
        "you@web.de: connecting",
        "us@web.de: waits for a session",
    ]


def test_status_that_needs_attention(fake: FakeDaemon, capsys: pytest.CaptureFixture[str]) -> None:
    state = AccountState("me@gmx.de", error="login refused", advice="check the password")
    fake.accounts = [AccountStatus(state, "needs attention")]
    code, out, err = run(capsys, "status", "--config", "config.yaml")
    assert (code, err) == (1, "me@gmx.de: login refused; check the password\n")
    assert "needs attention" in out
    code, out, err = run(capsys, "status", "--json", "--config", "config.yaml")
    assert (code, err) == (1, "")
    assert json.loads(out)["accounts"][0]["advice"] == "check the password"


def test_log(fake: FakeDaemon, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "log", "--config", "config.yaml") == (0, "nothing happened yet\n", "")
    fake.happened = [
        Event(1_795_788_602, "warning", "me@gmx.de", "poll failed error=-ERR \x1b[2J"),
        Event(1_795_788_600, "info", "", "listening"),
    ]
    assert run(capsys, "log", "--config", "config.yaml") == (
        0,
        "2026-11-27T14:10:00Z info listening\n"
        "2026-11-27T14:10:02Z warning me@gmx.de poll failed error=-ERR \\x1b[2J\n",
        "",
    )
    code, out, _ = run(capsys, "log", "--json", "--config", "config.yaml")
    assert code == 0
    assert json.loads(out)[0] == {
        "at": "2026-11-27T14:10:02Z",
        "level": "warning",
        "account": "me@gmx.de",
        "text": "poll failed error=-ERR \x1b[2J",
    }


def test_healthcheck(fake: FakeDaemon, capsys: pytest.CaptureFixture[str]) -> None:
    fake.accounts = [AccountStatus(AccountState("me@gmx.de"), "needs attention")]
    assert run(capsys, "healthcheck", "--config", "config.yaml") == (0, "ready\n", "")
    fake.database_ok = False
    code, _, err = run(capsys, "healthcheck", "--config", "config.yaml")
    assert (code, err) == (
        69,
        "popbridge: the daemon runs, but it is not ready; look at its log\n",
    )


@pytest.mark.parametrize(
    ("moment", "said"),
    [
        (None, "-"),
        (1_000_000, "now"),
        (999_995, "5 s ago"),
        (1_000_300, "in 5 min"),
        (1_000_000 - 7_200, "2 h ago"),
        (1_000_000 - 7_199, "119 min ago"),
        (1_000_000 - 200_000, "2 d ago"),
    ],
)
def test_span(moment: int | None, said: str) -> None:
    assert status.span(moment, 1_000_000) == said


def test_a_table_on_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    common.print_table(("account", "stored"), [("[red]me\x1b[2J", 19)])
    out = capsys.readouterr().out
    assert "[red]me\\x1b[2J" in out
    assert "\x1b[2J" not in out


# --- progress while a poll is waited for ----------------------------------------------------


def test_on_a_terminal_a_line_says_how_far_the_poll_is(
    fake: FakeDaemon, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from bridge.cli import watching

    asked = threading.Event()
    told = fake.status

    async def status() -> Status:
        found = await told()
        asyncio.get_running_loop().call_later(0.05, asked.set)
        return found

    async def poll(address: str | None) -> Sequence[PollReport]:
        await asyncio.to_thread(asked.wait, 10)
        return [PollReport("me@gmx.de", 5, 5)]

    progress = Progress("fetching", 812, 2143, 498_000_000, 1_300_000_000, 160.0)
    fake.accounts = [
        AccountStatus(AccountState("you@web.de"), "waiting"),
        AccountStatus(AccountState("me@gmx.de"), "polling", progress=progress),
        AccountStatus(AccountState("us@gmx.de"), "polling", progress=Progress("connecting")),
    ]
    monkeypatch.setattr(fake, "status", status)
    monkeypatch.setattr(fake, "poll", poll)
    monkeypatch.setattr(watching, "EVERY_SECONDS", 0.01)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "200")
    code, out, err = run(capsys, "poll", "--config", "config.yaml")
    assert code == 0
    assert "me@gmx.de" in out
    line = (
        "me@gmx.de: fetching 812 of 2,143 messages, 498.0 of 1,300.0 MB, 3.1 MB/s, "
        "about 4 min left, 1 more is polled, 1 waits"
    )
    assert f"\r\x1b[K{line}" in err
    assert err.endswith("\r\x1b[K")


def test_elsewhere_nothing_but_the_result_is_said(
    fake: FakeDaemon, capsys: pytest.CaptureFixture[str]
) -> None:
    fake.reports = [PollReport("me@gmx.de")]
    assert run(capsys, "poll", "--config", "config.yaml")[2] == ""
