"""SEARCH (RFC 3501 6.4.4), with RETURN (RFC 4731), SAVE (RFC 5182) and PARTIAL (RFC 9394).

Flags and numbers are answered from memory; only messages that are still undecided cost a look
into the store, in slices on a reader's thread; only those still undecided are read, and of a
large one a piece at a time.
"""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import SupportsIndex

from bridge.imap.mailboxes import runs
from bridge.imap.matching import Cost, Known, Plan, Stored
from bridge.imap.protocol.numbers import format_ranges
from bridge.imap.protocol.responses import quoted, search_result
from bridge.imap.protocol.search import Key, ModSeq, Refused, Returns, Search, leaves
from bridge.imap.replies import Reply
from bridge.imap.seams import Request
from bridge.imap.session import Session
from bridge.imap.view import View
from bridge.model import EntryRow, MailboxId, MessageId, Octets
from bridge.store.api import Columns, ReadTx, StoreError

ROWS = 200  # messages with their headers that are looked at in one visit to the store
SMALL_ROWS = 5_000  # the same where dates and sizes are enough
READ = 16 * 1024 * 1024  # octets of messages after which a visit ends
WHOLE = 1024 * 1024  # octets of a message that is read at once, not part by part

_OFFERED_AS = {"SAVE": "SEARCHRES", "PARTIAL": "PARTIAL"}
_COLUMNS: dict[Cost, tuple[Columns, ...]] = {
    Cost.NOTHING: (),
    Cost.ROW: ("sent_day",),
    Cost.HEADER: ("sent_day", "header"),
    Cost.BODY: ("sent_day", "header", "parts"),
}


async def run(session: Session, request: Request, value: Search | Refused) -> Reply:
    value = accepted(session, value)
    found = await matching(session, value)
    if value.returns is not None:
        answer(session, request, value, value.returns, found)
    else:
        numbers = numbered(session.selected, request, found)
        session.send(search_result(numbers, modseq_of(session.selected, value.key, found)))
    return Reply("SEARCH completed")


def accepted(session: Session, value: Search | Refused, extended: str = "ESEARCH") -> Search:
    """The search, if we read its charset and offer its options, those of RETURN under the name
    of `extended`. Raises BadCharset, Bad."""
    if isinstance(value, Refused):
        # RFC 5182 2.1: NO to a search with SAVE empties what was saved.
        session.selected.saved = array("I")
        raise value.error
    if value.returns is not None:
        session.require(extended, "option RETURN")
        for option in value.returns.options:
            session.require(_OFFERED_AS.get(option, extended), f"option {option}")
    return value


async def matching(session: Session, value: Search) -> list[int]:
    """Positions in the view of the messages that match, rising."""
    view = session.selected
    if any(isinstance(leaf, ModSeq) for leaf in leaves(value.key)):
        # RFC 7162 3.1.5: a CONDSTORE enabling command
        session.enable_condstore()
    try:
        return await find(session, view, value.key)
    except StoreError:
        if value.returns is not None and "SAVE" in value.returns.options:
            view.saved = array("I")
        raise


def numbered(view: View, request: Request, found: Iterable[int]) -> list[int]:
    """What the client calls the messages at these positions."""
    uids = view.uids
    return [uids[at] for at in found] if request.uid else [at + 1 for at in found]


def modseq_of(view: View, key: Key, found: Iterable[int]) -> int | None:
    """The highest MODSEQ of what was found, if the search asked for MODSEQ (RFC 7162 3.1.5)."""
    if not any(isinstance(leaf, ModSeq) for leaf in leaves(key)):
        return None
    states = (view.state(view.uids[at]) for at in found)
    return max((state.modseq for state in states if state is not None), default=None)


def answer(
    session: Session, request: Request, value: Search, asked: Returns, found: Sequence[int]
) -> None:
    """The ESEARCH response (RFC 4731 3.1) for what was found, in the order of the search: that
    of the mailbox, or of SORT (RFC 5267 3.1). Saves it if asked to."""
    view = session.selected
    named: list[int] = []  # positions that the answer names one by one
    parts = [b"* ESEARCH (TAG %b)" % quoted(request.tag)]
    if request.uid:
        parts.append(b"UID")
    for option in asked.options:
        chosen: Sequence[int] = ()
        match option:
            case "MIN":
                chosen = found[:1]
            case "MAX":
                chosen = found[-1:]
            case "ALL":
                chosen = found
            case "COUNT":
                parts.append(b"COUNT %d" % len(found))
            case "PARTIAL":
                assert asked.partial is not None
                chosen = part_of(found, asked.partial)
                numbers = format_ranges(numbered(view, request, chosen)) or b"NIL"
                parts.append(b"PARTIAL (%d:%d %b)" % (*asked.partial, numbers))
        if chosen and option != "PARTIAL":
            numbers = format_ranges(numbered(view, request, chosen))
            parts.append(b"%b %b" % (option.encode(), numbers))
        named += chosen
    # RFC 5182 2.4, RFC 9394 3.2: with MIN, MAX, PARTIAL alone the search is about these only.
    all_of_it = {"COUNT", "ALL"} & set(asked.options) or asked.options == ("SAVE",)
    kept = found if all_of_it else sorted(set(named))
    modseq = modseq_of(view, value.key, kept)
    if modseq is not None:
        parts.append(b"MODSEQ %d" % modseq)
    # RFC 5182 2.2, example 1: SAVE alone is answered by the tagged OK.
    if asked.options != ("SAVE",):
        session.send(b" ".join(parts) + b"\r\n")
    if "SAVE" in asked.options:
        view.saved = array("I", [view.uids[at] for at in sorted(kept)])


def part_of(found: Sequence[int], partial: tuple[int, int]) -> Sequence[int]:
    """RFC 9394 3.1: 1:100 are the first hundred, -1:-100 the last hundred."""
    low, high = sorted(partial)
    if low > 0:
        return found[low - 1 : high]
    return found[max(len(found) + low, 0) : max(len(found) + high + 1, 0)]


# --- finding ----------------------------------------------------------------------------


async def find(session: Session, view: View, key: Key) -> list[int]:
    """Positions in the view of the messages that match, rising."""
    plan = Plan(key, _known(view))
    found = plan.found
    box, columns = view.mailbox.id, (*_COLUMNS[plan.cost], *plan.columns)
    rows = SMALL_ROWS if plan.cost <= Cost.ROW else ROWS
    start = 0
    while start < len(plan.open):
        await session.progress(start, len(plan.open))
        slice_ = plan.open[start : start + rows]
        uids = [view.uids[at] for at in slice_]
        ranges = view.uid_ranges(runs(slice_))
        seen = await session.services.store.read(_look(box, slice_, uids, ranges, columns, plan))
        found += seen.found
        start += seen.covered
    found.sort()
    return found


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
            return _OnDisk(tx, row.message_id, row.size)

        for covered, (at, uid) in enumerate(zip(positions, uids, strict=True), 1):
            row = rows.get(uid)
            if row is not None and plan.matches(at, Stored(row, octets, plan.needles)):
                found.append(at)
            if read > READ:
                return _Seen(found, covered)
        return _Seen(found, len(positions))

    return work


class _OnDisk:
    """The octets of a stored message, of which no more is in memory than a slice."""

    def __init__(self, tx: ReadTx, message: MessageId, size: int) -> None:
        self._tx = tx
        self._message = message
        self._size = size

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, index: slice, /) -> bytes:
        start, end, _ = index.indices(self._size)
        return self._tx.octets(self._message, start, end)

    def find(
        self, sub: bytes, start: SupportsIndex = 0, end: SupportsIndex | None = None, /
    ) -> int:
        """Only asked about short ranges: see `bridge.mime.text`."""
        first, past, _ = slice(start, end).indices(self._size)
        at = self[first:past].find(sub)
        return at if at < 0 else first + at
