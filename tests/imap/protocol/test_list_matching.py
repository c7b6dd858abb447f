"""LIST patterns against names."""

from __future__ import annotations

import time

import pytest

from bridge.imap.protocol.list import matches


@pytest.mark.parametrize(
    ("pattern", "name", "expected"),
    [
        ("*", "", True),
        ("*", "a/b", True),
        ("%", "", True),
        ("%", "a", True),
        ("%", "a/b", False),
        ("%/%", "a/b", True),
        ("%/%", "a/b/c", False),
        ("a/%", "a/", True),
        ("a/%", "a", False),
        ("a*c", "a/b/c", True),
        ("a%c", "a/b/c", False),
        ("*%", "a/b", True),
        ("%*", "a/b", True),
        ("", "", True),
        ("", "a", False),
        ("a", "", False),
        ("A", "a", False),
        ("inbox", "INBOX", True),
        ("InB%", "INBOX", True),
        ("inbox/%", "INBOX/child", True),
        ("inbox/CHILD", "INBOX/child", False),
        ("inboxes", "INBOXES", False),
        ("*\0", "a", False),
        ("日*", "日本", True),
    ],
)
def test_matches(pattern: str, name: str, expected: bool) -> None:
    assert matches(pattern, name) is expected


def test_another_delimiter() -> None:
    assert matches("%", "a/b", ".")
    assert not matches("%", "a.b", ".")


@pytest.mark.case("I041")
def test_no_pattern_is_exponential() -> None:
    name = "a/" * 400 + "b"
    started = time.perf_counter()
    assert not matches("%*a" * 300 + "c", name)
    assert not matches("*%*%*%*%*%*" * 80 + "x", name)
    assert matches("*" * 1000, name)
    assert time.perf_counter() - started < 5  # exponential matching never ends


@pytest.mark.case("I041")
def test_many_mailboxes() -> None:
    names = [f"archive/{year}/{number:04}" for year in range(10) for number in range(1000)]
    started = time.perf_counter()
    assert sum(matches("%*%*%*%*%*7", name) for name in names) == 1000
    assert time.perf_counter() - started < 5  # about 0.03 s on a quiet core
