"""APPEND (RFC 3501 6.3.11): one message with its flags and date."""

from __future__ import annotations

from dataclasses import dataclass

from bridge.imap.protocol.scanner import Scanner
from bridge.model import Octets


@dataclass(frozen=True, slots=True)
class Append:
    """`internaldate` is in seconds since the epoch; `octets` is the message as it came."""

    mailbox: str
    flags: int
    keywords: tuple[str, ...]
    internaldate: int | None
    octets: Octets


def parse(scanner: Scanner) -> Append:
    scanner.space()
    mailbox = scanner.mailbox()
    scanner.space()
    flags = 0
    keywords: tuple[str, ...] = ()
    if scanner.peek == b"(":
        flags, keywords = scanner.flag_list()
        scanner.space()
    internaldate = None
    if scanner.peek == b'"':
        internaldate = scanner.date_time()
        scanner.space()
    octets = scanner.literal_octets()
    scanner.end()
    return Append(mailbox, flags, keywords, internaldate, octets)
