"""What a process and its children have used, as Linux tells it in /proc."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


def family(first: int) -> list[int]:
    """A process and all that descend from it."""
    found = [first]
    for pid in found:  # grows while we walk
        with contextlib.suppress(OSError):
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
            found += map(int, children)
    return found


def cpu_seconds(pid: int) -> float:
    """Of the processor, those of its children that ended included; 0 of one that is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(map(int, fields[11:15])) / _TICKS


def kib(pid: int, file: str, key: str) -> int:
    """A figure of /proc/PID/FILE; 0 of a process that is gone."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/{file}").read_text().splitlines():
            if line.startswith(f"{key}:"):
                return int(line.split()[1])
    return 0


def processor() -> str:
    """The name of what this machine has."""
    with contextlib.suppress(OSError), open("/proc/cpuinfo") as file:
        for line in file:
            if "model name" in line:
                return line.split(":")[1].strip()
    return os.uname().machine
