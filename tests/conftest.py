"""What holds for all tests: a busy machine is no failure, so hypothesis has no deadline; and what
our IMAP endpoint says is IMAP, whoever asks."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.support.judge import judged

settings.register_profile("popbridge", deadline=None)
settings.load_profile("popbridge")


@pytest.fixture(autouse=True)
def rejected() -> Iterator[list[str]]:
    """What a second parser did not take for IMAP, of all that was said in a test: nothing."""
    with judged() as rejected:
        yield rejected
    assert rejected == []
