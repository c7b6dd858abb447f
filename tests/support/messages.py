"""Messages made by hand, for tests of rooms that do not parse: the store, and who stands on it.

The structure is plausible and cheap, not right: who tests MIME makes it with `bridge.mime`.
"""

from __future__ import annotations

import hashlib

from bridge.model import NewMessage, Structure


def raw_message(subject: str, size: int = 200) -> bytes:
    """A message of exactly `size` octets (or as few more as its header needs)."""
    header = (
        f"From: a@example.org\r\nTo: b@example.org\r\nSubject: {subject}\r\n"
        f"Message-ID: <{hashlib.sha256(subject.encode()).hexdigest()[:16]}@example.org>\r\n\r\n"
    ).encode()
    line = b"All work and no play makes Jack a dull boy, and nobody wants that.....\r\n"
    body = line * (max(0, size - len(header)) // len(line) + 1)
    return header + body[: max(0, size - len(header))]


def new_message(
    octets: bytes,
    *,
    sent_day: int | None = 738_000,
    subject: str = "subject",
    message_id: str = "<1@example.org>",
) -> NewMessage:
    """The octets with a minimal structure by hand: one text/plain part."""
    end = octets.find(b"\r\n\r\n")
    header_size = len(octets) if end < 0 else end + 4
    text = octets[header_size:]
    body = b'("TEXT" "PLAIN" NIL NIL NIL "7BIT" %d %d)' % (len(text), text.count(b"\n"))
    return NewMessage(
        octets=octets,
        digest=hashlib.sha256(octets).digest(),
        structure=Structure(
            envelope=b'(NIL "%s" NIL NIL NIL NIL NIL NIL NIL NIL)' % subject.encode(),
            bodystructure=body[:-1] + b" NIL NIL NIL NIL)",
            body=body,
            header=octets[:header_size],
            header_size=header_size,
            parts=b"\x00\x00\x00\x01",
            fingerprint=hashlib.sha256(b"fingerprint" + text).digest(),
            sent_day=sent_day,
            sent_at=None if sent_day is None else sent_day * 86_400,
            received_at=None,
            base_subject=subject.upper(),
            message_id=message_id,
            preview=text[:100].decode("ascii", "replace"),
        ),
    )
