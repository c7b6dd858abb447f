"""FETCH answers, put together from what changes and what never does.

    * 7 FETCH (UID 9 FLAGS (\\Seen) RFC822.SIZE 812 ENVELOPE (...))

UID, flags and MODSEQ are in the open mailbox's memory. All else of an entry never changes: those
octets ("fixed") are made from the store once, and `Ready` keeps them for the device that asks next.

Rules: what is kept is bounded (`limits.FETCH_READY`), the longest unused goes first; nothing is
ever invalidated, since a mailbox never gives a UID twice; nothing is lost that the store has not.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from itertools import repeat
from typing import TypeAlias

from bridge import limits
from bridge.imap.fetchitems import IN_MEMORY
from bridge.imap.protocol.fetch import Item, Simple
from bridge.imap.protocol.responses import lines
from bridge.imap.view import Facts
from bridge.model import MailboxId

_OVERHEAD = 150  # octets of memory that an entry costs beside its own
_BLOCK = 8  # bits of a UID within a block, which is kept or dropped as one

Fixed: TypeAlias = "bytes | None"
"""b"RFC822.SIZE 812 ENVELOPE (...)"; None where the entry was expunged."""


class Layout:
    """How the answers to one FETCH are laid out: items in the order asked for, but that the fixed
    ones stand together, where the first of them stood."""

    def __init__(self, items: Sequence[Item]) -> None:
        self.fixed = tuple(item for item in items if not _in_memory(item))
        self.shows_flags = Simple("FLAGS") in items
        self._columns: list[str] = []
        parts = []
        for item in items:
            name = item.name if isinstance(item, Simple) and _in_memory(item) else "fixed"
            if name not in self._columns:
                self._columns.append(name)
                parts.append(_FORMS[name])
        self._template = b"* %d FETCH (" + b" ".join(parts) + b")\r\n"

    def lines(self, facts: Facts, fixed: Sequence[bytes] = ()) -> bytes:
        """All responses in one piece. `fixed` has the octets of each, where the layout has any."""
        columns: dict[str, Sequence[object]] = {
            "UID": facts.uids,
            "FLAGS": facts.flags,
            "MODSEQ": facts.modseqs,
            "fixed": fixed,
        }
        return lines(self._template, facts.numbers, *map(columns.__getitem__, self._columns))


_FORMS = {"UID": b"UID %d", "FLAGS": b"FLAGS %b", "MODSEQ": b"MODSEQ (%d)", "fixed": b"%b"}


def _in_memory(item: Item) -> bool:
    return isinstance(item, Simple) and item.name in IN_MEMORY


class Ready:
    """Fixed octets by mailbox, items and UID, for all sessions of the process."""

    def __init__(self) -> None:
        self._blocks: OrderedDict[tuple[MailboxId, tuple[Item, ...], int], dict[int, bytes]] = (
            OrderedDict()
        )
        self.octets = 0

    def find(self, mailbox: MailboxId, items: tuple[Item, ...], uids: Sequence[int]) -> list[Fixed]:
        """What is kept of these (rising) UIDs; None for each that is not."""
        found: list[Fixed] = []
        at = 0
        while at < len(uids):
            number = uids[at] >> _BLOCK
            end = bisect_left(uids, (number + 1) << _BLOCK, at)
            key = mailbox, items, number
            block = self._blocks.get(key)
            if block is None:
                found += repeat(None, end - at)
            else:
                self._blocks.move_to_end(key)
                found += map(block.get, uids[at:end])
            at = end
        return found

    def keep(self, mailbox: MailboxId, items: tuple[Item, ...], made: Mapping[int, bytes]) -> None:
        """Keeps what was made of these UIDs, but nothing that is large."""
        number, block = -1, dict[int, bytes]()
        for uid, octets in made.items():
            if len(octets) > limits.FETCH_READY_ENTRY:
                continue
            if uid >> _BLOCK != number:
                number = uid >> _BLOCK
                block = self._blocks.setdefault((mailbox, items, number), {})
            if uid not in block:
                block[uid] = octets
                self.octets += len(octets) + _OVERHEAD
        while self.octets > limits.FETCH_READY:
            _, block = self._blocks.popitem(last=False)
            self.octets -= sum(map(len, block.values())) + _OVERHEAD * len(block)
