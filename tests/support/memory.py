"""The most memory that this process held, as Linux counts it.

before = forget_peak()
...
assert peak() - before < 32 * 1024 * 1024
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Self


def forget_peak() -> int:
    """Begins anew; returns the octets that are resident now."""
    Path("/proc/self/clear_refs").write_text("5")  # proc(5): resets VmHWM
    return _status("VmRSS")


def peak() -> int:
    """The most octets that were resident since then."""
    return _status("VmHWM")


class Sampled:
    """How much more memory of its own the process held at most, looked at 500 times a second.
    Pages of files, which the system takes back whenever it likes, do not count.

        with Sampled() as memory:
            ...
        assert memory.grown < 32 * 1024 * 1024
    """

    def __init__(self) -> None:
        self.grown = 0
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> Self:
        self._before = _status("RssAnon")
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._end.wait(0.002):
            self.grown = max(self.grown, _status("RssAnon") - self._before)


def _status(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    (line,) = [line for line in lines if line.startswith(f"{name}:")]
    return int(line.split()[1]) * 1024
