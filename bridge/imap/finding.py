"""Which messages of a view match a search.

Flags and numbers are answered from memory, dates, sizes and common header fields from columns; the
text index says which bodies need no look. Only messages that are still undecided cost a look into
the store, in slices on a reader's thread; only those still undecided are read, and of a
large one a piece at a time.
"""

from __future__ import annotations

import time
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from operator import itemgetter

from bridge.imap.columns import FIELDS, mask_of
from bridge.imap.mailboxes import runs
from bridge.imap.matching import Cost, Known, Plan, Stored, figure
from bridge.imap.ondisk import OnDisk
from bridge.imap.protocol.search import HeaderHas, Key, leaves
from bridge.imap.session import Session
from bridge.imap.view import View
from bridge.indexing import VERSION
from bridge.mime.text import fold
from bridge.model import EntryRow, MailboxId, Octets
from bridge.store.api import Columns, ReadTx

FEW = 8  # bodies that are read without asking the text index
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


async def find(
    session: Session, view: View, key: Key, among: Sequence[int] | None = None
) -> list[int]:
    """Positions in the view of the messages that match, rising; with `among` of these only, which
    costs what these cost. Raises StoreError. What is decided from memory is so before the first
    wait."""
    if among is None:
        known = _known(view)
        plan = Plan(key, known)
        if len(plan.open) > ROWS:
            known = await _with_columns(session, view, key, known)
            plan = Plan(key, known)
        if plan.cost is Cost.BODY and len(plan.open) > FEW:
            plan = Plan(key, await _with_text_index(session, view, plan.needles, known))
        return await _decide(session, view, plan, range(len(view.uids)))
    return await _decide(session, view, Plan(key, _known_of(view, among)), among)


async def _decide(session: Session, view: View, plan: Plan, places: Sequence[int]) -> list[int]:
    """The plan counts the messages at `places`."""
    found = [places[at] for at in plan.found]
    box, columns = view.mailbox.id, (*_COLUMNS[plan.cost], *plan.columns)
    rows = SMALL_ROWS if plan.cost <= Cost.ROW else ROWS
    start = 0
    while start < len(plan.open):
        await session.progress(start, len(plan.open))
        slice_ = plan.open[start : start + rows]
        uids = [view.uids[places[at]] for at in slice_]
        ranges = view.uid_ranges(runs(places[at] for at in slice_))
        seen = await session.services.store.read(_look(box, slice_, uids, ranges, columns, plan))
        found += [places[at] for at in seen.found]
        start += seen.covered
    found.sort()
    return found


async def _with_columns(session: Session, view: View, key: Key, known: Known) -> Known:
    """The same, and what the columns of the mailbox say of the search."""
    asked = {leaf: figure(leaf, known.now) for leaf in leaves(key)}
    figures = any(each is not None for each in asked.values())
    header = any(_in_columns(leaf) for leaf in asked)
    if not figures and not header:
        return known
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
        return None if figure_ is None else columns.figures(figure_[0], uids, figure_[1])

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


def _known(view: View) -> Known:
    box = view.mailbox
    flags, sets, modseqs = bytes(box.flags), box.keyword_sets, box.modseqs
    gone: list[int] = []
    if view.uids is not box.uids:
        places = [box.index(uid) for uid in view.uids]
        gone = [at for at, place in enumerate(places) if place is None]
        held = [-1 if place is None else place for place in places]
        # What is gone looks like the last message; it is taken out in the end.
        flags = bytes(flags[at] for at in held) if flags else bytes(len(held))
        sets = array("I", [sets[at] for at in held] if sets else [0] * len(held))
        modseqs = array("Q", [modseqs[at] for at in held] if modseqs else [0] * len(held))
    return Known(
        flags=flags,
        keyword_sets=sets,
        modseqs=modseqs,
        keywords=box.keywords.__getitem__,
        places=lambda numbers: view.resolve(numbers.numbers, by_uid=numbers.uid),
        recent=view.recent_places,
        gone=gone,
        now=int(time.time()),
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
        keyword_sets=[0 if state is None else state.keywords for state in states],
        modseqs=[0 if state is None else state.modseq for state in states],
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
