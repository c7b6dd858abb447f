"""SORT (RFC 5256 3): SEARCH, and one query that puts what was found in order."""

from __future__ import annotations

from array import array
from collections.abc import Sequence

from bridge.imap.commands import context
from bridge.imap.commands.search import (
    accepted,
    answer,
    matching,
    modseq_of,
    numbers_of,
)
from bridge.imap.planes import intervals, positions
from bridge.imap.protocol.responses import search_result
from bridge.imap.protocol.sort import Sort
from bridge.imap.protocol.spelled import ordered
from bridge.imap.replies import Reply
from bridge.imap.seams import Request
from bridge.imap.session import Session
from bridge.store.api import ReadTx, SortColumn

COLUMNS: dict[str, SortColumn] = {
    "ARRIVAL": "arrival",
    "CC": "cc",
    "DATE": "sent_at",
    "FROM": "sender",
    "SIZE": "size",
    "SUBJECT": "subject",
    "TO": "to",
    "DISPLAYFROM": "display_from",
    "DISPLAYTO": "display_to",
}


async def run(session: Session, request: Request, value: Sort) -> Reply:
    search = accepted(session, value.search, "ESORT")
    view = session.selected
    found = await matching(session, search)
    order = await _in_order(session, found, value) if 1 in found else ()
    if search.returns is not None:
        await answer(session, request, search, search.returns, found, order)
        if search.returns.update is not None:
            context.refuse(session, request.tag, "Only SEARCH is kept up to date")
    else:
        numbers = ordered(numbers_of(view, request), order)
        modseq = modseq_of(view, search.key, found)
        await session.send_many(search_result(numbers, modseq, b"SORT"))
    return Reply("SORT completed")


async def _in_order(session: Session, found: bytes, value: Sort) -> Sequence[int]:
    """The positions of what was found, sorted."""
    view = session.selected
    columns = [(COLUMNS[name], reverse) for name, reverse in value.criteria]

    def work(tx: ReadTx) -> array[int]:
        uids = tx.sorted_uids(view.mailbox.id, view.uid_ranges(intervals(found)), columns)
        places = {view.uids[at]: at for at in positions(found)}
        return array("I", [places[uid] for uid in uids if uid in places])

    # A client that shows a sorted list asks for all of it with each page.
    box, uids, question = view.mailbox, view.uids, tuple(columns)
    whole = uids is box.uids and 0 not in found
    if whole and (kept := box.order(question)) is not None:
        return array("I", kept)
    made = await session.services.store.read(work)
    if whole:
        box.keep_order(question, uids, made.tobytes())
    return made
