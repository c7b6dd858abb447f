"""The provider: Dovecot with many maildrops, and lines to it with a round trip time.

Rules: the same octets at each run; each user has a Maildir of its own; a line is a process, so
that neither side's processor time is counted as the other's.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import poplib
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.processes import cpu_seconds, family
from bridge.daemon import loop_factory
from tests.support.delay_proxy import DelayProxy
from tests.support.dovecot import Dovecot

PASSWORD = "secret"
HOSTS = tuple(f"127.0.0.{n}" for n in range(1, 51))  # many accounts are spread over them

_SETTINGS = """\
mail_location = maildir:{home}/%u
listen = {listen}
service pop3 {{
  process_limit = 1024
}}
service pop3-login {{
  process_limit = 1024
}}
"""


@dataclass(frozen=True, slots=True)
class Box:
    """A maildrop at the provider."""

    user: str
    host: str = "127.0.0.1"


class Provider:
    """A running Dovecot; `fill` makes maildrops, `lines` are ports by round trip time in ms."""

    def __init__(self, folder: Path) -> None:
        self._stack = contextlib.ExitStack()
        self._dovecot = Dovecot(folder)
        self._home = self._dovecot.folder / "home"
        self._dovecot._settings = _SETTINGS.format(home=self._home, listen=", ".join(HOSTS))
        self._ports: dict[float, tuple[int, int]] = {}  # round trip time -> port, process id

    def __enter__(self) -> Provider:
        self._stack.enter_context(self._dovecot)
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()

    def fill(self, user: str, messages: int, make: Callable[[int], bytes], first: int = 0) -> Box:
        """Delivers messages `first`, `first` + 1, ... to a maildrop, which need not be there;
        Dovecot's own indexes are made for it then."""
        maildir = self._home / user
        for part in ("new", "cur", "tmp"):
            (maildir / part).mkdir(parents=True, exist_ok=True)
        for number in range(first, first + messages):
            text = make(number)
            name = f"{1_700_000_000 + number}.M0P1.test,S={len(text)}"
            (maildir / "new" / name).write_bytes(text)
        for path in (self._home, maildir, *maildir.rglob("*")):
            shutil.chown(path, *self._dovecot._owner)
        box = Box(user)
        self.uidls(box)
        return box

    def uidls(self, box: Box) -> list[str]:
        """The UIDL of each message, as Dovecot lists them; it knows every size afterwards."""
        session = poplib.POP3("127.0.0.1", self._dovecot.pop3_port, timeout=120)
        session.user(box.user)
        session.pass_(PASSWORD)
        session.list()
        lines = session.uidl()[1]
        session.quit()
        return [line.split()[1].decode() for line in lines]

    def port(self, rtt: float) -> int:
        """The port behind a line; 0 ms is Dovecot itself."""
        if not rtt:
            return self._dovecot.pop3_port
        if rtt not in self._ports:
            self._ports[rtt] = self._stack.enter_context(_line(self._dovecot.pop3_port, rtt))
        return self._ports[rtt][0]

    def cpu(self) -> float:
        """Seconds that Dovecot worked."""
        process = self._dovecot._process
        assert process is not None
        return sum(map(cpu_seconds, family(process.pid)))

    def line_cpu(self, rtt: float) -> float:
        """Seconds that a line worked: what it takes is not there for anybody else."""
        return cpu_seconds(self._ports[rtt][1]) if rtt else 0.0


def message(number: int, octets: int) -> bytes:
    """A text of about so many octets."""
    head = (
        f"Received: from a.example by b.example; 1 Jan 2024 {number % 24:02d}:00:00 +0000\r\n"
        f"Message-ID: <{number}.bench@a.example>\r\nSubject: number {number}\r\n"
        "From: Ann <ann@a.example>\r\nTo: Me <me@b.example>\r\n"
        f"Date: 1 Jan 2024 {number % 24:02d}:00:00 +0000\r\n\r\n"
    )
    text = f"{number:070d}\r\n"
    return (head + text * max(1, (octets - len(head)) // len(text))).encode()


@contextlib.contextmanager
def _line(port: int, rtt: float) -> Iterator[tuple[int, int]]:
    command = [sys.executable, "-m", "bench.pop3.provider", str(port), str(rtt)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        try:
            yield int(process.stdout.readline()), process.pid
        finally:
            process.stdin.close()


async def _serve(port: int, rtt: float) -> None:
    async with DelayProxy("127.0.0.1", port, rtt / 2000, listen=HOSTS) as proxy:
        print(proxy.port, flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


def main() -> None:
    parser = argparse.ArgumentParser(description="A line to PORT with a round trip time in ms.")
    parser.add_argument("port", type=int)
    parser.add_argument("rtt", type=float)
    options = parser.parse_args()
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(_serve(options.port, options.rtt))


if __name__ == "__main__":
    main()
