"""TOP of many messages: their headers, in a window of commands ahead of their replies.

Rules:
- The window begins with one command and doubles with each answer: a server that hangs up on TOP,
  or does not know it, does so before much is asked of it.
- A refusal is an answer: that header is not to be had. After `REFUSALS` in a row nothing more is
  asked, and what was asked is still taken.
- A reply is cut at `limits.POP3_TOP`; servers cut it too: never take it for a whole message.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator, Sequence

from bridge import limits
from bridge.pop3 import quirks
from bridge.pop3.errors import Pop3Error
from bridge.pop3.protocol import Expect, Status
from bridge.pop3.wire import Wire

REFUSALS = 3


class Tops:
    """One `Pop3Session.tops`. `lines` of the body come with each header."""

    def __init__(
        self, wire: Wire, numbers: Sequence[int], lines: int = 0, *, pipelining: bool
    ) -> None:
        self._wire = wire
        self._lines = lines
        self._untried = deque(numbers)
        self._window: deque[int] = deque()  # asked, in the order of the replies to come
        self._most = limits.POP3_WINDOW_COMMANDS if pipelining else 1
        self._ahead = 1
        self._refused = 0  # in a row

    async def run(self) -> AsyncGenerator[tuple[int, bytes | Pop3Error], None]:
        """(number, header) or (number, why there is none). Raises Pop3Error, always fatal."""
        while True:
            self._fill()
            if not self._window:
                return
            status = await self._wire.status()
            number = self._window.popleft()
            if status.ok:
                content = await self._read(number)
                self._refused = 0
                self._ahead = min(2 * self._ahead, self._most)
                yield number, content
            else:
                self._refused += 1
                if self._refused == REFUSALS:
                    self._untried.clear()
                yield number, self._refusal(number, status)

    def _fill(self) -> None:
        """Refills the window at half: many small commands share a packet."""
        if 2 * len(self._window) > self._ahead:
            return
        batch = [
            self._untried.popleft()
            for _ in range(min(self._ahead - len(self._window), len(self._untried)))
        ]
        if batch:
            asked = (b"TOP %d %d" % (number, self._lines) for number in batch)
            self._wire.send(*asked, shape=Expect.MULTI)
            self._window.extend(batch)

    async def _read(self, number: int) -> bytes:
        content = bytearray()
        size = 0
        while (data := await self._wire.content()) is not None:
            size += len(data)
            if size > limits.POP3_MESSAGE:
                raise self._wire.error("limit", f"sent the top of message {number} without end")
            content += data[: limits.POP3_TOP - len(content)]
        return quirks.without_second_ok(bytes(content))

    def _refusal(self, number: int, status: Status) -> Pop3Error:
        kind = quirks.refusal(status.code)
        return self._wire.refusal(kind, f"would not show message {number}", status.text)
