"""CANCELUPDATE (RFC 5267 4.3.5); UPDATE itself is an option of SEARCH."""

from __future__ import annotations

from dataclasses import dataclass

from bridge import limits
from bridge.imap.protocol.errors import ParseError
from bridge.imap.protocol.scanner import Scanner


@dataclass(frozen=True, slots=True)
class CancelUpdate:
    """`tags` are those of searches with UPDATE, each once."""

    tags: tuple[bytes, ...]


def parse(scanner: Scanner) -> CancelUpdate:
    tags: dict[bytes, None] = {}
    while not tags or not scanner.at_end:
        scanner.space()
        if scanner.peek != b'"':
            raise ParseError("A tag goes in quotes here")
        tags[scanner.string()] = None
        if len(tags) > limits.IMAP_CONTEXTS:
            raise ParseError("There are not so many")
    return CancelUpdate(tuple(tags))
