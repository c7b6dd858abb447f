"""`popbridge --help` answers at once: it imports what it prints, nothing of what it describes."""

from __future__ import annotations

import resource
import subprocess
import sys

SECONDS = 0.3
HEAVY = (
    "asyncio",
    "ssl",
    "pydantic",
    "structlog",
    "httpx2",
    "cryptography",
    "sqlite3",
    "yaml",
    "rich",
)


def test_help_takes_less_than_300_ms() -> None:
    """Of processor time, so that a busy machine does not count; the best of three."""

    def once() -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-m", "bridge", "--help"], capture_output=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    assert min(once() for _ in range(3)) < SECONDS


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom bridge.cli.main import main\nmain(['--help'])\n"
        f"print('loaded:', *(name for name in {HEAVY!r} if name in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert done.stdout.rstrip().endswith("loaded:")
