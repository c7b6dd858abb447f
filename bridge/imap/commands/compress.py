"""COMPRESS (RFC 4978).

Octets that came in clear behind the command are none that the client may send: then the connection
ends, as with STARTTLS.
"""

from __future__ import annotations

from bridge.imap.protocol.compress import Compress
from bridge.imap.protocol.responses import tagged
from bridge.imap.replies import Bye, No
from bridge.imap.seams import Request
from bridge.imap.session import Session


async def run(session: Session, request: Request, value: Compress) -> None:
    if session.wire.compressed:
        raise No("DEFLATE is active already", b"COMPRESSIONACTIVE")
    if session.connection.buffered:
        raise Bye("Nothing may follow COMPRESS before its answer")
    # RFC 4978 3: the answer itself goes in clear, with all that came before it.
    await session.sync(may_expunge=True)
    session.send(tagged(request.tag, b"OK", "All that follows is compressed"))
    await session.flush()
    session.wire.start_compression()
