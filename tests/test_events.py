"""The last lines of the log in memory: what they show, and how many."""

from __future__ import annotations

import io
from collections.abc import Iterator

import pytest

from bridge import limits, logs
from bridge.events import Recent
from bridge.web.page import Event


@pytest.fixture
def recent() -> Iterator[Recent]:
    logs.configure(stream=io.StringIO())
    listening = Recent(wall=lambda: 100.5)
    listening.install()
    yield listening
    listening.remove()
    logs.configure(stream=io.StringIO())


def test_what_is_shown(recent: Recent) -> None:
    log = logs.get_logger()
    log.info("poll", account="me@gmx.de", new=3, seconds=1.25)
    log.warning("poll failed", account="me@gmx.de", error="-ERR \x1b[2Jno\r\n")
    log.debug("nothing for people")
    assert recent.newest() == (
        Event(100, "warning", "me@gmx.de", "poll failed error=-ERR \\x1b[2Jno\\r\\n"),
        Event(100, "info", "me@gmx.de", "poll new=3 seconds=1.25"),
    )


def test_the_last_ones_are_kept(recent: Recent) -> None:
    for number in range(limits.EVENTS + 5):
        logs.get_logger().info(f"event {number}")
    kept = recent.newest()
    assert len(kept) == limits.EVENTS
    assert kept[0].text == f"event {limits.EVENTS + 4}"
    assert kept[-1].text == "event 5"


def test_a_trace_is_for_the_log_alone(recent: Recent) -> None:
    try:
        raise ValueError("inside")
    except ValueError:
        logs.get_logger(account="me@gmx.de").exception("poll failed")
    (event,) = recent.newest()
    assert event == Event(100, "error", "me@gmx.de", "poll failed")
