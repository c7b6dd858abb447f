"""STARTTLS (RFC 3501 6.2.1).

Octets that came behind the command before TLS is up are an attack (a command slipped into
the encrypted session, CVE-2011-0411): then the connection ends.
"""

from __future__ import annotations

from bridge.imap.protocol.bare import Bare
from bridge.imap.protocol.responses import tagged
from bridge.imap.replies import Bad, Bye, Reply
from bridge.imap.seams import Request
from bridge.imap.session import Session


async def run(session: Session, request: Request, value: Bare) -> Reply | None:
    if session.wire.secure:
        raise Bad("TLS is active already")
    if not session.services.starttls:
        raise Bad("There is no TLS on this listener")
    if session.connection.buffered:
        raise Bye("Nothing may follow STARTTLS before TLS is up")
    session.send(tagged(request.tag, b"OK", "Begin TLS now"))
    await session.flush()
    # Looked at again because flush may wait. From here on nothing waits until the wire belongs
    # to TLS; what is buffered after that was encrypted, and may come before we are told.
    if session.connection.buffered:
        raise Bye("Nothing may follow STARTTLS before TLS is up")
    await session.wire.start_tls()
    return None
