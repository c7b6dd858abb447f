"""The daemon may have as many open files as devices may connect, whatever it was started with."""

from __future__ import annotations

import resource
from collections.abc import Iterator

import pytest

from bridge import limits
from bridge.daemon import allow_open_files


@pytest.fixture
def hard() -> Iterator[int]:
    """The hard limit; the soft one is low, and as it was when the test is over."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (512, before[1]))
    yield before[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_the_soft_limit_is_raised_as_far_as_all_devices_need(
    hard: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "IMAP_CONNECTIONS", 600)
    allow_open_files()
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (1_600, hard)


def test_it_is_never_lowered(hard: int) -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    allow_open_files()
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard)


def test_the_hard_limit_is_not_passed(hard: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "IMAP_CONNECTIONS", hard * 2)
    allow_open_files()
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard)
