"""The commands for moving in and out as a person runs them: with a daemon, and without one."""

from __future__ import annotations

import asyncio
import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from bridge import config as config_module
from bridge.cli.main import main
from bridge.daemon import Daemon
from tests.support.house import ADDRESS, write_config
from tests.support.imap_target import ImapTarget
from tests.support.pop3_server import Item, Pop3Server
from tests.support.samples import samples

RAWS = list(samples(20))


class Rooms:
    """What runs beside the command, in a loop of its own thread."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    @contextmanager
    def running(self, room: Any) -> Iterator[Any]:
        asyncio.run_coroutine_threadsafe(room.__aenter__(), self._loop).result(30)
        try:
            yield room
        finally:
            leaving = room.__aexit__(None, None, None)
            asyncio.run_coroutine_threadsafe(leaving, self._loop).result(30)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


@pytest.fixture
def rooms() -> Iterator[Rooms]:
    made = Rooms()
    yield made
    made.close()


@pytest.fixture
def config(tmp_path: Path) -> Path:
    pop3 = {"host": "127.0.0.1", "port": 1, "security": "none", "username": "u", "password": "p"}
    account: dict[str, object] = {"address": ADDRESS, "pop3": pop3, "interval": "24h"}
    return write_config(tmp_path, [account])


class Shell:
    """Runs a command line and reads its JSON."""

    def __init__(self, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self._config = config
        self._capsys = capsys

    def __call__(self, *words: object, code: int = 0) -> dict[str, Any]:
        arguments = [*map(str, words), "--config", str(self._config), "--json"]
        ended = main(arguments)
        said = self._capsys.readouterr()
        assert ended == code, said.err
        lines = [line for line in said.out.splitlines() if line.startswith("{")]  # logs aside
        found: dict[str, Any] = json.loads(lines[-1]) if lines else {"error": said.err}
        return found

    def figures(self, *words: object, code: int = 0) -> tuple[int, int, int, int]:
        said = self(*words, code=code)
        assert said["seconds"] >= 0
        return said["seen"], said["done"], said["already"], said["failed"]


@pytest.fixture
def shell(config: Path, capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(config, capsys)


@pytest.fixture
def emls(tmp_path: Path) -> Path:
    folder = tmp_path / "emls"
    folder.mkdir()
    for number, raw in enumerate(RAWS):
        (folder / f"{number:03}.eml").write_bytes(raw)
    return folder


def secret(folder: Path, name: str) -> Path:
    path = folder / name
    path.touch(mode=0o600)
    path.write_text("secret\n")
    return path


@pytest.mark.parametrize("with_daemon", [False, True], ids=["alone", "beside a daemon"])
def test_in_and_out_again(
    tmp_path: Path, config: Path, shell: Shell, emls: Path, rooms: Rooms, with_daemon: bool
) -> None:
    with contextmanager_of(rooms, config, with_daemon):
        start = ("import", "eml", emls, "--login", ADDRESS)
        assert shell.figures(*start, "--dry-run") == (20, 20, 0, 0)
        assert shell.figures(*start) == (20, 20, 0, 0)
        assert shell.figures(*start) == (20, 0, 20, 0)
        assert shell.figures(*start, "--mailbox", "Old/mail") == (20, 20, 0, 0)
        for kind in ("mbox", "maildir", "eml"):
            target = tmp_path / f"out-{kind}"
            assert shell.figures("export", kind, target, "--login", ADDRESS) == (40, 40, 0, 0)
            assert shell.figures("import", kind, target, "--login", ADDRESS) == (40, 0, 40, 0)
        one = ("export", "eml", tmp_path / "one", "--login", ADDRESS, "--mailbox", "Old")
        assert shell.figures(*one) == (20, 20, 0, 0)
        assert not (tmp_path / "one" / "INBOX").exists()
        with rooms.running(ImapTarget()) as server:
            word = secret(tmp_path, "word")
            url = f"imap://me@127.0.0.1:{server.port}"
            to = ("migrate", "--login", ADDRESS, "--to", url, "--to-password-file", word)
            assert shell.figures(*to, "--dry-run") == (40, 40, 0, 0)
            assert shell.figures(*to) == (40, 40, 0, 0)
            assert shell.figures(*to) == (40, 0, 40, 0)
            assert sorted(server.held()) == sorted(server.held("Old/mail")) == sorted(RAWS)
            back = ("import", "imap", url, "--login", ADDRESS, "--password-file", word)
            assert shell.figures(*back) == (40, 0, 40, 0)
            assert shell.figures(*back, "--mailbox", "again") == (40, 40, 0, 0)
            assert shell.figures(*back, "--mailbox", "again") == (40, 0, 40, 0)
        saved = shell("backup", tmp_path / "saved")
        assert os.stat(tmp_path / "saved").st_mode & 0o777 == 0o600
        assert saved["octets"] == (tmp_path / "saved").stat().st_size
        assert "is there already" in shell("backup", tmp_path / "saved", code=64)["error"]
        if with_daemon:
            assert "Stop it first" in shell("restore", tmp_path / "saved", code=75)["error"]
    assert "--replace" in shell("restore", tmp_path / "saved", code=69)["error"]
    assert shell("restore", tmp_path / "saved", "--replace")["messages"] == 20
    assert shell.figures("import", "eml", emls, "--login", ADDRESS) == (20, 0, 20, 0)


@contextmanager
def contextmanager_of(rooms: Rooms, config: Path, with_daemon: bool) -> Iterator[None]:
    if not with_daemon:
        yield
        return
    with rooms.running(Daemon(config_module.load(config))):
        yield


def test_from_pop3_without_a_daemon(
    tmp_path: Path, rooms: Rooms, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "none"))
    word = secret(tmp_path, "word")
    provider = Pop3Server([Item(b"u%d" % n, raw) for n, raw in enumerate(RAWS)])
    with rooms.running(provider), rooms.running(ImapTarget()) as server:
        line = [
            "migrate", "me@example.org", "--to", f"imap://me@127.0.0.1:{server.port}",
            "--to-password-file", str(word), "--host", provider.host, "--port",
            str(provider.port), "--security", "none", "--username", provider.username,
            "--password-file", str(word), "--json",
        ]  # fmt: skip
        word.write_text(provider.password + "\n")
        for expected in ((20, 20, 0, 0), (20, 0, 20, 0)):
            assert main(line) == 0
            said = json.loads(capsys.readouterr().out)
            figures = (said["seen"], said["done"], said["already"], said["failed"])
            assert figures == expected
        assert sorted(server.held()) == sorted(RAWS)
        assert provider.ledger.deleted == []
        word.write_text("wrong\n")
        assert main(line) == 77
        assert "me@example.org" in capsys.readouterr().err


@pytest.mark.parametrize("with_daemon", [False, True], ids=["alone", "beside a daemon"])
def test_an_account_of_the_config_is_collected_first(
    tmp_path: Path, rooms: Rooms, capsys: pytest.CaptureFixture[str], with_daemon: bool
) -> None:
    provider = Pop3Server([Item(b"u%d" % n, raw) for n, raw in enumerate(RAWS)])
    word = secret(tmp_path, "word")
    with rooms.running(provider), rooms.running(ImapTarget()) as server:
        pop3 = {"host": provider.host, "port": provider.port, "security": "none"}
        pop3 |= {"username": provider.username, "password": provider.password}
        config = write_config(tmp_path, [{"address": ADDRESS, "pop3": pop3, "interval": "24h"}])
        shell = Shell(config, capsys)
        with contextmanager_of(rooms, config, with_daemon):
            url = f"imap://me@127.0.0.1:{server.port}"
            to = ("migrate", ADDRESS, "--to", url, "--to-password-file", word)
            assert shell.figures(*to) == (20, 20, 0, 0)
            provider.items.append(Item(b"new", RAWS[0] + b"new\r\n"))
            provider.items.append(Item(b"newer", RAWS[1] + b"newer\r\n"))
            assert shell.figures(*to) == (22, 2, 20, 0)
        assert len(server.held()) == 22
        assert provider.ledger.deleted == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("import", "mbox", "/nowhere", "--login", ADDRESS), "is not there"),
        (("import", "eml", "/etc", "--login", "nobody"), "no login nobody"),
        (("import", "imap", "http://x", "--login", ADDRESS), "imaps://USER@HOST"),
        (("import", "imap", "imaps://a:b@x", "--login", ADDRESS), "put it into a file"),
        (("migrate", "--to", "imaps://a@x"), "an ADDRESS or --login"),
        (("migrate", "--login", ADDRESS), "--to imaps://USER@HOST"),
        (
            ("migrate", "a@b.test", "--to", "imaps://a@x", "--host", "h", "--security", "none"),
            "in clear",
        ),
    ],
)
def test_wrong_words_are_answered_with_right_ones(
    shell: Shell, words: tuple[str, ...], said: str
) -> None:
    assert said in shell(*words, code=64)["error"]


def test_a_restore_of_something_else(tmp_path: Path, shell: Shell) -> None:
    (tmp_path / "junk").write_bytes(b"no database" * 1000)
    assert "no backup of popbridge" in shell("restore", tmp_path / "junk", code=69)["error"]
    (tmp_path / "empty").touch()
    assert "no backup of popbridge" in shell("restore", tmp_path / "empty", code=69)["error"]
    assert "cannot be restored" in shell("restore", tmp_path / "missing", code=69)["error"]
