"""GETMETADATA and SETMETADATA (RFC 5464 4.2, 4.3)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from bridge import limits
from bridge.imap.protocol.errors import ParseError
from bridge.imap.protocol.scanner import Scanner

# RFC 5464 3.2: no "*", "%", controls, 8-bit octets; no empty component; at least two of them.
_NAME = re.compile(rb"(?:/[^\x00-\x1f\x7f-\xff*%/]++)++")
_SCOPES: Final = (b"/private/", b"/shared/")
_MOST: Final = 500  # entries in one command
INFINITY: Final = limits.METADATA_NAME  # more levels than a name can have


@dataclass(frozen=True, slots=True)
class GetMetadata:
    """`mailbox` is "" for the server; `entries` are as the client spelt them. `depth` is how many
    levels below an entry are asked for too."""

    mailbox: str
    entries: tuple[str, ...]
    max_size: int | None = None
    depth: int = 0


@dataclass(frozen=True, slots=True)
class SetMetadata:
    """`values` by entry in lower case; None removes it."""

    mailbox: str
    values: tuple[tuple[str, bytes | None], ...]


def parse_get(scanner: Scanner) -> GetMetadata:
    scanner.space()
    options: dict[str, int] = {}
    # RFC 5464 5 has the options before the mailbox, its examples behind it: both are taken.
    if scanner.peek == b"(":
        options = _options(scanner)
        scanner.space()
    mailbox = scanner.mailbox()
    scanner.space()
    entries: list[str] = []
    if not scanner.take(b"("):
        entries.append(entry(scanner))
    elif scanner.peek not in (b"/", b'"', b"{"):
        if options:
            raise ParseError("The options are given twice")
        options = _options(scanner, opened=True)
        scanner.space()
        if scanner.take(b"("):
            entries = _entries(scanner)
        else:
            entries.append(entry(scanner))
    else:
        entries = _entries(scanner)
    scanner.end()
    unique = tuple(dict.fromkeys(entries))
    return GetMetadata(mailbox, unique, options.get("MAXSIZE"), options.get("DEPTH", 0))


def _options(scanner: Scanner, *, opened: bool = False) -> dict[str, int]:
    if not opened:
        scanner.expect(b"(")
    options: dict[str, int] = {}
    while True:
        name = scanner.word()
        if name in options:
            raise ParseError("An option is given twice")
        scanner.space()
        if name == "MAXSIZE":
            options[name] = scanner.number()
        elif name == "DEPTH":
            depth = {"0": 0, "1": 1, "INFINITY": INFINITY}.get(scanner.word())
            if depth is None:
                raise ParseError("DEPTH is 0, 1 or infinity")
            options[name] = depth
        else:
            raise ParseError("There is no such GETMETADATA option")
        if not scanner.take(b" "):
            break
    scanner.expect(b")")
    return options


def _entries(scanner: Scanner) -> list[str]:
    """Behind the "("."""
    entries = []
    while True:
        entries.append(entry(scanner))
        if not scanner.take(b" "):
            break
        if len(entries) >= _MOST:
            raise ParseError("Too many entries")
    scanner.expect(b")")
    return entries


def entry(scanner: Scanner) -> str:
    """ "/private/comment", as it was spelt. Raises ParseError for what is no entry's name."""
    octets = scanner.astring()
    if len(octets) > limits.METADATA_NAME:
        raise ParseError(f"An entry name has at most {limits.METADATA_NAME} octets")
    if not _NAME.fullmatch(octets) or not octets.lower().startswith(_SCOPES):
        raise ParseError("An entry name is like /private/comment or /shared/comment")
    return octets.decode("ascii")


def parse_set(scanner: Scanner) -> SetMetadata:
    scanner.space()
    mailbox = scanner.mailbox()
    scanner.space()
    scanner.expect(b"(")
    values: dict[str, bytes | None] = {}
    while True:
        name = entry(scanner).lower()
        scanner.space()
        values[name] = _value(scanner)
        if not scanner.take(b" "):
            break
        if len(values) >= _MOST:
            raise ParseError("Too many entries")
    scanner.expect(b")")
    scanner.end()
    return SetMetadata(mailbox, tuple(values.items()))


def _value(scanner: Scanner) -> bytes | None:
    if not scanner.take(b"~"):
        return scanner.nstring()
    # RFC 5464 5: value = nstring / literal8, which may hold NULs.
    octets = scanner.literal_octets()
    return octets[0 : len(octets)]
