"""`popbridge`: all commands, and where their errors become one line and an exit code."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Sequence
from typing import Annotated, NoReturn

import typer

from bridge import __version__
from bridge.cli.account import account
from bridge.cli.backup import backup, restore
from bridge.cli.check import check
from bridge.cli.common import Exit, Failure, complain
from bridge.cli.demo import demo
from bridge.cli.device import device
from bridge.cli.doctor import doctor
from bridge.cli.export import export
from bridge.cli.healthcheck import healthcheck
from bridge.cli.importing import import_mail
from bridge.cli.log import log
from bridge.cli.migrate import migrate
from bridge.cli.poll import poll
from bridge.cli.probe import probe
from bridge.cli.run import run as run_command
from bridge.cli.setup import setup
from bridge.cli.status import status

_CLICK_USAGE = 2  # what click ends with for a wrong command line; sysexits.h says 64
_INTERRUPTED = 130

app = typer.Typer(
    help="Collects your POP3 mailboxes once and serves them to every device over IMAP.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.command("run")(run_command)
app.command("import")(import_mail)
app.command()(export)
app.command()(migrate)
app.command()(backup)
app.command()(restore)
for each in (setup, check, poll, status, doctor, probe, demo, healthcheck):
    app.command()(each)
app.add_typer(account, name="account")
app.add_typer(device, name="device")
app.add_typer(log, name="log")


def _version(asked: bool) -> None:
    if asked:
        print(f"popbridge {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say it and end.")
    ] = False,
) -> None:
    """Options that come before a command."""


def main(arguments: Sequence[str]) -> int:
    """Runs one command line. Returns its exit code; never raises."""
    try:
        app(args=list(arguments), prog_name="popbridge")
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0
        return Exit.USAGE if code == _CLICK_USAGE else code
    except Failure as failure:
        complain(f"popbridge: {failure}")
        return failure.code
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:  # `popbridge status | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.OK
    except Exception as error:
        return _explained(error)
    return Exit.OK


def _explained(error: Exception) -> int:
    """Errors of the rooms, in the words of a command."""
    from bridge.auth.secrets import SecretError
    from bridge.config import ConfigError
    from bridge.store.api import SchemaTooNew, StoreBusy, StoreError
    from bridge.tls import CertificateError
    from bridge.web.server import NeedsPassword

    if isinstance(error, ConfigError):
        for mistake in error.mistakes:
            complain(str(mistake))
        return Exit.CONFIG
    complain(f"popbridge: {_said(error)}")
    match error:
        case SecretError() | CertificateError() | SchemaTooNew() | NeedsPassword():
            return Exit.CONFIG
        case StoreBusy():
            return Exit.TRY_LATER
        case PermissionError():
            return Exit.PERMISSION
        case StoreError() | OSError():
            return Exit.UNAVAILABLE
        case _:
            complain(f"popbridge: this is a mistake of ours ({_where(error)}); please report it")
            return Exit.UNAVAILABLE


def _said(error: Exception) -> str:
    """The error without its number, and what to do about a port that is taken."""
    if not isinstance(error, OSError) or not error.strerror:
        return str(error) or type(error).__name__
    text = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    if error.errno == errno.EADDRINUSE:
        return f"{text}; end what listens there, or choose another port"
    return text


def _where(error: Exception) -> str:
    """`bridge/x.py:12`: where an unexpected error came from."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return type(error).__name__
    name = trace.tb_frame.f_code.co_filename
    return f"{type(error).__name__} at {os.path.basename(name)}:{trace.tb_lineno}"


def run() -> NoReturn:
    """The entry point `popbridge`."""
    sys.exit(main(sys.argv[1:]))
