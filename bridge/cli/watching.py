"""Waiting for polls: on a terminal, one line says how far they are.

Rules: the line is on stderr, is written over itself, and is gone before the result is printed;
nothing of it where stderr is no terminal. What the daemon does not tell costs the line, never the
poll.
"""

from __future__ import annotations

import shutil
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from bridge.cli.common import Failure
from bridge.cli.control import ask
from bridge.cli.status import progress
from bridge.logs import printable
from bridge.web.status import AccountStatus, Json, status_of_json

EVERY_SECONDS = 1.0
_CLEAR = "\r\x1b[K"


def ask_and_watch(config: Path | None, target: str) -> Json:
    """POSTs, waits for however long it takes, and shows the progress of polls meanwhile. Raises
    Failure."""
    if not sys.stderr.isatty():
        return ask(config, "POST", target, seconds=None)
    done = threading.Event()
    watcher = threading.Thread(target=_watch, args=(config, done), daemon=True)
    watcher.start()
    try:
        return ask(config, "POST", target, seconds=None)
    finally:
        done.set()
        watcher.join()


def _watch(config: Path | None, done: threading.Event) -> None:
    shown = False
    while not done.wait(EVERY_SECONDS):
        try:
            line = line_of(status_of_json(ask(config, "GET", "/status")).accounts)
        except (Failure, ValueError):
            continue
        width = shutil.get_terminal_size().columns - 1
        sys.stderr.write(_CLEAR + line[:width])
        sys.stderr.flush()
        shown = True
    if shown:
        sys.stderr.write(_CLEAR)
        sys.stderr.flush()


def line_of(accounts: Sequence[AccountStatus]) -> str:
    """`me@gmx.de: fetching 812 of 2,143 messages, ...; 3 more are polled, 7 wait`: the account with
    the most to do."""
    polled = [each for each in accounts if each.progress is not None]
    polled.sort(key=lambda each: -(each.progress.todo if each.progress is not None else 0))
    waiting = sum(1 for each in accounts if each.state == "waiting")
    words: list[str] = []
    if polled and polled[0].progress is not None:
        name = printable(polled[0].account.address)
        words.append(f"{name}: {progress(polled[0].progress)}")
    if len(polled) > 1:
        words.append(f"{len(polled) - 1} more {'is' if len(polled) == 2 else 'are'} polled")
    if waiting:
        words.append(f"{waiting} wait{'s' * (waiting == 1)}")
    return ", ".join(words)
