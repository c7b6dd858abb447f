"""The collectors: how each is called, how it is told what it has, how its mail is counted.

Rules: each keeps everything at the provider, has its files in a folder of its own and starts for
each run, as cron starts it; ours is a daemon, so its poll is timed apart from its start too.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.pop3.provider import PASSWORD, Box

OURS = "popbridge"
BARE = "bare client"
"""Asks as we do, throws everything away: what provider and line give at most."""


@dataclass(frozen=True, slots=True)
class Collector:
    """`command` writes the files that it names. `remember` makes one believe that it has the
    UIDLs of a box, which it then asks no more for."""

    name: str
    command: Callable[[Path, int, Sequence[Box]], list[str]]
    remember: Callable[[Path, int, Box, Sequence[str]], None] | None = None
    version: tuple[str, ...] = ()


def mpop(folder: Path, port: int, boxes: Sequence[Box]) -> list[str]:
    common = f"""
        defaults
        port {port}
        tls off
        auth plain
        password {PASSWORD}
        keep on
        received_header off
        delivery maildir {_maildir(folder)}
    """
    each = "".join(
        f"account {box.user}\nhost {box.host}\nuser {box.user}\nuidls_file {folder}/{box.user}\n"
        for box in boxes
    )
    return ["mpop", "-q", "-a", "-C", _private(folder / "rc", common + each)]


def _mpop_has(folder: Path, port: int, box: Box, uidls: Sequence[str]) -> None:
    listed = "\n".join(sorted(uidls))
    _private(folder / box.user, f" {len(uidls)} {box.host} {box.user}\n{listed}\n")


def fetchmail(folder: Path, port: int, boxes: Sequence[Box]) -> list[str]:
    rules = "".join(
        f'poll {box.host} service {port} protocol pop3 uidl user "{box.user}" password '
        f'"{PASSWORD}" keep sslproto "" mda "cat >> {folder}/mbox"\n'
        for box in boxes
    )
    own = ["-i", str(folder / "ids"), "--pidfile", str(folder / "pid")]
    return ["fetchmail", "-s", "-f", _private(folder / "rc", rules), *own]


def _fetchmail_has(folder: Path, port: int, box: Box, uidls: Sequence[str]) -> None:
    _private(folder / "ids", "".join(f"{box.user}@{box.host} {uidl}\n" for uidl in uidls))


def getmail(folder: Path, port: int, boxes: Sequence[Box]) -> list[str]:
    # It delivers nothing as root.
    user = "user = nobody" if os.geteuid() == 0 else ""
    files: list[str] = []
    for box in boxes:
        rules = f"""
            [retriever]
            type = SimplePOP3Retriever
            server = {box.host}
            port = {port}
            username = {box.user}
            password = {PASSWORD}
            [destination]
            type = Maildir
            path = {_maildir(folder)}/
            {user}
            [options]
            read_all = false
            delete = false
            verbose = 0
        """
        _private(folder / box.user, rules)
        files += ["--rcfile", box.user]
    return ["getmail", "--getmaildir", str(folder), *files]


def _getmail_has(folder: Path, port: int, box: Box, uidls: Sequence[str]) -> None:
    path = folder / f"oldmail-{box.host}-{port}-{box.user}"
    _private(path, "".join(f"{uidl}\0{1_790_000_000}\n" for uidl in uidls))


def fdm(folder: Path, port: int, boxes: Sequence[Box]) -> list[str]:
    accounts = "".join(
        f'account "{box.user}" pop3 server "{box.host}" port {port} user "{box.user}" '
        f'pass "{PASSWORD}" new-only cache "{folder}/{box.user}" keep\n'
        for box in boxes
    )
    rules = f"""
        set command-user "root"
        set default-user "root"
        action "keep" maildir "{folder}/Maildir"
        {accounts}
        match all action "keep"
    """
    folder.chmod(0o777)  # it fetches as a user without rights
    return ["fdm", "-q", "-f", _private(folder / "rc", rules), "fetch"]


def _fdm_has(folder: Path, port: int, box: Box, uidls: Sequence[str]) -> None:
    path = folder / box.user
    _private(path, "".join(f"{len(uidl)} {uidl}\n" for uidl in uidls))
    path.chmod(0o666)


def ours(folder: Path, port: int, boxes: Sequence[Box]) -> list[str]:
    named = [f"{box.host}/{box.user}" for box in boxes]
    return [sys.executable, "-m", "bench.pop3.ours", str(folder), str(port), *named]


def bare(folder: Path, port: int, boxes: Sequence[Box]) -> list[str]:
    return [sys.executable, "-m", "bench.pop3.bare", str(port), boxes[0].user]


COLLECTORS = {
    each.name: each
    for each in (
        Collector(OURS, ours),
        Collector("mpop", mpop, _mpop_has, ("mpop", "--version")),
        Collector("fdm", fdm, _fdm_has, ("dpkg-query", "-W", "-f=fdm ${Version}", "fdm")),
        Collector("fetchmail", fetchmail, _fetchmail_has, ("fetchmail", "--version")),
        Collector("getmail", getmail, _getmail_has, ("getmail", "--version")),
        Collector(BARE, bare),
    )
}
PEERS = ("mpop", "fdm", "fetchmail", "getmail")


def _private(path: Path, text: str) -> str:
    path.touch(mode=0o600)
    path.write_text(
        "\n".join(line.strip(" ") if line[:2] == "  " else line for line in text.splitlines())
        + "\n"
    )
    return str(path)


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
    """How many messages a peer has."""
    mbox = folder / "mbox"
    if mbox.exists():
        return mbox.read_bytes().count(b"\nMessage-ID: <")
    new = folder / "Maildir" / "new"
    return len(os.listdir(new)) if new.exists() else 0
