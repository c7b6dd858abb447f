"""SELECT and EXAMINE (RFC 3501 6.3.1, 6.3.2)."""

from __future__ import annotations

from bridge.imap.protocol.select import Select
from bridge.imap.replies import Bad, Reply
from bridge.imap.session import Request, Session
from bridge.imap.view import View


async def run(session: Session, request: Request, value: Select) -> Reply:
    if value.parameters:
        raise Bad("CONDSTORE is not offered here")
    login = session.signed_in
    # RFC 3501 6.3.1: the old mailbox is left first, also when the new one cannot be opened.
    session.leave_mailbox()
    box = await session.services.mailboxes.open(login.id, value.mailbox, session.activity.set)
    view = View(box, read_only=request.name == "EXAMINE")
    session.view = view
    await session.claim_recent(view)
    session.send(b"* FLAGS " + view.applicable() + b"\r\n")
    session.send(b"* OK [PERMANENTFLAGS " + view.permanent() + b"] Flags that stay\r\n")
    session.send(b"* %d EXISTS\r\n* %d RECENT\r\n" % (len(view.uids), view.recent_count()))
    unseen = view.first_unseen()
    if unseen is not None:
        session.send(b"* OK [UNSEEN %d] First unseen\r\n" % unseen)
    session.send(b"* OK [UIDVALIDITY %d] UIDs stay valid\r\n" % box.row.uidvalidity)
    session.send(b"* OK [UIDNEXT %d] Next UID\r\n" % box.row.uidnext)
    access = b"READ-ONLY" if view.read_only else b"READ-WRITE"
    return Reply(f"{request.name} completed", access)
