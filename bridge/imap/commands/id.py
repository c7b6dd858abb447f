"""ID (RFC 2971): what the client says of itself goes to the log, and we say who we are."""

from __future__ import annotations

from bridge import __version__
from bridge.imap.protocol.id import Id
from bridge.imap.replies import Reply
from bridge.imap.seams import Request
from bridge.imap.session import Session, log


async def run(session: Session, request: Request, value: Id) -> Reply:
    client = {key.lower(): text or "" for key, text in value.fields}
    log.info(
        "client",
        peer=session.wire.peer,
        name=client.get("name", "")[:60],
        version=client.get("version", "")[:60],
    )
    session.send(b'* ID ("name" "popbridge" "version" "%s")\r\n' % __version__.encode())
    return Reply("ID completed")
