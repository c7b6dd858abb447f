"""EXPUNGE (RFC 3501 6.4.3) and UID EXPUNGE (RFC 4315 2.1).

The EXPUNGE responses are written by the view, like everybody else's.
"""

from __future__ import annotations

from bridge.imap.protocol.bare import Bare
from bridge.imap.protocol.expunge import UidExpunge
from bridge.imap.replies import Reply
from bridge.imap.seams import Request
from bridge.imap.session import Session
from bridge.store.api import UidRanges


async def run(session: Session, request: Request, value: Bare) -> Reply:
    return await expunge(session, request, None)


async def run_uid(session: Session, request: Request, value: UidExpunge) -> Reply:
    view = session.writable
    uids = view.uid_ranges(view.resolve(value.numbers, by_uid=True))
    return await expunge(session, request, uids)


async def expunge(session: Session, request: Request, uids: UidRanges | None) -> Reply:
    """Expunges and answers; with QRESYNC the tagged OK says the new MODSEQ (RFC 7162 3.2.7)."""
    view = session.writable
    box = view.mailbox.id
    gone = await session.services.store.write(lambda tx: tx.expunge(box, uids))
    code = None
    if gone and "QRESYNC" in session.enabled:
        await session.sync(may_expunge=True, with_uid=request.uid)
        code = b"HIGHESTMODSEQ %d" % view.modseq
    return Reply("EXPUNGE completed", code)
