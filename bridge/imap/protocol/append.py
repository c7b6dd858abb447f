"""APPEND (RFC 3501 6.3.11) with several messages (RFC 3502), the UTF8 form (RFC 6855 4) and
literal8 (RFC 3516 4.4)."""

from __future__ import annotations

from dataclasses import dataclass

from bridge.imap.protocol.errors import ParseError
from bridge.imap.protocol.scanner import Scanner
from bridge.model import Octets


@dataclass(frozen=True, slots=True)
class AppendMessage:
    """`internaldate` is in seconds since the epoch; `octets` is the message as it came.

    `utf8` is True where the client says that its header is UTF-8, `binary` where it says that
    there may be NULs (literal8).
    """

    flags: int
    keywords: tuple[str, ...]
    internaldate: int | None
    octets: Octets
    utf8: bool = False
    binary: bool = False


@dataclass(frozen=True, slots=True)
class Append:
    mailbox: str
    messages: tuple[AppendMessage, ...]


def parse(scanner: Scanner) -> Append:
    scanner.space()
    mailbox = scanner.mailbox()
    messages: list[AppendMessage] = []
    while not messages or not scanner.at_end:
        scanner.space()
        messages.append(parse_message(scanner))
    return Append(mailbox, tuple(messages))


def parse_message(scanner: Scanner) -> AppendMessage:
    """(\\Seen) "17-Jul-1996 02:44:25 -0700" {310} ..., flags and date as the client likes."""
    flags = 0
    keywords: tuple[str, ...] = ()
    if scanner.peek == b"(":
        flags, keywords = scanner.flag_list()
        scanner.space()
    internaldate = None
    if scanner.peek == b'"':
        internaldate = scanner.date_time()
        scanner.space()
    utf8 = scanner.peek in (b"U", b"u")
    if not utf8:
        binary = scanner.take(b"~")
        octets = scanner.literal_octets()
        return AppendMessage(flags, keywords, internaldate, octets, binary=binary)
    if scanner.word() != "UTF8":
        raise ParseError("Expected a literal")
    # RFC 6855 4: "UTF8" SP "(" literal8 ")"
    scanner.space()
    scanner.expect(b"(")
    scanner.expect(b"~")
    octets = scanner.literal_octets()
    scanner.expect(b")")
    return AppendMessage(flags, keywords, internaldate, octets, utf8)
