"""What systemd hears, from the real process and from the values."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.model import AccountState
from bridge.notify import Notifier, summary
from bridge.web.status import AccountStatus, Status
from tests.support.process import DaemonProcess, write_config


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.setblocking(False)
        yield listening


async def heard(manager: socket.socket, text: str) -> list[str]:
    """All lines up to a datagram with `text`."""
    lines: list[str] = []
    async with asyncio.timeout(30):
        while text not in lines:
            datagram = await asyncio.get_running_loop().sock_recv(manager, 4096)
            lines += datagram.decode().splitlines()
    return lines


async def test_a_daemon_from_start_to_end(
    manager: socket.socket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    monkeypatch.setenv("WATCHDOG_USEC", "200000")
    monkeypatch.delenv("WATCHDOG_PID", raising=False)
    async with DaemonProcess(write_config(tmp_path, [])) as daemon:
        assert await heard(manager, "READY=1") == ["READY=1", "STATUS=0 accounts ok"]
        assert "STATUS=0 accounts ok" in await heard(manager, "WATCHDOG=1")
        await heard(manager, "WATCHDOG=1")  # again and again
        daemon.signal(signal.SIGHUP)
        lines = await heard(manager, "RELOADING=1")
        lines += await heard(manager, "READY=1")
        assert any(each.startswith("MONOTONIC_USEC=") for each in lines)
        daemon.signal(signal.SIGTERM)
        await heard(manager, "STOPPING=1")
        assert await daemon.wait() == 0


def test_without_systemd_nothing_is_said() -> None:
    notifier = Notifier({})
    assert not notifier.is_heard
    assert notifier.watchdog_seconds is None
    notifier.tell("READY=1")
    Notifier({"NOTIFY_SOCKET": "/nowhere/at/all"}).tell("READY=1")


def test_the_abstract_namespace() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind("\0popbridge-test")
        Notifier({"NOTIFY_SOCKET": "@popbridge-test"}).tell("READY=1", "STATUS=x")
        assert listening.recv(100) == b"READY=1\nSTATUS=x"


def test_the_watchdog_of_another_process_is_not_ours() -> None:
    environ = {"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "1"}
    assert Notifier(environ).watchdog_seconds is None
    del environ["WATCHDOG_PID"]
    assert Notifier(environ).watchdog_seconds == 60.0


@pytest.mark.parametrize(
    ("states", "said"),
    [
        ([], "STATUS=0 accounts ok"),
        (["up to date"], "STATUS=1 account ok"),
        (["up to date", "waiting", "polling"], "STATUS=3 accounts ok"),
        (["up to date", "needs attention"], "STATUS=1 account ok, 1 needs attention"),
        (["needs attention"] * 2, "STATUS=0 accounts ok, 2 need attention"),
    ],
)
def test_the_summary(states: list[str], said: str) -> None:
    accounts = [AccountStatus(AccountState("me@gmx.de"), state) for state in states]
    status = Status("1.0", 1, (), True, 0, accounts)
    assert summary(status) == said
    assert "me@" not in summary(status)
    assert summary(Status("1.0", 1, (), False, 0, accounts)) == (
        "STATUS=the database does not answer"
    )
