"""What a migration and an import read from another IMAP server: its mailboxes, its messages."""

from __future__ import annotations

import hashlib
import re
from collections.abc import AsyncIterator, Sequence

from bridge import limits
from bridge.imap.protocol.numbers import format_ranges
from bridge.model import Octets
from bridge.transfer import forms, imap_wire
from bridge.transfer.imap_client import ImapClient
from bridge.transfer.imap_names import Names, listed, personal
from bridge.transfer.imap_wire import number, pairs

_TOGETHER = 200  # messages of one FETCH
_OCTETS = 4 * 1024 * 1024  # of them
_HEADER = 256 * 1024  # octets of a header that are looked at
_NAMING = (b"message-id", b"date", b"from", b"subject")
_CHANGED = re.compile(rb"[^\x21-\x57\x59-\x7e]")  # all but printable ASCII, and "X"


async def names(client: ImapClient) -> Names:
    """The mailboxes of a server. Raises ImapError, BadResponse."""
    namespace: tuple[str, str | None] = ("", None)
    if b"NAMESPACE" in client.capabilities:
        async for response in client.fetch(b"NAMESPACE"):
            if response.kind == b"NAMESPACE":
                namespace = personal(response)
    # RFC 6154 3: without RETURN a server need not say what a mailbox is for.
    extended = {b"SPECIAL-USE", b"LIST-EXTENDED"} <= client.capabilities
    line = b'LIST "" "*"' + (b" RETURN (SPECIAL-USE)" if extended else b"")
    found = [listed(each) async for each in client.fetch(line) if each.kind == b"LIST"]
    return Names.of(found, namespace)


async def fetched(
    client: ImapClient, uids: Sequence[int], sizes: dict[int, int], *, bytes_too: bool
) -> AsyncIterator[tuple[int, dict[bytes, imap_wire.Token], Octets]]:
    """(UID, items, octets) of messages there, some in one command."""
    what = b"BODY.PEEK[]" if bytes_too else b""
    line = b"UID FETCH %b (UID FLAGS INTERNALDATE %b)"
    for part in parts(uids, sizes):
        command = line % (format_ranges(part), what)
        async for response in client.fetch(command.replace(b" )", b")")):
            if response.kind != b"FETCH":
                continue
            items = pairs(response.tokens[2])
            octets = items.get(b"BODY[]")
            if b"UID" not in items or (bytes_too and b"BODY[]" not in items):
                continue  # a change of flags that the server tells of its own accord
            whole: Octets = b"" if octets is None or isinstance(octets, list) else octets
            yield number(items[b"UID"]), items, whole


def parts(uids: Sequence[int], sizes: dict[int, int]) -> list[list[int]]:
    """UIDs that are fetched together."""
    found: list[list[int]] = []
    octets = 0
    for uid in sorted(uids):
        octets += sizes.get(uid, 0)
        if not found or len(found[-1]) >= _TOGETHER or octets > _OCTETS:
            found.append([])
            octets = sizes.get(uid, 0)
        found[-1].append(uid)
    return found


def digest_of(octets: Octets) -> bytes:
    whole = hashlib.sha256()
    for at in range(0, len(octets), limits.CHUNK):
        whole.update(octets[at : at + limits.CHUNK])
    return whole.digest()


def naming(octets: Octets) -> bytes:
    """What names a message in its header, less what servers change there: a hash."""
    stop = forms.header_end(octets, 0, len(octets), _HEADER)
    found = {name: value for _, _, name, value in forms.fields(octets[0:stop]) if name in _NAMING}
    text = b"\n".join(_CHANGED.sub(b"", found.get(name, b"")) for name in _NAMING)
    return hashlib.sha256(text).digest()
