"""POP3 servers from Debian beside Dovecot: Courier, popa3d and solid-pop3d, as they are packaged.

    with Courier(tmp_path) as server:
        server.deliver([b"Subject: a\\r\\n\\r\\nhello\\r\\n"])
        ... 127.0.0.1:{server.port}, server.username, server.password, without TLS ...
        server.kept()          # the messages that are still there

Rules:
- Their packages conflict with each other, so `.ci/run` unpacks them into a folder and installs
  nothing. Each runs in a mount namespace of its own, where its compiled-in paths (`/etc/passwd`,
  `/run`, `/var/mail`) lead to a private folder: nothing of this machine is touched or asked, and
  nothing is left behind. That needs root.
- Passwords are checked by the machine's own PAM, but for Courier: its authentication is a daemon
  of another package, and a stand-in answers for it here.
- Messages keep their octets from `deliver` to RETR, if every line ends with CRLF and, for an mbox,
  no line begins with "From ".
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

from tests.support.require import missing, require, require_file

USERNAME = "user"
PASSWORD = "secret"
# crypt(PASSWORD): SHA-512 with the salt "popbridge".
_HASH = (
    "$6$popbridge$q9D0yUJ8PdXicMr.ku0lQTvw2l7ZSJJACzpORoWmY8XkBdry7FnN0OJcHuxAaphgSfbUk4EuG5WBNxzl"
    "2vHq11"
)
_UID = 12_345
_SERVERS = ("popa3d", "spop3d")  # whom they want to be before anybody has logged in
_HOP = b"Received: from old.example by new.example; Mon, 30 Nov 2026 10:00:00 +0000\n"
_INSIDE = "/mnt"  # where the unpacked packages are in the namespace

# The script of the namespace: $1 private folder, $2 unpacked packages, then the command.
_NAMESPACE = """\
set -e
mount --make-rprivate /
for name in passwd shadow pam.d; do mount --bind "$1/etc/$name" "/etc/$name"; done
mount --bind "$1/run" /run
mount --bind "$1/lib" /var/lib
mount --bind "$1/mail" /var/mail
mount --bind "$1/home" /home
mount --bind "$2" /mnt
shift 2
exec "$@"
"""


def packages() -> Path:
    """Where `.ci/run` unpacked the packages."""
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(os.environ.get("POPBRIDGE_PEERS") or f"{cache}/popbridge-peers")


class Peer:
    """What the servers share: life, a user, a port."""

    program = ""  # in the unpacked packages
    arguments: Sequence[str] = ()

    def __init__(self) -> None:
        self.host = "127.0.0.1"
        self.port = 0
        self.username = USERNAME
        self.password = PASSWORD
        self.folder = Path()
        self._stack = contextlib.ExitStack()
        self._serial = itertools.count(1)

    def __enter__(self) -> Self:
        require("unshare")
        require_file(str(packages() / self.program))
        if os.geteuid() != 0:
            missing("root, for a mount namespace")
        with contextlib.ExitStack() as stack:
            # Users without rights cannot walk through the folders that pytest keeps to itself.
            self.folder = Path(tempfile.mkdtemp(prefix="pop3-peer-"))
            stack.callback(shutil.rmtree, self.folder, ignore_errors=True)
            self._prepare()
            self._start(stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def _prepare(self) -> None:
        self.folder.chmod(0o755)
        for part in ("etc/pam.d", "run", "lib", "mail", f"home/{USERNAME}"):
            (self.folder / part).mkdir(parents=True)
        users = [f"{USERNAME}:x:{_UID}:{_UID}::/home/{USERNAME}:/bin/sh"]
        users += [f"{n}:x:{_UID + i}:{_UID + i}::/:/bin/false" for i, n in enumerate(_SERVERS, 1)]
        before = Path("/etc/passwd").read_text("utf-8")
        (self.folder / "etc/passwd").write_text("\n".join(users) + "\n" + before, "utf-8")
        shadow = self.folder / "etc/shadow"
        shadow.touch(mode=0o600)
        shadow.write_text(f"{USERNAME}:{_HASH}:19000:0:99999:7:::\n")
        for service in ("popa3d", "solid-pop3d"):
            rules = "auth required pam_unix.so\naccount required pam_unix.so\n"
            (self.folder / "etc/pam.d" / service).write_text(rules)
        self._own(self.folder / "home" / USERNAME)

    def _start(self, stack: contextlib.ExitStack) -> None:
        listener = stack.enter_context(socket.create_server((self.host, 0)))
        self.port = listener.getsockname()[1]
        inetd = [sys.executable, "-m", "tests.support.inetd", str(listener.fileno())]
        apart = ["unshare", "--mount", "sh", "-c", _NAMESPACE, "sh", str(self.folder)]
        log = stack.enter_context((self.folder / "log").open("wb"))
        process = subprocess.Popen(
            [*apart, str(packages()), *inetd, f"{_INSIDE}/{self.program}", *self.arguments],
            cwd=Path(__file__).resolve().parents[2],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=os.environ | self._environment(),
            pass_fds=[listener.fileno()],
        )
        stack.callback(process.wait)
        stack.callback(process.terminate)
        try:
            with socket.create_connection((self.host, self.port), timeout=20) as client:
                greeting = client.recv(3)
        except OSError:
            greeting = b""
        if greeting != b"+OK":
            said = (self.folder / "log").read_text("utf-8", "replace")
            pytest.fail(f"{self.program} does not start: {said}")

    def _environment(self) -> dict[str, str]:
        folders = [f"{_INSIDE}/usr/lib"]
        folders += [
            f"{_INSIDE}/usr/lib/{each.name}" for each in packages().glob("usr/lib/*-linux-*")
        ]
        return {"LD_LIBRARY_PATH": ":".join(folders)}

    def _own(self, path: Path) -> None:
        os.chown(path, _UID, _UID)

    # --- the maildrop -------------------------------------------------------------------

    def deliver(self, messages: Iterable[bytes]) -> list[bytes]:
        """Puts messages into the maildrop, in order, and returns them."""
        raise NotImplementedError

    def kept(self) -> list[bytes]:
        """The messages that are there, in order."""
        raise NotImplementedError

    def new_uidls(self) -> None:
        """As after a migration: every message has another UIDL than before."""
        raise NotImplementedError


class _InMaildir(Peer):
    """Mail in ~/Maildir, with line ends of Unix."""

    @property
    def maildir(self) -> Path:
        return self.folder / "home" / USERNAME / "Maildir"

    def _prepare(self) -> None:
        super()._prepare()
        for part in ("", "new", "cur", "tmp"):
            (self.maildir / part).mkdir()
            self._own(self.maildir / part)

    def deliver(self, messages: Iterable[bytes]) -> list[bytes]:
        given = list(messages)
        for octets in given:
            arrived = 1_700_000_000 + next(self._serial)
            name = f"{arrived}.M0P1.test"
            waiting = self.maildir / "tmp" / name
            waiting.write_bytes(octets.replace(b"\r\n", b"\n"))
            self._own(waiting)
            os.utime(waiting, (arrived, arrived))
            waiting.rename(self.maildir / "new" / name)
        return given

    def _files(self) -> list[Path]:
        found = [*(self.maildir / "new").iterdir(), *(self.maildir / "cur").iterdir()]
        return sorted(found, key=lambda path: path.name)

    def kept(self) -> list[bytes]:
        return [path.read_bytes().replace(b"\n", b"\r\n") for path in self._files()]


class _InMbox(Peer):
    """Mail in /var/mail."""

    @property
    def mbox(self) -> Path:
        return self.folder / "mail" / USERNAME

    def _prepare(self) -> None:
        super()._prepare()
        (self.folder / "mail").chmod(0o1777)
        self._write(b"")

    def _write(self, content: bytes) -> None:
        self.mbox.write_bytes(content)
        self.mbox.chmod(0o600)
        self._own(self.mbox)

    def deliver(self, messages: Iterable[bytes]) -> list[bytes]:
        given = list(messages)
        assert not any(b"\nFrom " in octets for octets in given)
        postmark = b"From a@b.example Mon Nov  2 10:00:00 2026\n"
        added = (postmark + octets.replace(b"\r\n", b"\n") + b"\n" for octets in given)
        self._write(self.mbox.read_bytes() + b"".join(added))
        return given

    def kept(self) -> list[bytes]:
        parts = (b"\n" + self.mbox.read_bytes().removesuffix(b"\n")).split(b"\nFrom ")[1:]
        bodies = [part.partition(b"\n")[2] for part in parts]
        return [octets.replace(b"\n", b"\r\n") for octets in bodies]

    def new_uidls(self) -> None:
        parts = self.mbox.read_bytes().split(b"\nFrom ")
        marked = (part.replace(b"\n", b"\n" + _HOP, 1) for part in parts)
        self._write(b"\nFrom ".join(marked))


class Courier(_InMaildir):
    """courier-pop 1.0: announces PIPELINING, LOGIN-DELAY and UTF8; UIDLs are counted in a file."""

    program = "usr/lib/courier/courier/courierpop3login"
    arguments = (f"{_INSIDE}/usr/lib/courier/courier/courierpop3d", "Maildir")

    def _environment(self) -> dict[str, str]:
        # What couriertcpd and /etc/courier/pop3d would set.
        address = {"TCPREMOTEIP": self.host, "TCPLOCALIP": self.host}
        ports = {"TCPREMOTEPORT": "0", "TCPLOCALPORT": "110"}
        return super()._environment() | address | ports | {"POP3AUTH": "", "MAILDIRPATH": "Maildir"}

    def _start(self, stack: contextlib.ExitStack) -> None:
        (self.folder / "run/courier/authdaemon").mkdir(parents=True)
        _stand_in(stack, self.folder / "run/courier/authdaemon/socket")
        super()._start(stack)

    def new_uidls(self) -> None:
        sizes = self.maildir / "courierpop3dsizelist"
        first, _, rest = sizes.read_bytes().partition(b"\n")
        *counts, validity = first.split(b" ")
        other = b"%d" % (int(validity) - 1)
        sizes.write_bytes(
            b" ".join([*counts, other]) + b"\n" + rest.replace(b":" + validity, b":" + other)
        )


class SolidPop3d(_InMaildir):
    """solid-pop3d 0.15: neither CAPA nor PIPELINING; a UIDL is a hash of the file name."""

    program = "usr/sbin/solid-pop3d"
    arguments = ("-n", "Maildir", "-t", "maildir")

    def _prepare(self) -> None:
        super()._prepare()
        (self.folder / "lib/solid-pop3d/bulletins").mkdir(parents=True)

    def new_uidls(self) -> None:
        for path in self._files():
            path.rename(path.with_name(f"moved-{path.name}"))


class Popa3d(_InMbox):
    """popa3d 1.0: no CAPA, answers without a word of text; a UIDL is a hash of the header."""

    program = "usr/sbin/popa3d"

    def _prepare(self) -> None:
        super()._prepare()
        (self.folder / "lib/popa3d").mkdir()  # where it locks itself in


def _stand_in(stack: contextlib.ExitStack, path: Path) -> None:
    """Answers for Courier's authentication daemon: "AUTH n", then n octets of service, method,
    user and password in lines."""
    server = stack.enter_context(socket.socket(socket.AF_UNIX))
    server.bind(str(path))
    path.chmod(0o777)
    server.listen()

    def answer() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:  # the end
                return
            with connection, connection.makefile("rwb") as stream:
                length = next((line for line in stream if line.startswith(b"AUTH ")), b"AUTH 0")
                asked = stream.read(int(length.split()[1])).split(b"\n")
                right = asked[2:4] == [USERNAME.encode(), PASSWORD.encode()]
                home = f"/home/{USERNAME}"
                known = f"UID={_UID}\nGID={_UID}\nADDRESS={USERNAME}\nHOME={home}\n.\n"
                stream.write(known.encode() if right else b"FAIL\n")

    thread = threading.Thread(target=answer, daemon=True)
    thread.start()
    stack.callback(thread.join)
    stack.callback(server.shutdown, socket.SHUT_RDWR)
