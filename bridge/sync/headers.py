"""Identity without the body: which known item a line is, from TOP n 0 and its size.

A maildrop whose UIDLs all change (a migration) is recognised by the headers of its messages, so
that nothing is fetched twice. Rules:

- The header block decides together with the size: all of it, but for fields that a provider
  writes for us (Status, X-UIDL and others). It proves something where it has a Message-ID, or
  both Date and Received.
- A match needs an item that no other line speaks for, and items of one delivery only. Whatever
  is ambiguous is fetched: a header is never the last word about a message that is new.
- A line whose own UIDL is known may have another size (LIST rounds, or lies anew at each poll):
  then the headers alone decide whether its UIDL was reused.
- Only a line that could be a known item is asked for: new mail costs no TOP.

Pure: the caller brings the header blocks and keeps the answers.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Iterable, Sequence

from bridge import limits
from bridge.model import KnownItem, ListedItem

FINGERPRINT = 16  # octets

# What servers put into a message when they hand it out: qpopper, UW, Dovecot's mbox, Netscape.
_PROVIDERS = frozenset(
    (
        *(b"status", b"x-status", b"x-uid", b"x-uidl", b"x-keywords", b"x-imap", b"x-imapbase"),
        *(b"x-mozilla-status", b"x-mozilla-status2", b"x-mozilla-keys"),
        *(b"content-length", b"lines"),
    )
)


def header_fingerprint(block: bytes) -> bytes | None:
    """16 octets for a header block (or a message, or the answer to TOP); None where it proves
    nothing, or was cut."""
    if len(block) >= min(limits.MIME_HEADER_BLOCK, limits.POP3_TOP) and b"\n\r\n" not in block:
        return None
    digest = hashlib.sha256()
    names: set[bytes] = set()
    counts = False
    for line in block.split(b"\n"):
        line = line.removesuffix(b"\r")
        if not line:
            break
        if line[:1] not in (b" ", b"\t"):
            name = line.partition(b":")[0].strip().lower()
            counts = name not in _PROVIDERS
            names.add(name)
        if counts:
            digest.update(line + b"\n")
    if b"message-id" in names or {b"date", b"received"} <= names:
        return digest.digest()[:FINGERPRINT]
    return None


class Unspoken:
    """The known items of an account that no line of the present listing speaks for."""

    def __init__(
        self,
        listing: Sequence[ListedItem],
        known: Iterable[KnownItem],
        speaking: Collection[int],
        doubted: Collection[int] = frozenset(),
    ) -> None:
        """`doubted` items, and the lines of their UIDLs, are left to their bytes."""
        self._by_key: dict[tuple[bytes, int | None], list[KnownItem]] = {}
        self._by_uidl: dict[bytes, list[KnownItem]] = {}
        self._sizes: set[int] = set()
        self._doubted: set[bytes | None] = set()
        self._taken: set[int] = set()
        self._listed = {line.size for line in listing}
        shared = Counter(line.uidl for line in listing if line.uidl is not None)
        for item in known:
            if item.id in doubted:
                self._doubted.add(item.uidl)
            if item.id in speaking or item.id in doubted or item.headers is None:
                continue
            if item.size is not None:
                self._sizes.add(item.size)
                self._by_key.setdefault((item.headers, item.size), []).append(item)
            if item.uidl is not None and shared[item.uidl] == 1:
                self._by_uidl.setdefault(item.uidl, []).append(item)

    def may_be(self, line: ListedItem) -> bool:
        """Whether its headers could settle this line."""
        if line.uidl is not None and line.uidl in self._doubted:
            return False
        return line.size in self._sizes or line.uidl in self._by_uidl

    def take(self, line: ListedItem, headers: bytes | None) -> KnownItem | None:
        """The item that the line is, which then is no more to be had; None: fetch the line."""
        if headers is None:
            return None
        own = self._by_uidl.get(line.uidl, []) if line.uidl is not None else []
        # One that has the size of another line may have been that line's message (`settle`).
        own = [i for i in own if i.size == line.size or i.size not in self._listed]
        found = self._free([item for item in own if item.headers == headers])
        if not found and line.size is not None:
            found = self._free(self._by_key.get((headers, line.size), []))
        if not found or len({item.digest for item in found}) > 1:
            return None
        item = next((item for item in found if item.uidl == line.uidl), found[0])
        self._taken.add(item.id)
        return item

    def _free(self, items: Sequence[KnownItem]) -> list[KnownItem]:
        return [item for item in items if item.id not in self._taken]
