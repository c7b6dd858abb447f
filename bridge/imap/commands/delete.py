"""DELETE (RFC 3501 6.3.4, RFC 9051 6.3.5)."""

from __future__ import annotations

from bridge.imap import names
from bridge.imap.protocol.delete import Delete
from bridge.imap.replies import No, Reply
from bridge.imap.seams import Request
from bridge.imap.session import Session
from bridge.model import Mailbox
from bridge.store.api import NoSuchMailbox, WriteTx


async def run(session: Session, request: Request, value: Delete) -> Reply:
    login = session.signed_in.id
    if value.mailbox == "INBOX":
        raise No("INBOX cannot be deleted", b"CANNOT")

    def work(tx: WriteTx) -> Mailbox:
        name = names.stored(session, tx, value.mailbox)
        try:
            box = tx.mailbox(login, name)
        except NoSuchMailbox:
            if session.rev2 and tx.has_children(login, name):
                # RFC 9051 6.3.5: a name that only leads to others
                raise No("There are mailboxes below it", b"HASCHILDREN") from None
            raise
        tx.delete_mailbox(login, name)
        return box

    gone = await session.services.store.write(work)
    if session.view is not None and session.view.mailbox.id == gone.id:
        session.leave_mailbox()
    if session.rev2 and gone.name != value.mailbox:
        # RFC 9051 6.3.5
        session.send(names.list_response(session, gone.name, ["\\NonExistent"], old=value.mailbox))
    return Reply("DELETE completed")
