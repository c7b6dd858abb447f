"""The real daemon as a child process, to be killed, signalled and talked to.

    config = write_config(tmp_path, [pop3_account("me@example.org", server.port)])
    async with DaemonProcess(config) as daemon:
        await daemon.listening()       # -> daemon.imap_port, a free one
        await daemon.poll()            # what `popbridge poll --json` prints
        await daemon.stop()            # SIGTERM -> exit code

Rules: a process group of its own, gone with the `with` however the test ends; ports are free
ones, learnt from its log; nothing sleeps, whoever waits is woken by a line of the log or by the
end of the process.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self, cast

from bridge.cli import control
from bridge.web.status import Json
from tests.support.nursery import Child

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = (sys.executable, "-m", "bridge", "run", "--config")
PASSWORD = "correct horse"
POLL_SECONDS = 120.0

Program = Sequence[str] | Callable[[Path], Awaitable[Child]]
"""A command line before the config file's name, or what starts a process with a config file."""


class Ended(Exception):
    """The process ended before it said what was waited for; the text is its log."""


def pop3_account(
    address: str,
    port: int,
    *,
    username: str = "user",
    password: str = "secret",
    interval: str = "1h",
    login: str | None = None,
) -> Mapping[str, Json]:
    """An account of the config: a plaintext POP3 server on loopback."""
    pop3: dict[str, Json] = {
        "host": "127.0.0.1",
        "port": port,
        "security": "none",
        "username": username,
        "password": password,
    }
    account: dict[str, Json] = {"address": address, "interval": interval, "pop3": pop3}
    return account if login is None else {**account, "login": login}


def write_config(folder: Path, accounts: Sequence[Mapping[str, Json]], **other: Json) -> Path:
    """`config.yaml` in `folder`, data in `folder/data`, every login with `PASSWORD`."""
    logins = {str(account.get("login", account["address"])) for account in accounts}
    settings = {
        "data_dir": "./data",
        "imap": {"listen": ["127.0.0.1:0"], "listen_tls": []},
        "web": {"listen": None},
        "accounts": list(accounts),
        "logins": [{"name": name, "password": PASSWORD} for name in sorted(logins)],
        **other,
    }
    path = folder / "config.yaml"
    path.touch(mode=0o600)
    path.write_text(json.dumps(settings))  # JSON is YAML
    return path


class DaemonProcess:
    """See the module."""

    def __init__(self, config: Path, program: Program = PROGRAM) -> None:
        self.config = config
        self.log: list[str] = []
        self.imap_port = 0
        self._program = program
        self._process: Child | None = None
        self._reader: asyncio.Task[None] | None = None
        self._news = asyncio.Event()
        self._ended = False

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()
        await self.wait()

    async def start(self) -> None:
        if callable(self._program):
            self._process = await self._program(self.config)
        else:
            self._process = await asyncio.create_subprocess_exec(
                *self._program,
                str(self.config),
                cwd=ROOT,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                start_new_session=True,
            )
        self._reader = asyncio.create_task(self._read(self._process))

    async def _read(self, process: Child) -> None:
        assert process.stdout is not None
        async for line in process.stdout:
            self.log.append(line.decode(errors="replace").rstrip("\n"))
            self._news.set()
        self._ended = True
        self._news.set()

    @property
    def running(self) -> bool:
        return not self._ended

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    # --- what it says -------------------------------------------------------------------

    async def said(self, text: str, *, after: int = 0) -> str:
        """The first line of the log with `text`, from line `after` on. Raises Ended."""
        seen = after
        while True:
            self._news.clear()
            while seen < len(self.log):
                if text in self.log[seen]:
                    return self.log[seen]
                seen += 1
            if self._ended:
                raise Ended("\n".join(self.log))
            await self._news.wait()

    async def listening(self) -> int:
        """Returns the port of IMAP when devices may connect. Raises Ended."""
        line = await self.said(" listening ")
        found = re.search(r"imap://127\.0\.0\.1:([0-9]+)", line)
        assert found is not None, line
        self.imap_port = int(found[1])
        return self.imap_port

    async def poll(self) -> list[dict[str, Json]]:
        """Polls all accounts, or joins the polls under way; their reports."""
        said = await asyncio.to_thread(
            control.ask, self.config, "POST", "/poll", seconds=POLL_SECONDS
        )
        return cast(list[dict[str, Json]], said)

    # --- what is done to it -------------------------------------------------------------

    def signal(self, number: signal.Signals) -> None:
        """A signal to the daemon itself; none when it is gone."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def kill(self) -> None:
        """SIGKILL to the whole group, now."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    async def wait(self) -> int:
        """The exit code, once the process is gone; minus the number of the signal that ended it."""
        assert self._process is not None
        assert self._reader is not None
        await self._reader
        return await self._process.wait()

    async def stop(self) -> int:
        """SIGTERM; the exit code."""
        self.signal(signal.SIGTERM)
        return await self.wait()
