"""The whole daemon inside the test: config file, store, POP3 side, IMAP side, all real.

async with running(tmp_path, [account(dovecot)]) as daemon:
    await daemon.poll(None)
    ... IMAP at 127.0.0.1:{daemon.imap_ports[0]} as ADDRESS / PASSWORD ...
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from bridge import config
from bridge.daemon import Daemon
from tests.support.dovecot import Dovecot

ADDRESS = "me@example.net"
PASSWORD = "for my devices"
MESSAGES = 12  # that the clients' tests begin with


def account(dovecot: Dovecot, **keys: object) -> dict[str, object]:
    """The account that polls this Dovecot over TLS."""
    pop3 = {
        "host": dovecot.host,
        "port": dovecot.pop3s_port,
        "username": dovecot.username,
        "password": dovecot.password,
        "ca_file": str(dovecot.ca_pem),
    }
    return {"address": ADDRESS, "pop3": pop3, **keys}


def write_config(folder: Path, accounts: Sequence[dict[str, object]]) -> Path:
    """A private config file on free ports. JSON is YAML."""
    path = folder / "config.yaml"
    path.touch(mode=0o600)
    path.write_text(
        json.dumps(
            {
                "data_dir": "./data",
                "imap": {"listen": ["127.0.0.1:0"], "listen_tls": ["127.0.0.1:0"]},
                "web": {"listen": None},
                "accounts": accounts,
                "logins": [
                    {"name": each.get("login", each["address"]), "password": PASSWORD}
                    for each in accounts
                ],
            }
        )
    )
    return path


def running(folder: Path, accounts: Sequence[dict[str, object]]) -> Daemon:
    return Daemon(config.load(write_config(folder, accounts)))
