"""Which bytes of a file are the message.

A mail program keeps a message with additions of its own (a status line in the header, ">" before
"From ", LF for CRLF). A `Form` is one reading of such a file: the octets that are kept, and whether
line ends become CRLF. A format yields its likeliest form first; where a manifest tells the digests
of what was exported, the form that has one of them is the right one (`chosen`), so that bytes come
back exactly. Pure; a message is never copied as a whole.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from bridge.model import Octets

STEP = 1024 * 1024  # octets that are in memory at once
_NAME = re.compile(rb"[!-9;-~]++[ \t]*+:")
_BLANK_FIRST = re.compile(rb"\r?\n")
_BLANK = re.compile(rb"\n\r?\n")
_HEADER_STEP = 16 * 1024
Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Form:
    """The octets of `spans` (rising, disjoint), one after the other; `crlf` makes every LF CRLF."""

    spans: tuple[Span, ...]
    crlf: bool = False


def pieces(octets: Octets, form: Form) -> Iterator[bytes]:
    """The message, in pieces of at most two STEPs."""
    for start, end in form.spans:
        for at in range(start, end, STEP):
            piece = octets[at : min(end, at + STEP)]
            yield piece.replace(b"\n", b"\r\n") if form.crlf else piece


def digest(octets: Octets, form: Form) -> bytes:
    whole = hashlib.sha256()
    for piece in pieces(octets, form):
        whole.update(piece)
    return whole.digest()


def wire(octets: Octets, spans: Iterable[Span]) -> Form:
    """The form in which the message travels: lines that all end with a bare LF, as on the disk of
    a Unix system, end with CRLF (RFC 5322 2.1); anything else stays as it is."""
    kept = tuple(span for span in spans if span[0] < span[1])
    bare = False
    last = b""
    for piece in pieces(octets, Form(kept)):
        if b"\r\n" in piece or (last == b"\r" and piece[:1] == b"\n"):
            return Form(kept)
        bare = bare or b"\n" in piece
        last = piece[-1:]
    return Form(kept, crlf=bare)


def chosen(octets: Octets, likely: Sequence[Sequence[Span]], known: Collection[bytes]) -> Form:
    """Of the forms, the likeliest first, one whose digest is known; else the likeliest in its wire
    form."""
    if known:
        for spans in likely:
            exact = Form(tuple(span for span in spans if span[0] < span[1]))
            if digest(octets, exact) in known:
                return exact
        for spans in likely:
            ended = Form(tuple(span for span in spans if span[0] < span[1]), crlf=True)
            if digest(octets, ended) in known:
                return ended
    return wire(octets, likely[0])


def header_end(octets: Octets, start: int, end: int, most: int) -> int:
    """Where the blank line after the header begins; `end`, or `start + most`, where none is."""
    end = min(end, start + most)
    if _BLANK_FIRST.match(octets[start : min(end, start + 2)]):
        return start
    at = start
    while at < end:
        piece = octets[at : min(end, at + _HEADER_STEP)]
        found = _BLANK.search(piece)
        if found is not None:
            return at + found.start() + 1
        if at + len(piece) >= end:
            break
        at += len(piece) - 2  # a blank line may lie across the border
    return end


def fields(block: bytes) -> Iterator[tuple[int, int, bytes, bytes]]:
    """(start, end, name in lower case, value) of each field of a header block, folded lines and
    line end included in the span, not in the value."""
    at = 0
    while at < len(block):
        end = _line_end(block, at)
        while end < len(block) and block[end : end + 1] in (b" ", b"\t"):
            end = _line_end(block, end)
        found = _NAME.match(block, at, end)
        if found is not None:
            name = found[0][:-1].rstrip().lower()
            yield at, end, name, block[found.end() : end].strip()
        at = end


def without(spans: Sequence[Span], dropped: Sequence[Span]) -> tuple[Span, ...]:
    """The spans less what is dropped; both rise."""
    kept: list[Span] = []
    for start, end in spans:
        at = start
        for low, high in dropped:
            if high <= at or low >= end:
                continue
            if low > at:
                kept.append((at, low))
            at = max(at, high)
        if at < end:
            kept.append((at, end))
    return tuple(kept)


def _line_end(block: bytes, at: int) -> int:
    found = block.find(b"\n", at)
    return len(block) if found < 0 else found + 1
