"""A systemd service of one user: written, started, and kept on when nobody is logged in.

Rules: a unit that is there and is not ours to the letter stays as it is; every command that we run
is told, so that a person can undo it.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

NAME = "popbridge.service"
_SECONDS = 30.0

# The same as docs/systemd/popbridge-user.service, which says why.
_UNIT = """\
[Unit]
Description=popbridge, POP3 mailboxes over IMAP
Wants=network-online.target
After=network-online.target

[Service]
Type=notify
ExecStart={command}
ExecReload=/bin/kill -HUP $MAINPID
SyslogIdentifier=popbridge
WatchdogSec=60
TimeoutStopSec=15
Restart=on-failure
RestartSec=10
RestartPreventExitStatus=64 78

NoNewPrivileges=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged
UMask=0077

[Install]
WantedBy=default.target
"""


class ServiceFailed(Exception):
    """The service could not be set up; the text says what failed."""


def command(config_path: Path) -> str:
    """What starts the daemon, for a shell and for a unit."""
    ours = Path(sys.executable).with_name("popbridge")
    words = [str(ours)] if ours.exists() else [sys.executable, "-m", "bridge"]
    return shlex.join([*words, "run", "--config", str(config_path)])


def is_possible() -> bool:
    """Whether this user has a systemd of its own that answers."""
    if shutil.which("systemctl") is None:
        return False
    return _run("systemctl", "--user", "show-environment").returncode == 0


def install(config_path: Path) -> bool:
    """Writes, enables and starts the unit; returns whether it stays on without a login. Raises
    ServiceFailed."""
    home = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    unit = Path(home) / "systemd" / "user" / NAME
    text = _UNIT.format(command=command(config_path).replace("%", "%%"))
    try:
        if unit.exists() and unit.read_text() != text:
            raise ServiceFailed(f"{unit} is there already and says something else; it stays")
        unit.parent.mkdir(parents=True, exist_ok=True)
        unit.write_text(text)
    except OSError as error:
        raise ServiceFailed(f"{unit} cannot be written: {error.strerror}") from None
    for words in (("daemon-reload",), ("enable", "--now", NAME)):
        done = _run("systemctl", "--user", *words)
        if done.returncode:
            said = done.stderr.strip().splitlines()
            raise ServiceFailed(f"systemctl --user {' '.join(words)}: {(said or ['failed'])[-1]}")
    if shutil.which("loginctl") is None:
        return False
    return _run("loginctl", "enable-linger").returncode == 0


def _run(*words: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(  # noqa: S603  # our own words
            words, capture_output=True, text=True, timeout=_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return subprocess.CompletedProcess(words, 1, "", str(error))
