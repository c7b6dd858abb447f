"""The home of every case."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.pcases.home import Home


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[Home]:
    async with Home(tmp_path) as home:
        yield home
