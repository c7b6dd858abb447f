"""Questions to the person at the terminal, without holding up what runs beside them.

Rules: Ctrl-C ends the question and the command; what is typed for a password is not shown, and
the terminal shows again whatever happens.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import termios
from collections.abc import Iterator


async def answer(prompt: str, *, shown: bool = True) -> str:
    """One line from the terminal, without its end. Raises EOFError."""
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    with contextlib.nullcontext() if shown else _unseen():
        print(prompt, end="", flush=True)
        # A terminal is ready when a whole line is there.
        loop.add_reader(sys.stdin.fileno(), ready.set)
        try:
            await ready.wait()
            line = sys.stdin.readline()
        finally:
            loop.remove_reader(sys.stdin.fileno())
    if not shown:
        print()
    if not line:
        raise EOFError
    return line.rstrip("\r\n")


@contextlib.contextmanager
def _unseen() -> Iterator[None]:
    before = termios.tcgetattr(sys.stdin.fileno())
    quiet = list(before)
    quiet[3] &= ~termios.ECHO
    termios.tcsetattr(sys.stdin.fileno(), termios.TCSADRAIN, quiet)
    try:
        yield
    finally:
        termios.tcsetattr(sys.stdin.fileno(), termios.TCSADRAIN, before)
