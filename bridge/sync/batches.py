"""Messages between the provider and the store: fetched one by one, committed in batches.

Rules: the first message is handed over at once, so that a person sees mail early; then a batch is
handed over when it is full, after `limits.BATCH_SECONDS`, or at the end. Whoever fetches waits
while a whole batch waits: two batches are in memory at most, one of them in its commit.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Generic, Protocol, TypeVar

from bridge import limits
from bridge.model import Octets
from bridge.spool import Spool


class Message(Protocol):
    """What waits: octets, and the spool that has them."""

    @property
    def spool(self) -> Spool: ...
    @property
    def octets(self) -> Octets: ...


M = TypeVar("M", bound=Message)


class Batches(Generic[M]):
    """Messages that wait for their commit, handed over in batches; one reader, one writer."""

    def __init__(self) -> None:
        self._waiting: list[M] = []
        self._octets = 0
        self._first = True
        self._ended = False
        self._stopped = False
        self._news = asyncio.Event()  # for the reader
        self._room = asyncio.Event()  # for the writer

    async def put(self, message: M) -> bool:
        """Waits for room; False when the reader is gone. In any case, also when it is cancelled,
        the message goes into a batch or is in `rest`."""
        try:
            while self._full() and not self._stopped:
                self._room.clear()
                await self._room.wait()
        finally:
            self._waiting.append(message)
            self._octets += len(message.octets)
            self._news.set()
        return not self._stopped

    def end(self) -> None:
        """No more messages come."""
        self._ended = True
        self._news.set()

    def stop(self) -> None:
        """Nobody takes messages any more."""
        self._stopped = True
        self._room.set()

    def rest(self) -> Sequence[M]:
        """What nobody will take any more; its spools are the caller's to close."""
        rest, self._waiting = self._waiting, []
        return rest

    def __aiter__(self) -> Batches[M]:
        return self

    async def __anext__(self) -> Sequence[M]:
        while not self._waiting:
            if self._ended:
                raise StopAsyncIteration
            await self._more()
        if not self._first:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(limits.BATCH_SECONDS):
                    while not self._full() and not self._ended:
                        await self._more()
        self._first = False
        batch, self._waiting, self._octets = self._waiting, [], 0
        self._room.set()
        return batch

    async def _more(self) -> None:
        self._news.clear()
        await self._news.wait()

    def _full(self) -> bool:
        return len(self._waiting) >= limits.BATCH_MESSAGES or self._octets >= limits.BATCH_OCTETS
