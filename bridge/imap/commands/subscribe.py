"""SUBSCRIBE and UNSUBSCRIBE (RFC 3501 6.3.6, 6.3.7)."""

from __future__ import annotations

from bridge.imap.protocol.subscribe import Subscribe
from bridge.imap.replies import Reply
from bridge.imap.seams import Request
from bridge.imap.session import Session
from bridge.store.api import WriteTx


async def run(session: Session, request: Request, value: Subscribe) -> Reply:
    login = session.signed_in.id
    on = request.name == "SUBSCRIBE"

    def work(tx: WriteTx) -> None:
        if on:
            tx.mailbox(login, value.mailbox)  # raises NoSuchMailbox: no subscribing to nothing
        tx.subscribe(login, value.mailbox, on)

    await session.services.store.write(work)
    return Reply(f"{request.name} completed")
