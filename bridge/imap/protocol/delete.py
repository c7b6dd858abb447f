"""DELETE (RFC 3501 6.3.4)."""

from __future__ import annotations

from dataclasses import dataclass

from bridge.imap.protocol.scanner import Scanner


@dataclass(frozen=True, slots=True)
class Delete:
    mailbox: str


def parse(scanner: Scanner) -> Delete:
    scanner.space()
    mailbox = scanner.mailbox()
    scanner.end()
    return Delete(mailbox)
