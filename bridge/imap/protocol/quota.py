"""GETQUOTA, GETQUOTAROOT, SETQUOTA (RFC 9208 4.1)."""

from __future__ import annotations

from dataclasses import dataclass

from bridge.imap.protocol.errors import ParseError
from bridge.imap.protocol.scanner import Scanner

_RESOURCES = 20  # more than there are


@dataclass(frozen=True, slots=True)
class GetQuota:
    root: bytes


@dataclass(frozen=True, slots=True)
class GetQuotaRoot:
    mailbox: str


@dataclass(frozen=True, slots=True)
class SetQuota:
    """`limits` pairs upper-case resource names with what they are to be limited to."""

    root: bytes
    limits: tuple[tuple[str, int], ...]


def parse_root(scanner: Scanner) -> GetQuota:
    scanner.space()
    root = scanner.astring()
    scanner.end()
    return GetQuota(root)


def parse_mailbox(scanner: Scanner) -> GetQuotaRoot:
    scanner.space()
    mailbox = scanner.mailbox()
    scanner.end()
    return GetQuotaRoot(mailbox)


def parse_set(scanner: Scanner) -> SetQuota:
    scanner.space()
    root = scanner.astring()
    scanner.space()
    scanner.expect(b"(")
    limits: list[tuple[str, int]] = []
    while not scanner.take(b")"):
        if len(limits) >= _RESOURCES:
            raise ParseError("Too many resources")
        if limits:
            scanner.space()
        name = scanner.word()
        scanner.space()
        limits.append((name, scanner.mod_sequence()))  # RFC 9051 9: number64 has 63 bits too
    scanner.end()
    return SetQuota(root, tuple(limits))
