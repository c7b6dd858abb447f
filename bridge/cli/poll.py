"""`popbridge poll`: ask the running daemon to poll now, and wait; or ask what it would delete."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from bridge.cli.common import ConfigOption, Exit, JsonOption, complain, print_table, printable
from bridge.cli.log import print_deletes

if TYPE_CHECKING:
    from bridge.model import PollReport

_CODES = {"auth": Exit.PERMISSION, "busy": Exit.TRY_LATER, "store": Exit.TRY_LATER}


def poll(
    address: Annotated[
        str | None, typer.Argument(help="The account; all of them without it.", show_default=False)
    ] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Poll nobody: list what keep_on_server would delete at the provider now.",
        ),
    ] = False,
) -> None:
    """Poll now and wait for the result; joins a poll that is under way, and on a terminal shows
    how far it is.

    Ends with 0 when every poll went well, else with 69 (server not reached or not understood),
    75 (try later) or 77 (login refused).
    """
    from bridge.cli.control import ask, target
    from bridge.cli.watching import ask_and_watch
    from bridge.web.status import reports_of_json

    if dry_run:
        said = ask(config, "GET", target("/deletes/planned", address=address))
        print_deletes(said, as_json=as_json, none="nothing would be deleted at a provider")
        return
    said = ask_and_watch(config, target("/poll", address=address))
    reports = reports_of_json(said)
    if as_json:
        print(json.dumps(said, indent=2))
    else:
        _print(reports)
    raise typer.Exit(_code(reports))


def _print(reports: Sequence[PollReport]) -> None:
    columns = ("account", "listed", "new", "relinked", "deleted", "failed", "bytes", "seconds")
    rows = [
        (
            each.address,
            each.listed,
            each.new,
            each.relinked,
            each.deleted,
            each.failed,
            each.octets,
            each.seconds,
        )
        for each in reports
    ]
    print_table(columns, rows)
    for each in reports:
        if each.left:
            print(f"{printable(each.address)}: {each.left:,} are left, and follow by themselves")
        if each.error:
            complain("; ".join(filter(None, (f"{each.address}: {each.error}", each.advice))))


def _code(reports: Sequence[PollReport]) -> Exit:
    """The code of the first error."""
    classes = [each.error_class for each in reports if each.error]
    return _CODES.get(classes[0], Exit.UNAVAILABLE) if classes else Exit.OK
