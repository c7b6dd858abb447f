"""One parent for all daemons that are forked, with the injector in it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faults.injector import built
from tests.support.nursery import Nursery


@pytest.fixture(scope="session")
def nursery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nursery]:
    with Nursery(built(tmp_path_factory.mktemp("injector"))) as nursery:
        yield nursery
