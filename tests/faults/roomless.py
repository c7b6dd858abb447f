"""The daemon without its reserve of free space, so that a disk of a test gets really full.

python -m tests.faults.roomless config.yaml
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from bridge import daemon, limits


def main(arguments: Sequence[str]) -> int:
    (config,) = arguments
    limits.DISK_RESERVE = 0
    return daemon.run(Path(config))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
