"""CAPABILITY (RFC 3501 6.1.1)."""

from __future__ import annotations

from bridge.imap.protocol.bare import Bare
from bridge.imap.replies import Reply
from bridge.imap.seams import Request
from bridge.imap.session import Session


async def run(session: Session, request: Request, value: Bare) -> Reply:
    session.send(b"* CAPABILITY " + session.capabilities() + b"\r\n")
    return Reply("CAPABILITY completed")
