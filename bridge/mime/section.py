"""The packed part table: BODY[1.2.MIME] -> octet offsets (RFC 3501 6.4.5).

The table is one record a part, in the order of their headers (the message itself first): kind,
depth, start, body, end and four lengths as `>BBQQQBBBB`, then type, subtype, encoding and
charset in lower case. The octet 1, its version, stands before the first.

Rules: what does not exist is None, never an error; nothing here looks at the message.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Set
from dataclasses import dataclass
from typing import NamedTuple

from bridge.mime import tree
from bridge.mime.headers import named_fields, raw_fields
from bridge.mime.tree import Kind

_RECORD = struct.Struct(">BBQQQBBBB")
_VERSION = b"\x01"
_TEXT = 255  # octets of a type, an encoding or a charset that are kept


@dataclass(frozen=True, slots=True)
class Span:
    """Octets [start, end) of the message."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a message: header [start, body_start), body [body_start, end).

    `path` is its number as BODY[...] wants it: () for a message that is a multipart, that of
    the message/rfc822 part for an inner message that is one, since those have no number.
    The texts are in lower case; `charset` is "" where none is named.
    """

    path: tuple[int, ...]
    start: int
    body_start: int
    end: int
    kind: Kind
    depth: int
    type: str
    subtype: str
    encoding: str
    charset: str


class _Record(NamedTuple):
    kind: int
    depth: int
    start: int
    body: int
    end: int
    texts: tuple[bytes, ...]


def pack(parts: list[tree.Part]) -> bytes:
    """The table of the parts in the order of `tree.scan_parts`."""
    out = [_VERSION]
    for part in parts:
        charset = next((v for name, v in part.parameters if name.lower() == b"charset"), b"")
        texts = [text[:_TEXT].lower() for text in (part.type, part.subtype, part.encoding, charset)]
        out.append(
            _RECORD.pack(part.kind, part.depth, part.start, part.body, part.end, *map(len, texts))
        )
        out += texts
    return b"".join(out)


def walk(parts: bytes) -> Iterator[Part]:
    """All parts in the order of their headers."""
    for path, (kind, depth, start, body, end, texts) in _numbered(parts):
        named = [text.decode("latin-1") for text in texts]
        yield Part(path, start, body, end, Kind(kind), depth, *named)


def find(parts: bytes, size: int, path: tuple[int, ...], text: str) -> Span | None:
    """Where BODY[path.text] is in a message of `size` octets; None when there is no such part.

    `text` is "", "HEADER", "TEXT" or "MIME" (RFC 3501 6.4.5, section-text).
    """
    records = _numbered(parts)
    if not path:
        body = next((root.body for _, root in records), size)
        spans = {"": Span(0, size), "HEADER": Span(0, body), "TEXT": Span(body, size)}
        return spans.get(text)
    # an inner message that is a multipart has the number of its message/rfc822 part, after it
    part = next((record for number, record in records if number == path), None)
    if part is None:
        return None
    if text == "":
        return Span(part.body, part.end)
    if text == "MIME":
        return Span(part.start, part.body)
    if part.kind != Kind.MESSAGE:
        return None
    inner = next(records)[1]
    return Span(inner.start, inner.body) if text == "HEADER" else Span(inner.body, inner.end)


def filter_fields(header: bytes, names: Set[bytes], exclude: bool) -> bytes:
    """RFC 3501 6.4.5, HEADER.FIELDS and HEADER.FIELDS.NOT: the raw fields whose name is (or is
    not) in `names` (lower case), in their order, and the blank line."""
    if not exclude:
        return named_fields(header, frozenset(names)) + b"\r\n"
    return b"".join(raw for name, raw in raw_fields(header) if name not in names) + b"\r\n"


def _numbered(parts: bytes) -> Iterator[tuple[tuple[int, ...], _Record]]:
    """(part number, record) of every part; see `Part.path`."""
    trail: list[tuple[tuple[int, ...], int]] = []  # number and kind from the root down
    counts: list[int] = []  # parts that each of `trail` has had
    for record in _records(parts):
        del trail[record.depth :], counts[record.depth :]
        path, inside = trail[-1] if trail else ((), Kind.MESSAGE)
        if inside == Kind.MULTIPART:
            counts[-1] += 1
            path = (*path, counts[-1])
        # RFC 3501 6.4.5: a message that is not a multipart has one part, number 1
        elif record.kind != Kind.MULTIPART:
            path = (*path, 1)
        trail.append((path, record.kind))
        counts.append(0)
        yield path, record


def _records(parts: bytes) -> Iterator[_Record]:
    pos = len(_VERSION)
    while pos < len(parts):
        kind, depth, start, body, end, *lengths = _RECORD.unpack_from(parts, pos)
        pos += _RECORD.size
        texts = []
        for length in lengths:
            texts.append(parts[pos : pos + length])
            pos += length
        yield _Record(kind, depth, start, body, end, tuple(texts))
