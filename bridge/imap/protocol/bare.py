"""Commands without arguments (RFC 3501 6.1, 6.2.1, 6.4.1 to 6.4.3; RFC 2177, 2342, 3691)."""

from __future__ import annotations

from dataclasses import dataclass

from bridge.imap.protocol.scanner import Scanner


@dataclass(frozen=True, slots=True)
class Bare:
    """CAPABILITY NOOP LOGOUT STARTTLS CHECK CLOSE UNSELECT IDLE NAMESPACE EXPUNGE."""


def parse(scanner: Scanner) -> Bare:
    scanner.end()
    return Bare()
