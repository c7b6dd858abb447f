"""NOOP and CHECK (RFC 3501 6.1.2, 6.4.1): a chance to be told what is new.

CHECK asks for housekeeping; every commit is on disk already, so there is none to do.
"""

from __future__ import annotations

from bridge.imap.protocol.bare import Bare
from bridge.imap.replies import Reply
from bridge.imap.seams import Request
from bridge.imap.session import Session


async def run(session: Session, request: Request, value: Bare) -> Reply:
    return Reply(f"{request.name} completed")
