"""Logs: one line an event on stdout, for people (logfmt) or for machines (JSON).

    2026-11-23T14:10:02Z info account=me@gmx.de poll new=3 seconds=1.2

Rules:
- One event, one line: `printable` takes newlines, ESC and whatever else moves a terminal out of
  every value, and cuts it. Whoever logs need not think of it.
- Never a subject, a sender, a password, a token: accounts, counts, and what a server answered.
- A log that cannot be written (disk full, pipe closed) never stops the daemon.
- What repeats too often within a minute is counted instead of written.
- The standard library's loggers (uvicorn, asyncio) come out in the same form.
"""

from __future__ import annotations

import contextlib
import json
import logging
import sys
import time
from collections.abc import Callable, MutableMapping
from datetime import UTC, datetime
from types import ModuleType
from typing import Any, Literal, TextIO, cast

_RICH = sys.modules.get("rich")
sys.modules["rich"] = cast(ModuleType, None)
import structlog  # noqa: E402  # its console would import rich, which nobody here prints with: 4 MB

if _RICH is None:
    del sys.modules["rich"]
else:
    sys.modules["rich"] = _RICH

LogFormat = Literal["logfmt", "json"]
_Event = MutableMapping[str, Any]  # structlog's own type for an event on its way

_MOST = 500  # characters of a value
_MOST_TRACE = 8_000
_CONTEXT = ("account", "login", "connection", "room")  # said before the event, the rest after it
_REPEATS = 300  # lines of one event a minute
_BARE = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789@._:/+-[]<>(),*%~")


def get_logger(**context: object) -> structlog.stdlib.BoundLogger:
    """A logger whose every line carries `context`. `log.info("poll", new=3)`."""
    return cast(structlog.stdlib.BoundLogger, structlog.get_logger("popbridge", **context))


def printable(text: str | bytes, most: int = _MOST) -> str:
    r"""Peer text as one harmless line of at most `most` characters and a mark where it was cut.

    `b"-ERR \x1b[2Jno\r\n"` -> `-ERR \x1b[2Jno\r\n` with visible backslashes.
    """
    if isinstance(text, bytes):
        text = text[: most + 1].decode("utf-8", "backslashreplace")
    cut = text[:most]
    if not cut.isprintable():
        cut = "".join(
            each if each.isprintable() else each.encode("unicode_escape").decode("ascii")
            for each in cut
        )
    return f"{cut[:most]}..." if len(text) > most or len(cut) > most else cut


def configure(
    log_format: LogFormat = "logfmt",
    level: str = "info",
    stream: TextIO | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Sets up the logs of this process; call it once, before the first line."""
    before: list[structlog.typing.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.format_exc_info,
    ]
    last = _json if log_format == "json" else _logfmt
    handler = _Handler(stream or sys.stdout)
    handler.addFilter(_Repeats(clock))
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=before,
            processors=[_stamp, structlog.stdlib.ProcessorFormatter.remove_processors_meta, last],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.contextvars.merge_contextvars,
            *before,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )


class _Handler(logging.StreamHandler[TextIO]):
    """Writes and goes on, whatever the stream says."""

    def handleError(self, record: logging.LogRecord) -> None:
        """A full disk or a closed pipe: the line is lost, the mail is not."""

    def flush(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            super().flush()


class _Repeats(logging.Filter):
    """Lets `_REPEATS` lines of one event through a minute; the next minute says how many fell."""

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__()
        self._clock = clock
        self._minute = 0
        self._seen: dict[str, int] = {}
        self._fallen: dict[str, int] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        minute = int(self._clock() // 60)
        if minute != self._minute:
            fallen = {key: count - _REPEATS for key, count in self._seen.items()}
            self._fallen = {key: count for key, count in fallen.items() if count > 0}
            self._minute, self._seen = minute, {}
        said = record.msg.get("event", "") if isinstance(record.msg, dict) else record.msg
        key = f"{record.name}:{str(said)[:100]}"
        if len(self._seen) > 1_000:  # events are words of ours; a thousand of them are not
            key = "others"
        self._seen[key] = self._seen.get(key, 0) + 1
        if self._seen[key] > _REPEATS:
            return False
        fallen_before = self._fallen.pop(key, 0)
        if fallen_before and isinstance(record.msg, dict):
            record.msg["not_shown"] = fallen_before
        return True


def _stamp(_: object, __: str, event: _Event) -> _Event:
    event["time"] = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return event


def shown(value: object, most: int = _MOST) -> str:
    """Any value as one harmless line."""
    if isinstance(value, (str, bytes)):
        return printable(value, most)
    if isinstance(value, float):
        return f"{value:.3f}".rstrip("0").rstrip(".")
    return printable(str(value), most)


def _logfmt(_: object, __: str, event: _Event) -> str:
    words = [str(event.pop("time")), str(event.pop("level", "info"))]
    said = shown(event.pop("event", ""))
    trace = event.pop("exception", None)
    words.extend(_pair(key, event.pop(key)) for key in _CONTEXT if key in event)
    words.append(said)
    words.extend(_pair(key, value) for key, value in event.items())
    if trace:
        words.append(_pair("exception", trace, _MOST_TRACE))
    return " ".join(words)


def _pair(key: str, value: object, most: int = _MOST) -> str:
    text = shown(value, most)
    if not text or not _BARE.issuperset(text):
        text = '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return f"{key}={text}"


def _json(_: object, __: str, event: _Event) -> str:
    values = {
        key: value
        if value is None or isinstance(value, (bool, int, float))
        else shown(value, _MOST_TRACE if key == "exception" else _MOST)
        for key, value in event.items()
    }
    ordered: dict[str, object] = {"time": values.pop("time"), "level": values.pop("level", "info")}
    ordered.update(values)
    return json.dumps(ordered, ensure_ascii=False)
