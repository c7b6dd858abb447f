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
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import compress
from types import MappingProxyType
from typing import Protocol

from bridge import limits
from bridge.bus import Bus
from bridge.imap.changelog import ChangeLog
from bridge.imap.planes import at_least
from bridge.imap.rows import MailboxRows
from bridge.model import Change, EntryState, EntryStates, LoginId, Mailbox, MailboxId
from bridge.store.api import NoSuchMailbox, ReadTx, Store, StoreError, WriteTx

_NOTHING: Mapping[int, set[int]] = MappingProxyType({})
FEW = 32  # entries that are put in place one by one


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


@dataclass(frozen=True, slots=True)
class News:
    """What one snapshot of the store says that is new after the MODSEQ `since`: (UID, MODSEQ) of
    what is gone; None where `states` are all there are."""

    since: int
    row: Mailbox
    states: EntryStates
    gone: Sequence[tuple[int, int]] | None
    keyword_sets: Mapping[int, tuple[str, ...]]


class Reader(Protocol):
    """What `OpenMailbox.reader` makes."""

    def __call__(self, tx: ReadTx, states: Sequence[EntryState] | None = None) -> News: ...


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
        self._changed = ChangeLog()
        self._gone = ChangeLog()
        self._claiming = asyncio.Lock()
        self._given = row.first_recent - 1  # up to this UID \\Recent was given to some session
        self.listeners: set[Callable[[], None]] = set()
        self._orders: OrderedDict[Hashable, tuple[array[int], bytes]] = OrderedDict()

    @property
    def id(self) -> MailboxId:
        return self.row.id

    @property
    def octets(self) -> int:
        """About what it holds in memory."""
        logs = 100 * (self._changed.count + self._gone.count)
        return 17 * len(self.uids) + logs + sum(len(made) for _, made in self._orders.values())

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
            try:
                news = await self._store.read(self.reader())
            except BaseException:
                # Of a deleted mailbox every session must hear, not only the one that asked first.
                self._renamed = self._renamed or renamed
                raise
            self._take(news)

    async def follow(self, news: News) -> None:
        """Takes what a transaction of this process read behind its own changes, once it is
        committed: the way of `refresh` without another visit to the store."""
        async with self._lock:
            if self.modseq == news.since:
                self._take(news)
        try:
            await self.refresh()
        except NoSuchMailbox:
            raise
        except StoreError:
            pass  # the change is made, whatever else there is to read

    def reader(self) -> Reader:
        """What reads, on a thread of the store, all that changed since `modseq`; `states` are the
        entries that did, where somebody knows already. Raises NoSuchMailbox."""
        since, newest, box, known = self.modseq, self.keywords.newest, self.row.id, self.uids

        def work(tx: ReadTx, states: Sequence[EntryState] | None = None) -> News:
            row = tx.mailbox_by_id(box)
            # As columns here, on the thread that read them, and not on the event loop.
            news = EntryStates.of(tx.entry_states(box, since) if states is None else states)
            gone = tx.expunged(box, since) if since else ()
            lost = {uid for uid, _ in gone if place(known, uid) is not None}
            last = known[-1] if known else 0
            came = len(news) - bisect_right(news.uids, last)
            sets = tx.keyword_sets(newest)
            if since and len(known) - len(lost) + came == row.messages:
                return News(since, row, news, gone, sets)
            # All of it, in the same snapshot: what is wrong is never applied.
            if since:
                news = EntryStates.of(tx.entry_states(box, 0))
            return News(since, row, news, None, sets)

        return work

    def _take(self, news: News) -> None:
        self.keywords.add(news.keyword_sets)
        if news.gone is None:
            self._reload(news)
        else:
            self._apply(news, news.gone)
        self._meet_keywords(set(news.states.keyword_sets))
        self.row = news.row
        self.modseq = news.row.highestmodseq
        self.latest = max(self.latest, self.modseq)

    def _apply(self, news: News, gone: Sequence[tuple[int, int]]) -> None:
        if gone:
            self._remove(gone)
        states = news.states
        last = self.uids[-1] if self.uids else 0
        old = bisect_right(states.uids, last)
        self._put(states.first(old))
        if old < len(states.uids):
            self.uids = self.uids + states.uids[old:]
            self.flags += states.flags[old:]
            self.keyword_sets += states.keyword_sets[old:]
            self.modseqs += states.modseqs[old:]
        if len(set(states.modseqs)) == 1:
            self._changed.add_group(states.modseqs[0], states.uids)
        else:
            self._changed.add(sorted(zip(states.modseqs, states.uids, strict=True)))

    def _put(self, states: EntryStates) -> None:
        """Changes entries that are here already, all at once where they stand in a row."""
        count = len(states.uids)
        if count > FEW:
            at = bisect_left(self.uids, states.uids[0])
            if self.uids[at : at + count] == states.uids:
                self.flags[at : at + count] = states.flags
                self.keyword_sets[at : at + count] = states.keyword_sets
                self.modseqs[at : at + count] = states.modseqs
                return
        for uid, flags, keywords, modseq in states:
            place_ = self.index(uid)
            if place_ is not None:
                self.flags[place_] = flags
                self.keyword_sets[place_] = keywords
                self.modseqs[place_] = modseq

    def _remove(self, gone: Sequence[tuple[int, int]]) -> None:
        self._gone.add((modseq, uid) for uid, modseq in gone)
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

    def _reload(self, news: News) -> None:
        states = news.states
        self.uids, self.keyword_sets, self.modseqs = (
            states.uids, states.keyword_sets, states.modseqs,
        )  # fmt: skip
        self.flags = bytearray(states.flags)
        self._changed.forget(news.row.highestmodseq)
        self._gone.forget(news.row.highestmodseq)

    def _meet_keywords(self, sets: set[int]) -> None:
        for number in sorted(sets - self._seen_sets):
            self._seen_sets.add(number)
            self.seen_keywords.update(dict.fromkeys(self.keywords[number]))

    def order(self, question: Hashable) -> bytes | None:
        """What was kept as the answer to a question about all messages, if these are still the
        same ones: nothing that SORT and THREAD look at ever changes in a message."""
        uids, made = self._orders.get(question, (None, None))
        return made if uids is self.uids else None

    def keep_order(self, question: Hashable, uids: array[int], made: bytes) -> None:
        """`uids` are those that the answer is about: kept only while they are all."""
        self._orders[question] = uids, made
        self._orders.move_to_end(question)
        if len(self._orders) > limits.ORDERS:
            self._orders.popitem(last=False)

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
            except NoSuchMailbox:
                raise
            except StoreError:
                # Reading goes on where the disk takes no writes; the flag is for a later session.
                return await self._store.read(see)
            self._given = last
            return first, last

    # --- what views ask -----------------------------------------------------------------

    def index(self, uid: int) -> int | None:
        """Where the UID stands in the arrays, or None."""
        return place(self.uids, uid)

    def changed_since(self, modseq: int, known: Mapping[int, set[int]] = _NOTHING) -> Sequence[int]:
        """UIDs whose entry changed (or came) after `modseq`, rising; of a change at a MODSEQ of
        `known` only those that it names."""
        if modseq >= self.modseq:
            return ()
        if modseq < self._changed.floor:
            newer = at_least(self.modseqs, modseq + 1)
            if known:
                return [
                    uid
                    for uid, at in compress(zip(self.uids, self.modseqs, strict=True), newer)
                    if at not in known or uid in known[at]
                ]
            return array("I", compress(self.uids, newer))
        groups: list[Iterable[int]] = []
        for at, uids in self._changed.since(modseq):
            named = known.get(at)
            if named is None:
                groups.append(uids)
            elif named:
                groups.append(named.intersection(uids))
        return sorted(set[int]().union(*groups))

    def gone_since(self, modseq: int, known: array[int]) -> Iterable[tuple[int, int]]:
        """(UID, MODSEQ) of those of `known` that were expunged after `modseq`."""
        if modseq >= self.modseq:
            return ()
        if modseq < self._gone.floor:
            # When each of them went is forgotten; right after `modseq` is the safe answer.
            return [(uid, modseq + 1) for uid in set(known).difference(self.uids)]
        pairs = list(self._gone.pairs_since(modseq))
        if len(pairs) > FEW:
            there = set(known)
            return [(uid, at) for uid, at in pairs if uid in there]
        return [(uid, at) for uid, at in pairs if place(known, uid) is not None]


def place(uids: array[int], uid: int) -> int | None:
    """Index of `uid` in the rising array, or None."""
    at = bisect_left(uids, uid)
    return at if at < len(uids) and uids[at] == uid else None


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
        self.rows = MailboxRows(store, bus)
        self._keywords = Keywords()
        # The last used is the last; a mailbox without listeners is at rest.
        self._held: OrderedDict[MailboxId, tuple[OpenMailbox, Callable[[], None]]] = OrderedDict()

    async def open(self, login: LoginId, name: str, listener: Callable[[], None]) -> OpenMailbox:
        """The mailbox, read up to date; `listener` is called at each change until `release`.

        Raises NoSuchMailbox.
        """
        row = await self.rows.get(login, name)
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
