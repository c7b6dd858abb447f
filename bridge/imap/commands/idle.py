"""IDLE (RFC 2177): everything new is told the moment it is known, until DONE."""

from __future__ import annotations

from bridge.imap.protocol.bare import Bare
from bridge.imap.protocol.connection import Line
from bridge.imap.replies import Bad, Bye, Reply
from bridge.imap.seams import Request
from bridge.imap.session import Session

KEEPALIVE_SECONDS = 120.0  # many home routers forget a silent connection after five minutes
DONE = 64  # octets that a line in IDLE may have


async def run(session: Session, request: Request, value: Bare) -> Reply:
    session.connection.expect_line(DONE)
    session.send(b"+ idling\r\n")
    session.services.on_interest(session.signed_in.id)
    while True:
        session.activity.clear()
        event = session.connection.next_event()
        if isinstance(event, Line):
            # RFC 2177 3
            if event.octets.strip().upper() == b"DONE":
                return Reply("IDLE completed")
            raise Bad("IDLE ends with DONE")
        if event is not None:
            raise Bye("IDLE ends with DONE")
        await session.sync(may_expunge=True)
        if session.teller is not None:
            # RFC 5465 4
            await session.teller.tell()
        await session.flush()
        if not await session.wait(KEEPALIVE_SECONDS):
            session.send(b"* OK Still here\r\n")
