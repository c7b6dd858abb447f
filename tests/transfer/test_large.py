"""E001: a very large mbox is read with little memory, and what is too large hides no neighbour.

    POPBRIDGE_MBOX_GB=4 pytest tests/transfer/test_large.py -s

Half of the file is one message, a hole in the file; the other half are messages of 1 MB (a small
part of it where no size is asked for).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.house import ADDRESS, write_config

GIGABYTES = float(os.environ.get("POPBRIDGE_MBOX_GB", "0"))
LINE = b"From a@example.org Thu Nov  5 10:00:00 2026\n"
MOST_RSS = 160 * 1024 * 1024  # octets; Python and our modules alone take 70 MB

# VmHWM, not ru_maxrss: that one is never below what the process had that started this one.
_MEASURED = """
import sys
from bridge.cli.main import main
main(sys.argv[1:])
lines = open("/proc/self/status").read().splitlines()
print(next(line.split()[1] for line in lines if line.startswith("VmHWM")), file=sys.stderr)
"""


@pytest.mark.case("E001")
@pytest.mark.timeout(120 + 300 * GIGABYTES)
def test_memory_stays_while_the_file_grows(tmp_path: Path) -> None:
    pop3 = {"host": "127.0.0.1", "port": 1, "security": "none", "username": "u", "password": "p"}
    account: dict[str, object] = {"address": ADDRESS, "pop3": pop3}
    config = write_config(tmp_path, [account])
    hole = int(GIGABYTES * 2**29) or 300 * 1024 * 1024
    messages = int(GIGABYTES * 2**29) // 2**20 or 40
    line = b"x" * 77 + b"\n"
    path = tmp_path / "large.mbox"
    with path.open("wb") as file:
        for number in range(messages):
            file.write(LINE + b"Subject: %d\n\n" % number + line * (2**20 // len(line)) + b"\n")
            if number == messages // 2:
                file.write(LINE + b"Subject: a hole\n\n")
                file.seek(hole, os.SEEK_CUR)
                file.write(b"\n\n")
    command = ("import", "mbox", str(path), "--login", ADDRESS, "--config", str(config), "--json")
    started = time.monotonic()
    ended = subprocess.run(
        [sys.executable, "-c", _MEASURED, *command], capture_output=True, check=True, text=True
    )
    seconds = time.monotonic() - started
    said = json.loads(ended.stdout)
    size = path.stat().st_size
    rss = int(ended.stderr.split()[-1]) * 1024
    print(
        f"\n{size / 2**30:.2f} GiB, {messages + 1} messages in {seconds:.0f} s, at most "
        f"{rss / 2**20:.0f} MiB of memory; {said['notes']}"
    )
    assert (said["seen"], said["done"], said["failed"]) == (messages + 1, messages, 1)
    assert "larger than popbridge takes" in said["notes"][0]
    assert rss < MOST_RSS
