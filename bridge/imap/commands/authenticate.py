"""AUTHENTICATE (RFC 3501 6.2.2) with PLAIN (RFC 4616), SCRAM-SHA-256 (RFC 5802, RFC 7677), its
-PLUS over TLS, and an initial response (RFC 4959).

-PLUS binds to tls-server-end-point, and to tls-unique over TLS 1.2 (RFC 5929). Python's ssl gives
out no tls-exporter (RFC 9266).
"""

from __future__ import annotations

import binascii

from bridge import limits
from bridge.auth.scram import ScramRefused
from bridge.imap.commands.login import TOO_MANY, admit, refuse, require_privacy, sign_in
from bridge.imap.protocol.authenticate import Authenticate, decode_response
from bridge.imap.protocol.connection import Line
from bridge.imap.protocol.scanner import ParseError
from bridge.imap.replies import Bad, Bye, No, Reply
from bridge.imap.seams import Request
from bridge.imap.session import Session
from bridge.model import Secret


async def run(session: Session, request: Request, value: Authenticate) -> Reply:
    require_privacy(session)
    if value.mechanism == "PLAIN":
        return await plain(session, request, value.initial)
    scrams = ("SCRAM-SHA-256", "SCRAM-SHA-256-PLUS")
    if value.mechanism in scrams and session.offers(f"AUTH={value.mechanism}"):
        return await scram(session, request, value)
    raise No(f"AUTHENTICATE {value.mechanism[:20]} is not offered; use PLAIN")


async def plain(session: Session, request: Request, initial: bytes | None) -> Reply:
    response = initial if initial is not None else await ask(session)
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


async def scram(session: Session, request: Request, value: Authenticate) -> Reply:
    passwords = session.services.passwords
    plus = value.mechanism.endswith("-PLUS")
    exchange = passwords.exchange(session.wire.bindings(), plus=plus)
    response = value.initial if value.initial is not None else await ask(session)
    try:
        challenge = await passwords.challenge(exchange, response)
        found, signature = await passwords.signed_in(exchange, await ask(session, challenge))
    except ScramRefused as refused:
        session.services.guesses.failed(session.wire.peer, exchange.name)
        raise await refuse(session, exchange.name, str(refused)) from None
    # Whatever was proved: else a guesser would learn here what LOGIN does not tell any more.
    if found.device is None and not session.services.guesses.allows(
        session.wire.peer, exchange.name
    ):
        raise await refuse(session, exchange.name, TOO_MANY)
    # RFC 5802 5: the client checks us too, and says nothing more, or "*".
    if await ask(session, signature):
        raise Bad("SCRAM is over with an empty response")
    return await admit(session, request, found)


async def ask(session: Session, challenge: bytes = b"") -> bytes:
    """Sends the challenge and reads the client's line. Raises Bad when it gives up."""
    session.connection.expect_line(limits.IMAP_LINE_BEFORE_LOGIN)
    session.send(b"+ " + binascii.b2a_base64(challenge, newline=False) + b"\r\n")
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
