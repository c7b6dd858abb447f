"""ENABLE (RFC 5161)."""

from __future__ import annotations

from dataclasses import dataclass

from bridge.imap.protocol.scanner import Scanner


@dataclass(frozen=True, slots=True)
class Enable:
    """Capability names, upper-case, each once; RFC 5161 3.1: unknown ones are ignored."""

    names: tuple[str, ...]


def parse(scanner: Scanner) -> Enable:
    names: dict[str, None] = {}
    while not names or not scanner.at_end:
        scanner.space()
        names[scanner.atom().upper()] = None
    return Enable(tuple(names))
