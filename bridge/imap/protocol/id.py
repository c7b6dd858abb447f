"""ID (RFC 2971): what the client says that it is."""

from __future__ import annotations

from dataclasses import dataclass

from bridge.imap.protocol.errors import ParseError
from bridge.imap.protocol.scanner import Scanner

_FIELDS = 30  # RFC 2971 3.3: not more than 30 field-value pairs


@dataclass(frozen=True, slots=True)
class Id:
    """`fields` as sent: (("name", "Thunderbird"), ("os", None)); ID NIL gives none."""

    fields: tuple[tuple[str, str | None], ...]


def parse(scanner: Scanner) -> Id:
    scanner.space()
    fields: list[tuple[str, str | None]] = []
    if not scanner.take(b"("):
        if scanner.nstring() is not None:
            raise ParseError("Expected NIL or a list of fields and values")
    elif not scanner.take(b")"):
        while True:
            name = scanner.string()
            scanner.space()
            value = scanner.nstring()
            fields.append((_text(name), None if value is None else _text(value)))
            if not scanner.take(b" "):
                break
            if len(fields) >= _FIELDS:
                raise ParseError(f"ID has at most {_FIELDS} fields")
        scanner.expect(b")")
    scanner.end()
    return Id(tuple(fields))


def _text(octets: bytes) -> str:
    return octets.decode("utf-8", "replace")
