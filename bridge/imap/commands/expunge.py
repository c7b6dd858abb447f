"""EXPUNGE (RFC 3501 6.4.3) and UID EXPUNGE (RFC 4315 2.1).

The EXPUNGE responses are written by the view, like everybody else's.
"""

from __future__ import annotations

from bridge.imap.protocol.bare import Bare
from bridge.imap.protocol.expunge import UidExpunge
from bridge.imap.replies import Reply
from bridge.imap.session import Request, Session


async def run(session: Session, request: Request, value: Bare) -> Reply:
    box = session.writable.mailbox.id
    await session.services.store.write(lambda tx: tx.expunge(box))
    return Reply("EXPUNGE completed")


async def run_uid(session: Session, request: Request, value: UidExpunge) -> Reply:
    view = session.writable
    uids = view.uid_ranges(view.resolve(value.numbers, by_uid=True))
    if uids:
        box = view.mailbox.id
        await session.services.store.write(lambda tx: tx.expunge(box, uids))
    return Reply("UID EXPUNGE completed")
