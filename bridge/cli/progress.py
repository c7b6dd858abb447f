"""What a transfer shows on the way, and how it ends: a bar on a terminal, one line or JSON."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator

from bridge.cli.common import Exit, complain
from bridge.transfer.tally import Tally


@contextlib.contextmanager
def shown(tally: Tally, *, quiet: bool) -> Iterator[None]:
    """A bar on stderr while the block runs, on a terminal only."""
    if quiet or not sys.stderr.isatty():
        yield
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.fields[figures]}", markup=False),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None, figures="")

        def step(now: Tally) -> None:
            rate = now.seen / now.seconds if now.seconds > 0 else 0.0
            total, done = (now.todo_octets, now.octets) if now.todo_octets else (now.todo, now.seen)
            bar.update(
                task,
                description=now.doing,
                total=total or None,
                completed=done,
                figures=f"{now.seen} seen, {now.done} done, {rate:.0f}/s",
            )

        tally.on_step = step
        step(tally)
        yield


def conclude(tally: Tally, what: str, *, as_json: bool) -> Exit:
    """Prints the end, and gives the exit code: 1 where something failed."""
    if as_json:
        print(json.dumps(tally.json()))
    else:
        print(
            f"{tally.seen} messages: {tally.done} {what}, {tally.already} were there already, "
            f"{tally.failed} failed; {tally.seconds:.1f} s"
        )
        for why, count in tally.skipped.items():
            complain(f"left out: {count} x {why}")
        for note in tally.notes:
            complain(note)
    return Exit.ATTENTION if tally.failed else Exit.OK
