"""Every sink that the client opens is closed, by the client or by whom it was given to."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.pop3.harness import MemorySink


@pytest.fixture(autouse=True)
def _no_sink_left_open() -> Iterator[None]:
    before = MemorySink.still_open
    yield
    assert MemorySink.still_open == before
