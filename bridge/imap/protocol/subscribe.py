"""SUBSCRIBE and UNSUBSCRIBE (RFC 3501 6.3.6, 6.3.7)."""

from __future__ import annotations

from dataclasses import dataclass

from bridge.imap.protocol.scanner import Scanner


@dataclass(frozen=True, slots=True)
class Subscribe:
    mailbox: str


def parse(scanner: Scanner) -> Subscribe:
    scanner.space()
    mailbox = scanner.mailbox()
    scanner.end()
    return Subscribe(mailbox)
