"""REPLACE and UID REPLACE (RFC 8508 5)."""

from __future__ import annotations

from dataclasses import dataclass

from bridge.imap.protocol.append import AppendMessage, parse_message
from bridge.imap.protocol.errors import ParseError
from bridge.imap.protocol.numbers import NumberSet
from bridge.imap.protocol.scanner import Scanner


@dataclass(frozen=True, slots=True)
class Replace:
    """`number` names one message; it may be "*"."""

    number: NumberSet
    mailbox: str
    message: AppendMessage


def parse(scanner: Scanner) -> Replace:
    scanner.space()
    number = scanner.sequence_set()
    if number.saved or len(number.items) != 1 or number.items[0][0] != number.items[0][1]:
        raise ParseError("REPLACE takes the number of one message")
    scanner.space()
    mailbox = scanner.mailbox()
    scanner.space()
    message = parse_message(scanner)
    scanner.end()
    return Replace(number, mailbox, message)
