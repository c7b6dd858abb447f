"""A house for each test; when the test is over everything in it is counted again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.store.conftest import recount
from tests.transfer.house import House


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    folder = tmp_path / "data"
    found = await House.open(folder)
    yield found
    await found.store.close()
    assert recount(folder) == []
