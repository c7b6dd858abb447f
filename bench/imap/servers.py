"""The servers that are measured: popbridge as its users run it, and Dovecot in two ways.

Rules: each is a process of its own in a private folder, on loopback, gone with the `with`; each
holds the same messages, given by APPEND, with the same flags and dates.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.imap.client import Client
from tests.support.dovecot import Dovecot

PASSWORD = "secret"
LOGINS = 10  # of popbridge: so many devices stay under its caps
_TICKS = os.sysconf("SC_CLK_TCK")

_SDBOX = """\
mail_location = sdbox:{home}/sdbox
mail_max_userip_connections = 0
default_vsz_limit = 0
protocol imap {{
  imap_max_line_length = 1M
}}
service imap {{
  process_limit = 4096
}}
service imap-login {{
  process_limit = 1024
}}
"""
_FAST = """\
service imap-login {
  service_count = 0
  process_min_avail = 2
}
"""


@dataclass(frozen=True)
class Server:
    """One that answers. `users` are its logins; the first has all the mail."""

    name: str
    version: str
    port: int
    tls_port: int
    users: tuple[str, ...]
    pid: int  # of its first process

    def client(self, user: int = 0, source: str = "127.0.0.1") -> Client:
        """A connection that is signed in."""
        client = Client(self.port, source)
        client.login(self.users[user % len(self.users)], PASSWORD)
        return client

    def cpu(self) -> float:
        """Seconds that its processes have worked, those that ended included."""
        return sum(_cpu(pid) for pid in _family(self.pid))

    def memory(self) -> int:
        """Octets that it holds: what its processes share counts once."""
        return sum(_kib(pid, "smaps_rollup", "Pss") for pid in _family(self.pid)) * 1024

    def peak(self) -> int:
        """Octets at the worst moment of its first process."""
        return _kib(self.pid, "status", "VmHWM") * 1024


def _family(first: int) -> list[int]:
    found = [first]
    for pid in found:  # grows while we walk
        with contextlib.suppress(OSError):
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
            found += map(int, children)
    return found


def _cpu(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(map(int, fields[11:15])) / _TICKS


def _kib(pid: int, file: str, key: str) -> int:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/{file}").read_text().splitlines():
            if line.startswith(f"{key}:"):
                return int(line.split()[1])
    return 0


@contextlib.contextmanager
def popbridge(folder: Path) -> Iterator[Server]:
    """The daemon, configured as the README has it; its accounts never poll."""
    folder.mkdir()
    users = tuple(f"user{number}" for number in range(LOGINS))
    accounts = [
        {
            "address": f"{user}@example.net",
            "login": user,
            "interval": "30d",
            "pop3": {
                "host": "127.0.0.1",
                "port": 1,
                "security": "none",
                "username": user,
                "password": PASSWORD,
            },
        }
        for user in users
    ]
    config = folder / "config.yaml"
    config.touch(mode=0o600)
    config.write_text(
        json.dumps(
            {
                "data_dir": "./data",
                "imap": {"listen": ["127.0.0.1:0"], "listen_tls": ["127.0.0.1:0"]},
                "web": {"listen": None},
                "accounts": accounts,
                "logins": [{"name": user, "password": PASSWORD} for user in users],
            }
        )
    )
    with (
        (folder / "log").open("wb") as log,
        subprocess.Popen(
            [sys.executable, "-m", "bridge", "run", "--config", str(config)],
            stdout=log,
            stderr=subprocess.STDOUT,
        ) as process,
    ):
        try:
            ports = _ports(folder / "log", process)
            version = subprocess.run(
                [sys.executable, "-m", "bridge", "--version"],
                check=True,
                capture_output=True,
                text=True,
            ).stdout.split()[-1]
            yield Server("popbridge", version, *ports, users, process.pid)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(20)


def _ports(log: Path, process: subprocess.Popen[bytes]) -> tuple[int, int]:
    """The plain and the TLS port that the daemon says it listens on."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and process.poll() is None:
        found = re.search(r"imap://127\.0\.0\.1:(\d+) imaps://127\.0\.0\.1:(\d+)", log.read_text())
        if found:
            return int(found[1]), int(found[2])
        time.sleep(0.02)
    raise RuntimeError(f"popbridge does not run: {log.read_text()}")


@contextlib.contextmanager
def dovecot(folder: Path, *, fast_login: bool = False) -> Iterator[Server]:
    """Debian's Dovecot on sdbox; `fast_login` is its "high-performance" login service."""
    settings = _SDBOX + (_FAST.replace("{", "{{").replace("}", "}}") if fast_login else "")
    folder.mkdir()
    peer = Dovecot(folder)
    peer._settings = settings.format(home=peer.folder / "home")
    with peer:
        version = subprocess.run(
            ["dovecot", "--version"], check=True, capture_output=True, text=True
        ).stdout.split()[0]
        process = peer._process
        assert process is not None
        yield Server(
            "Dovecot, fast login" if fast_login else "Dovecot",
            version,
            peer.imap_port,
            peer.imaps_port,
            (peer.username,),
            process.pid,
        )
