"""RENAME (RFC 3501 6.3.5)."""

from __future__ import annotations

from dataclasses import dataclass

from bridge.imap.protocol.scanner import Scanner


@dataclass(frozen=True, slots=True)
class Rename:
    mailbox: str
    to: str


def parse(scanner: Scanner) -> Rename:
    scanner.space()
    mailbox = scanner.mailbox()
    scanner.space()
    to = scanner.mailbox()
    scanner.end()
    return Rename(mailbox, to)
