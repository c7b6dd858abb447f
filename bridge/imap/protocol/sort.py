"""SORT (RFC 5256 3), with DISPLAYFROM and DISPLAYTO (RFC 5957) and RETURN (RFC 5267 3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from bridge.imap.protocol import search
from bridge.imap.protocol.errors import ParseError
from bridge.imap.protocol.scanner import Scanner
from bridge.imap.protocol.search import Refused, Search

CRITERIA: Final = frozenset(
    {"ARRIVAL", "CC", "DATE", "FROM", "SIZE", "SUBJECT", "TO", "DISPLAYFROM", "DISPLAYTO"}
)


@dataclass(frozen=True, slots=True)
class Sort:
    """`criteria` are names of `CRITERIA` with whether they are reversed, each name once: one
    that comes again decides nothing."""

    criteria: tuple[tuple[str, bool], ...]
    search: Search | Refused


def parse(scanner: Scanner) -> Sort:
    """Raises ParseError, BadCharset among them."""
    scanner.space()
    asked = None
    if scanner.peek != b"(":
        if scanner.word() != "RETURN":
            raise ParseError("Expected sort criteria in parentheses")
        scanner.space()
        asked = search.returns(scanner)
        scanner.space()
    criteria = _criteria(scanner)
    scanner.space()
    charset = scanner.astring()
    scanner.space()
    return Sort(criteria, search.criteria(scanner, None, charset, asked))


def _criteria(scanner: Scanner) -> tuple[tuple[str, bool], ...]:
    found: dict[str, bool] = {}
    scanner.expect(b"(")
    while True:
        name = scanner.word()
        reverse = name == "REVERSE"
        if reverse:
            scanner.space()
            name = scanner.word()
        if name not in CRITERIA:
            raise ParseError("There is no such sort criterion")
        found.setdefault(name, reverse)
        if not scanner.take(b" "):
            scanner.expect(b")")
            return tuple(found.items())
