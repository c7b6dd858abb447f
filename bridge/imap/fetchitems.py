"""The second table: what FETCH can be asked for, what each needs from the store, how it prints.

Rules:
- Items that the open mailbox knows (FLAGS, UID) cost no query.
- ENVELOPE, BODYSTRUCTURE and BODY are the wire bytes of the ingest; nothing is parsed here.
- A long stretch of message bytes is named, not read: the session streams it in chunks. So is a
  long section that must be decoded; its size is found by decoding it once without keeping it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import NamedTuple

from bridge import limits
from bridge.imap.objectids import email_id, thread_id
from bridge.imap.ondisk import OnDisk, Source
from bridge.imap.protocol.fetch import Binary, BinarySize, Item, Section, Simple
from bridge.imap.protocol.responses import internaldate, string
from bridge.mime.decoding import Decoder
from bridge.mime.parser import rev2_structures
from bridge.mime.section import Span, filter_fields, find, walk
from bridge.mime.tree import Kind
from bridge.model import EntryRow, MessageId
from bridge.store.api import Columns

IN_MEMORY = frozenset({"FLAGS", "UID", "MODSEQ"})
LONG = limits.CHUNK  # octets of one response that are read at once; what is more is streamed
LARGE = 64 * 1024  # octets that are not worth a copy


@dataclass(frozen=True, slots=True)
class Stretch:
    """Message bytes still to be read: `octets[start:end]`."""

    message_id: MessageId
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Decoded:
    """Octets still to be read and decoded: `size` of what `raw` decodes to, from `start` on."""

    raw: Stretch
    encoding: str
    start: int
    size: int


Piece = bytes | Stretch | Decoded


class Known(NamedTuple):
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
    "PREVIEW": ("preview",),
    "SAVEDATE": ("savedate",),
    "EMAILID": ("digest",),
    "THREADID": ("digest", "links"),
}

CAPABILITY = {
    "PREVIEW": "PREVIEW",
    "SAVEDATE": "SAVEDATE",
    "EMAILID": "OBJECTID",
    "THREADID": "OBJECTID",
}


def capability(item: Item) -> str | None:
    """The capability that the item belongs to, if it is none of RFC 3501."""
    if isinstance(item, Binary | BinarySize):
        return "BINARY"
    return CAPABILITY.get(item.name) if isinstance(item, Simple) else None


def columns(items: Iterable[Item]) -> tuple[Columns, ...]:
    """What the store must join for these items."""
    needed: set[Columns] = set()
    for item in items:
        if item.rev2:
            needed.update(("bodystructure", "parts"))
        if isinstance(item, Simple):
            needed.update(COLUMNS.get(item.name, ()))
        elif item.path:
            needed.add("parts")
        elif isinstance(item, Section) and item.text.startswith("HEADER"):
            needed.add("header")
    return tuple(sorted(needed))


def is_short(item: Item) -> bool:
    """Whether the item is read by all who list a mailbox, and rarely large: what is kept ready."""
    if isinstance(item, Section):
        return not item.path and bool(item.fields)
    return isinstance(item, Simple) and item.name not in ("RFC822", "RFC822.HEADER", "RFC822.TEXT")


def short(rows: Sequence[EntryRow], items: Iterable[Item], tx: Source) -> Iterator[bytes]:
    """What `is_short` items print of each row, b"RFC822.SIZE 812 ENVELOPE (...)"."""
    if any(item.rev2 for item in items):
        rows = [_as_rev2(row, items, tx) for row in rows]
    # Column by column: what differs from item to item is decided once for all rows.
    forms, columns = [], []
    for item in items:
        if isinstance(item, Simple):
            form, value = SIMPLE[item.name]
            forms.append(form)
            columns.append(map(value, rows))
        else:
            forms.append(b"%b")
            columns.append(map(_fields(item, tx), rows))
    return map(b" ".join(forms).__mod__, zip(*columns, strict=True))


def _fields(item: Item, tx: Source) -> Callable[[EntryRow], bytes]:
    assert isinstance(item, Section), "nothing else is short"
    cut = _cutter(item)

    def fields(row: EntryRow) -> bytes:
        octets = cut(_bytes(row, Span(0, row.header_size), tx))
        return b"%b {%d}\r\n%b" % (item.label, len(octets), octets)

    return fields


def marks_seen(items: Iterable[Item]) -> bool:
    """RFC 3501 6.4.5: BODY[...] sets \\Seen, BODY.PEEK[...] does not; RFC822.HEADER neither.
    RFC 3516 4.2 says the same of BINARY."""
    return any(
        not item.peek
        if isinstance(item, Section | Binary)
        else isinstance(item, Simple) and item.name in ("RFC822", "RFC822.TEXT")
        for item in items
    )


def decodes(items: Iterable[Item]) -> bool:
    """Whether sections must be decoded, which costs more than reading them."""
    return any(isinstance(item, Binary | BinarySize) for item in items)


_IN_MEMORY = {"UID": (b"UID %d", 1), "FLAGS": (b"FLAGS %b", 2), "MODSEQ": (b"MODSEQ (%d)", 3)}
"""How each item of `IN_MEMORY` prints, and where it is in `Known`."""


def response(known: Known, row: EntryRow, items: Sequence[Item], tx: Source) -> list[Piece]:
    """One FETCH response, `* 7 FETCH (...)`, in one piece but for what is large or streamed. Raises
    UnknownEncoding where a section cannot be decoded."""
    pieces: list[Piece] = []
    ready = [b"* %d FETCH (" % known.number]  # small things, joined before anything large
    room = LONG  # octets that are read here and now; a command may ask for many sections
    row = _as_rev2(row, items, tx)
    for at, item in enumerate(items):
        if at:
            ready.append(b" ")
        if isinstance(item, Simple):
            if item.name in IN_MEMORY:
                form, place = _IN_MEMORY[item.name]
                ready.append(form % known[place])
                continue
            if item.name in SIMPLE:
                form, value = SIMPLE[item.name]
                ready.append(form % value(row))
                continue
        for piece in _stored(item, row, tx, room):
            if isinstance(piece, bytes):
                room -= len(piece)
                if len(piece) < LARGE:
                    ready.append(piece)
                    continue
            pieces += (b"".join(ready), piece)
            ready = []
    ready.append(b")\r\n")
    pieces.append(b"".join(ready))
    return pieces


def _as_rev2(row: EntryRow, items: Iterable[Item], tx: Source) -> EntryRow:
    """The row as IMAP4rev2 sees it, which differs where there is a message/global inside: so rare
    that it is taken apart when somebody asks."""
    if not any(item.rev2 for item in items) or not _GLOBAL.search(row.bodystructure):
        return row
    octets = OnDisk(tx, row.message_id, row.size)
    bodystructure, body, parts = rev2_structures(octets)
    return row._replace(bodystructure=bodystructure, body=body, parts=parts)


_GLOBAL = re.compile(rb'"message" "global"', re.IGNORECASE)

SIMPLE: dict[str, tuple[bytes, Callable[[EntryRow], bytes | int]]] = {
    "ENVELOPE": (b"ENVELOPE %b", attrgetter("envelope")),
    "BODYSTRUCTURE": (b"BODYSTRUCTURE %b", attrgetter("bodystructure")),
    "BODY": (b"BODY %b", attrgetter("body")),
    "RFC822.SIZE": (b"RFC822.SIZE %d", attrgetter("size")),
    "INTERNALDATE": (b"INTERNALDATE %b", lambda row: internaldate(row.internaldate)),
    "PREVIEW": (b"PREVIEW %b", lambda row: string(row.preview.encode())),
    "SAVEDATE": (b"SAVEDATE %b", lambda row: internaldate(row.savedate)),
    "EMAILID": (b"EMAILID (%b)", lambda row: email_id(row).encode()),
    "THREADID": (b"THREADID (%b)", lambda row: thread_id(row).encode()),
}
"""How each item prints, and what of the row it shows."""


def _stored(item: Item, row: EntryRow, tx: Source, room: int) -> list[Piece]:
    if isinstance(item, Section):
        return _section(item, row, tx, room)
    if isinstance(item, Binary):
        return _binary(item, row, tx, room)
    if isinstance(item, BinarySize):
        part = _raw(row, item.path)
        return [item.label + b" %d" % (_measured(*part, tx)[0] if part else 0)]
    # RFC 3501 6.4.5: RFC822, RFC822.HEADER and RFC822.TEXT are BODY[], BODY[HEADER], BODY[TEXT]
    # under their own names.
    span = {
        "RFC822": Span(0, row.size),
        "RFC822.HEADER": Span(0, row.header_size),
        "RFC822.TEXT": Span(row.header_size, row.size),
    }[item.name]
    return _literal(item.name.encode(), _stretch(row, span, tx, room))


def _section(item: Section, row: EntryRow, tx: Source, room: int) -> list[Piece]:
    span = _span(item, row)
    if span is None:
        return [item.label + b" NIL"]
    if item.fields:
        return _literal(item.label, _cutter(item)(_bytes(row, span, tx)))
    return _literal(item.label, _stretch(row, _part(span, item.partial), tx, room))


def _part(span: Span, partial: tuple[int, int] | None) -> Span:
    if partial is None:
        return span
    first = min(span.start + partial[0], span.end)
    return Span(first, min(first + partial[1], span.end))


def span_of(item: Section, row: EntryRow) -> Span | None:
    """The octets of the message that the item shows, before any fields are cut out; None where
    there is no such part."""
    span = _span(item, row)
    return span and _part(span, item.partial)


def _cutter(item: Section) -> Callable[[bytes], bytes]:
    """What cuts the fields that HEADER.FIELDS or HEADER.FIELDS.NOT names out of a header."""
    names, exclude = frozenset(item.fields), item.text == "HEADER.FIELDS.NOT"
    first, length = item.partial or (0, None)
    part = slice(first, None if length is None else first + length)
    return lambda header: filter_fields(header, names, exclude)[part]


def _span(item: Section, row: EntryRow) -> Span | None:
    text = "HEADER" if item.text.startswith("HEADER") else item.text
    if item.path:
        return find(row.parts, row.size, item.path, text)
    if text == "HEADER":
        return Span(0, row.header_size)
    if text == "TEXT":
        return Span(row.header_size, row.size)
    return Span(0, row.size)


def _stretch(row: EntryRow, span: Span, tx: Source, room: int) -> bytes | Stretch:
    if span.end - span.start > max(room, 0):
        return Stretch(row.message_id, span.start, span.end)
    return _bytes(row, span, tx)


def _bytes(row: EntryRow, span: Span, tx: Source) -> bytes:
    if span.start >= span.end:
        return b""
    if span.end <= len(row.header):
        return row.header[span.start : span.end]
    return tx.octets(row.message_id, span.start, span.end)


def _binary(item: Binary, row: EntryRow, tx: Source, room: int) -> list[Piece]:
    part = _raw(row, item.path)
    if part is None:
        return [item.label + b" NIL"]
    raw, encoding = part
    first, length = item.partial or (0, None)
    size, has_nul = _measured(raw, encoding, tx, first, length)
    # RFC 3516 4.3: literal8 tells of a NUL.
    opening = item.label + (b" ~{%d}\r\n" if has_nul else b" {%d}\r\n") % size
    decoded = Decoded(raw, encoding, first, size)
    if size > room:
        return [opening, decoded]
    return [opening, b"".join(_pieces(decoded, tx))]


def _raw(row: EntryRow, path: tuple[int, ...]) -> tuple[Stretch, str] | None:
    """Where the octets behind BINARY[path] are, and their encoding; None: there is no such part."""
    if not path:
        return Stretch(row.message_id, 0, row.size), "binary"
    part = next((part for part in walk(row.parts) if part.path == path), None)
    if part is None:
        return None
    # RFC 2045 6.4: what is made of parts is not encoded itself, whatever its header says.
    encoding = part.encoding if part.kind is Kind.LEAF else "binary"
    return Stretch(row.message_id, part.body_start, part.end), encoding


def _measured(
    raw: Stretch, encoding: str, tx: Source, first: int = 0, length: int | None = None
) -> tuple[int, bool]:
    """How many octets `raw` decodes to, from `first` on and at most `length`; whether any of them
    is NUL. No more of it is in memory than a chunk."""
    wanted = Decoded(raw, encoding, first, 2**63 if length is None else length)
    size, has_nul = 0, False
    for piece in _pieces(wanted, tx):
        size += len(piece)
        has_nul = has_nul or b"\0" in piece
    return size, has_nul


class Decoding:
    """What `wanted` asks for, chunk by chunk: read `next`, `feed` it, until there is no next."""

    def __init__(self, wanted: Decoded) -> None:
        self._raw = wanted.raw
        self._decoder = Decoder(wanted.encoding)
        self._at = wanted.raw.start
        self._skip, self._left = wanted.start, wanted.size

    @property
    def next(self) -> Stretch | None:
        if self._at >= self._raw.end or not self._left:
            return None
        end = min(self._at + limits.CHUNK, self._raw.end)
        return Stretch(self._raw.message_id, self._at, end)

    def feed(self, octets: bytes) -> bytes:
        self._at += len(octets)
        out = self._decoder.feed(octets)
        if self._at == self._raw.end:
            out += self._decoder.finish()
        kept = out[self._skip : self._skip + self._left]
        self._skip = max(0, self._skip - len(out))
        self._left -= len(kept)
        return kept


def _pieces(wanted: Decoded, tx: Source) -> Iterator[bytes]:
    decoding = Decoding(wanted)
    while (raw := decoding.next) is not None:
        yield decoding.feed(tx.octets(raw.message_id, raw.start, raw.end))


def _literal(label: bytes, octets: bytes | Stretch) -> list[Piece]:
    size = len(octets) if isinstance(octets, bytes) else octets.end - octets.start
    return [label + b" {%d}\r\n" % size, octets]
