"""The servers that are measured: popbridge as its users run it, Dovecot in three ways, and Cyrus.

Rules: each is a process of its own in a private folder, on loopback, gone with the `with`; each
holds the same messages, given by APPEND, with the same flags and dates.
"""

from __future__ import annotations

import contextlib
import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.imap.client import Client
from bench.processes import cpu_seconds, family, kib
from bridge import __version__
from bridge.cli import control
from tests.support.cyrus import Cyrus
from tests.support.dovecot import Dovecot

PASSWORD = "secret"
LOGINS = 10  # of popbridge: so many devices stay under its caps
START_SECONDS = 600.0  # a kept store of a million messages may have to be upgraded first

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
_HIBERNATE = """\
imap_hibernate_timeout = 1s
service imap {
  unix_listener imap-master {
    mode = 0666
  }
  extra_groups =
}
service imap-hibernate {
  client_limit = 20000
  unix_listener imap-hibernate {
    mode = 0666
  }
}
"""


@dataclass(frozen=True)
class Server:
    """One that answers. `users` are its logins; the first has all the mail."""

    name: str
    version: str
    port: int
    tls_port: int  # 0: none
    users: tuple[str, ...]
    pid: int  # of its first process
    config: Path | None = None  # popbridge's

    def client(self, user: int = 0, source: str = "127.0.0.1") -> Client:
        """A connection that is signed in."""
        client = Client(self.port, source)
        client.login(self.users[user % len(self.users)], PASSWORD)
        return client

    def poll(self) -> float:
        """Seconds in which popbridge polls all its accounts. Raises RuntimeError where one could
        not be polled."""
        start = time.perf_counter()
        said = control.ask(self.config, "POST", "/poll", seconds=600)
        taken = time.perf_counter() - start
        assert isinstance(said, list)
        for report in said:
            assert isinstance(report, dict)
            if report["error"]:
                raise RuntimeError(f"{report['address']}: {report['error']}")
        return taken

    def cpu(self) -> float:
        """Seconds that its processes have worked, those that ended included."""
        return sum(cpu_seconds(pid) for pid in family(self.pid))

    def memory(self) -> int:
        """Octets that it holds: what its processes share counts once."""
        return sum(kib(pid, "smaps_rollup", "Pss") for pid in family(self.pid)) * 1024

    def peak(self) -> int:
        """Octets at the worst moment of its first process."""
        return kib(self.pid, "status", "VmHWM") * 1024


@contextlib.contextmanager
def popbridge(
    folder: Path,
    data_dir: Path | None = None,
    *,
    provider: int = 1,
    accounts: int = LOGINS,
    program: Sequence[str] = (sys.executable, "-m", "bridge"),
) -> Iterator[Server]:
    """The daemon, configured as the README has it. `data_dir` is a store that is there already.
    Its accounts, one for each login, are at the POP3 port `provider`, and poll when told."""
    folder.mkdir(parents=True)
    users = tuple(f"user{number}" for number in range(accounts))
    polled = [
        {
            "address": f"{user}@example.net",
            "login": user,
            "interval": "30d",
            "pop3": {
                "host": "127.0.0.1",
                "port": provider,
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
                "data_dir": str(data_dir or folder / "data"),
                "imap": {"listen": ["127.0.0.1:0"], "listen_tls": ["127.0.0.1:0"]},
                "web": {"listen": None},
                "accounts": polled,
                "logins": [{"name": user, "password": PASSWORD} for user in users],
            }
        )
    )
    with (
        (folder / "log").open("wb") as log,
        subprocess.Popen(
            [*program, "run", "--config", str(config)],
            stdout=log,
            stderr=subprocess.STDOUT,
        ) as process,
    ):
        try:
            ports = _ports(folder / "log", process)
            yield Server("popbridge", __version__, *ports, users, process.pid, config)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)


def _ports(log: Path, process: subprocess.Popen[bytes]) -> tuple[int, int]:
    """The plain and the TLS port that the daemon says it listens on."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        found = re.search(r"imap://127\.0\.0\.1:(\d+) imaps://127\.0\.0\.1:(\d+)", log.read_text())
        if found:
            return int(found[1]), int(found[2])
        time.sleep(0.02)
    raise RuntimeError(f"popbridge does not run: {log.read_text()}")


@contextlib.contextmanager
def dovecot(folder: Path, *, fast_login: bool = False, hibernate: bool = False) -> Iterator[Server]:
    """Debian's Dovecot on sdbox; `fast_login` is its "high-performance" login service. With
    `hibernate` an idle connection leaves its process after a second, and waits in one for all."""
    settings = _SDBOX
    for wanted, more in ((fast_login, _FAST), (hibernate, _HIBERNATE)):
        settings += more.replace("{", "{{").replace("}", "}}") if wanted else ""
    folder.mkdir(parents=True)
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


@contextlib.contextmanager
def cyrus() -> Iterator[Server]:
    """Debian's Cyrus as it is, in clear only."""
    with Cyrus() as peer:
        with Client(peer.port) as client:
            said = client.ask("ID NIL")
            found = re.search(rb'"version" "([^" ]+)', said)
        process = peer._process
        assert process is not None
        version = found[1].decode() if found else "?"
        yield Server("Cyrus", version, peer.port, 0, (peer.username,), process.pid)
