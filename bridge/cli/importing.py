"""`popbridge import`: mail from files or from another IMAP account moves in."""

from __future__ import annotations

import asyncio
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
    if kind is From.IMAP:
        raise Failure(Exit.USAGE, "import imap comes later")
    code = asyncio.run(
        _files(kind, Path(source), login, mailbox, variant, seen, dry_run, config, as_json)
    )
    raise typer.Exit(code)


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
    from bridge.transfer.marks import mailbox_name
    from bridge.transfer.sources import BadSource, Source
    from bridge.transfer.tally import Tally

    try:
        source = Source(
            path,
            cast("Format", kind.value),
            None if mailbox is None else mailbox_name(mailbox.split("/")),
            variant.value,
        )
    except BadSource as error:
        raise Failure(Exit.USAGE, str(error)) from None
    tally = Tally(doing=f"importing {path.name}")
    async with open_door(config, login) as (door, spool_dir):
        tally.todo_octets = await asyncio.to_thread(source.octets)
        with shown(tally, quiet=as_json):
            await import_files(door, source, tally, spool_dir, dry=dry, seen=seen)
    return conclude(tally, "would be imported" if dry else "imported", as_json=as_json)
