"""THREAD (RFC 5256 3): SEARCH, one query for what threads are made of, and a walk in memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import compress

from bridge.imap import threads
from bridge.imap.commands.search import accepted, matching, numbers_of
from bridge.imap.planes import intervals
from bridge.imap.protocol.thread import Node, Thread, thread_result
from bridge.imap.replies import Reply
from bridge.imap.seams import Request
from bridge.imap.session import Session
from bridge.model import ThreadRow
from bridge.store.api import ReadTx

ALGORITHMS: dict[str, Callable[[Sequence[ThreadRow]], Sequence[Node]]] = {
    "ORDEREDSUBJECT": threads.by_subject,
    "REFERENCES": threads.by_references,
    "REFS": threads.by_newest,
}


async def run(session: Session, request: Request, value: Thread) -> Reply:
    view = session.selected
    found = await matching(session, accepted(session, value.search))
    algorithm = ALGORITHMS[value.algorithm]

    def work(tx: ReadTx) -> bytes:
        called = zip(uids, numbers_of(view, request), strict=True)
        numbers = dict(compress(called, found))
        rows = tx.thread_rows(view.mailbox.id, view.uid_ranges(intervals(found)))
        return thread_result(algorithm([row for row in rows if row.uid in numbers]), numbers)

    # A client that shows threads asks for all of them with each page.
    box, uids = view.mailbox, view.uids
    question = value.algorithm, request.uid
    whole = uids is box.uids and 0 not in found
    made = box.order(question) if whole else None
    if made is None:
        made = await session.services.store.read(work)
        if whole:
            box.keep_order(question, uids, made)
    session.send(made)
    return Reply("THREAD completed")
