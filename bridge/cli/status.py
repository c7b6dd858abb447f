"""`popbridge status`: each account in one line, and what to do where something is wrong."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import typer

from bridge.cli.common import ConfigOption, Exit, JsonOption, complain, print_table, printable

if TYPE_CHECKING:
    from bridge.model import Progress
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
    from bridge.web.page import Facts, screen

    shown = screen(Facts(status), "en", now)
    print(shown.headline)
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
        if each.progress is not None:
            print(f"{printable(account.address)}: {progress(each.progress)}")
        elif each.waits:
            print(f"{printable(account.address)}: {printable(each.waits)}")
        if account.notice:
            complain(f"{account.address}: {account.notice}")
        if account.error:
            said = f"{account.address}: {account.error}"
            complain("; ".join(filter(None, (said, account.advice))))
    if not status.database_ok:
        complain("the database does not answer; look at the daemon's log")
    if shown.devices:
        devices = " · ".join(f"{each.name} ({each.seen})" for each in shown.devices)
        print(f"Devices: {printable(devices, 2_000)}")
    if shown.storage:
        print(f"Storage: {shown.storage}")
    connections = f"{status.sessions} connection{'s' * (status.sessions != 1)}"
    print(f"popbridge {status.version}, {' '.join(status.listening)}, {connections}")


def progress(found: Progress) -> str:
    """`fetching 812 of 2,143 messages, 498.0 of 1,300.0 MB, 3.1 MB/s, about 4 min left`."""
    if not found.todo:
        return printable(found.doing)
    said = (
        f"{printable(found.doing)} {found.done:,} of {found.todo:,} messages, "
        f"{found.octets / 1e6:,.1f} of {found.todo_octets / 1e6:,.1f} MB, "
        f"{found.rate / 1e6:,.1f} MB/s"
    )
    left = found.seconds_left
    if left is None:
        return said
    return f"{said}, about {f'{left / 60:.0f} min' if left >= 90 else f'{left:.0f} s'} left"


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
