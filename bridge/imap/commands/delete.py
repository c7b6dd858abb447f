"""DELETE (RFC 3501 6.3.4)."""

from __future__ import annotations

from bridge.imap.protocol.delete import Delete
from bridge.imap.replies import No, Reply
from bridge.imap.session import Request, Session


async def run(session: Session, request: Request, value: Delete) -> Reply:
    login = session.signed_in.id
    if value.mailbox == "INBOX":
        raise No("INBOX cannot be deleted", b"CANNOT")
    view = session.view
    if view is not None and view.mailbox.row.name == value.mailbox:
        session.leave_mailbox()
    await session.services.store.write(lambda tx: tx.delete_mailbox(login, value.mailbox))
    return Reply("DELETE completed")
