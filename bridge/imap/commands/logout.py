"""LOGOUT (RFC 3501 6.1.3)."""

from __future__ import annotations

from bridge.imap.protocol.bare import Bare
from bridge.imap.protocol.responses import untagged
from bridge.imap.replies import Reply
from bridge.imap.seams import Request
from bridge.imap.session import Session


async def run(session: Session, request: Request, value: Bare) -> Reply:
    session.leave_mailbox()
    session.send(untagged(b"BYE", "Good bye"))
    session.over = True
    return Reply("LOGOUT completed")
