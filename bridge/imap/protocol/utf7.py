"""Modified UTF-7, the spelling of mailbox names on the wire (RFC 3501 5.1.3), strictly.

Rules: every name has exactly one spelling. What decodes to a name but is not its spelling (a
shift round printable ASCII, two shifts in a row, bits left over) is refused, so that no two
spellings can ever name one mailbox.
"""

from __future__ import annotations

import base64
import binascii
import re

from bridge.imap.protocol.errors import ParseError

_PLAIN = re.compile(rb"[\x20-\x7e]*+")
_NOT_PRINTABLE = re.compile(r"[^\x20-\x7e]++")


def encode(name: str) -> bytes:
    """ "Entwürfe & mehr" -> b"Entw&APw-rfe &- mehr". Raises ValueError for lone surrogates."""
    if "&" in name:
        name = name.replace("&", "&-")
    if name.isascii() and name.isprintable():
        return name.encode("ascii")
    return _NOT_PRINTABLE.sub(_shift, name).encode("ascii")


def _shift(run: re.Match[str]) -> str:
    octets = base64.b64encode(run[0].encode("utf-16-be"), b"+,")
    return f"&{octets.rstrip(b'=').decode('ascii')}-"


def decode(octets: bytes) -> str:
    """b"Entw&APw-rfe" -> "Entwürfe". Raises ParseError for all but the one right spelling."""
    if not _PLAIN.fullmatch(octets):
        raise ParseError("A mailbox name is written in modified UTF-7")
    if b"&" not in octets:
        return octets.decode("ascii")
    start, *shifts = octets.split(b"&")
    parts = [start.decode("ascii")]
    try:
        for shift in shifts:
            encoded, dash, plain = shift.partition(b"-")
            if not dash:
                raise ParseError("A shift in the mailbox name is not closed with -")
            if encoded:
                padded = encoded + b"=" * (-len(encoded) % 4)
                parts.append(base64.b64decode(padded, b"+,", validate=True).decode("utf-16-be"))
            else:
                parts.append("&")
            parts.append(plain.decode("ascii"))
    except (binascii.Error, UnicodeDecodeError):
        raise ParseError("The mailbox name is not modified UTF-7") from None
    name = "".join(parts)
    if encode(name) != octets:
        raise ParseError("The mailbox name is not in its shortest modified UTF-7 form")
    return name
