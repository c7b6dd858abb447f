"""A header block -> its fields (RFC 5322 2.2).

Rules: a field is a line with a colon and the folded lines after it; names compare in lower
case; a line without a colon belongs to nobody and is skipped. Values come cut at the limit.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

from bridge.limits import MIME_HEADER_FIELD

# name, colon, value with its folded lines; the line end stays with the value
_FIELD = re.compile(rb"([^\n:]*+)(:?+)([^\n]*+(?:\n[ \t][^\n]*+)*+\n?+)")
_BREAK = re.compile(rb"\r*\n|\r+")

Fields = dict[bytes, list[bytes]]
"""Lower-case name -> raw values in order, with their folds and line ends."""


def fields(block: bytes) -> Fields:
    """The fields of a header block by lower-case name."""
    found: Fields = {}
    for name, colon, value in _FIELD.findall(block):
        if colon:
            found.setdefault(name.strip().lower(), []).append(value[:MIME_HEADER_FIELD])
    return found


def raw_fields(block: bytes) -> Iterator[tuple[bytes, bytes]]:
    """(lower-case name, the raw lines) of every field; lines without a colon have name b"".

    Ends at the blank line, which is not given out.
    """
    for match in _FIELD.finditer(block):
        name, colon, _ = match.groups()
        raw = match[0]
        if not raw or (not colon and not name.strip(b"\r")):
            return
        yield name.strip().lower() if colon else b"", raw


def named_fields(block: bytes, names: frozenset[bytes]) -> bytes:
    """The raw lines of the fields of these (lower-case) names, in their order, up to the blank
    line: what `raw_fields` would give, at a fraction of the time."""
    pattern = _named(names)
    # A first line that looks folded is a field nevertheless.
    if pattern is None or block[:1] in (b" ", b"\t"):
        return b"".join(raw for name, raw in raw_fields(block) if name in names)
    if _BLANK.match(block):
        return b""
    found: list[bytes] = []
    at = 0
    while at < len(block):
        begins = _NEXT.search(block, at + PIECE)
        end = begins.end() if begins else len(block)
        last = _LAST.search(block, max(0, at - 1), end)
        found += pattern.findall(block, at, last.start() + 1 if last else end)
        if last:
            break
        at = end
    return b"".join(found)


# Octets of a header that are looked at in one call, which keeps the interpreter to itself: a header
# of 50 MB would keep the event loop waiting, whatever thread looks at it.
PIECE = 64 * 1024
_NEXT = re.compile(rb"\n(?![ \t])")  # behind it another field begins, or the blank line stands
_PLAIN = re.compile(rb"[!-9;-~]+")  # RFC 5322 3.6.8, ftext
_BLANK = re.compile(rb"\r*+\n")
_LAST = re.compile(rb"\n\r*+\n")  # the end of the last field, and the blank line


@lru_cache(maxsize=64)
def _named(names: frozenset[bytes]) -> re.Pattern[bytes] | None:
    """Matches a field, whatever its name; its only group holds it where the name is one of these,
    else it is empty. None where a name is so odd that it wants the careful way."""
    if not names or not all(map(_PLAIN.fullmatch, names)):
        return None
    alternatives = b"|".join(map(re.escape, sorted(names)))
    # Possessive throughout: linear, whatever the header. A line that starts with a blank goes on
    # with the field before it; one that starts with other white space has that stripped. To step
    # over the other fields, rather than to look for a beginning at each octet, is three times as
    # fast.
    return re.compile(
        rb"((?:[\x0b-\x0d][\x09\x0b-\x0d ]*+)?+(?:%b)[\x09\x0b-\x0d ]*+:"
        rb"[^\n]*+(?:\n[ \t][^\n]*+)*+\n?+)|[^\n]*+(?:\n[ \t][^\n]*+)*+\n?+" % alternatives,
        re.I,
    )


def unfold(value: bytes) -> bytes:
    """One line: line breaks go, the white space after them stays (RFC 5322 2.2.3)."""
    value = value.strip(b" \t\r\n")
    if b"\n" in value or b"\r" in value:
        value = _BREAK.sub(b"", value)
    return value


def shown(value: bytes | None) -> bytes | None:
    """An unfolded value as clients are to see it: a tab, which folding often leaves, is a space
    (and the value can go as a quoted string)."""
    return value.replace(b"\t", b" ") if value and b"\t" in value else value


def first(found: Fields, name: bytes) -> bytes | None:
    """The unfolded value of the first field of that name; None when there is none."""
    values = found.get(name)
    return unfold(values[0]) if values else None
