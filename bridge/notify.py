"""What systemd is told of the daemon: sd_notify(3), one datagram a message.

    READY=1 STATUS=3 accounts ok, 1 needs attention    WATCHDOG=1    RELOADING=1    STOPPING=1

Rules: without $NOTIFY_SOCKET nothing happens; a message that cannot be sent is lost, and nobody
waits for it; the status names no account, for any user of the machine may read it.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Mapping

from bridge.web.status import Status


class Notifier:
    """The unit's manager. `watchdog_seconds` is how often it wants to hear of us; None: never."""

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        self._address = environ.get("NOTIFY_SOCKET", "")
        micros = environ.get("WATCHDOG_USEC", "")
        ours = environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        self.watchdog_seconds = int(micros) / 1e6 if micros.isdigit() and ours else None

    @property
    def is_heard(self) -> bool:
        return self._address.startswith(("/", "@"))

    def tell(self, *lines: str) -> None:
        if not self.is_heard:
            return
        address = self._address
        if address.startswith("@"):  # the abstract namespace
            address = "\0" + address[1:]
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
            out.setblocking(False)
            out.sendto("\n".join(lines).encode(), address)

    def reloading(self) -> None:
        micros = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self.tell("RELOADING=1", f"MONOTONIC_USEC={micros}")


def summary(status: Status) -> str:
    """`STATUS=3 accounts ok, 1 needs attention`."""
    bad = sum(each.state == "needs attention" for each in status.accounts)
    good = len(status.accounts) - bad
    said = f"{good} account{'s' * (good != 1)} ok"
    if bad:
        said += f", {bad} need{'s' * (bad == 1)} attention"
    return f"STATUS={said}" if status.database_ok else "STATUS=the database does not answer"
