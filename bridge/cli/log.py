"""`popbridge log`: the last events; `popbridge log deletes`: what was deleted at providers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from bridge.cli.common import ConfigOption, JsonOption, print_table, printable

if TYPE_CHECKING:
    from bridge.web.status import Json

log = typer.Typer()


@log.callback(invoke_without_command=True)
def _log(
    context: typer.Context,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """The last events of the running daemon, the newest last. They begin anew with each start;
    the daemon's own output has them all."""
    if context.invoked_subcommand is not None:
        return
    from bridge.cli.control import ask

    said = ask(config, "GET", "/events")
    if as_json:
        print(json.dumps(said, indent=2))
        return
    found = [each for each in said if isinstance(each, Mapping)] if isinstance(said, list) else []
    for each in reversed(found):
        words = (each.get(key) for key in ("at", "level", "account", "text"))
        print(printable(" ".join(str(word) for word in words if word), 2_000))
    if not found:
        print("nothing happened yet")


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
