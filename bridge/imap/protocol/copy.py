"""COPY (RFC 3501 6.4.7) and MOVE (RFC 6851)."""

from __future__ import annotations

from dataclasses import dataclass

from bridge.imap.protocol.numbers import NumberSet
from bridge.imap.protocol.scanner import Scanner


@dataclass(frozen=True, slots=True)
class Copy:
    numbers: NumberSet
    mailbox: str


def parse(scanner: Scanner) -> Copy:
    scanner.space()
    numbers = scanner.sequence_set()
    scanner.space()
    mailbox = scanner.mailbox()
    scanner.end()
    return Copy(numbers, mailbox)
