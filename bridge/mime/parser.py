"""The door: message octets -> `bridge.model.Structure`.

Rules: `scan` never raises and is bounded (see `bridge.limits`) for every input; the octets may
be an mmap and are never copied as a whole. The same octets always give the same structure.
"""

from __future__ import annotations

import hashlib
import re

from bridge.limits import MIME_HEADER_BLOCK
from bridge.mime import preview, section
from bridge.mime.date import Date, parse_date
from bridge.mime.envelope import envelope
from bridge.mime.headers import Fields, first, unfold
from bridge.mime.sortkeys import sort_keys
from bridge.mime.structure import structures
from bridge.mime.text import base_subject, decode_header
from bridge.mime.tree import WITH_GLOBAL, scan_parts
from bridge.model import Octets, Structure

_CHUNK = 1 << 20
_MESSAGE_ID = re.compile(rb"<[^<>\s]++>")
_SUBJECT = 2_000  # characters of a base subject that are kept
_ID = 2_000  # octets of a Message-ID that are kept
_RECEIVED = 50  # Received fields that are looked at


def scan(octets: Octets) -> Structure:
    """All that clients ask of a message at first sync; never raises."""
    parts = scan_parts(octets)
    root = parts[0]
    found = root.fields
    bodystructure, body = structures(parts)
    table = section.pack(parts)
    sent = _sent(found)
    subject = base_subject(decode_header(first(found, b"subject") or b"", guess=False))
    return Structure(
        envelope=envelope(found),
        bodystructure=bodystructure,
        body=body,
        header=octets[: min(root.body, MIME_HEADER_BLOCK)],
        header_size=root.body,
        parts=table,
        fingerprint=_fingerprint(octets, root.body, found),
        sent_day=sent.day if sent else None,
        sent_at=sent.at if sent else None,
        received_at=_received(found),
        base_subject=subject.base[:_SUBJECT],
        message_id=_message_id(found),
        preview=preview.preview(octets, table),
        sort_keys=sort_keys(found, subject),
    )


def rev2_structures(octets: Octets) -> tuple[bytes, bytes, bytes]:
    """(BODYSTRUCTURE, BODY, offset table) as RFC 9051 9 has them: message/global (RFC 6532 3.7) is
    a message like message/rfc822, where RFC 3501 9 has it as a leaf."""
    parts = scan_parts(octets, WITH_GLOBAL)
    return (*structures(parts), section.pack(parts))


def _last(found: Fields, name: bytes) -> bytes:
    """The value that ENVELOPE shows."""
    values = found.get(name)
    return values[-1] if values else b""


def _sent(found: Fields) -> Date | None:
    """Of several Date fields the first counts, as in Dovecot."""
    value = first(found, b"date")
    return parse_date(value) if value else None


def _received(found: Fields) -> int | None:
    """RFC 5321 4.4: the date stands after the last semicolon; the last relay is on top."""
    for value in found.get(b"received", ())[:_RECEIVED]:
        date = parse_date(unfold(value.rpartition(b";")[2]))
        if date is not None:
            return date.at
    return None


def _message_id(found: Fields) -> str:
    match = _MESSAGE_ID.search(_last(found, b"message-id"))
    return match[0].decode("latin-1") if match and len(match[0]) <= _ID else ""


def _fingerprint(octets: Octets, body: int, found: Fields) -> bytes:
    """SHA-256 over Message-ID, Date, From and the body up to its last line that is not empty:
    the same for two deliveries of one message whose other headers a provider changed."""
    whole = hashlib.sha256()
    for name in (b"message-id", b"date", b"from"):
        value = b" ".join(_last(found, name).split())
        whole.update(b"%b:%d:%b\n" % (name, len(value), value))
    end = _content_end(octets, body)
    for start in range(body, end, _CHUNK):
        whole.update(octets[start : min(end, start + _CHUNK)])
    return whole.digest()


def _content_end(octets: Octets, body: int) -> int:
    """The end of the octets without the line ends that close them."""
    end = len(octets)
    while end > body:
        start = max(body, end - 4096)
        kept = octets[start:end].rstrip(b"\r\n")
        if kept:
            return start + len(kept)
        end = start
    return end
