"""`popbridge migrate`: a login, or a POP3 account alone, goes to another IMAP server."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bridge.cli.common import ConfigOption, Exit, Failure, JsonOption
from bridge.cli.importing import DryRunOption

if TYPE_CHECKING:
    from bridge.cli.collecting import Maildrop
    from bridge.config import AccountConfig, Config
    from bridge.model import Secret
    from bridge.transfer.door import Door
    from bridge.transfer.imap_client import Server
    from bridge.transfer.tally import Tally


def migrate(
    address: Annotated[
        str | None,
        typer.Argument(
            help="A POP3 account: of the config, or any other; then no daemon is needed.",
            show_default=False,
        ),
    ] = None,
    to: Annotated[str, typer.Option("--to", metavar="URL", help="imaps://USER@HOST[:PORT]")] = "",
    to_password_file: Annotated[
        Path | None,
        typer.Option(help="The file with the password for --to.", show_default=False),
    ] = None,
    to_ca_file: Annotated[
        Path | None, typer.Option(help="A private CA for --to, in PEM.", show_default=False)
    ] = None,
    login: Annotated[
        str | None, typer.Option(help="A login of the config, with all its mailboxes.")
    ] = None,
    host: Annotated[
        str | None, typer.Option(help="The POP3 server of ADDRESS.", show_default="found")
    ] = None,
    port: Annotated[int | None, typer.Option(help="Its port.", show_default="995")] = None,
    security: Annotated[str, typer.Option(help="tls, starttls or none.")] = "tls",
    username: Annotated[
        str | None, typer.Option(help="Who logs in there.", show_default="ADDRESS")
    ] = None,
    password_file: Annotated[
        Path | None,
        typer.Option(help="The file with the POP3 password.", show_default=False),
    ] = None,
    ca_file: Annotated[
        Path | None, typer.Option(help="A private CA for --host.", show_default=False)
    ] = None,
    store: Annotated[
        Path | None,
        typer.Option(
            help="Where mail of ADDRESS is kept meanwhile, and stays.", show_default="nowhere"
        ),
    ] = None,
    most_per_second: Annotated[
        float, typer.Option(help="No more messages a second than this.", show_default="any")
    ] = 0.0,
    dry_run: DryRunOption = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Migrate to another IMAP server: folders, flags, keywords, dates; compared at the end.

    The provider's and the store's copies stay. Run it again after it was stopped, or to bring what
    is new: nothing is sent twice.
    """
    from bridge.cli.collecting import maildrop_of, of_config
    from bridge.cli.moving import password_of, server_of
    from bridge.transfer.tally import Tally

    if (address is None) == (login is None):
        raise Failure(Exit.USAGE, "say what is to be moved: an ADDRESS or --login LOGIN")
    if not to:
        raise Failure(Exit.USAGE, "say where it goes: --to imaps://USER@HOST")
    server = server_of(to, to_ca_file)
    settings = _config(config, needed=login is not None)
    maildrop: Maildrop | None = None
    if address is not None:
        account = _account(settings, address) if host is None else None
        if settings is None or account is None:
            maildrop = maildrop_of(address, host, port, security, username, ca_file, password_file)
        elif _polled(settings, address, config):
            login = account.login_name
        else:
            maildrop, store = of_config(account), settings.data_dir
    password = password_of(to_password_file, "--to-password-file")
    import asyncio

    code = asyncio.run(
        _run(
            login, maildrop, store, server, password, Tally(), most_per_second, dry_run, config,
            as_json,
        )
    )  # fmt: skip
    raise typer.Exit(code)


def _account(settings: Config | None, address: str) -> AccountConfig | None:
    accounts = settings.accounts if settings is not None else ()
    return next((each for each in accounts if each.address == address), None)


def _polled(settings: Config, address: str, config: Path | None) -> bool:
    """Has a daemon that runs collect what is new; False where none runs."""
    from bridge.cli.control import ask, target
    from bridge.cli.door import daemon_runs

    if not daemon_runs(settings):
        return False
    ask(config, "POST", target("/poll", address=address), seconds=None)
    return True


async def _run(
    login: str | None,
    maildrop: Maildrop | None,
    store: Path | None,
    server: Server,
    password: Secret,
    tally: Tally,
    most: float,
    dry: bool,
    config: Path | None,
    as_json: bool,
) -> Exit:
    from bridge.cli.door import open_door
    from bridge.cli.moving import journal_of
    from bridge.cli.progress import conclude, shown
    from bridge.config import find, load
    from bridge.spool import Spool
    from bridge.transfer.imap_push import Pusher, PushStopped

    async with contextlib.AsyncExitStack() as stack:
        stack.enter_context(shown(tally, quiet=as_json))
        if maildrop is not None:
            door, folder = await stack.enter_async_context(_collected(maildrop, store, tally))
            name = maildrop.login
        else:
            name = login or ""
            door, _ = await stack.enter_async_context(open_door(config, name))
            folder = load(find(config)).data_dir
        journal = journal_of(folder, "migrate", name, server)
        stack.callback(journal.close)
        pusher = Pusher(door, server, password, journal, tally, lambda: Spool(folder), most=most)
        stopped = ""
        try:
            await pusher.run(dry=dry)
        except PushStopped as error:
            stopped = str(error)
            tally.note(stopped)
    code = conclude(tally, "would be sent" if dry else "sent and compared", as_json=as_json)
    return Exit.TRY_LATER if stopped else code


@contextlib.asynccontextmanager
async def _collected(
    maildrop: Maildrop, store: Path | None, tally: Tally
) -> AsyncIterator[tuple[Door, Path]]:
    from bridge.cli.collecting import collected

    with contextlib.ExitStack() as stack:
        folder = store or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        async with collected(maildrop, folder, tally) as door:
            yield door, folder


def _config(path: Path | None, *, needed: bool) -> Config | None:
    """The config, where there is one. Raises ConfigError when it is needed, named or wrong."""
    from bridge.config import ConfigError, find, load

    try:
        found = find(path)
    except ConfigError:
        if needed or path is not None:
            raise
        return None
    if not needed and path is None and not found.exists():
        return None
    return load(found)
