"""UNAUTHENTICATE (RFC 8437): nobody is signed in any more, and nothing of the session is left.

Only TLS stays, and what ID told: that went to the log. Compression ends behind the tagged OK, for
the octets of both sides.
"""

from __future__ import annotations

from bridge.imap.protocol.bare import Bare
from bridge.imap.protocol.responses import tagged
from bridge.imap.seams import Request
from bridge.imap.session import Session


async def run(session: Session, request: Request, value: Bare) -> None:
    session.forget_login()
    await session.flush()
    # RFC 8437 4.1: our compression ends behind the CRLF of the answer.
    session.wire.write_last(tagged(request.tag, b"OK", "Nobody is signed in"))
