"""Reading ahead: a device that takes one message after the other, or one message piece by piece,
finds in memory what it asks for next.

Rules:
- Nothing is read before a device went on as foreseen once; then several messages, or a piece of
  one, in one visit to the store: `limits.READ_AHEAD_OCTETS` at most, of `limits.READ_AHEAD` visits
  in all. The oldest goes first.
- Nothing is invalidated: a mailbox never gives a UID twice, and what is held of a message never
  changes. Whether the message is still there the mailbox knows, and is asked first.
- What cannot be read ahead is no error: it is read when it is asked for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from bridge import limits
from bridge.imap.fetchitems import span_of
from bridge.imap.planes import runs
from bridge.imap.protocol.fetch import Item, Section, Simple
from bridge.mime.section import Span
from bridge.model import EntryRow, MailboxId, MessageId
from bridge.store.api import Columns, ReadTx, Store, StoreDamaged, StoreError

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


Visit: TypeAlias = "asyncio.Task[dict[int, Held]]"
"""What one visit to the store reads, by UID."""


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
        self._visits: dict[Visit, tuple[Key, ...]] = {}  # the oldest is the first
        self._reading: dict[Key, Visit] = {}

    async def find(self, box: MailboxId, uid: int, wanted: tuple[Columns, ...]) -> Held | None:
        """What is held of the message, with at least these columns."""
        visit = self._reading.get((box, uid))
        if visit is None:
            return None
        # Shielded: another session may wait for the same.
        there = visit.result() if visit.done() else await asyncio.shield(visit)
        held = there.get(uid)
        return held if held is not None and set(wanted) <= set(held.columns) else None

    def foresees(self, box: MailboxId, uid: int) -> bool:
        """Whether the message is held, or being read."""
        visit = self._reading.get((box, uid))
        return visit is not None and (not visit.done() or uid in visit.result())

    def read(
        self,
        store: Store,
        box: MailboxId,
        uids: Sequence[int],
        section: Section,
        wanted: tuple[Columns, ...],
    ) -> None:
        """Begins to read, in one visit to the store, what the section shows of these (rising)
        UIDs, as far as `limits.READ_AHEAD_OCTETS` reach. Where that is a piece, all up to a border
        of chunks, which SQLite reads anyway. Nothing of what shows more than a chunk."""

        def work(tx: ReadTx) -> dict[int, Held]:
            found: dict[int, Held] = {}
            room = limits.READ_AHEAD_OCTETS
            for row in tx.rows(box, list(runs(uids)), wanted):
                span = _foreseen(section, row)
                if span is None:
                    continue
                room -= span.end - span.start
                if room < 0 and found:
                    break
                try:
                    octets = tx.octets(row.message_id, span.start, span.end)
                except StoreDamaged:
                    continue  # whoever asks for it is told
                found[row.uid] = Held(row, wanted, span.start, octets)
            return found

        async def quietly() -> dict[int, Held]:
            try:
                return await store.read(work)
            except StoreError:
                return {}

        visit = asyncio.create_task(quietly())
        self._visits[visit] = keys = tuple((box, uid) for uid in uids)
        self._reading.update(dict.fromkeys(keys, visit))
        while len(self._visits) > limits.READ_AHEAD:
            oldest = next(iter(self._visits))
            for key in self._visits.pop(oldest):
                if self._reading[key] is oldest:
                    del self._reading[key]


def _foreseen(section: Section, row: EntryRow) -> Span | None:
    """What is read of the message for a device that takes this section of it."""
    span = span_of(section, row)
    if span is None or section.partial is None:
        return span if span and span.end - span.start <= limits.CHUNK else None
    whole = span_of(replace(section, partial=None), row) or span
    border = (span.start + limits.READ_AHEAD_OCTETS) // limits.CHUNK * limits.CHUNK
    span = Span(span.start, max(span.end, min(border, whole.end)))
    return span if span.end - span.start <= limits.READ_AHEAD_OCTETS else None
