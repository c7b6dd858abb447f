"""Debian's Cyrus IMAP as a peer; it conflicts with Dovecot, so `.ci/run` unpacks it only.

    with Cyrus() as cyrus:
        ... 127.0.0.1:{cyrus.port}, cyrus.username, cyrus.password, without TLS ...

Rules: its own configuration, folders and port; gone with the `with`. The mailbox is made at the
first login. Passwords are asked of saslauthd, for which a stand-in answers here. As root it runs
as nobody. A missing Cyrus is an error in CI.
"""

from __future__ import annotations

import os
import platform
import shutil
import socket
import struct
import subprocess
import tempfile
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.dovecot import _free_ports
from tests.support.pop3_peers import packages
from tests.support.require import require, require_file

_IMAPD = """\
configdirectory: {home}/conf
partition-default: {home}/spool
cyrus_user: {user}
cyrus_group: {group}
allowplaintext: yes
sasl_pwcheck_method: saslauthd
sasl_saslauthd_path: {home}/run/mux
sasl_mech_list: PLAIN
unixhierarchysep: yes
altnamespace: yes
autocreate_quota: 0
"""
_CYRUS = """\
START {{
  recover cmd="{bin}/ctl_cyrusdb -C {home}/imapd.conf -r"
}}
SERVICES {{
  imap cmd="{bin}/imapd -C {home}/imapd.conf" listen="127.0.0.1:{port}" prefork=0
}}
EVENTS {{
}}
"""


_BIND = 'set -e; mount --make-rprivate /; mount --bind "$1" /mnt; shift; exec "$@"'


class Cyrus:
    """A running Cyrus; see the module."""

    def __init__(self) -> None:
        self.host = "127.0.0.1"
        self.username = "user"
        self.password = "secret"
        (self.port,) = _free_ports(1)
        # As root Cyrus becomes nobody, who may not be let into the folder of the packages: then
        # they are bound to a place that is open, in a mount namespace of its own.
        self._root = Path("/mnt") if os.geteuid() == 0 else packages()
        self._bin = self._root / "usr/lib/cyrus/bin"
        self._home = Path(tempfile.mkdtemp(prefix="cyrus-"))
        self._process: subprocess.Popen[bytes] | None = None
        self._asked = socket.socket(socket.AF_UNIX)

    def __enter__(self) -> Self:
        require_file(str(packages() / "usr/lib/cyrus/bin/master"))
        self._prepare()
        machine = f"{platform.machine()}-linux-gnu"
        libraries = (f"usr/lib/{machine}", f"lib/{machine}", "usr/lib/cyrus")
        paths = ":".join(str(self._root / each) for each in libraries)
        bound = [require("unshare"), "--mount", "sh", "-c", _BIND, "sh", str(packages())]
        self._process = subprocess.Popen(
            [
                *(bound if os.geteuid() == 0 else ()),
                str(self._bin / "master"), "-D", "-C", str(self._home / "imapd.conf"),
                "-M", str(self._home / "cyrus.conf"), "-p", str(self._home / "run/pid"),
            ],
            env=os.environ | {"LD_LIBRARY_PATH": paths},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            self._wait()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            process.wait()
        self._asked.close()
        shutil.rmtree(self._home, ignore_errors=True)

    def _prepare(self) -> None:
        home = self._home
        for name in ("conf/db", "conf/proc", "conf/socket", "conf/log", "conf/msg", "conf/lock",
                     "conf/user", "conf/quota", "conf/sieve", "spool", "run"):  # fmt: skip
            (home / name).mkdir(parents=True)
        root = os.geteuid() == 0
        user, group = ("nobody", "nogroup") if root else (str(os.geteuid()), str(os.getegid()))
        (home / "imapd.conf").write_text(_IMAPD.format(home=home, user=user, group=group))
        text = _CYRUS.format(home=home, bin=self._bin, port=self.port)
        (home / "cyrus.conf").write_text(text)
        self._asked.bind(str(home / "run/mux"))
        self._asked.listen()
        threading.Thread(target=self._saslauthd, daemon=True).start()
        if root:
            for path in (home, *home.rglob("*")):
                shutil.chown(path, user, group)
        home.chmod(0o755)
        (home / "run/mux").chmod(0o666)

    def _saslauthd(self) -> None:
        """Four strings with their lengths (user, password, service, realm), and an answer."""
        while True:
            try:
                connection, _ = self._asked.accept()
            except OSError:
                return  # closed
            with connection, connection.makefile("rb") as asked:
                said = []
                for _ in range(4):
                    (size,) = struct.unpack("!H", asked.read(2))
                    said.append(asked.read(size))
                known = said[:2] == [self.username.encode(), self.password.encode()]
                connection.sendall(struct.pack("!H", 2) + (b"OK" if known else b"NO"))

    def _wait(self) -> None:
        """Until it greets; its master binds the port after its START commands."""
        assert self._process is not None
        while self._process.poll() is None:
            try:
                with socket.create_connection((self.host, self.port), timeout=20) as connection:
                    if connection.recv(1):
                        return
            except ConnectionRefusedError:
                threading.Event().wait(0.02)
        raise RuntimeError("Cyrus does not run")
