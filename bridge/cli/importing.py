"""`popbridge import`: mail from files or from another IMAP account moves in."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from bridge.cli.common import ConfigOption, Exit, Failure, JsonOption

if TYPE_CHECKING:
    from bridge.transfer.sources import Format


class From(enum.StrEnum):
    """What can be imported."""

    MBOX = "mbox"
    MAILDIR = "maildir"
    EML = "eml"
    THUNDERBIRD = "thunderbird"
    IMAP = "imap"


class Dialect(enum.StrEnum):
    """The dialects of mbox."""

    AUTO = "auto"
    RD = "rd"
    O = "o"  # noqa: E741  that is its name
    CL = "cl"
    CL2 = "cl2"


LoginOption = Annotated[
    str, typer.Option("--login", metavar="LOGIN", help="Whose mail it is: a login of the config.")
]
DryRunOption = Annotated[
    bool, typer.Option("--dry-run", help="Say what would be done, and change nothing.")
]


def import_mail(
    kind: Annotated[From, typer.Argument(metavar="KIND", help=", ".join(From))],
    source: Annotated[
        str,
        typer.Argument(help="A file or folder; for imap: imaps://USER@HOST[:PORT]."),
    ],
    login: LoginOption,
    mailbox: Annotated[
        str | None,
        typer.Option(
            help="Where it goes: what was in the inbox, and below it all other folders.",
            show_default="the folders of the source, from INBOX",
        ),
    ] = None,
    password_file: Annotated[
        Path | None,
        typer.Option(help="For imap: the file with the password.", show_default=False),
    ] = None,
    ca_file: Annotated[
        Path | None,
        typer.Option(help="For imap: a private CA, in PEM.", show_default=False),
    ] = None,
    variant: Annotated[
        Dialect, typer.Option(help="For mbox: its dialect, where guessing is wrong.")
    ] = Dialect.AUTO,
    seen: Annotated[bool, typer.Option("--seen", help="Mark everything as read.")] = False,
    dry_run: DryRunOption = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Import mail: mbox, maildir, eml, thunderbird (a profile) or imap (another account).

    A message that is there, also by POP3, is not doubled: run it again after it was stopped.
    """
    from bridge.transfer.marks import mailbox_name

    into = None if mailbox is None else mailbox_name(mailbox.split("/"))
    if kind is From.IMAP:
        work = _imap(source, password_file, ca_file, login, into, seen, dry_run, config, as_json)
    else:
        work = _files(kind, Path(source), login, into, variant, seen, dry_run, config, as_json)
    import asyncio

    raise typer.Exit(asyncio.run(work))


async def _imap(
    url: str,
    password_file: Path | None,
    ca_file: Path | None,
    login: str,
    mailbox: str | None,
    seen: bool,
    dry: bool,
    config: Path | None,
    as_json: bool,
) -> Exit:
    from bridge.cli.door import open_door
    from bridge.cli.moving import journal_of, password_of, server_of
    from bridge.cli.progress import conclude, shown
    from bridge.config import find, load
    from bridge.transfer.imap_push import PushStopped
    from bridge.transfer.imap_source import Puller
    from bridge.transfer.tally import Tally

    server = server_of(url, ca_file)
    password = password_of(password_file, "--password-file")
    tally = Tally(doing=f"importing from {server}")
    stopped = False
    async with open_door(config, login) as (door, spool_dir):
        way = f"import {mailbox or ''}"
        journal = journal_of(load(find(config)).data_dir, way, login, server)
        puller = Puller(
            door, server, password, journal, tally, spool_dir,
            mailbox=mailbox, dry=dry, seen=seen,
        )  # fmt: skip
        try:
            with shown(tally, quiet=as_json):
                await puller.run()
        except PushStopped as error:
            stopped = True
            tally.note(str(error))
        finally:
            journal.close()
    code = conclude(tally, "would be imported" if dry else "imported", as_json=as_json)
    return Exit.TRY_LATER if stopped else code


async def _files(
    kind: From,
    path: Path,
    login: str,
    mailbox: str | None,
    variant: Dialect,
    seen: bool,
    dry: bool,
    config: Path | None,
    as_json: bool,
) -> Exit:
    from bridge.cli.door import open_door
    from bridge.cli.progress import conclude, shown
    from bridge.transfer.importing import import_files
    from bridge.transfer.sources import BadSource, Source
    from bridge.transfer.tally import Tally

    try:
        source = Source(
            path,
            cast("Format", kind.value),
            mailbox,
            variant.value,
        )
    except BadSource as error:
        raise Failure(Exit.USAGE, str(error)) from None
    tally = Tally(doing=f"importing {path.name}")
    async with open_door(config, login) as (door, spool_dir):
        import asyncio

        tally.todo_octets = await asyncio.to_thread(source.octets)
        with shown(tally, quiet=as_json):
            await import_files(door, source, tally, spool_dir, dry=dry, seen=seen)
    return conclude(tally, "would be imported" if dry else "imported", as_json=as_json)
