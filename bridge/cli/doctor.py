"""`popbridge doctor`: looks at everything that is known to go wrong, and says what to do."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from bridge.cli.common import ConfigOption, Exit, JsonOption, printable

if TYPE_CHECKING:
    from bridge.cli.findings import Finding


def doctor(
    config: ConfigOption = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Read the whole database and check every message.")
    ] = False,
    offline: Annotated[
        bool, typer.Option("--offline", help="Ask nobody in the net: no DNS, clock or providers.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Look at versions, config, permissions, clock, ports, DNS, certificate, disk and providers.

    Ends with 0 when all is well, 1 when something is to be done.
    """
    import asyncio
    from dataclasses import asdict

    from bridge.cli.findings import examine

    found = asyncio.run(examine(config, verify=verify, offline=offline))
    if as_json:
        print(json.dumps([asdict(each) | {"ok": each.is_well} for each in found], indent=2))
    else:
        _print(found)
    raise typer.Exit(Exit.OK if all(each.is_well for each in found) else Exit.ATTENTION)


def _print(found: Sequence[Finding]) -> None:
    for each in found:
        print(f"{'ok' if each.is_well else '!!'}  {each.topic:<12} {printable(each.said, 400)}")
        if each.next_step:
            print(f"    {'':<12} -> {printable(each.next_step, 400)}")
