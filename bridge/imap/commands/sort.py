"""SORT (RFC 5256 3): SEARCH, and one query that puts what was found in order."""

from __future__ import annotations

from array import array

from bridge.imap.commands import context
from bridge.imap.commands.search import accepted, answer, matching, modseq_of, numbered
from bridge.imap.mailboxes import runs
from bridge.imap.protocol.responses import search_result
from bridge.imap.protocol.sort import Sort
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
    found = await matching(session, search)
    if found:
        found = await _in_order(session, found, value)
    if search.returns is not None:
        answer(session, request, search, search.returns, found)
        if search.returns.update is not None:
            context.refuse(session, request.tag, "Only SEARCH is kept up to date")
    else:
        view = session.selected
        numbers = numbered(view, request, found)
        session.send(search_result(numbers, modseq_of(view, search.key, found), b"SORT"))
    return Reply("SORT completed")


async def _in_order(session: Session, found: list[int], value: Sort) -> list[int]:
    view = session.selected
    columns = [(COLUMNS[name], reverse) for name, reverse in value.criteria]

    def work(tx: ReadTx) -> list[int]:
        uids = tx.sorted_uids(view.mailbox.id, view.uid_ranges(runs(found)), columns)
        places = {view.uids[at]: at for at in found}
        return [places[uid] for uid in uids if uid in places]

    # A client that shows a sorted list asks for all of it with each page.
    box, uids, question = view.mailbox, view.uids, tuple(columns)
    whole = uids is box.uids and len(found) == len(uids)
    if whole and (kept := box.order(question)) is not None:
        return array("I", kept).tolist()
    made = await session.services.store.read(work)
    if whole:
        box.keep_order(question, uids, array("I", made).tobytes())
    return made
