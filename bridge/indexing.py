"""Fills the text index behind what is stored, so that a search of bodies reads few messages.

Rules: in the background, in small steps with as long a rest between them, so that nobody waits for
it; while the store changes it first waits for a pause, and then rests longer. Always behind, never
in the way: a search is exact whatever the index has reached. What is in the index is what
`bridge.imap.matching` looks at, folded, piece by piece.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
import unicodedata
from collections.abc import Iterator

from bridge import limits, logs
from bridge.imap.ondisk import OnDisk
from bridge.mime.text import body_texts, fold, header_text, header_texts
from bridge.model import MessageId, Octets, Unindexed
from bridge.store.api import ReadTx, Store, StoreError

log = logs.get_logger(room="indexing")

VERSION = f"1/{unicodedata.unidata_version}"
"""How texts are made; another one makes the index anew. To be raised with every change of what
`searched` gives."""

MESSAGES = 16  # in one step
PAUSE_SECONDS = 0.3  # without a change, before it begins
WAIT_SECONDS = 2.0  # for such a pause
BUSY_REST = 9  # times as long as the step, where something changed meanwhile
WHOLE = 1024 * 1024  # octets of a message that is read at once
STALE = 1_000  # rows of purged messages that are borne in any case
RETRY_SECONDS = 60.0  # after the store could not


class TextIndexer:
    """One a process; `wake` it when something was stored."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._news = asyncio.Event()

    def wake(self) -> None:
        self._news.set()

    async def run(self) -> None:
        while True:
            self._news.clear()
            try:
                took = await self.step()
                while took is not None:
                    busy = self._news.is_set()
                    self._news.clear()
                    await asyncio.sleep(took * (BUSY_REST if busy else 1))
                    took = await self.step()
            except StoreError as error:
                log.warning("text index put off", error=str(error))
                await asyncio.sleep(RETRY_SECONDS)
                continue
            await self._news.wait()
            await self._pause()

    async def _pause(self) -> None:
        """Lets who stores one message after the other have the store and the processor."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(WAIT_SECONDS):
                while self._news.is_set():
                    self._news.clear()
                    await asyncio.sleep(PAUSE_SECONDS)

    async def step(self) -> float | None:
        """Indexes the next few messages: seconds that it took; None when there are no more.
        Raises StoreError."""
        start = time.monotonic()
        texts = await self._store.read(_next_texts)
        if not texts:
            return None
        await self._store.write(lambda tx: tx.index_texts(texts, VERSION, STALE))
        return time.monotonic() - start


def _next_texts(tx: ReadTx) -> dict[MessageId, str | None]:
    """The texts of the next messages; None for one that has too much."""
    texts: dict[MessageId, str | None] = {}
    left = limits.TEXT_INDEXED
    for message in tx.unindexed(VERSION, MESSAGES):
        text = _text(tx, message)
        texts[message.message_id] = text
        left -= limits.TEXT_INDEXED if text is None else len(text)
        if left <= 0:
            break
    return texts


def _text(tx: ReadTx, message: Unindexed) -> str | None:
    octets: Octets = (
        tx.octets(message.message_id)
        if message.size <= WHOLE
        else OnDisk(tx, message.message_id, message.size)
    )
    pieces, left = [], limits.TEXT_INDEXED
    for piece in searched(octets, message.header, message.parts):
        left -= len(piece)
        if left < 0:
            return None
        pieces.append(fold(piece))
    # No needle holds a control character that separates two pieces.
    return "\x01".join(pieces)


def searched(octets: Octets, header: bytes, parts: bytes) -> Iterator[str]:
    """All that SEARCH BODY and TEXT look at."""
    yield header_text(header)
    yield from body_texts(octets, parts)
    yield from header_texts(octets, parts)
