"""NAMESPACE (RFC 2342): one personal namespace, "/" between the levels, nothing shared."""

from __future__ import annotations

from bridge.imap.protocol.bare import Bare
from bridge.imap.replies import Reply
from bridge.imap.seams import Request
from bridge.imap.session import Session


async def run(session: Session, request: Request, value: Bare) -> Reply:
    session.send(b'* NAMESPACE (("" "/")) NIL NIL\r\n')
    return Reply("NAMESPACE completed")
