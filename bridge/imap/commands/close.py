"""CLOSE and UNSELECT (RFC 3501 6.4.2, RFC 3691): CLOSE expunges silently, UNSELECT does not."""

from __future__ import annotations

from bridge.imap.protocol.bare import Bare
from bridge.imap.replies import Reply
from bridge.imap.seams import Request
from bridge.imap.session import Session


async def run(session: Session, request: Request, value: Bare) -> Reply:
    view = session.selected
    box = view.mailbox.id
    if request.name == "CLOSE" and not view.read_only:
        # First: where it cannot be done the mailbox stays selected, and the answer is NO.
        await session.services.store.write(lambda tx: tx.expunge(box))
    session.leave_mailbox()
    return Reply(f"{request.name} completed")
