"""Header fields -> what SORT and THREAD compare (RFC 5256, RFC 5957).

Rules: of a field that stands more than once the first counts, and 8-bit octets without a charset
are UTF-8 or nothing, as in Dovecot; every key is cut; nothing raises.
"""

from __future__ import annotations

import hashlib
import re

from bridge.limits import MIME_REFERENCES
from bridge.mime.address import MISSING_DOMAIN, MISSING_MAILBOX, Address, addresses
from bridge.mime.charsets import decode
from bridge.mime.headers import Fields, first
from bridge.mime.text import Subject, casemap, decode_header
from bridge.model import SortKeys

_TEXT = 500  # characters of a key
_NO_ID = bytes(8)
_ID = re.compile(rb'<([^<>"]*+(?:"[^"]*+"[^<>"]*+)*+)>')
_ESCAPE = re.compile(rb"\\(.)")


def sort_keys(found: Fields, subject: Subject) -> SortKeys:
    """The keys of a message with these fields; `subject` is its base subject."""
    sender, to = _first_address(found, b"from"), _first_address(found, b"to")
    return SortKeys(
        subject=casemap(subject.base[:_TEXT]),
        is_reply=subject.is_reply,
        sender=_mailbox(sender),
        to=_mailbox(to),
        cc=_mailbox(_first_address(found, b"cc")),
        display_from=_display(sender),
        display_to=_display(to),
        links=_links(found),
    )


def _first_address(found: Fields, name: bytes) -> Address | None:
    values = found.get(name)
    some = addresses(values[0], 1) if values else ()
    return some[0] if some else None


def _mailbox(address: Address | None) -> str:
    """RFC 5256 3: addr-mailbox of the first address, the group's name of a group."""
    mailbox = address[2] if address else None
    if mailbox is None or mailbox == MISSING_MAILBOX:
        return ""
    return casemap(decode(mailbox, "", guess=False)[:_TEXT])


def _display(address: Address | None) -> str:
    """RFC 5957 3: the display name, or mailbox@host where there is none."""
    if address is None:
        return ""
    name, _, mailbox, host = address
    if name and (text := decode_header(name, guess=False).strip()):
        return casemap(text[:_TEXT])
    parts = [part for part in (mailbox, host) if part not in (MISSING_MAILBOX, MISSING_DOMAIN)]
    return casemap(decode(b"@".join(part for part in parts if part), "", guess=False)[:_TEXT])


def _links(found: Fields) -> bytes:
    """RFC 5256 3, REFERENCES: the own ID, and the IDs of References, else the first of
    In-Reply-To. Of very many the first, which names the thread, and the last are kept."""
    own = _ids(first(found, b"message-id"))[:1] or [_NO_ID]
    references = _ids(first(found, b"references")) or _ids(first(found, b"in-reply-to"))[:1]
    if len(references) > MIME_REFERENCES:
        references[1 : 1 - MIME_REFERENCES] = []
    return b"".join((*own, *references))


def _ids(value: bytes | None) -> list[bytes]:
    """The message IDs in a value, as hashes. RFC 5256 3: quoted or not is the same ID."""
    ids = (_normal(text) for text in _ID.findall(value)) if value else ()
    return [hashlib.blake2b(text, digest_size=8).digest() for text in ids if text]


def _normal(text: bytes) -> bytes:
    """RFC 5322 3.6.4, id-left "@" id-right without quotes; b"" where it is none."""
    text = b"".join(text.split())
    if b'"' in text:
        text = _ESCAPE.sub(rb"\1", text.replace(b'"', b""))
    left, at, right = text.partition(b"@")
    return text if left and at and right else b""
