"""The config file: YAML -> frozen values, all mistakes at once.

    config.yaml:12:5 accounts[0].pop3.port: is "abc", a number from 1 to 65535 is wanted; write
    port: 995

Rules:
- Every mistake has file, line, column, key, what is wrong and what to write; `load` finds all of
  them before it says anything.
- Unknown keys, duplicate keys, wrong types and two sources for one secret are mistakes: nothing
  that was written is silently ignored.
- No value of a secret key is ever shown, not even in a mistake. A file that holds secrets may
  not be readable by others.
- Relative paths start at the folder of the config file.
- The descriptions of the fields are what mistakes say is wanted, their examples what to write.

    tree.py      YAML text -> plain values with their places
    models.py    what may be written, and what the daemon gets
    checks.py    `load`: one pass over one file; what keys say together
    wording.py   the sentences of mistakes

Only `cli` and `daemon` import this module; everyone else is handed the few values they need.
"""

from __future__ import annotations

from bridge.config.checks import find, load
from bridge.config.models import (
    AccountConfig,
    CertificateFiles,
    Config,
    ImapConfig,
    KeepOnServer,
    Listen,
    LoginConfig,
    OAuthConfig,
    Pop3Config,
    WebConfig,
    is_loopback,
)
from bridge.config.wording import ConfigError, Mistake

__all__ = [
    "AccountConfig",
    "CertificateFiles",
    "Config",
    "ConfigError",
    "ImapConfig",
    "KeepOnServer",
    "Listen",
    "LoginConfig",
    "Mistake",
    "OAuthConfig",
    "Pop3Config",
    "WebConfig",
    "find",
    "is_loopback",
    "load",
]
