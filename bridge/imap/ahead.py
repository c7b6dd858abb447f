"""Reading ahead: a device that takes one message after the other, or one message piece by piece,
finds in memory what it asks for next.

Rules:
- Nothing is read before a device went on as foreseen once; then a chunk (`limits.CHUNK`) at a time,
  for `limits.READ_AHEAD` messages in all. The oldest goes first.
- Nothing is invalidated: a mailbox never gives a UID twice, and what is held of a message never
  changes. Whether the message is still there the mailbox knows, and is asked first.
- What cannot be read ahead is no error: it is read when it is asked for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TypeAlias

from bridge import limits
from bridge.imap.fetchitems import span_of
from bridge.imap.protocol.fetch import Item, Section, Simple
from bridge.mime.section import Span
from bridge.model import EntryRow, MailboxId, MessageId
from bridge.store.api import Columns, ReadTx, Store, StoreError

Key: TypeAlias = tuple[MailboxId, int]  # and UID


class NotHeld(LookupError):
    """These octets are not in memory."""


@dataclass(frozen=True, slots=True)
class Held:
    """A row with these columns, and the octets of its message from `first` on."""

    row: EntryRow
    columns: tuple[Columns, ...]
    first: int
    held: bytes

    def octets(self, message: MessageId, start: int = 0, end: int | None = None) -> bytes:
        """As `ReadTx.octets`. Raises NotHeld."""
        end = self.row.size if end is None else end
        if message != self.row.message_id or not self.holds(Span(start, end)):
            raise NotHeld
        return self.held[start - self.first : end - self.first]

    def holds(self, span: Span) -> bool:
        return self.first <= span.start and span.end <= self.first + len(self.held)


@dataclass(frozen=True, slots=True)
class Asked:
    """A FETCH of one message that asks for one section of it: the position of the message in the
    mailbox, and all items."""

    position: int
    uid: int
    section: Section
    items: tuple[Item, ...]

    @classmethod
    def of(cls, position: int, uid: int, items: Iterable[Item]) -> Asked | None:
        """None for a FETCH of any other kind."""
        items = tuple(items)
        sections = [item for item in items if not isinstance(item, Simple)]
        if len(sections) != 1 or any(item.rev2 for item in items):
            return None
        (section,) = sections
        if not isinstance(section, Section) or section.fields:
            return None
        return cls(position, uid, section, items)

    def follows(self, before: Asked | None) -> bool:
        """Whether it is what comes after `before`: the next piece, or the next message."""
        if before is None:
            return False
        section, last = self.section, before.section
        if section.partial is None or last.partial is None:
            return self.position == before.position + 1 and self.items == before.items
        return (
            self.uid == before.uid
            and (section.path, section.text) == (last.path, last.text)
            and section.partial[0] == sum(last.partial)
        )

    @property
    def next_piece(self) -> Section | None:
        """The section that comes next where the device takes a message piece by piece."""
        if self.section.partial is None:
            return None
        first, length = self.section.partial
        return replace(self.section, partial=(first + length, length))


class Ahead:
    """What is in memory, or being read, for all sessions of the process."""

    def __init__(self) -> None:
        self._reading: dict[Key, asyncio.Task[Held | None]] = {}  # the oldest is the first

    async def find(self, box: MailboxId, uid: int, wanted: tuple[Columns, ...]) -> Held | None:
        """What is held of the message, with at least these columns."""
        reading = self._reading.get((box, uid))
        # Shielded: another session may wait for the same.
        held = None if reading is None else await asyncio.shield(reading)
        return held if held is not None and set(wanted) <= set(held.columns) else None

    def read(
        self, store: Store, box: MailboxId, uid: int, section: Section, wanted: tuple[Columns, ...]
    ) -> None:
        """Begins to read what the section shows; where that is a piece, all up to the next border
        of chunks, which SQLite reads anyway. Nothing where it is more than a chunk."""

        def work(tx: ReadTx) -> Held | None:
            rows = tx.rows(box, [(uid, uid)], wanted)
            span = span_of(section, rows[0]) if rows else None
            if span is None:
                return None
            if section.partial is not None:
                whole = span_of(replace(section, partial=None), rows[0]) or span
                border = -(-span.end // limits.CHUNK) * limits.CHUNK
                most = max(span.start + limits.CHUNK, span.end)
                span = Span(span.start, min(border, whole.end, most))
            if span.end - span.start > limits.CHUNK:
                return None
            octets = tx.octets(rows[0].message_id, span.start, span.end)
            return Held(rows[0], wanted, span.start, octets)

        async def quietly() -> Held | None:
            try:
                return await store.read(work)
            except StoreError:
                return None

        self._reading.pop((box, uid), None)  # to stand last
        self._reading[box, uid] = asyncio.create_task(quietly())
        while len(self._reading) > limits.READ_AHEAD:
            del self._reading[next(iter(self._reading))]
