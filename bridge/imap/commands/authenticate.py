"""AUTHENTICATE (RFC 3501 6.2.2) with PLAIN (RFC 4616) and an initial response (RFC 4959)."""

from __future__ import annotations

from bridge import limits
from bridge.imap.commands.login import require_privacy, sign_in
from bridge.imap.protocol.authenticate import Authenticate, decode_response
from bridge.imap.protocol.connection import Line
from bridge.imap.protocol.scanner import ParseError
from bridge.imap.replies import Bad, Bye, No, Reply
from bridge.imap.session import Request, Session
from bridge.model import Secret


async def run(session: Session, request: Request, value: Authenticate) -> Reply:
    require_privacy(session)
    if value.mechanism != "PLAIN":
        raise No(f"AUTHENTICATE {value.mechanism[:20]} is not offered; use PLAIN")
    response = value.initial if value.initial is not None else await ask(session)
    # RFC 4616 2: [authzid] NUL authcid NUL passwd
    parts = response.split(b"\0")
    if len(parts) != 3:
        raise Bad("PLAIN wants: authorization identity, NUL, user name, NUL, password")
    try:
        authzid, name, password = (part.decode() for part in parts)
    except UnicodeDecodeError:
        raise Bad("PLAIN wants UTF-8") from None
    if authzid not in ("", name):
        raise No("Nobody may sign in as somebody else", b"AUTHORIZATIONFAILED")
    return await sign_in(session, request, name, Secret(password))


async def ask(session: Session) -> bytes:
    """Sends an empty challenge and reads the client's line. Raises Bad when it gives up."""
    session.connection.expect_line(limits.IMAP_LINE_BEFORE_LOGIN)
    session.send(b"+ \r\n")
    await session.flush()
    while True:
        session.activity.clear()
        event = session.connection.next_event()
        if event is None:
            if not await session.wait(limits.IMAP_LOGIN_SECONDS):
                raise Bye("Too slow to sign in")
            continue
        if not isinstance(event, Line):
            raise Bye("The conversation is out of step")
        try:
            response = decode_response(event.octets)
        except ParseError as error:
            raise Bad(str(error)) from None
        if response is None:
            raise Bad("AUTHENTICATE was given up")
        return response
