"""Which system call of a daemon is broken, and how: the words that `injector.c` understands.

    async with DaemonProcess(config, broken(nursery, Fault("fdatasync", data, 3, error=EIO))):

Rule: what counts is decided here alone. Of files, calls on those in `folder`; `tell` is whatever
goes to a peer over a socket. Log lines and the pipes by which threads wake each other are none.
"""

from __future__ import annotations

import subprocess
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from tests.support.nursery import Forked, Nursery
from tests.support.require import require

CHANGES = ("pwrite64", "fdatasync", "fsync", "ftruncate", "write", "create", "rename", "unlink")
"""The calls that change a file. `create` is `open` with O_CREAT; `rename` is also `link`."""
HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Fault:
    """The `first`th call of this kind, and the `times` - 1 after it (0: all), fail with `error`;
    without one the process is killed where it would enter the call. `call` may be "change": any
    of CHANGES, and "tell"."""

    call: str
    folder: Path
    first: int
    times: int = 1
    error: int = 0

    def __str__(self) -> str:
        return f"{self.call} {self.folder} {self.first} {self.times} {self.error}"


def built(folder: Path) -> Path:
    """The library, made in `folder`."""
    library = folder / "injector.so"
    command = (require("cc"), "-shared", "-fPIC", "-O1", "-o", library, HERE / "injector.c", "-ldl")
    subprocess.run(command, check=True)
    return library


def broken(
    nursery: Nursery, fault: Fault | None, *, report: Path | None = None
) -> Callable[[Path], Awaitable[Forked]]:
    """A program for `DaemonProcess`, with this fault. `report` gets a line a call that counts."""
    inject = "" if fault is None else str(fault)
    return lambda config: nursery.start(
        ("run", "--config", str(config)), inject=inject, report=report
    )
