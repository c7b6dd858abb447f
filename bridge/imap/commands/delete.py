"""DELETE (RFC 3501 6.3.4)."""

from __future__ import annotations

from bridge.imap.protocol.delete import Delete
from bridge.imap.replies import No, Reply
from bridge.imap.seams import Request
from bridge.imap.session import Session
from bridge.model import MailboxId
from bridge.store.api import WriteTx


async def run(session: Session, request: Request, value: Delete) -> Reply:
    login = session.signed_in.id
    if value.mailbox == "INBOX":
        raise No("INBOX cannot be deleted", b"CANNOT")

    def work(tx: WriteTx) -> MailboxId:
        box = tx.mailbox(login, value.mailbox).id
        tx.delete_mailbox(login, value.mailbox)
        return box

    box = await session.services.store.write(work)
    if session.view is not None and session.view.mailbox.id == box:
        session.leave_mailbox()
    return Reply("DELETE completed")
