"""Which messages had the bytes of their digest when they were first read since the start.

A page of the database has no checksum of its own: a bit that a disk turned over would be shown as
mail. So each message is hashed once before its first byte is given away, and then trusted, because
what is in the page cache is what was hashed. One bit a message, whatever its number.
"""

from __future__ import annotations

from bridge.model import MessageId


class Proofs:
    """Shared by the threads that read; a bit that two of them lose costs a second look."""

    def __init__(self) -> None:
        self._bits = bytearray()
        self.damaged: frozenset[MessageId] = frozenset()

    def __contains__(self, message: MessageId) -> bool:
        at = message >> 3
        return at < len(self._bits) and bool(self._bits[at] >> (message & 7) & 1)

    def add(self, message: MessageId) -> None:
        at = message >> 3
        if at >= len(self._bits):
            self._bits.extend(bytes(at + 1024 - len(self._bits)))
        self._bits[at] |= 1 << (message & 7)

    def refute(self, message: MessageId) -> None:
        """It has other bytes than it came with."""
        self.damaged |= {message}

    def forget(self, message: MessageId) -> None:
        """Its bytes were written anew: they are looked at when they are read next."""
        self.damaged -= {message}
