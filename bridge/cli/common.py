"""What the commands share: exit codes, the one error, the options, tables.

Rule of all modules with commands: what a command needs is imported when it runs. `popbridge --help`
and the commands that only ask the daemon pay for nothing else.
"""

from __future__ import annotations

import enum
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, TypeAlias

import typer


class Exit(enum.IntEnum):
    """What a command ends with: sysexits.h, and 1 for `status` when something needs a look."""

    OK = 0
    ATTENTION = 1
    USAGE = 64
    UNAVAILABLE = 69
    TRY_LATER = 75
    PERMISSION = 77
    CONFIG = 78


class Failure(Exception):
    """A command cannot do it: one sentence for a person, and the exit code."""

    def __init__(self, code: Exit, text: str) -> None:
        super().__init__(text)
        self.code = code


class TlsWord(enum.StrEnum):
    """`bridge.model.Security`, without the price of importing it for --help."""

    tls = "tls"
    starttls = "starttls"
    none = "none"


ConfigOption: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        metavar="FILE",
        help="The config file; else $POPBRIDGE_CONFIG, $XDG_CONFIG_HOME/popbridge/config.yaml, "
        "/etc/popbridge/config.yaml.",
        show_default=False,
    ),
]
JsonOption: TypeAlias = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


def printable(text: str, most: int = 500) -> str:
    """`bridge.logs.printable`, imported when there is something to print."""
    from bridge import logs

    return logs.printable(text, most)


def complain(text: str) -> None:
    """One line on stderr, whatever a server put into it."""
    print(printable(text, 2_000), file=sys.stderr, flush=True)


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str | float]]) -> None:
    """With colours and lines on a terminal, plain aligned words otherwise. Numbers go right."""
    shown = [[_cell(cell) for cell in row] for row in rows]
    numbers = [
        bool(rows) and not any(isinstance(row[index], str) for row in rows)
        for index in range(len(columns))
    ]
    if sys.stdout.isatty():
        _print_rich(columns, shown, numbers)
        return
    widths = [max(map(len, column)) for column in zip(columns, *shown, strict=True)]
    for row in ([name.upper() for name in columns], *shown):
        cells = zip(row, widths, numbers, strict=True)
        line = "  ".join(
            cell.rjust(width) if number else cell.ljust(width) for cell, width, number in cells
        )
        print(line.rstrip())


def _cell(cell: str | float) -> str:
    return f"{cell:.1f}" if isinstance(cell, float) else printable(str(cell))


def _print_rich(
    columns: Sequence[str], rows: Sequence[Sequence[str]], numbers: Sequence[bool]
) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    colours = {"up to date": "green", "polling": "cyan", "needs attention": "bold red"}
    table = Table(box=box.SIMPLE_HEAD)
    for name, number in zip(columns, numbers, strict=True):
        table.add_column(name, justify="right" if number else "left")
    for row in rows:
        table.add_row(*(Text(cell, colours.get(cell, "")) for cell in row))
    Console().print(table)
