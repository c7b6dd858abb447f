"""The octets of a stored message, read where they are looked at: no more is in memory than a slice,
or a chunk of what is searched."""

from __future__ import annotations

from typing import Protocol, SupportsIndex

from bridge import limits
from bridge.model import MessageId


class Source(Protocol):
    """What gives octets of messages: a transaction of the store."""

    def octets(self, message: MessageId, start: int = 0, end: int | None = None) -> bytes: ...


class OnDisk:
    """`model.Octets` over a transaction, valid as long as that is."""

    def __init__(self, tx: Source, message: MessageId, size: int) -> None:
        self._tx = tx
        self._message = message
        self._size = size

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, index: slice, /) -> bytes:
        start, end, _ = index.indices(self._size)
        return self._tx.octets(self._message, start, end)

    def find(
        self, sub: bytes, start: SupportsIndex = 0, end: SupportsIndex | None = None, /
    ) -> int:
        first, past, _ = slice(start, end).indices(self._size)
        more = max(len(sub) - 1, 0)  # of the next chunk, for what lies across the border
        while first < past:
            at = self[first : min(first + limits.CHUNK + more, past)].find(sub)
            if at >= 0:
                return first + at
            first += limits.CHUNK
        return -1
