"""The last lines of the log, kept in memory for the page and `popbridge log`.

Rules: what `logs` would not write is not here either (no subject, no sender, no secret); every
value is one harmless line already; a restart begins anew, the log itself is the archive.
"""

from __future__ import annotations

import collections
import logging
import time
from collections.abc import Callable, Sequence

from bridge import limits, logs
from bridge.web.page import Event


class Recent(logging.Handler):
    """Keeps the last `limits.EVENTS` lines of info and above. `install` it once a process."""

    def __init__(self, wall: Callable[[], float] = time.time) -> None:
        super().__init__(logging.INFO)
        self._wall = wall
        self._lines: collections.deque[Event] = collections.deque(maxlen=limits.EVENTS)

    def emit(self, record: logging.LogRecord) -> None:
        values = dict(record.msg) if isinstance(record.msg, dict) else {}
        text = str(values.pop("event", "")) if values else record.getMessage()
        account = str(values.pop("account", ""))
        for name in ("level", "exception", "exc_info", "time"):
            values.pop(name, None)
        words = [text, *(f"{key}={logs.shown(value)}" for key, value in values.items())]
        level = record.levelname.lower()
        self._lines.append(
            Event(
                int(self._wall()), level, logs.printable(account), logs.printable(" ".join(words))
            )
        )

    def newest(self) -> Sequence[Event]:
        """The newest first."""
        return tuple(reversed(self._lines))

    def install(self) -> None:
        """Listens from now on; `logs.configure` comes first."""
        logging.getLogger().addHandler(self)

    def remove(self) -> None:
        logging.getLogger().removeHandler(self)
