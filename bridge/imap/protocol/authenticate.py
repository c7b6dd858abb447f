"""AUTHENTICATE and the lines that follow it (RFC 3501 6.2.2, RFC 4959)."""

from __future__ import annotations

import binascii
from dataclasses import dataclass, field

from bridge.imap.protocol.errors import ParseError
from bridge.imap.protocol.scanner import Scanner


@dataclass(frozen=True, slots=True)
class Authenticate:
    """`mechanism` is upper-case; `initial` is the decoded initial response, None without one."""

    mechanism: str
    initial: bytes | None = field(repr=False)


def parse(scanner: Scanner) -> Authenticate:
    scanner.space()
    mechanism = scanner.atom().upper()
    initial = None
    if scanner.take(b" "):
        octets = scanner.astring()
        # RFC 4959 3: "=" is an initial response of no octets.
        initial = b"" if octets == b"=" else _decode(octets)
        if initial == b"" and octets != b"=":
            raise ParseError("An empty initial response is written as =")
    scanner.end()
    return Authenticate(mechanism, initial)


def decode_response(line: bytes) -> bytes | None:
    """The octets of a client's response; None for "*", which cancels. Raises ParseError."""
    return None if line == b"*" else _decode(line)


def _decode(octets: bytes) -> bytes:
    try:
        return binascii.a2b_base64(octets, strict_mode=True)
    except binascii.Error:
        raise ParseError("The response is not base64") from None
