"""The daemon with timeouts of a second or two, for tests in which time must run out.

python -m tests.faults.hurried config.yaml
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from bridge import daemon, limits

SECONDS = 1.0


def main(arguments: Sequence[str]) -> int:
    (config,) = arguments
    limits.POP3_REPLY_SECONDS = limits.POP3_SLOWEST_SECONDS = SECONDS
    limits.IMAP_AUTOLOGOUT_SECONDS = limits.IMAP_WRITE_SECONDS = SECONDS
    return daemon.run(Path(config))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
