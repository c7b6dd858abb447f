"""`popbridge log deletes`: what was deleted at the providers, and why."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from bridge.cli.common import ConfigOption, JsonOption, print_table

if TYPE_CHECKING:
    from bridge.web.status import Json

log = typer.Typer(help="What happened: deletes.", no_args_is_help=True)


@log.callback()
def _log() -> None:
    """What happened: deletes."""


@log.command()
def deletes(
    address: Annotated[
        str | None, typer.Argument(help="The account; all of them without it.", show_default=False)
    ] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Every message that was deleted at a provider, the newest first.

    The outcome is done (the provider confirmed it), asked (it did not) or refused.
    """
    from bridge.cli.control import ask, target

    said = ask(config, "GET", target("/deletes", address=address))
    print_deletes(said, as_json=as_json, none="nothing was deleted at a provider")


def print_deletes(said: Json, *, as_json: bool, none: str) -> None:
    """A list of `bridge.web.status.delete_json`, as a table or as it is."""
    if as_json:
        print(json.dumps(said, indent=2))
        return
    found = [each for each in said if isinstance(each, Mapping)] if isinstance(said, list) else []
    if not found:
        print(none)
        return
    columns = ("at", "account", "uidl", "bytes", "outcome", "reason")
    keys = ("at", "address", "uidl", "size", "outcome", "reason")
    print_table(
        columns,
        [
            [value if isinstance(value := each.get(key), int) else str(value) for key in keys]
            for each in found
        ],
    )
