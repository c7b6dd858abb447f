"""RETR of many messages: a window of commands ahead of their replies, or one by one.

Rules:
- The window is budgeted in octets (by LIST) and commands, and refilled at half.
- A refusal or a mixed-up size inside a window is asked again alone. When it is right alone, the
  window was the fault, and the session goes on in lock-step.
- A message whose size is not the one of LIST is handed out only after the next reply has proved
  that the session is in step: a server that does not stuff a lone dot cuts its message there.
- One that begins with a second +OK, and has not the size of LIST, ends the session: it is out of
  step, and that line is no part of a message.
- Whoever is handed a sink closes it; all other sinks are closed here.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass

from bridge import limits
from bridge.model import ListedItem, Sink
from bridge.pop3 import quirks
from bridge.pop3.errors import Pop3Error, escape
from bridge.pop3.protocol import Expect, Status
from bridge.pop3.wire import Wire

_UNKNOWN_SIZE = 64 * 1024  # what a message without a size counts in the window


@dataclass(frozen=True, slots=True)
class Retrieved:
    """What became of one item: its octets, or why there are none.

    `sink` holds `size` octets; `sink.finish()` gives them, and whoever took this closes it. It is
    None where `error` says why this one message could not be had, or the message is `too_large`:
    over the cap by its listed size, or cut off there.
    """

    item: ListedItem
    sink: Sink | None
    size: int
    error: str = ""
    too_large: bool = False


class Retrieval:
    """One `Pop3Session.retrieve`. `pipelining` turns False when the window proved to be at fault;
    `notices` are sentences about what the server got wrong."""

    def __init__(
        self,
        wire: Wire,
        items: Sequence[ListedItem],
        new_sink: Callable[[], Sink],
        *,
        pipelining: bool,
        until: float | None = None,
    ) -> None:
        """After `until`, by the loop's clock, nothing is asked for beyond one window."""
        self._until = until
        self._began = False
        self.pipelining = pipelining
        self.notices: list[str] = []
        self._wire = wire
        self._new_sink = new_sink
        self._untried = deque(items)
        self._window: deque[ListedItem] = deque()  # asked, in the order of the replies to come
        self._octets = 0  # of the window, by LIST
        self._again: deque[ListedItem] = deque()  # to be asked alone, once
        self._refused: set[int] = set()  # numbers of those that a window refused
        self._alone = False  # what is in the window was asked before
        self._sizes_lie = False  # LIST is wrong by itself, so a wrong size proves no mix-up
        self._held: Retrieved | None = None  # not of the size that LIST said
        self._last_error: Pop3Error | None = None  # to be raised when all is handed out

    async def run(self) -> AsyncGenerator[Retrieved, None]:
        """Raises Pop3Error, and what a sink raises."""
        try:
            while True:
                try:
                    self._fill()
                    status = await self._next_status()
                except Pop3Error as error:
                    if self._held is not None and error.kind == "protocol":
                        yield self._cut_short(self._held)
                    raise
                if self._held is not None:
                    proved, self._held = self._held, None
                    yield proved
                if status is not None:
                    taken = await self._take(self._window.popleft(), status)
                    if taken is not None:
                        yield taken
                elif self._untried:
                    item = self._untried.popleft()
                    yield Retrieved(item, None, item.size or 0, too_large=True)
                else:
                    break
        finally:
            if self._held is not None and self._held.sink is not None:
                self._held.sink.close()
        if self._last_error is not None:
            raise self._last_error

    async def _next_status(self) -> Status | None:
        """The status line of the first reply of the window. Without a window None, after it is
        proved that what is held was whole."""
        if self._window:
            return await self._wire.status()
        if self._held is not None:
            await self._wire.command(b"NOOP")
        return None

    # --- asking -------------------------------------------------------------------------

    def _fill(self) -> None:
        """Sends what may be sent now, nothing once the time is over. What is too large waits at
        the head of `_untried` until the window is empty, so that the order is kept."""
        if self._began and self._until is not None and _now() >= self._until:
            self._untried.clear()
        if self._again or self._alone or not self.pipelining:
            if self._window:
                return
            self._alone = bool(self._again)
            source = self._again or self._untried
            if source and not _too_large(source[0]):
                self._ask([source.popleft()])
            return
        commands, octets = len(self._window), self._octets
        if 2 * commands > limits.POP3_WINDOW_COMMANDS or 2 * octets > limits.POP3_WINDOW_OCTETS:
            return
        batch: list[ListedItem] = []
        while self._untried and not _too_large(self._untried[0]):
            octets += _expected_size(self._untried[0])
            commands += 1
            full = octets > limits.POP3_WINDOW_OCTETS or commands > limits.POP3_WINDOW_COMMANDS
            if full and commands > 1:
                break
            batch.append(self._untried.popleft())
        self._ask(batch)

    def _ask(self, items: Sequence[ListedItem]) -> None:
        if items:
            self._began = True
            self._wire.send(*(b"RETR %d" % item.number for item in items), shape=Expect.MULTI)
            self._window.extend(items)
            self._octets += sum(map(_expected_size, items))

    # --- taking -------------------------------------------------------------------------

    async def _take(self, item: ListedItem, status: Status) -> Retrieved | None:
        """The rest of a reply; None where it is held, or asked again."""
        self._octets -= _expected_size(item)
        in_window = self.pipelining and not self._alone
        if not status.ok:
            if status.code in _COME_BACK_LATER:
                self._stop(self._wire.refusal("temporary", "stopped sending", status.text))
            elif in_window:
                self._refused.add(item.number)
                self._again.append(item)
                return None
            return Retrieved(item, None, 0, escape(status.text) or "refused without a reason")
        message = await self._read(item)
        if message.sink is None:
            return message
        if self._alone and (message.size == item.size or item.number in self._refused):
            self.pipelining = False
            self.notices.append("a message was right only when asked alone: no more pipelining")
        if message.size == item.size:
            return message
        if in_window and not self._sizes_lie and self._is_size_of_another(message.size):
            message.sink.close()
            self._again.append(item)
            return None
        self._sizes_lie = self._sizes_lie or not self._alone
        self._held = message
        return None

    async def _read(self, item: ListedItem) -> Retrieved:
        """The body of a +OK. An endless one is cut, and the connection with it."""
        sink, size, start = self._new_sink(), 0, b""
        try:
            while (data := await self._wire.content()) is not None:
                size += len(data)
                if size > limits.POP3_MESSAGE:
                    break
                sink.write(data)
                start += data[: limits.POP3_LINE - len(start)]
            second = len(start) - len(quirks.without_second_ok(start))
            if second and item.size not in (None, size):
                raise self._wire.out_of_step("answered RETR twice", start[:second])
        except BaseException:
            sink.close()
            raise
        if size <= limits.POP3_MESSAGE:
            return Retrieved(item, sink, size)
        sink.close()
        self._window.clear()
        self._stop(
            self._wire.error("limit", f"sent over {limits.POP3_MESSAGE} octets of a message")
        )
        return Retrieved(item, None, size, too_large=True)

    def _is_size_of_another(self, size: int) -> bool:
        return any(size == other.size for other in (*self._window, *self._again))

    def _stop(self, error: Pop3Error) -> None:
        """Asks for nothing more; what was asked for is still taken."""
        self._untried.clear()
        self._again.clear()
        self._last_error = error

    @staticmethod
    def _cut_short(held: Retrieved) -> Retrieved:
        assert held.sink is not None
        held.sink.close()
        listed = "an unknown number of" if held.item.size is None else held.item.size
        why = f"it ended at {held.size} of {listed} octets, and more followed"
        return Retrieved(held.item, None, held.size, why)


_COME_BACK_LATER = frozenset({"SYS/TEMP", "IN-USE", "LOGIN-DELAY"})


def _now() -> float:
    return asyncio.get_running_loop().time()


def _too_large(item: ListedItem) -> bool:
    return item.size is not None and item.size > limits.POP3_MESSAGE


def _expected_size(item: ListedItem) -> int:
    return _UNKNOWN_SIZE if item.size is None else item.size
