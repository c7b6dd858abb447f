"""`popbridge status`: each account in one line, and what to do where something is wrong."""

from __future__ import annotations

import json
import time

import typer

from bridge.cli.common import ConfigOption, Exit, JsonOption, complain, print_table
from bridge.web.status import Status


def status(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Say how every account is. Ends with 0 when all is well, 1 when something needs attention."""
    from bridge.cli.control import ask
    from bridge.web.status import status_of_json

    said = ask(config, "GET", "/status")
    found = status_of_json(said)
    if as_json:
        print(json.dumps(said, indent=2))
    else:
        _print(found, int(time.time()))
    raise typer.Exit(Exit.ATTENTION if found.needs_attention else Exit.OK)


def _print(status: Status, now: int) -> None:
    columns = ("account", "state", "last success", "next poll", "listed", "stored")
    rows = [
        (
            each.account.address,
            each.state,
            span(each.account.last_success, now),
            span(each.next_poll, now),
            each.account.listed,
            each.account.stored,
        )
        for each in status.accounts
    ]
    print_table(columns, rows)
    for each in status.accounts:
        account = each.account
        if account.error:
            said = f"{account.address}: {account.error}"
            complain("; ".join(filter(None, (said, account.advice))))
    if not status.database_ok:
        complain("the database does not answer; look at the daemon's log")
    connections = f"{status.sessions} connection{'s' * (status.sessions != 1)}"
    print(f"popbridge {status.version}, {' '.join(status.listening)}, {connections}")


def span(moment: int | None, now: int) -> str:
    """`3 min ago`, `in 2 h`, `now`, `-` for never."""
    if moment is None:
        return "-"
    seconds = abs(moment - now)
    if seconds < 2:
        return "now"
    for unit, name in ((86400, "d"), (3600, "h"), (60, "min"), (1, "s")):
        if seconds >= 2 * unit or unit == 1:
            amount = f"{seconds // unit} {name}"
            return f"{amount} ago" if moment < now else f"in {amount}"
    raise AssertionError("every span has a unit")
