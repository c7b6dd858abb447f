"""Identity: is this message one that the account has? Content decides, the UIDL is a hint.

A delivery is one arrival of a message in one account; its name is the SHA-256 of the bytes that
were stored for it. Several maildrop items may point to one delivery: every UIDL that it ever
had. An item speaks for its delivery while the present listing shows it. Rules:

- The digest of a delivery that we have: it is that delivery, whatever its UIDL, and also when
  the message was expunged here since (an item outlives its message: a tombstone). No new entry.
- ... but where another line of the same listing speaks for that delivery already, a server that
  answers RETR 3 with the body of message 4 looks the same as two identical messages. So the
  line is settled only when a second session brings the same bytes; until then both are in doubt.
  Then, where LIST told two sizes, the line whose size they have is it, and the other was not had.
- The fingerprint of a delivery that no line speaks for, and a transport history that differs by
  one hop at most: the provider rewrote the headers. The copy that was stored first is kept. The
  UIDL does not decide here either: a list copy may come under that of the direct copy.
- The fingerprint of a delivery that a line speaks for: two messages (a list copy and a direct
  copy of one mail are two).
- Else it is new. An old UIDL keeps pointing to its delivery, so that a provider may flip its
  UIDLs back.

Pure: the caller brings the values and keeps the answers.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from bridge.model import KnownItem, ListedItem


@dataclass(frozen=True, slots=True)
class Ours:
    """The delivery `digest`. `item_id` is the item of this very line; None: it gets a new one."""

    digest: bytes
    item_id: int | None
    mistaken: Sequence[int] = ()  # items that were settled by an answer that was not theirs


@dataclass(frozen=True, slots=True)
class Rewritten:
    """Ours with other headers, if `same_transport` says so of one of `candidates`; else new."""

    candidates: Sequence[Ours]


@dataclass(frozen=True, slots=True)
class Doubtful:
    """The bytes of a delivery for which `items` speak: settle nothing, fetch all of them again."""

    items: Sequence[int]


@dataclass(frozen=True, slots=True)
class Mistaken:
    """The server answers with the message of another line: this one was not had."""


@dataclass(frozen=True, slots=True)
class New:
    """A delivery that this account never had."""


Verdict = Ours | Rewritten | Doubtful | Mistaken | New


class Deliveries:
    """The deliveries of one account, found by digest and by fingerprint.

    A draft lies over its base and leaves it alone until the base absorbs it: a transaction
    decides in a draft, and a transaction that fails or runs again leaves nothing behind.
    """

    __slots__ = (
        "_base", "_copies", "_fingerprints", "_items", "_owned", "_sizes", "_speakers",
    )  # fmt: skip

    def __init__(
        self,
        known: Iterable[KnownItem] = (),
        speaking: Collection[int] = frozenset(),
        *,
        base: Deliveries | None = None,
    ) -> None:
        """`speaking`: ids of the items that the present listing shows, each with its own size."""
        self._base = base
        self._owned: dict[tuple[bytes | None, bytes], tuple[int, ...]] = {}
        self._fingerprints: dict[bytes, tuple[bytes, ...]] = {}
        self._items: set[bytes] = set()
        self._speakers: dict[bytes, tuple[int, ...]] = {}
        self._copies: dict[bytes, bytes] = {}  # digest of a rewritten copy -> its delivery
        self._sizes: dict[int, int | None] = {}  # by LIST, of the items that speak
        for item in known:
            self._add(item.id, item.uidl, item.digest, item.fingerprint)
            if item.id in speaking:
                self._speak(item.digest, item.id, item.size)

    def draft(self) -> Deliveries:
        return Deliveries(base=self)

    def absorb(self, draft: Deliveries) -> None:
        """Takes over what a draft of this one learnt."""
        self._owned |= draft._owned
        self._fingerprints |= draft._fingerprints
        self._items |= draft._items
        self._speakers |= draft._speakers
        self._sizes |= draft._sizes
        self._copies |= draft._copies

    def has(self, digest: bytes) -> bool:
        return digest in self._items or (self._base is not None and self._base.has(digest))

    def is_settled(self, item: ListedItem, digest: bytes) -> bool:
        """Whether an item of this line's UIDL points to that delivery."""
        return bool(self._own(item.uidl, digest))

    def speaking(self) -> set[int]:
        """The ids of all items that speak."""
        below = self._base.speaking() if self._base is not None else set()
        return below.union(*self._speakers.values())

    def recognise(
        self,
        item: ListedItem,
        digest: bytes,
        fingerprint: bytes,
        *,
        octets: int | None = None,
        confirmed: bool = False,
    ) -> Verdict:
        """What the fetched bytes of a line are; `octets` is how many.

        `confirmed`: an earlier session had the same bytes for this UIDL, and they were in doubt.
        """
        digest = self._delivery_of(digest)
        if self.has(digest):
            own = self._own(item.uidl, digest)
            silent = self._silent(own, digest)
            if silent is not None:
                return Ours(digest, silent)
            speakers = self._speakers_of(digest)
            # RFC 1939 7: a UIDL may be a hash, and identical messages then share it. They have
            # one size, too: where LIST told two, it may be a wrong answer all the same.
            sizes = {self._size_of(each) for each in speakers} | {item.size}
            hashed = bool(own) and item.uidl is not None and len(sizes - {None}) < 2
            if speakers and not hashed:
                return self._twin(item, digest, speakers, octets, confirmed)
            return Ours(digest, None)
        own_first: list[Ours] = []
        others: list[Ours] = []
        for stored in self._with_fingerprint(fingerprint):
            silent = self._silent(self._own(item.uidl, stored), stored)
            if silent is not None:
                own_first.append(Ours(stored, silent))
            elif not self._speakers_of(stored):
                others.append(Ours(stored, None))
        candidates = own_first + others
        return Rewritten(candidates) if candidates else New()

    def _twin(
        self,
        item: ListedItem,
        digest: bytes,
        speakers: tuple[int, ...],
        octets: int | None,
        confirmed: bool,
    ) -> Verdict:
        """Two lines have the same bytes: identical messages, or a wrong answer to one of them."""
        sizes = [self._size_of(each) for each in speakers]
        told = octets is not None and item.size is not None and item.size not in sizes
        if told and octets in sizes:
            return Mistaken() if confirmed else Doubtful(())
        if not confirmed:
            return Doubtful(speakers)
        right = told and octets == item.size and None not in sizes
        return Ours(digest, None, mistaken=speakers if right else ())

    def settle(
        self,
        item: ListedItem,
        item_id: int,
        digest: bytes,
        fingerprint: bytes,
        *,
        came: bytes | None = None,
    ) -> None:
        """The line has its item now, and speaks for the delivery `digest`; `came` is the digest of
        what was fetched for it: the same bytes for another line are not another rewritten copy."""
        if came is not None and came != digest:
            self._copies[came] = digest
        if item_id not in self._own(item.uidl, digest):
            self._add(item_id, item.uidl, digest, fingerprint)
        self._speak(digest, item_id, item.size)

    def _add(self, item_id: int, uidl: bytes | None, digest: bytes, fingerprint: bytes) -> None:
        self._owned[uidl, digest] = (*self._own(uidl, digest), item_id)
        self._items.add(digest)
        alike = self._with_fingerprint(fingerprint)
        if digest not in alike:
            self._fingerprints[fingerprint] = (*alike, digest)

    def _speak(self, digest: bytes, item_id: int, size: int | None) -> None:
        self._speakers[digest] = (*self._speakers_of(digest), item_id)
        self._sizes[item_id] = size

    def _silent(self, own: tuple[int, ...], digest: bytes) -> int | None:
        if not own:
            return None
        speakers = set(self._speakers_of(digest))
        return next((item for item in own if item not in speakers), None)

    def _own(self, uidl: bytes | None, digest: bytes) -> tuple[int, ...]:
        found = self._owned.get((uidl, digest))
        if found is None and self._base is not None:
            return self._base._own(uidl, digest)
        return found or ()

    def _with_fingerprint(self, fingerprint: bytes) -> tuple[bytes, ...]:
        found = self._fingerprints.get(fingerprint)
        if found is None and self._base is not None:
            return self._base._with_fingerprint(fingerprint)
        return found or ()

    def _delivery_of(self, digest: bytes) -> bytes:
        if digest in self._copies:
            return self._copies[digest]
        return self._base._delivery_of(digest) if self._base is not None else digest

    def _size_of(self, item_id: int) -> int | None:
        if item_id not in self._sizes and self._base is not None:
            return self._base._size_of(item_id)
        return self._sizes.get(item_id)

    def _speakers_of(self, digest: bytes) -> tuple[int, ...]:
        found = self._speakers.get(digest)
        if found is None and self._base is not None:
            return self._base._speakers_of(digest)
        return found or ()


def same_transport(one: bytes, other: bytes) -> bool:
    """Whether two header blocks tell of one journey: their Received fields (RFC 5321 4.4) are
    the same, but for one hop that a provider put on top of either.

    A list copy and a direct copy of one mail came by different hops; a copy that was rewritten
    in the provider's cellar (a migration, an added Status or X- field) did not.
    """
    first, second = sorted((_received(one), _received(other)), key=len)
    added = len(second) - len(first)
    return added <= 1 and second[added:] == first


def same_copy(one: bytes, other: bytes) -> bool:
    """`same_transport`, for a copy from elsewhere: one that never travelled (a copy in Sent) is
    not the one that came back by a single hop."""
    return bool(_received(one)) == bool(_received(other)) and same_transport(one, other)


def _received(header: bytes) -> list[bytes]:
    """The values of the Received fields, topmost first, without white space."""
    found: list[list[bytes]] = []
    inside = False
    for line in header.split(b"\n"):
        if line in (b"", b"\r"):
            break
        if line[:1] in (b" ", b"\t"):
            if inside:
                found[-1].append(line)
            continue
        inside = line[:9].lower() == b"received:"
        if inside:
            found.append([line[9:]])
    return [b"".join(b"".join(lines).split()) for lines in found]
