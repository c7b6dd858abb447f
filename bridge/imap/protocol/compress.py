"""COMPRESS (RFC 4978 3)."""

from __future__ import annotations

from dataclasses import dataclass

from bridge.imap.protocol.errors import ParseError
from bridge.imap.protocol.scanner import Scanner


@dataclass(frozen=True, slots=True)
class Compress:
    """DEFLATE is the only mechanism that there is."""


def parse(scanner: Scanner) -> Compress:
    scanner.space()
    # RFC 4978 3: an unknown mechanism is BAD.
    if scanner.atom().upper() != "DEFLATE":
        raise ParseError("There is no such compression; use DEFLATE")
    scanner.end()
    return Compress()
