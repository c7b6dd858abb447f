"""The second table: what FETCH can be asked for, what each needs from the store, how it prints.

Rules:
- Items that the open mailbox knows (FLAGS, UID) cost no query.
- ENVELOPE, BODYSTRUCTURE and BODY are the wire bytes of the ingest; nothing is parsed here.
- A long stretch of message bytes is named, not read: the session streams it in chunks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from bridge import limits
from bridge.imap.protocol.fetch import Item, Section, Simple
from bridge.imap.protocol.responses import internaldate
from bridge.mime.section import Span, filter_fields, find
from bridge.model import EntryRow, MessageId
from bridge.store.api import Columns, ReadTx

IN_MEMORY = frozenset({"FLAGS", "UID", "MODSEQ"})
LONG = limits.CHUNK  # octets; a longer stretch is streamed


@dataclass(frozen=True, slots=True)
class Stretch:
    """Message bytes still to be read: `octets[start:end]`."""

    message_id: MessageId
    start: int
    end: int


Piece = bytes | Stretch


@dataclass(frozen=True, slots=True)
class Known:
    """What the view knows of a message: no query needed. `flags` is b"(\\\\Seen)"."""

    number: int
    uid: int
    flags: bytes
    modseq: int


COLUMNS: dict[str, tuple[Columns, ...]] = {
    "ENVELOPE": ("envelope",),
    "BODYSTRUCTURE": ("bodystructure",),
    "BODY": ("body",),
    "RFC822.HEADER": ("header",),
    "RFC822.SIZE": (),
    "INTERNALDATE": (),
    "RFC822": (),
    "RFC822.TEXT": (),
}


def columns(items: Iterable[Item]) -> tuple[Columns, ...]:
    """What the store must join for these items."""
    needed: set[Columns] = set()
    for item in items:
        if isinstance(item, Simple):
            needed.update(COLUMNS.get(item.name, ()))
        elif item.path:
            needed.add("parts")
        elif item.text.startswith("HEADER"):
            needed.add("header")
    return tuple(sorted(needed))


def needs_store(items: Iterable[Item]) -> bool:
    return any(not isinstance(item, Simple) or item.name not in IN_MEMORY for item in items)


def marks_seen(items: Iterable[Item]) -> bool:
    """RFC 3501 6.4.5: BODY[...] sets \\Seen, BODY.PEEK[...] does not; RFC822.HEADER neither."""
    return any(
        not item.peek if isinstance(item, Section) else item.name in ("RFC822", "RFC822.TEXT")
        for item in items
    )


def response(
    known: Known, row: EntryRow | None, items: Sequence[Item], tx: ReadTx | None
) -> list[Piece]:
    """One FETCH response, `* 7 FETCH (...)`; `row` and `tx` are None where none is needed."""
    pieces: list[Piece] = [b"* %d FETCH (" % known.number]
    for at, item in enumerate(items):
        if at:
            pieces.append(b" ")
        if isinstance(item, Simple) and item.name in IN_MEMORY:
            pieces.append(_in_memory(item.name, known))
        else:
            assert row is not None
            assert tx is not None
            pieces += _stored(item, row, tx)
    pieces.append(b")\r\n")
    return pieces


def _in_memory(name: str, known: Known) -> bytes:
    if name == "FLAGS":
        return b"FLAGS " + known.flags
    if name == "UID":
        return b"UID %d" % known.uid
    return b"MODSEQ (%d)" % known.modseq


SIMPLE: dict[str, Callable[[EntryRow], bytes]] = {
    "ENVELOPE": lambda row: b"ENVELOPE " + row.envelope,
    "BODYSTRUCTURE": lambda row: b"BODYSTRUCTURE " + row.bodystructure,
    "BODY": lambda row: b"BODY " + row.body,
    "RFC822.SIZE": lambda row: b"RFC822.SIZE %d" % row.size,
    "INTERNALDATE": lambda row: b"INTERNALDATE " + internaldate(row.internaldate),
}


def _stored(item: Item, row: EntryRow, tx: ReadTx) -> list[Piece]:
    if isinstance(item, Section):
        return _section(item, row, tx)
    if item.name in SIMPLE:
        return [SIMPLE[item.name](row)]
    # RFC 3501 6.4.5: RFC822, RFC822.HEADER and RFC822.TEXT are BODY[], BODY[HEADER], BODY[TEXT]
    # under their own names.
    span = {
        "RFC822": Span(0, row.size),
        "RFC822.HEADER": Span(0, row.header_size),
        "RFC822.TEXT": Span(row.header_size, row.size),
    }[item.name]
    return _literal(item.name.encode(), _stretch(row, span, tx))


def _section(item: Section, row: EntryRow, tx: ReadTx) -> list[Piece]:
    span = _span(item, row)
    if span is None:
        return [item.label + b" NIL"]
    if item.fields:
        header = _bytes(row, span, tx)
        octets = filter_fields(header, frozenset(item.fields), item.text == "HEADER.FIELDS.NOT")
        if item.partial is not None:
            start, length = item.partial
            octets = octets[start : start + length]
        return _literal(item.label, octets)
    if item.partial is not None:
        start, length = item.partial
        first = min(span.start + start, span.end)
        span = Span(first, min(first + length, span.end))
    return _literal(item.label, _stretch(row, span, tx))


def _span(item: Section, row: EntryRow) -> Span | None:
    text = "HEADER" if item.text.startswith("HEADER") else item.text
    if item.path:
        return find(row.parts, row.size, item.path, text)
    if text == "HEADER":
        return Span(0, row.header_size)
    if text == "TEXT":
        return Span(row.header_size, row.size)
    return Span(0, row.size)


def _stretch(row: EntryRow, span: Span, tx: ReadTx) -> Piece:
    if span.end - span.start > LONG:
        return Stretch(row.message_id, span.start, span.end)
    return _bytes(row, span, tx)


def _bytes(row: EntryRow, span: Span, tx: ReadTx) -> bytes:
    if span.start >= span.end:
        return b""
    if span.end <= len(row.header):
        return row.header[span.start : span.end]
    return tx.octets(row.message_id, span.start, span.end)


def _literal(label: bytes, octets: Piece) -> list[Piece]:
    size = len(octets) if isinstance(octets, bytes) else octets.end - octets.start
    return [label + b" {%d}\r\n" % size, octets]
