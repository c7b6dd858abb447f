"""Which messages of a view match a search.

Flags and numbers are answered from memory, dates, sizes and common header fields from columns; the
text index says which bodies need no look. Only messages that are still undecided cost a look into
the store, in slices on a reader's thread; only those still undecided are read, and of a
large one a piece at a time.

Rules: what is known of the mailbox is copied before the first wait, so that an answer is of one
instant. What takes a step of Python for each of very many messages is done on a thread: the event
loop goes on meanwhile.
"""

from __future__ import annotations

import asyncio
import time
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from operator import itemgetter

from bridge.imap.columns import FIELDS
from bridge.imap.matching import Cost, Known, Plan, Stored, figure
from bridge.imap.ondisk import OnDisk
from bridge.imap.planes import mask_of, positions, runs
from bridge.imap.protocol.search import HeaderHas, Key, leaves
from bridge.imap.session import Session
from bridge.imap.view import View
from bridge.indexing import VERSION
from bridge.mime.text import fold
from bridge.model import EntryRow, EntryStates, MailboxId, Octets
from bridge.store.api import Columns, ReadTx

FEW = 8  # bodies that are read without asking the text index
MANY = 2_000  # messages, for each of which a step of Python is too much for the event loop
ROWS = 200  # messages with their headers that are looked at in one visit to the store
SMALL_ROWS = 5_000  # the same where dates and sizes are enough
READ = 16 * 1024 * 1024  # octets of messages after which a visit ends
WHOLE = 1024 * 1024  # octets of a message that is read at once, not part by part

_COLUMNS: dict[Cost, tuple[Columns, ...]] = {
    Cost.NOTHING: (),
    Cost.ROW: ("sent_day",),
    Cost.HEADER: ("sent_day", "header"),
    Cost.BODY: ("sent_day", "header", "parts"),
}


async def find(session: Session, view: View, key: Key) -> bytes:
    """The messages of the view that match: a mask with an octet for each, 1 or 0. Raises
    StoreError. What is decided from memory is so before the first wait."""
    known = await _known(view)
    plan = Plan(key, known)
    if plan.left > ROWS and (knowing := await _with_columns(session, view, key, known)):
        known = knowing
        plan = await _planned(key, known)
    if plan.cost is Cost.BODY and plan.left > FEW:
        plan = Plan(key, await _with_text_index(session, view, plan.needles, known))
    mask = bytearray(plan.found)
    for at in await _looked_up(session, view, plan, range(len(view.uids))):
        mask[at] = 1
    return bytes(mask)


async def find_among(session: Session, view: View, key: Key, among: Sequence[int]) -> list[int]:
    """Which of the (rising) positions in the view match, at the cost of these alone. Raises
    StoreError."""
    plan = Plan(key, _known_of(view, among))
    found = positions(plan.found) + await _looked_up(session, view, plan, among)
    found.sort()
    return [among[at] for at in found]


async def _planned(key: Key, known: Known) -> Plan:
    # A word that is in most headers takes a step for each of them.
    if len(known.flags) > MANY and any(_in_columns(leaf) for leaf in leaves(key)):
        return await asyncio.to_thread(Plan, key, known)
    return Plan(key, known)


async def _looked_up(session: Session, view: View, plan: Plan, places: Sequence[int]) -> list[int]:
    """What of the plan's open positions matches; it counts the messages at `places`."""
    found: list[int] = []
    box, columns = view.mailbox.id, (*_COLUMNS[plan.cost], *plan.columns)
    rows = SMALL_ROWS if plan.cost <= Cost.ROW else ROWS
    left, start = plan.open, 0
    while start < len(left):
        await session.progress(start, len(left))
        slice_ = left[start : start + rows]
        uids = [view.uids[places[at]] for at in slice_]
        ranges = view.uid_ranges(runs(places[at] for at in slice_))
        seen = await session.services.store.read(_look(box, slice_, uids, ranges, columns, plan))
        found += seen.found
        start += seen.covered
    return found


async def _with_columns(session: Session, view: View, key: Key, known: Known) -> Known | None:
    """The same, and what the columns of the mailbox say of the search; None if nothing."""
    asked = {leaf: figure(leaf, known.now) for leaf in leaves(key)}
    figures = any(each is not None for each in asked.values())
    header = any(_in_columns(leaf) for leaf in asked)
    if not figures and not header:
        return None
    services, uids = session.services, view.uids
    columns = await services.columns.get(
        services.store,
        view.mailbox.id,
        uids,
        figures=figures,
        header=header,
        progress=session.progress,
    )

    def column(leaf: Key) -> bytes | None:
        if columns is None:
            return None
        if isinstance(leaf, HeaderHas) and _in_columns(leaf):
            return columns.having(leaf.name, uids, fold(leaf.needle))
        figure_ = asked.get(leaf)
        return None if figure_ is None else columns.figures(figure_, uids)

    return replace(known, column=column)


async def _with_text_index(
    session: Session, view: View, needles: Iterable[str], known: Known
) -> Known:
    """The same, and which messages surely do not have what bodies are searched for."""
    box, uids = view.mailbox.id, view.uids

    def work(tx: ReadTx) -> dict[str, bytes]:
        masks = {}
        for needle in needles:
            found = tx.may_hold(box, needle, VERSION)
            if found is not None:
                masks[needle] = mask_of(uids, found)
        return masks

    masks = await session.services.store.read(work)
    return replace(known, may_hold=masks.get)


def _in_columns(leaf: Key) -> bool:
    return isinstance(leaf, HeaderHas) and leaf.name in FIELDS and "\0" not in leaf.needle


async def _known(view: View) -> Known:
    box, uids = view.mailbox, view.uids
    states = EntryStates(box.uids, bytes(box.flags), box.keyword_sets[:], box.modseqs[:])
    gone: Sequence[int] = ()
    if uids is not box.uids:
        if len(uids) > MANY:
            states, gone = await asyncio.to_thread(_as_told, states, uids)
        else:
            states, gone = _as_told(states, uids)
    return Known(
        flags=states.flags,
        keyword_sets=states.keyword_sets,
        modseqs=states.modseqs,
        keywords=box.keywords.__getitem__,
        places=lambda numbers: view.resolve(numbers.numbers, by_uid=numbers.uid),
        recent=view.recent_places,
        gone=gone,
        now=int(time.time()),
    )


def _as_told(states: EntryStates, uids: array[int]) -> tuple[EntryStates, Sequence[int]]:
    """The states of these UIDs, which a client was told, and the positions of what is gone."""
    where = dict(zip(states.uids, range(len(states.uids)), strict=True))
    places = list(map(where.get, uids))
    gone = [at for at, place in enumerate(places) if place is None]
    if not where:
        nothing = array("I", bytes(4 * len(uids)))
        return EntryStates(uids, bytes(len(uids)), nothing, array("Q", nothing)), gone
    # What is gone looks like the last message; it is taken out in the end.
    held = [-1 if place is None else place for place in places]
    flags, keyword_sets, modseqs = states.flags, states.keyword_sets, states.modseqs
    return (
        EntryStates(
            uids,
            bytes(map(flags.__getitem__, held)),
            array("I", map(keyword_sets.__getitem__, held)),
            array("Q", map(modseqs.__getitem__, held)),
        ),
        gone,
    )


def _known_of(view: View, places: Sequence[int]) -> Known:
    """The same of the messages at the rising `places` alone."""
    box = view.mailbox
    states = [view.state(view.uids[at]) for at in places]

    def within(ranges: Iterable[tuple[int, int]]) -> Iterable[tuple[int, int]]:
        closed = list(ranges)
        return runs(
            at
            for at, place in enumerate(places)
            if (near := bisect_right(closed, place, key=itemgetter(0)) - 1) >= 0
            and place <= closed[near][1]
        )

    return Known(
        flags=bytes(0 if state is None else state.flags for state in states),
        keyword_sets=array("I", [0 if state is None else state.keywords for state in states]),
        modseqs=array("Q", [0 if state is None else state.modseq for state in states]),
        keywords=box.keywords.__getitem__,
        places=lambda numbers: within(view.resolve(numbers.numbers, by_uid=numbers.uid)),
        recent=lambda: within(view.recent_places()),
        gone=[at for at, state in enumerate(states) if state is None],
        now=int(time.time()),
    )


@dataclass(frozen=True, slots=True)
class _Seen:
    """What one visit to the store decided: the first `covered` positions of its slice."""

    found: list[int]
    covered: int


def _look(
    box: MailboxId,
    positions: Sequence[int],
    uids: Sequence[int],
    ranges: Sequence[tuple[int, int]],
    columns: tuple[Columns, ...],
    plan: Plan,
) -> Callable[[ReadTx], _Seen]:
    def work(tx: ReadTx) -> _Seen:
        rows = {row.uid: row for row in tx.rows(box, ranges, columns)}
        found: list[int] = []
        read = 0

        def octets(row: EntryRow) -> Octets:
            nonlocal read
            read += row.size
            if row.size <= WHOLE:
                return tx.octets(row.message_id)
            return OnDisk(tx, row.message_id, row.size)

        for covered, (at, uid) in enumerate(zip(positions, uids, strict=True), 1):
            row = rows.get(uid)
            if row is not None and plan.matches(at, Stored(row, octets, plan.needles)):
                found.append(at)
            if read > READ:
                return _Seen(found, covered)
        return _Seen(found, len(positions))

    return work
