"""CREATE (RFC 3501 6.3.3), with CREATE-SPECIAL-USE (RFC 6154 3)."""

from __future__ import annotations

from dataclasses import dataclass

from bridge.imap.protocol.errors import ParseError
from bridge.imap.protocol.scanner import Scanner
from bridge.model import SpecialUse

_KNOWN = {use.value.upper(): use.value for use in SpecialUse}
_USES = 20  # more than there are special uses


@dataclass(frozen=True, slots=True)
class Create:
    """`special_use` holds "\\Drafts" and its like, known ones in our spelling; None without USE."""

    mailbox: str
    special_use: tuple[str, ...] | None = None


def parse(scanner: Scanner) -> Create:
    scanner.space()
    mailbox = scanner.mailbox()
    uses: tuple[str, ...] | None = None
    if scanner.take(b" "):
        scanner.expect(b"(")
        if scanner.word() != "USE":
            raise ParseError("There is no such parameter")
        scanner.space()
        uses = _uses(scanner)
        scanner.expect(b")")
    scanner.end()
    return Create(mailbox, uses)


def _uses(scanner: Scanner) -> tuple[str, ...]:
    scanner.expect(b"(")
    if scanner.take(b")"):
        return ()
    uses: dict[str, None] = {}
    while True:
        scanner.expect(b"\\")
        name = "\\" + scanner.atom()
        uses[_KNOWN.get(name.upper(), name)] = None
        if not scanner.take(b" "):
            break
        if len(uses) >= _USES:
            raise ParseError("Too many special uses")
    scanner.expect(b")")
    return tuple(uses)
