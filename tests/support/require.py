"""Real peers: in CI a missing one is a failure, elsewhere its tests are skipped."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import NoReturn

import pytest


def require(program: str) -> str:
    """The path of a peer's program. In CI a missing one is a failure, elsewhere a skip."""
    found = shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin")
    if found is None:
        missing(program)
    return found


def require_file(path: str) -> None:
    """As `require`, for what a peer's package brings beside programs."""
    if not Path(path).exists():
        missing(path)


def missing(what: str) -> NoReturn:
    """Fails in CI, skips elsewhere."""
    if os.environ.get("CI"):
        pytest.fail(f"{what} is missing, and CI must have it")
    pytest.skip(f"{what} is not installed")
