"""One mailbox in memory behind the store's door, for tests that need thousands of steps a second.

It does by lists and loops what the engines do by SQL, for the methods that a selected mailbox
calls, and can be told what other devices do between any two of its transactions: `between`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar, cast

from bridge.bus import Bus
from bridge.model import (
    Change,
    Copied,
    EntryState,
    LoginId,
    Mailbox,
    MailboxId,
    Stored,
)
from bridge.store.api import NoSuchMailbox, ReadTx, Store, StoreOp, UidRanges, WriteTx

T = TypeVar("T")
LOGIN = LoginId(1)
BOX = MailboxId(7)


@dataclass(slots=True)
class Entry:
    uid: int
    flags: int
    keywords: frozenset[str]
    modseq: int


class MemoryTx:
    """`ReadTx` and `WriteTx` at once, as far as a selected mailbox needs them."""

    def __init__(self, tombstones: int) -> None:
        self.entries: list[Entry] = []
        self.uidnext = 1
        self.modseq = 1
        self.first_recent = 1
        self.gone: list[tuple[int, int]] = []
        self.forgotten = 0  # the highest MODSEQ of a tombstone that is no longer kept
        self.sets: list[tuple[str, ...]] = [()]
        self._tombstones = tombstones

    # --- reading ------------------------------------------------------------------------

    def mailbox(self, login: LoginId, name: str) -> Mailbox:
        if name != "INBOX":
            raise NoSuchMailbox("There is no mailbox of that name.")
        return self.mailbox_by_id(BOX)

    def has_children(self, login: LoginId, name: str) -> bool:
        return False

    def is_subscribed(self, login: LoginId, name: str) -> bool:
        return True

    def mailbox_by_id(self, mailbox: MailboxId) -> Mailbox:
        assert mailbox == BOX
        return Mailbox(
            id=BOX,
            login_id=LOGIN,
            name="INBOX",
            uidvalidity=1,
            uidnext=self.uidnext,
            highestmodseq=self.modseq,
            messages=len(self.entries),
            unseen=sum(not entry.flags & 8 for entry in self.entries),
            deleted=sum(bool(entry.flags & 4) for entry in self.entries),
            octets=0,
            first_recent=self.first_recent,
            special_use=None,
        )

    def entry_states(self, mailbox: MailboxId, since: int = 0) -> Sequence[EntryState]:
        return [self._state(entry) for entry in self.entries if entry.modseq > since]

    def expunged(self, mailbox: MailboxId, since: int) -> Sequence[tuple[int, int]]:
        kept = [(uid, modseq) for modseq, uid in self.gone if modseq > since]
        if since >= self.forgotten:
            return kept
        # As the engines do: of what is forgotten, every UID that is not there.
        there = {uid for uid, _ in kept} | {entry.uid for entry in self.entries}
        lost = [uid for uid in range(1, self.uidnext) if uid not in there]
        return [(uid, self.forgotten) for uid in lost] + kept

    def keyword_sets(self, known: int = 0) -> Mapping[int, tuple[str, ...]]:
        return {number: names for number, names in enumerate(self.sets) if number > known}

    def _state(self, entry: Entry) -> EntryState:
        return EntryState(entry.uid, entry.flags, self._set(entry.keywords), entry.modseq)

    def _set(self, keywords: frozenset[str]) -> int:
        names = tuple(sorted(keywords))
        if names not in self.sets:
            self.sets.append(names)
        return self.sets.index(names)

    # --- writing ------------------------------------------------------------------------

    def _among(self, uids: UidRanges | None) -> list[Entry]:
        if uids is None:
            return list(self.entries)
        return [e for e in self.entries if any(low <= e.uid <= high for low, high in uids)]

    def append(self, flags: int = 0, keywords: Iterable[str] = ()) -> None:
        self.modseq += 1
        self.entries.append(Entry(self.uidnext, flags, frozenset(keywords), self.modseq))
        self.uidnext += 1

    def store_flags(
        self,
        mailbox: MailboxId,
        uids: UidRanges,
        op: StoreOp,
        flags: int,
        keywords: Iterable[str] = (),
        unchanged_since: int | None = None,
    ) -> Stored:
        assert unchanged_since is None
        given = frozenset(keywords)
        changed = []
        for entry in self._among(uids):
            if op == "add":
                new = entry.flags | flags, entry.keywords | given
            elif op == "remove":
                new = entry.flags & ~flags, entry.keywords - given
            else:
                new = flags, given
            if new != (entry.flags, entry.keywords):
                entry.flags, entry.keywords = new
                changed.append(entry)
        if changed:
            self.modseq += 1
        for entry in changed:
            entry.modseq = self.modseq
        return Stored([self._state(entry) for entry in changed])

    def copy(self, source: MailboxId, uids: UidRanges, target: MailboxId) -> Copied:
        chosen = self._among(uids)
        first = self.uidnext
        if chosen:
            self.modseq += 1
        for entry in chosen:
            self.entries.append(replace(entry, uid=self.uidnext, modseq=self.modseq))
            self.uidnext += 1
        return Copied(1, [entry.uid for entry in chosen], range(first, self.uidnext))

    def move(self, source: MailboxId, uids: UidRanges, target: MailboxId) -> Copied:
        copied = self.copy(source, uids, target)
        self.expunge(source, [(uid, uid) for uid in copied.source_uids], only_deleted=False)
        return copied

    def expunge(
        self, mailbox: MailboxId, uids: UidRanges | None = None, *, only_deleted: bool = True
    ) -> Sequence[int]:
        leaving = [e for e in self._among(uids) if e.flags & 4 or not only_deleted]
        if leaving:
            self.modseq += 1
        for entry in leaving:
            self.entries.remove(entry)
            self.gone.append((self.modseq, entry.uid))
        while len(self.gone) > self._tombstones and self.gone[0][0] < self.modseq:
            self.forgotten = self.gone[0][0]
            self.gone = [(modseq, uid) for modseq, uid in self.gone if modseq > self.forgotten]
        return [entry.uid for entry in leaving]

    def claim_recent(self, mailbox: MailboxId) -> int:
        first, self.first_recent = self.first_recent, self.uidnext
        return first


class MemoryStore:
    """`Store` over one `MemoryTx`; `tombstones` is how many it keeps."""

    def __init__(self, bus: Bus, tombstones: int = 1_000_000) -> None:
        self.tx = MemoryTx(tombstones)
        self.between: list[Callable[[], None]] = []  # one is run before each transaction
        self._bus = bus

    def as_store(self) -> Store:
        return cast(Store, self)

    async def read(self, work: Callable[[ReadTx], T]) -> T:
        self._other_devices()
        return work(cast(ReadTx, self.tx))

    async def write(self, work: Callable[[WriteTx], T]) -> T:
        self._other_devices()
        return self.change(lambda tx: work(cast(WriteTx, tx)))

    def change(self, work: Callable[[MemoryTx], T]) -> T:
        """A commit, told on the bus."""
        before = self.tx.modseq
        result = work(self.tx)
        if self.tx.modseq > before:
            self._bus.publish([Change(LOGIN, BOX, self.tx.modseq)])
        return result

    def _other_devices(self) -> None:
        if self.between:
            self.between.pop(0)()
