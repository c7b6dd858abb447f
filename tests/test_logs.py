"""The log: one event, one line, whatever a peer put into it."""

from __future__ import annotations

import io
import json
import logging
import re
from collections.abc import Iterator

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from bridge import logs
from tests.support import figures


@pytest.fixture(autouse=True)
def _put_back() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def test_a_line_for_people() -> None:
    out = io.StringIO()
    logs.configure(stream=out)
    logs.get_logger(account="me@gmx.de").info("poll", new=3, seconds=1.25, said="-ERR no", ok=True)
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ info account=me@gmx.de poll "
        r'new=3 seconds=1.25 said="-ERR no" ok=True\n',
        out.getvalue(),
    )


def test_a_line_for_machines() -> None:
    out = io.StringIO()
    logs.configure("json", stream=out)
    logs.get_logger(account="me@gmx.de").warning("poll", new=3, said=b"-ERR \x1b[2J\r\n")
    line = json.loads(out.getvalue())
    assert line.pop("time").endswith("Z")
    assert line == {
        "level": "warning",
        "event": "poll",
        "account": "me@gmx.de",
        "new": 3,
        "said": "-ERR \\x1b[2J\\r\\n",
    }


def test_other_libraries_come_out_in_the_same_form() -> None:
    out = io.StringIO()
    logs.configure(stream=out)
    logging.getLogger("uvicorn.error").warning("bad %s", "request\nline")
    assert out.getvalue().split(" ", 1)[1] == "warning bad request\\nline\n"


@pytest.mark.case("L001")
def test_an_exception_is_one_line() -> None:
    out = io.StringIO()
    logs.configure(stream=out)
    try:
        raise ValueError("no\nway")
    except ValueError:
        logs.get_logger().exception("failed")
    assert out.getvalue().count("\n") == 1
    assert "ValueError: no\\" in out.getvalue()


@pytest.mark.parametrize("log_format", ["logfmt", "json"])
@given(text=st.text() | st.binary())
@pytest.mark.case("L001")
def test_any_text_is_one_harmless_line(log_format: logs.LogFormat, text: str | bytes) -> None:
    """Whatever a peer said, the log gets one line of printable characters."""
    out = io.StringIO()
    logs.configure(log_format, stream=out)
    logs.get_logger(account=text).info("said", text=text, more=[text])
    assert out.getvalue().endswith("\n")
    assert out.getvalue()[:-1].isprintable()


@given(st.text() | st.binary(), st.integers(1, 50))
def test_printable_is_cut(text: str | bytes, most: int) -> None:
    """What is shown of any text is printable and at most `most` characters and a mark long."""
    shown = logs.printable(text, most)
    assert shown.isprintable()
    assert len(shown) <= most + 3


@pytest.mark.case("L001")
def test_a_megabyte_is_cut() -> None:
    assert logs.printable(b"\xff" * 1_000_000) == "\\xff" * 125 + "..."


@pytest.mark.case("L002")
def test_a_log_that_cannot_be_written_stops_nobody() -> None:
    class Full(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(28, "No space left on device")

    logs.configure(stream=Full())
    logs.get_logger().info("poll", new=1)
    out = io.StringIO()
    out.close()
    logs.configure(stream=out)
    logs.get_logger().info("poll", new=2)
    assert logging.getLogger().handlers


@pytest.mark.case("L003")
def test_what_repeats_is_counted() -> None:
    now = 0.0
    out = io.StringIO()
    logs.configure(stream=out, clock=lambda: now)
    log = logs.get_logger()
    for _ in range(1_000):
        log.info("login failed")
    log.info("poll")
    assert out.getvalue().count("login failed") == logs._REPEATS
    assert out.getvalue().count(" poll\n") == 1
    now = 61.0
    log.info("login failed")
    assert out.getvalue().endswith(f"login failed not_shown={1_000 - logs._REPEATS}\n")


@pytest.mark.case("L003")
def test_a_million_errors_a_minute_are_a_few_hundred_lines() -> None:
    """One event, and events of a thousand kinds: what fell is said in the next minute."""
    now = 0.0
    out = io.StringIO()
    logs.configure(stream=out, clock=lambda: now)
    let = logs._Repeats(lambda: now)
    record = logging.LogRecord("popbridge", logging.ERROR, "", 0, {"event": "no"}, (), None)
    written = sum(let.filter(record) for _ in range(1_000_000))
    assert written == logs._REPEATS
    log = logs.get_logger()
    for number in range(10_000):
        log.error(f"kind {number}")
    assert out.getvalue().count("\n") <= 1_001 + logs._REPEATS
    now = 61.0
    assert let.filter(record)
    assert record.msg == {"event": "no", "not_shown": 1_000_000 - logs._REPEATS}
    figures.note("errors within a minute", tried=1_000_000, written=written, counted=1_000_000)
