"""Collecting from Dovecot's POP3 server, beside mpop, fetchmail, getmail6 and fdm.

    python -m bench.pop3_collect [--messages 1000] [--octets 27000] [--rtt 0 20 100] [--peers mpop]

For each round trip time: a first sync that keeps everything on the server, then a poll that finds
nothing new. Prints one line a collector; asserts nothing. Without TLS; the line has latency, not a
limited rate. Ours has its store in SQLite with `synchronous = FULL`, so every message is on disk;
it is a daemon, so its start is not counted, and that of the others is.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from bench.pop3_goals import account, endpoint, secret
from bridge.daemon import loop_factory
from bridge.store.opening import open_store
from bridge.sync.poll import Poller
from tests.support.delay_proxy import DelayProxy
from tests.support.dovecot import Dovecot

_RUN_SECONDS = 900


# --- the collectors: (folder, port) -> command line ---------------------------------------


def mpop(folder: Path, port: int) -> list[str]:
    rules = f"""
        account default
        host 127.0.0.1
        port {port}
        tls off
        auth plain
        user user
        password secret
        keep on
        received_header off
        uidls_file {folder}/uidls
        delivery maildir {_maildir(folder)}
    """
    return ["mpop", "-q", "-C", _private(folder / "rc", rules)]


def fetchmail(folder: Path, port: int) -> list[str]:
    rules = f"""
        poll 127.0.0.1 service {port} protocol pop3 uidl
        user "user" password "secret" keep sslproto "" mda "cat >> {folder}/mbox"
    """
    own = ["-i", str(folder / "ids"), "--pidfile", str(folder / "pid")]
    return ["fetchmail", "-s", "-f", _private(folder / "rc", rules), *own]


def getmail(folder: Path, port: int) -> list[str]:
    # It delivers nothing as root.
    user = "user = nobody" if os.geteuid() == 0 else ""
    rules = f"""
        [retriever]
        type = SimplePOP3Retriever
        server = 127.0.0.1
        port = {port}
        username = user
        password = secret
        [destination]
        type = Maildir
        path = {_maildir(folder)}/
        {user}
        [options]
        read_all = false
        delete = false
        verbose = 0
    """
    _private(folder / "rc", "\n".join(line.strip() for line in rules.splitlines()))
    return ["getmail", "--getmaildir", str(folder), "--rcfile", "rc"]


def fdm(folder: Path, port: int) -> list[str]:
    rules = f"""
        set command-user "root"
        set default-user "root"
        action "keep" maildir "{folder}/Maildir"
        account "a" pop3 server "127.0.0.1" port {port} user "user" pass "secret"
            new-only cache "{folder}/cache" keep
        match all action "keep"
    """
    folder.chmod(0o777)  # it fetches as a user without rights
    return ["fdm", "-q", "-f", _private(folder / "rc", rules), "fetch"]


def _private(path: Path, rules: str) -> str:
    path.touch(mode=0o600)
    path.write_text(rules.replace("\n        ", "\n"))
    return str(path)


def ours(folder: Path, port: int) -> list[str]:
    return [sys.executable, "-m", "bench.pop3_collect", "--ours", str(folder), str(port)]


COLLECTORS: dict[str, Callable[[Path, int], list[str]]] = {
    "popbridge": ours,
    "mpop": mpop,
    "fetchmail": fetchmail,
    "getmail": getmail,
    "fdm": fdm,
}


def _maildir(folder: Path) -> Path:
    path = folder / "Maildir"
    for part in ("new", "cur", "tmp"):
        (path / part).mkdir(parents=True, exist_ok=True)
    if os.geteuid() == 0:
        folder.chmod(0o755)
        for each in (path, *path.iterdir()):
            shutil.chown(each, "nobody")
    return path


def collected(folder: Path) -> int:
    """How many messages a collector has."""
    mbox = folder / "mbox"
    if mbox.exists():
        return mbox.read_bytes().count(b"\nMessage-ID: <bench-")
    return len(list((folder / "Maildir" / "new").glob("*"))) if mbox.parent.exists() else 0


# --- measuring ----------------------------------------------------------------------------


async def poll_ours(folder: Path, port: int) -> None:
    """One poll; prints its seconds and how many messages came."""
    store = await open_store(folder)
    mine = await account(store, "me@example.org")
    poller = Poller(store, wall=time.time, spool_dir=folder)
    started = time.perf_counter()
    report = await poller.poll(mine, endpoint(port), secret)
    seconds = time.perf_counter() - started
    await store.close()
    print(f"seconds {seconds} {report.new} {report.error}", file=sys.stderr)


async def run(name: str, folder: Path, port: int) -> tuple[float, int]:
    """Seconds of one run of a collector, and how many messages it has or brought."""
    command = COLLECTORS[name](folder, port)
    started = time.perf_counter()
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        env=os.environ | {"HOME": str(folder)},
    )
    async with asyncio.timeout(_RUN_SECONDS):
        _, said = await process.communicate()
    seconds = time.perf_counter() - started
    if name != "popbridge":
        return seconds, collected(folder)
    words = said.decode().rpartition("seconds ")[2].split()
    return float(words[0]), int(words[1])


async def measure(name: str, dovecot: Dovecot, rtt: float, messages: int) -> str:
    with tempfile.TemporaryDirectory() as place:
        async with DelayProxy(dovecot.host, dovecot.pop3_port, rtt / 2000) as line:
            port = line.port if rtt else dovecot.pop3_port
            first, came = await run(name, Path(place), port)
            again, _ = await run(name, Path(place), port)
    note = "" if came == messages else f"  HAS {came}"
    return (
        f"RTT {rtt:4.0f} ms  {name:10}  first sync {first:8.2f} s  {messages / first:7.0f}/s  "
        f"nothing new {again:6.2f} s{note}"
    )


def corpus(messages: int, octets: int) -> Iterator[bytes]:
    text = b"%s\r\n" % (b"x" * 70)
    for number in range(messages):
        size = octets // 4 if number % 4 else octets * 13 // 4  # most small, some large
        head = b"Message-ID: <bench-%d@a.example>\r\nSubject: %d\r\n\r\n" % (number, number)
        yield b"Received: from a by b\r\n" + head + text * (size // len(text))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--messages", type=int, default=1_000)
    parser.add_argument("--octets", type=int, default=27_000, help="of a message, on average")
    parser.add_argument("--rtt", type=float, nargs="*", default=[0, 20, 100], help="milliseconds")
    parser.add_argument("--peers", nargs="*", default=[*COLLECTORS], choices=[*COLLECTORS])
    parser.add_argument("--ours", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.ours:
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            runner.run(poll_ours(Path(options.ours[0]), int(options.ours[1])))
        return
    names = [n for n in options.peers if n == "popbridge" or shutil.which(n)]
    for absent in set(options.peers) - set(names):
        print(f"{absent} is not installed")
    with tempfile.TemporaryDirectory() as folder, Dovecot(Path(folder)) as dovecot:
        dovecot.deliver(corpus(options.messages, options.octets))
        with tempfile.TemporaryDirectory() as place:  # Dovecot's indexes are made
            subprocess.run(ours(Path(place), dovecot.pop3_port), check=True, capture_output=True)
        for rtt in options.rtt:
            for name in names:
                try:
                    print(asyncio.run(measure(name, dovecot, rtt, options.messages)), flush=True)
                except TimeoutError:
                    print(f"RTT {rtt:4.0f} ms  {name:10}  over {_RUN_SECONDS} s", flush=True)


if __name__ == "__main__":
    main()
