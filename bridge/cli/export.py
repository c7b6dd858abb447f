"""`popbridge export`: all mail of a login moves out, into files that other programs read."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Annotated

import typer

from bridge.cli.common import ConfigOption, Exit, JsonOption
from bridge.cli.importing import LoginOption


class To(enum.StrEnum):
    """What can be exported to."""

    MBOX = "mbox"
    MAILDIR = "maildir"
    EML = "eml"


def export(
    kind: Annotated[To, typer.Argument(metavar="KIND", help=", ".join(To))],
    target: Annotated[Path, typer.Argument(help="The folder; it is made when missing.")],
    login: LoginOption,
    mailbox: Annotated[
        str | None,
        typer.Option(help="This mailbox alone, and what lies below it.", show_default="all"),
    ] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Export mail as mbox, maildir or eml: bytes, flags, keywords, dates and folders.

    Everything is read back and compared at the end. Run it again to add what is new.
    """
    import asyncio

    raise typer.Exit(asyncio.run(_export(kind, target, login, mailbox, config, as_json)))


async def _export(
    kind: To, target: Path, login: str, mailbox: str | None, config: Path | None, as_json: bool
) -> Exit:
    from bridge.cli.door import open_door
    from bridge.cli.progress import conclude, shown
    from bridge.transfer.exporting import export_files
    from bridge.transfer.tally import Tally

    tally = Tally(doing="exporting")
    async with open_door(config, login) as (door, spool_dir):
        with shown(tally, quiet=as_json):
            await export_files(
                door,
                kind.value,
                target,
                tally,
                spool_dir,
                mailbox=mailbox,
            )
    return conclude(tally, "exported", as_json=as_json)
