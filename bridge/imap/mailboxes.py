"""Flags and UIDs of the open mailboxes, in memory, one copy a mailbox.

Every session that has a mailbox selected shares its `OpenMailbox`, which follows the store by
MODSEQ: the bus says "mailbox 7 is at 42 now", and the next `refresh` reads only what changed
since the MODSEQ it has. 17 octets a message, whatever the number of sessions.

Rules:
- `uids` is a snapshot: it is replaced, never changed in place, so that views may share it.
- `refresh` is idempotent; the store is the truth, a missed notice only delays.
- Where the bookkeeping and the store's own count disagree, all is read again.
"""

from __future__ import annotations

import asyncio
from array import array
from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from bridge import limits
from bridge.bus import Bus
from bridge.model import Change, EntryState, LoginId, Mailbox, MailboxId
from bridge.store.api import ReadTx, Store, StoreFull, WriteTx

LOG_LENGTH = 10_000  # changes that are remembered one by one; older ones cost a scan

Log = list[tuple[int, int]]  # (MODSEQ, UID), rising


class Keywords:
    """The interned keyword sets of the store, by id; shared by all mailboxes."""

    def __init__(self) -> None:
        self._sets: dict[int, tuple[str, ...]] = {0: ()}
        self.newest = 0

    def add(self, sets: Mapping[int, tuple[str, ...]]) -> None:
        self._sets.update(sets)
        self.newest = max(self._sets)

    def __getitem__(self, number: int) -> tuple[str, ...]:
        return self._sets[number]


class OpenMailbox:
    """One mailbox that a session has selected, or had a while ago."""

    def __init__(self, store: Store, row: Mailbox, keywords: Keywords) -> None:
        self._store = store
        self._lock = asyncio.Lock()
        self.keywords = keywords
        self.row = row
        self.uids = array("I")
        self.flags = bytearray()
        self.keyword_sets = array("I")
        self.modseqs = array("Q")
        self.modseq = 0  # all up to here is applied
        self.latest = row.highestmodseq  # the bus told of this much
        self._renamed = False  # or deleted: the bus told that the login's mailboxes changed
        self.seen_keywords: dict[str, None] = {}  # every keyword ever met here, in order
        self._seen_sets: set[int] = {0}
        self._changed: Log = []
        self._changed_floor = 0
        self._gone: Log = []
        self._gone_floor = 0
        self._claiming = asyncio.Lock()
        self._given = row.first_recent - 1  # up to this UID \\Recent was given to some session
        self.listeners: set[Callable[[], None]] = set()

    @property
    def id(self) -> MailboxId:
        return self.row.id

    @property
    def octets(self) -> int:
        """About what it holds in memory."""
        return 17 * len(self.uids) + 150 * (len(self._changed) + len(self._gone))

    def notice(self, change: Change) -> None:
        """The bus says that there is news; every listener is told, the reading comes later."""
        if change.mailbox_id is None:
            self._renamed = True
        elif change.mailbox_id == self.row.id:
            self.latest = max(self.latest, change.modseq)
        else:
            return
        for listener in tuple(self.listeners):
            listener()

    async def refresh(self) -> None:
        """Reads what changed since `modseq`, if anything did. Raises NoSuchMailbox."""
        if self.modseq >= self.latest and not self._renamed:
            return
        async with self._lock:
            if self.modseq >= self.latest and not self._renamed:
                return
            renamed, self._renamed = self._renamed, False
            since, newest, box, known = self.modseq, self.keywords.newest, self.row.id, self.uids

            def work(
                tx: ReadTx,
            ) -> tuple[
                Mailbox,
                Sequence[EntryState],
                Sequence[tuple[int, int]] | None,
                Mapping[int, tuple[str, ...]],
            ]:
                row, states = tx.mailbox_by_id(box), tx.entry_states(box, since)
                gone = tx.expunged(box, since) if since else ()
                lost = {uid for uid, _ in gone if place(known, uid) is not None}
                last = known[-1] if known else 0
                came = sum(state.uid > last for state in states)
                if len(known) - len(lost) + came == row.messages:
                    return row, states, gone, tx.keyword_sets(newest)
                # All of it, in the same snapshot: what is wrong is never applied.
                return row, tx.entry_states(box, 0), None, tx.keyword_sets(newest)

            try:
                row, states, gone, sets = await self._store.read(work)
            except BaseException:
                # Of a deleted mailbox every session must hear, not only the one that asked first.
                self._renamed = self._renamed or renamed
                raise
            self.keywords.add(sets)
            if gone is None:
                self._reload(row, states)
            else:
                self._apply(row, states, gone)

    def _apply(
        self, row: Mailbox, states: Sequence[EntryState], gone: Sequence[tuple[int, int]]
    ) -> None:
        if gone:
            self._remove(gone)
        last = self.uids[-1] if self.uids else 0
        fresh = [state for state in states if state.uid > last]
        for state in states:
            if state.uid > last:
                continue
            at = self.index(state.uid)
            if at is not None:
                self.flags[at] = state.flags
                self.keyword_sets[at] = state.keywords
                self.modseqs[at] = state.modseq
        if fresh:
            self.uids = self.uids + array("I", [state.uid for state in fresh])
            self.flags += bytes(state.flags for state in fresh)
            self.keyword_sets.extend([state.keywords for state in fresh])
            self.modseqs.extend([state.modseq for state in fresh])
        if self.modseq:
            self._changed.extend(sorted((state.modseq, state.uid) for state in states))
            if len(self._changed) > 2 * LOG_LENGTH:
                self._changed_floor = self._changed[-LOG_LENGTH - 1][0]
                del self._changed[:-LOG_LENGTH]
        else:
            self._changed_floor = self._gone_floor = row.highestmodseq
        self._meet_keywords({state.keywords for state in states})
        self._advance(row)

    def _remove(self, gone: Sequence[tuple[int, int]]) -> None:
        self._gone.extend((modseq, uid) for uid, modseq in gone)
        if len(self._gone) > 2 * LOG_LENGTH:
            self._gone_floor = self._gone[-LOG_LENGTH - 1][0]
            del self._gone[:-LOG_LENGTH]
        places = sorted({at for uid, _ in gone if (at := self.index(uid)) is not None})
        if not places:
            return
        self.uids = without(self.uids, places)
        self.keyword_sets = without(self.keyword_sets, places)
        self.modseqs = without(self.modseqs, places)
        flags = bytearray()
        start = 0
        for at in places:
            flags += self.flags[start:at]
            start = at + 1
        self.flags = flags + self.flags[start:]

    def _reload(self, row: Mailbox, states: Sequence[EntryState]) -> None:
        self.uids = array("I", [state.uid for state in states])
        self.flags = bytearray(state.flags for state in states)
        self.keyword_sets = array("I", [state.keywords for state in states])
        self.modseqs = array("Q", [state.modseq for state in states])
        self._changed.clear()
        self._gone.clear()
        self._changed_floor = self._gone_floor = row.highestmodseq
        self._meet_keywords({state.keywords for state in states})
        self._advance(row)

    def _advance(self, row: Mailbox) -> None:
        self.row = row
        self.modseq = row.highestmodseq
        self.latest = max(self.latest, self.modseq)

    def _meet_keywords(self, sets: set[int]) -> None:
        for number in sorted(sets - self._seen_sets):
            self._seen_sets.add(number)
            self.seen_keywords.update(dict.fromkeys(self.keywords[number]))

    async def claim_recent(self, *, look: bool) -> tuple[int, int]:
        """(first, last) of the UIDs that are \\Recent to the session that asks, and from now on
        to no other; with `look` they stay so. One write, however many sessions wake at once."""
        box = self.row.id

        def see(tx: ReadTx) -> tuple[int, int]:
            row = tx.mailbox_by_id(box)
            return row.first_recent, row.uidnext - 1

        def take(tx: WriteTx) -> tuple[int, int]:
            return tx.claim_recent(box), tx.mailbox_by_id(box).uidnext - 1

        async with self._claiming:
            if self.uids and self.uids[-1] <= self._given:
                return self._given + 1, self._given
            if look:
                return await self._store.read(see)
            try:
                first, last = await self._store.write(take)
            except StoreFull:
                # Reading goes on without room on the disk; the flag stays for a later session.
                return await self._store.read(see)
            self._given = last
            return first, last

    # --- what views ask -----------------------------------------------------------------

    def index(self, uid: int) -> int | None:
        """Where the UID stands in the arrays, or None."""
        return place(self.uids, uid)

    def changed_since(self, modseq: int) -> Iterable[int]:
        """UIDs whose entry changed (or came) after `modseq`, rising."""
        if modseq >= self.modseq:
            return ()
        if modseq < self._changed_floor:
            return [u for u, m in zip(self.uids, self.modseqs, strict=True) if m > modseq]
        start = bisect_right(self._changed, (modseq, 0xFFFF_FFFF))
        return sorted({uid for _, uid in self._changed[start:]})

    def gone_since(self, modseq: int, known: array[int]) -> Iterable[tuple[int, int]]:
        """(UID, MODSEQ) of those of `known` that were expunged after `modseq`."""
        if modseq >= self.modseq:
            return ()
        if modseq < self._gone_floor:
            # When each of them went is forgotten; right after `modseq` is the safe answer.
            return [(uid, modseq + 1) for uid in set(known).difference(self.uids)]
        start = bisect_right(self._gone, (modseq, 0xFFFF_FFFF))
        return [(uid, at) for at, uid in self._gone[start:] if place(known, uid) is not None]


def place(uids: array[int], uid: int) -> int | None:
    """Index of `uid` in the rising array, or None."""
    at = bisect_left(uids, uid)
    return at if at < len(uids) and uids[at] == uid else None


def runs(positions: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Rising positions as closed intervals."""
    first = last = -1
    for at in positions:
        if at == last + 1 and last >= 0:
            last = at
            continue
        if last >= 0:
            yield first, last
        first = last = at
    if last >= 0:
        yield first, last


def without(numbers: array[int], places: Sequence[int]) -> array[int]:
    """A copy without the elements at the rising `places`."""
    out = array(numbers.typecode)
    start = 0
    for at in places:
        out.extend(numbers[start:at])
        start = at + 1
    out.extend(numbers[start:])
    return out


class OpenMailboxes:
    """The registry: one `OpenMailbox` while somebody has it selected, and some time after.

    What nobody has selected any more is kept, at rest, for the device that comes back: it goes on
    following the bus, at no cost but memory. The longest unused goes when it is too much.
    """

    def __init__(self, store: Store, bus: Bus) -> None:
        self._store = store
        self._bus = bus
        self._keywords = Keywords()
        # The last used is the last; a mailbox without listeners is at rest.
        self._held: OrderedDict[MailboxId, tuple[OpenMailbox, Callable[[], None]]] = OrderedDict()

    async def open(self, login: LoginId, name: str, listener: Callable[[], None]) -> OpenMailbox:
        """The mailbox, read up to date; `listener` is called at each change until `release`.

        Raises NoSuchMailbox.
        """
        row = await self._store.read(lambda tx: tx.mailbox(login, name))
        held = self._held.get(row.id)
        if held is None:
            box = OpenMailbox(self._store, row, self._keywords)
            self._held[row.id] = box, self._bus.subscribe(login, None, box.notice)
        else:
            box = held[0]
            box.latest = max(box.latest, row.highestmodseq)
        box.listeners.add(listener)
        try:
            await box.refresh()
        except BaseException:
            self.release(box, listener)
            self._drop(box.id)
            raise
        return box

    def release(self, box: OpenMailbox, listener: Callable[[], None]) -> None:
        """The last one out puts it at rest."""
        box.listeners.discard(listener)
        if box.listeners or box.id not in self._held:
            return
        self._held.move_to_end(box.id)
        resting = [held for held, _ in self._held.values() if not held.listeners]
        octets = sum(held.octets for held in resting)
        for at, held in enumerate(resting):
            fits = octets <= limits.RESTING_OCTETS
            if fits and len(resting) - at <= limits.RESTING_MAILBOXES:
                break
            octets -= held.octets
            self._drop(held.id)

    def _drop(self, mailbox: MailboxId) -> None:
        held = self._held.get(mailbox)
        if held is not None and not held[0].listeners:
            del self._held[mailbox]
            held[1]()
