"""The daemon as the power-cut tests run it: a checkpoint every few pages, to be cut too.

    python -m tests.faults.power_program FULL config.yaml

`NORMAL` instead of `FULL` is the control: a daemon that is wrong on purpose, because it lets SQLite
acknowledge a commit before it is on the disk.
"""

from __future__ import annotations

import sqlite3
import sys
from pathlib import Path
from typing import Any

from bridge import daemon
from bridge.store.sqlite import engine

CHECKPOINT_PAGES = 40

if __name__ == "__main__":
    level, config = sys.argv[1:]
    engine.CHECKPOINT_PAGES = CHECKPOINT_PAGES
    real = vars(engine)["connect"]

    def connect(path: Path, *, writer: bool, **named: Any) -> sqlite3.Connection:
        db: sqlite3.Connection = real(path, writer=writer, **named)
        if writer and level != "FULL":
            db.execute(f"PRAGMA synchronous = {level}")
        return db

    vars(engine)["connect"] = connect
    sys.exit(daemon.run(Path(config)))
