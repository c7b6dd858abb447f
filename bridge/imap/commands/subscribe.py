"""SUBSCRIBE and UNSUBSCRIBE (RFC 3501 6.3.6, 6.3.7)."""

from __future__ import annotations

from bridge.imap import names
from bridge.imap.protocol.subscribe import Subscribe
from bridge.imap.replies import Reply
from bridge.imap.seams import Request
from bridge.imap.session import Session
from bridge.store.api import WriteTx


async def run(session: Session, request: Request, value: Subscribe) -> Reply:
    login = session.signed_in.id
    on = request.name == "SUBSCRIBE"

    def work(tx: WriteTx) -> None:
        name = names.stored(session, tx, value.mailbox)
        if on:
            tx.mailbox(login, name)  # raises NoSuchMailbox: no subscribing to nothing
        elif tx.is_subscribed(login, value.mailbox):
            name = value.mailbox
        tx.subscribe(login, name, on)

    await session.services.store.write(work)
    return Reply(f"{request.name} completed")
