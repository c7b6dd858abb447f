"""Header fields -> ENVELOPE (RFC 3501 7.4.2)."""

from __future__ import annotations

from bridge.limits import MIME_ADDRESSES
from bridge.mime.address import Address, addresses, wire
from bridge.mime.headers import Fields, shown, unfold
from bridge.mime.wire import nstring


def envelope(found: Fields) -> bytes:
    """`("date" "subject" from sender reply-to to cc bcc "in-reply-to" "message-id")`."""
    sent_by = _addresses(found, b"from")
    return b"(%b %b %b %b %b %b %b %b %b %b)" % (
        _text(found, b"date"),
        _text(found, b"subject"),
        sent_by,
        # RFC 3501 7.4.2: Sender and Reply-To default to From
        _addresses(found, b"sender", sent_by),
        _addresses(found, b"reply-to", sent_by),
        _addresses(found, b"to"),
        _addresses(found, b"cc"),
        _addresses(found, b"bcc"),
        _text(found, b"in-reply-to"),
        _text(found, b"message-id"),
    )


def _text(found: Fields, name: bytes) -> bytes:
    """The last field of that name counts."""
    values = found.get(name)
    return nstring(shown(unfold(values[-1]))) if values else b"NIL"


def _addresses(found: Fields, name: bytes, default: bytes = b"NIL") -> bytes:
    """Fields that stand more than once are one list."""
    values = found.get(name)
    if not values:
        return default
    several: list[Address] = []
    for value in values:
        if len(several) >= MIME_ADDRESSES:
            break
        several += addresses(value, MIME_ADDRESSES - len(several))
    return wire(several) if several else default
