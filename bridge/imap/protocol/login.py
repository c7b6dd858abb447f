"""LOGIN (RFC 3501 6.2.3)."""

from __future__ import annotations

from dataclasses import dataclass

from bridge.imap.protocol.scanner import Scanner
from bridge.model import Secret


@dataclass(frozen=True, slots=True)
class Login:
    """Octets that are no UTF-8 became U+FFFD: such a name or password belongs to nobody."""

    name: str
    password: Secret


def parse(scanner: Scanner) -> Login:
    scanner.space()
    name = scanner.astring()
    scanner.space()
    password = scanner.astring()
    scanner.end()
    return Login(name.decode("utf-8", "replace"), Secret(password.decode("utf-8", "replace")))
