"""UID EXPUNGE (RFC 4315 2.1); plain EXPUNGE is a `Bare`."""

from __future__ import annotations

from dataclasses import dataclass

from bridge.imap.protocol.numbers import NumberSet
from bridge.imap.protocol.scanner import Scanner


@dataclass(frozen=True, slots=True)
class UidExpunge:
    numbers: NumberSet


def parse(scanner: Scanner) -> UidExpunge:
    scanner.space()
    numbers = scanner.sequence_set()
    scanner.end()
    return UidExpunge(numbers)
