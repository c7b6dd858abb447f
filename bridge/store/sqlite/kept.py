"""Chunks that were read in part, kept for the next part of the same message.

A device takes a large message in pieces of 64 KiB or so, one command after the other, and SQLite
reads a chunk from its first octet on, whichever of them are wanted.

Rules: one chunk a message, and only few messages (`limits.KEPT_CHUNKS`); nothing is invalidated,
since the octets of a message never change and its number is never given twice.
"""

from __future__ import annotations

from threading import Lock

from bridge import limits
from bridge.model import MessageId


class KeptChunks:
    """Shared by the threads that read."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._chunks: dict[MessageId, tuple[int, bytes]] = {}  # the last used is the last

    def find(self, message: MessageId, start: int, end: int) -> bytes | None:
        """`octets[start:end]` of the message, if all of it is in the chunk that was kept."""
        with self._lock:
            held = self._chunks.pop(message, None)
            if held is None:
                return None
            self._chunks[message] = held
        at, octets = held
        if start < at or end > at + len(octets):
            return None
        return octets[start - at : end - at]

    def keep(self, message: MessageId, at: int, octets: bytes) -> None:
        """`octets` of the message, from `at` on."""
        with self._lock:
            self._chunks.pop(message, None)
            self._chunks[message] = at, octets
            if len(self._chunks) > limits.KEPT_CHUNKS:
                del self._chunks[next(iter(self._chunks))]
