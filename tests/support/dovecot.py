"""Debian's Dovecot as a peer: POP3, POP3S, IMAP and IMAPS over one user's Maildir.

    with Dovecot(tmp_path) as dovecot:
        dovecot.deliver([b"Subject: a\\r\\n\\r\\nhello\\r\\n"])
        ... 127.0.0.1:{dovecot.pop3s_port}, dovecot.username, dovecot.password ...

Rules: its own configuration, folders and ports, nothing of /etc/dovecot; gone with the `with`.
Messages keep their octets: what was delivered is what POP3 and IMAP give, if every line ends with
CRLF (`mail_save_crlf` for what arrives over IMAP; Maildir files are written as they are).
PIPELINING is announced. A missing Dovecot is an error, never a skipped test.
"""

from __future__ import annotations

import contextlib
import grp
import itertools
import os
import pwd
import selectors
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

import trustme

from tests.support.require import require

_CONFIG = """\
base_dir = {run}
state_dir = {run}
instance_name = popbridge-test-{pop3}
log_path = {log}
protocols = pop3 imap
listen = 127.0.0.1
default_login_user = {login_user}
default_internal_user = {internal_user}
default_internal_group = {internal_group}
first_valid_uid = 0
first_valid_gid = 0
ssl = yes
ssl_cert = <{cert}
ssl_key = <{key}
disable_plaintext_auth = no
auth_failure_delay = 0
service anvil {{
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
auth_mechanisms = {mechanisms}
mail_location = maildir:{mail}
mail_save_crlf = yes
maildir_stat_dirs = yes
pop3_uidl_format = %08Xu%08Xv
mail_max_userip_connections = 1000
pop3_no_flag_updates = yes
{token_passdb}
passdb {{
  driver = static
  args = password={password}
}}
userdb {{
  driver = static
  args = uid={uid} gid={gid} home={home}
}}
service anvil {{
  chroot =
}}
service stats {{
  chroot =
}}
service pop3-login {{
  chroot =
  inet_listener pop3 {{
    port = {pop3}
  }}
  inet_listener pop3s {{
    port = {pop3s}
    ssl = yes
  }}
}}
service imap-login {{
  chroot =
  inet_listener imap {{
    port = {imap}
  }}
  inet_listener imaps {{
    port = {imaps}
    ssl = yes
  }}
}}
namespace inbox {{
  inbox = yes
  separator = /
}}
"""


_TOKEN_PASSDB = """\
passdb {{
  driver = oauth2
  mechanisms = xoauth2 oauthbearer
  args = {args}
}}
"""


class Dovecot:
    """A running Dovecot; see the module. The ports are free ones of this machine."""

    def __init__(
        self,
        folder: Path,
        *,
        mechanisms: str = "plain login",
        token_info: str = "",
        settings: str = "",
    ) -> None:
        """`token_info` is the URL behind which Dovecot asks whose access token one is;
        `settings` come last in the configuration, and win."""
        self._settings = settings
        self.mechanisms = mechanisms
        self.token_info = token_info
        # As root, mail belongs to somebody without rights, who could not walk through the folders
        # that pytest keeps to itself.
        root = os.geteuid() == 0
        self.folder = Path(tempfile.mkdtemp(prefix="dovecot-")) if root else folder / "dovecot"
        self.username = "user"
        self.password = "secret"
        self.host = "127.0.0.1"
        self.ca_pem = self.folder / "ca.pem"
        self.log = self.folder / "log"
        self.maildir = self.folder / "home" / "Maildir"
        self.pop3_port, self.pop3s_port, self.imap_port, self.imaps_port = _free_ports(4)
        self._process: subprocess.Popen[bytes] | None = None
        self._serial = itertools.count(1)

    def __enter__(self) -> Self:
        binary = require("dovecot")
        self._prepare()
        self._process = subprocess.Popen(
            [binary, "-F", "-c", str(self.folder / "dovecot.conf")],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        try:
            for port in (self.pop3_port, self.imap_port):
                self._wait_for_greeting(port)
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
        """Ends Dovecot and all its processes."""
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            process.communicate()
        if os.geteuid() == 0:
            shutil.rmtree(self.folder, ignore_errors=True)

    def deliver(self, messages: Iterable[bytes]) -> list[bytes]:
        """Puts messages into the inbox as they are, in order, and returns them. POP3 numbers them
        in this order: Dovecot sorts Maildir files by their names."""
        given = list(messages)
        for octets in given:
            name = f"{1_700_000_000 + next(self._serial):010d}.M0P1.test,S={len(octets)}"
            waiting = self.maildir / "tmp" / name
            waiting.write_bytes(octets)
            shutil.chown(waiting, *self._owner)
            waiting.rename(self.maildir / "new" / name)
        return given

    @property
    def _owner(self) -> tuple[int, int]:
        return (_user("nobody"), _group("nogroup")) if os.geteuid() == 0 else (os.geteuid(), -1)

    def _prepare(self) -> None:
        root = os.geteuid() == 0
        uid, gid = self._owner
        me = pwd.getpwuid(os.geteuid())
        for part in ("new", "cur", "tmp"):
            (self.maildir / part).mkdir(parents=True)
        (self.folder / "run").mkdir()
        authority = trustme.CA()
        authority.cert_pem.write_to_path(str(self.ca_pem))
        leaf = authority.issue_cert(
            "127.0.0.1", "::1", "localhost", "pop.example.lan", "pop.srv.test"
        )
        leaf.private_key_pem.write_to_path(str(self.folder / "key.pem"))
        chain = b"".join(blob.bytes() for blob in leaf.cert_chain_pems)
        (self.folder / "cert.pem").write_bytes(chain)
        token_passdb = ""
        if self.token_info:
            tokens = self.folder / "oauth2.conf"
            tokens.write_text(f"tokeninfo_url = {self.token_info}\nusername_attribute = email\n")
            token_passdb = _TOKEN_PASSDB.format(args=tokens)
        (self.folder / "dovecot.conf").write_text(
            _CONFIG.format(
                run=self.folder / "run",
                log=self.log,
                mail=self.maildir,
                home=self.folder / "home",
                cert=self.folder / "cert.pem",
                key=self.folder / "key.pem",
                password=self.password,
                mechanisms=self.mechanisms,
                token_passdb=token_passdb,
                uid=uid,
                gid=gid if gid >= 0 else os.getegid(),
                login_user="dovenull" if root else me.pw_name,
                internal_user="dovecot" if root else me.pw_name,
                internal_group="dovecot" if root else grp.getgrgid(os.getegid()).gr_name,
                pop3=self.pop3_port,
                pop3s=self.pop3s_port,
                imap=self.imap_port,
                imaps=self.imaps_port,
            )
            + self._settings
        )
        if root:
            for path in (self.maildir.parent, *self.maildir.parent.rglob("*")):
                shutil.chown(path, uid, gid)
            self.folder.chmod(0o711)

    def _wait_for_greeting(self, port: int) -> None:
        """Returns when the server greets: connecting waits for nothing else than the listener,
        which is bound before Dovecot reads its first connection."""
        process = self._process
        assert process is not None
        assert process.stdout is not None
        while True:
            if process.poll() is not None:
                said = process.stdout.read().decode(errors="replace")
                logged = self.log.read_text() if self.log.exists() else ""
                raise RuntimeError(f"Dovecot does not run: {said}{logged}")
            try:
                with socket.create_connection((self.host, port), timeout=20) as connection:
                    if connection.recv(1):
                        return
            except ConnectionRefusedError:
                # Not bound yet: wait until Dovecot says or logs something, or a moment.
                with selectors.DefaultSelector() as selector:
                    selector.register(process.stdout, selectors.EVENT_READ)
                    selector.select(timeout=0.02)


def _free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]


def _user(name: str) -> int:
    return pwd.getpwnam(name).pw_uid


def _group(name: str) -> int:
    return grp.getgrnam(name).gr_gid
