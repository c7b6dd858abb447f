"""STORE (RFC 3501 6.4.6), with UNCHANGEDSINCE (RFC 7162 3.1.3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bridge.imap.protocol.errors import ParseError
from bridge.imap.protocol.numbers import NumberSet
from bridge.imap.protocol.scanner import Scanner


@dataclass(frozen=True, slots=True)
class Store:
    """`flags` is a sum of `model.Flag`; `unchanged_since` a MODSEQ or None."""

    numbers: NumberSet
    op: Literal["add", "remove", "replace"]
    silent: bool
    flags: int
    keywords: tuple[str, ...]
    unchanged_since: int | None = None


def parse(scanner: Scanner) -> Store:
    scanner.space()
    numbers = scanner.sequence_set()
    scanner.space()
    unchanged_since = None
    if scanner.take(b"("):
        if scanner.word() != "UNCHANGEDSINCE":
            raise ParseError("There is no such STORE modifier")
        scanner.space()
        unchanged_since = scanner.mod_sequence()
        scanner.expect(b")")
        scanner.space()
    op: Literal["add", "remove", "replace"] = "replace"
    if scanner.take(b"+"):
        op = "add"
    elif scanner.take(b"-"):
        op = "remove"
    name = scanner.word()
    if name not in ("FLAGS", "FLAGS.SILENT"):
        raise ParseError("Expected FLAGS or FLAGS.SILENT")
    scanner.space()
    flags, keywords = scanner.flags()
    scanner.end()
    return Store(numbers, op, name == "FLAGS.SILENT", flags, keywords, unchanged_since)
