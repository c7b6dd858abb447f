"""What SEARCH asks of all messages at once, in memory: dates and sizes, and five header fields.

A mailbox has one `Columns`, shared by its sessions, with a row for each UID that was there when
it was read. Nothing in it ever changes, so nothing is invalidated: what came since is read behind
it, what went is not asked for. A header field of all messages is one string of octets, so that a
word is found at the speed of memory, not message by message.

Rules: made when first asked for, on the store's threads; the longest unused go when all together
pass `limits.SEARCH_COLUMNS`; exactly what looking at each message would say.
"""

from __future__ import annotations

import asyncio
from array import array
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterator, Sequence
from itertools import compress
from typing import Final

from bridge import limits
from bridge.imap.matching import Figure, value
from bridge.imap.planes import Planes, mask_of
from bridge.mime.headers import fields
from bridge.mime.text import decode_header, fold
from bridge.model import MailboxId
from bridge.store.api import ReadTx, Store, UidRanges

FIGURES: Final = ("size", "internaldate", "sent_day", "savedate")
"""Columns of numbers, by their name in `EntryRow`."""

FIELDS: Final = (b"from", b"to", b"cc", b"bcc", b"subject")
_FIGURE_ROWS = 5_000  # messages in one visit to the store
_FIELD_ROWS = 200
_ROW_OCTETS = 300  # about what a message takes in all columns

Progress = Callable[[int, int], Awaitable[None]]


class Field:
    """One header field of all messages: for each its decoded values in folded UTF-8, with a NUL
    before each value. No needle holds a NUL, so none is found across two of them."""

    def __init__(self) -> None:
        self._starts = array("Q")
        self._text = b""

    def extend(self, records: Sequence[bytes]) -> None:
        at = len(self._text)
        for record in records:
            self._starts.append(at)
            at += len(record)
        self._text += b"".join(records)

    @property
    def octets(self) -> int:
        return len(self._text) + 8 * len(self._starts)

    def having(self, needle: str) -> Iterator[int]:
        """The rows in which a value has the (folded) needle, rising; "" is in every value."""
        wanted = needle.encode(errors="surrogatepass") or b"\0"
        text, starts = self._text, self._starts
        at = text.find(wanted)
        while at >= 0:
            following = bisect_right(starts, at)
            yield following - 1
            if following == len(starts):
                return
            at = text.find(wanted, starts[following])


class Columns:
    """The columns of one mailbox."""

    def __init__(self, mailbox: MailboxId) -> None:
        self._mailbox = mailbox
        self._lock = asyncio.Lock()
        self._figure_uids = array("I")
        self._figures = {name: Planes() for name in FIGURES}
        self._field_uids = array("I")
        self._fields = {name: Field() for name in FIELDS}

    @property
    def octets(self) -> int:
        figures = 24 * len(self._figure_uids)
        return figures + sum(field.octets for field in self._fields.values())

    async def read(
        self,
        store: Store,
        uids: array[int],
        *,
        figures: bool,
        header: bool,
        progress: Progress,
    ) -> None:
        """Reads what is missing of these (rising) UIDs. Raises StoreError."""
        async with self._lock:
            if figures:
                missing = uids[bisect_right(uids, _last(self._figure_uids)) :]
                for start in range(0, len(missing), _FIGURE_ROWS):
                    some = missing[start : start + _FIGURE_ROWS]
                    ranges = ((some[0], some[-1]),)
                    there, values = await store.read(_figures(self._mailbox, ranges))
                    self._figure_uids += there
                    for name in FIGURES:
                        self._figures[name].extend(values[name])
            if header:
                missing = uids[bisect_right(uids, _last(self._field_uids)) :]
                for start in range(0, len(missing), _FIELD_ROWS):
                    await progress(start, len(missing))
                    some = missing[start : start + _FIELD_ROWS]
                    ranges = ((some[0], some[-1]),)
                    there, records = await store.read(_fields(self._mailbox, ranges))
                    self._field_uids += there
                    for field in FIELDS:
                        self._fields[field].extend(records[field])

    def figures(self, asked: Figure, uids: array[int]) -> bytes:
        """For each of the UIDs 1 where the figure is right, else 0."""
        mask = self._figures[asked.name].within(asked.low, asked.past)
        return self._seen_by(uids, self._figure_uids, mask)

    def having(self, name: bytes, uids: array[int], needle: str) -> bytes:
        """For each of the UIDs 1 where the field has the (folded) needle, else 0."""
        mask = bytearray(len(self._field_uids))
        for row in self._fields[name].having(needle):
            mask[row] = 1
        return self._seen_by(uids, self._field_uids, bytes(mask))

    def _seen_by(self, uids: array[int], own: array[int], mask: bytes) -> bytes:
        return mask if uids == own else mask_of(uids, compress(own, mask))


def _last(uids: array[int]) -> int:
    return uids[-1] if uids else 0


def _figures(
    box: MailboxId, ranges: UidRanges
) -> Callable[[ReadTx], tuple[array[int], dict[str, Planes]]]:
    def work(tx: ReadTx) -> tuple[array[int], dict[str, Planes]]:
        rows = tx.rows(box, ranges, ("sent_day", "savedate"))
        values = {name: Planes(value(name, row) for row in rows) for name in FIGURES}
        return array("I", [row.uid for row in rows]), values

    return work


def _fields(
    box: MailboxId, ranges: UidRanges
) -> Callable[[ReadTx], tuple[array[int], dict[bytes, list[bytes]]]]:
    def work(tx: ReadTx) -> tuple[array[int], dict[bytes, list[bytes]]]:
        uids = array("I")
        records: dict[bytes, list[bytes]] = {name: [] for name in FIELDS}
        for row in tx.rows(box, ranges, ("header",)):
            uids.append(row.uid)
            found = fields(row.header)
            for name in FIELDS:
                records[name].append(b"".join(map(_folded, found.get(name, ()))))
        return uids, records

    return work


def _folded(value: bytes) -> bytes:
    """What `bridge.mime.text.header_values` gives of a field, folded."""
    return b"\0" + fold(decode_header(value, guess=False)).encode(errors="surrogatepass")


class AllColumns:
    """The columns of all mailboxes that were searched of late."""

    def __init__(self) -> None:
        self._columns: OrderedDict[MailboxId, Columns] = OrderedDict()

    async def get(
        self,
        store: Store,
        mailbox: MailboxId,
        uids: array[int],
        *,
        figures: bool,
        header: bool,
        progress: Progress,
    ) -> Columns | None:
        """The columns of these UIDs, read as far as they are missing; None where they would not
        fit into memory. Raises StoreError."""
        if len(uids) * _ROW_OCTETS > limits.SEARCH_COLUMNS:
            return None
        columns = self._columns.setdefault(mailbox, Columns(mailbox))
        self._columns.move_to_end(mailbox)
        await columns.read(store, uids, figures=figures, header=header, progress=progress)
        held = sum(each.octets for each in self._columns.values())
        while held > limits.SEARCH_COLUMNS:
            _, dropped = self._columns.popitem(last=False)
            held -= dropped.octets
        return columns
