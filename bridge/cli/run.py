"""`popbridge run`: the daemon in the foreground."""

from __future__ import annotations

import enum
from typing import Annotated

import typer

from bridge.cli.common import ConfigOption


class LogFormat(enum.StrEnum):
    """For people, or for machines."""

    logfmt = "logfmt"
    json = "json"


def run(
    config: ConfigOption = None,
    log_format: Annotated[
        LogFormat, typer.Option("--log-format", help="logfmt for people, json for machines.")
    ] = LogFormat.logfmt,
) -> None:
    """Poll the accounts and serve their mail over IMAP, until SIGTERM or Ctrl-C.

    SIGHUP reads the config and the certificates again, without dropping anybody.
    """
    from bridge import daemon
    from bridge.config import find

    raise typer.Exit(daemon.run(find(config), log_format.value))
