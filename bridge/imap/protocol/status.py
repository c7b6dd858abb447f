"""STATUS (RFC 3501 6.3.10; RFC 7162 7, RFC 7889 4, RFC 8438 4, RFC 8474 4.3, RFC 9051 6.3.11,
RFC 9208 7 for newer items)."""

from __future__ import annotations

from dataclasses import dataclass

from bridge.imap.protocol.errors import ParseError
from bridge.imap.protocol.scanner import Scanner

ITEMS = frozenset(
    {
        "MESSAGES",
        "RECENT",
        "UIDNEXT",
        "UIDVALIDITY",
        "UNSEEN",
        "HIGHESTMODSEQ",
        "SIZE",
        "DELETED",
        "DELETED-STORAGE",
        "APPENDLIMIT",
        "MAILBOXID",
    }
)


@dataclass(frozen=True, slots=True)
class Status:
    """`items` are of `ITEMS`, each once, in the order sent."""

    mailbox: str
    items: tuple[str, ...]


def parse(scanner: Scanner) -> Status:
    scanner.space()
    mailbox = scanner.mailbox()
    scanner.space()
    items = parse_items(scanner)
    scanner.end()
    return Status(mailbox, items)


def parse_items(scanner: Scanner) -> tuple[str, ...]:
    """(MESSAGES UNSEEN), also behind LIST ... RETURN (STATUS ...) (RFC 5819 4)."""
    scanner.expect(b"(")
    items: dict[str, None] = {}
    while True:
        item = scanner.word()
        # RFC 9051, Appendix E 12
        if item not in ITEMS or (scanner.rev2 and item == "RECENT"):
            raise ParseError("There is no such STATUS item")
        items[item] = None
        if not scanner.take(b" "):
            break
    scanner.expect(b")")
    return tuple(items)
