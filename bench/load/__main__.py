"""Loads: thousands of idle devices, hundreds at work beside polls, a mailbox of a million messages.

    python -m bench.load [idle] [busy] [large] [--small] [--peers] [--output FILE]

popbridge is a process of its own, the devices are others, so that its memory is read alone. What is
printed are figures, with the goals beside them; `lost` and `doubled` are counted by another client.
The mailbox of a million messages is made at the first run and kept (`bench.stores`).
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from bench.crowd import raise_open_files
from bench.load import busy, idle, large
from bench.load.report import Row, markdown, note

LOADS = ("idle", "busy", "large")


@dataclass(frozen=True)
class Size:
    """How much of everything."""

    devices: int = 5_000
    sessions: int = 200
    accounts: int = 50
    messages: int = 100  # of an account
    seconds: int = 15
    mailbox: int = 1_000_000


SMALL = Size(devices=300, sessions=20, accounts=5, messages=20, seconds=3, mailbox=50_000)


def measured(folder: Path, loads: list[str], size: Size, *, peers: bool) -> list[Row]:
    """Of the loads that are asked for, one after the other."""
    rows: list[Row] = []
    for load in loads:
        print(f"load: {load}", file=sys.stderr, flush=True)
        if load == "idle":
            rows += idle.rows(folder, size.devices, peers=peers)
        elif load == "busy":
            given = size.sessions, size.accounts, size.messages, size.seconds
            rows += busy.rows(folder, *given)
        else:
            rows += large.rows(folder, size.mailbox)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.load")
    parser.add_argument("loads", nargs="*", metavar="LOAD", help=f"of {', '.join(LOADS)}")
    parser.add_argument("--small", action="store_true", help="a minute")
    parser.add_argument("--peers", action="store_true", help="Dovecot beside it, where it can be")
    parser.add_argument("--output", type=Path, help="a file for the table, as Markdown")
    options = parser.parse_args()
    if unknown := set(options.loads) - set(LOADS):
        parser.error(f"no such load: {', '.join(sorted(unknown))}")
    raise_open_files()
    with tempfile.TemporaryDirectory(prefix="popbridge-load-") as folder:
        size = SMALL if options.small else Size()
        rows = measured(Path(folder), options.loads or list(LOADS), size, peers=options.peers)
    note(rows)
    text = markdown(rows)
    print(text)
    if options.output:
        options.output.write_text(text + "\n")
    # A message that is gone is no figure beside others.
    sys.exit(any(row.missed for row in rows if row.what in ("lost", "doubled")))


if __name__ == "__main__":
    main()
