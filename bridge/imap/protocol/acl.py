"""GETACL, SETACL, DELETEACL, LISTRIGHTS, MYRIGHTS (RFC 4314 3)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from bridge.imap.protocol.errors import ParseError
from bridge.imap.protocol.scanner import Scanner

_RIGHTS = re.compile(rb"[+-]?[a-z0-9]*+")


@dataclass(frozen=True, slots=True)
class OfMailbox:
    """GETACL and MYRIGHTS."""

    mailbox: str


@dataclass(frozen=True, slots=True)
class OfIdentifier:
    """LISTRIGHTS and DELETEACL. `identifier` is the name of a login or of a group."""

    mailbox: str
    identifier: bytes


@dataclass(frozen=True, slots=True)
class SetAcl:
    """`rights` starts with "+" or "-" where it changes what is there."""

    mailbox: str
    identifier: bytes
    rights: bytes


def parse_mailbox(scanner: Scanner) -> OfMailbox:
    scanner.space()
    mailbox = scanner.mailbox()
    scanner.end()
    return OfMailbox(mailbox)


def parse_identifier(scanner: Scanner) -> OfIdentifier:
    scanner.space()
    mailbox = scanner.mailbox()
    scanner.space()
    identifier = scanner.astring()
    scanner.end()
    return OfIdentifier(mailbox, identifier)


def parse_set(scanner: Scanner) -> SetAcl:
    scanner.space()
    mailbox = scanner.mailbox()
    scanner.space()
    identifier = scanner.astring()
    scanner.space()
    rights = scanner.astring()
    # RFC 4314 2.1: rights are lower-case letters and digits; others are BAD.
    if not _RIGHTS.fullmatch(rights):
        raise ParseError("Rights are lower-case letters and digits")
    scanner.end()
    return SetAcl(mailbox, identifier, rights)
