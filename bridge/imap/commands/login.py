"""LOGIN (RFC 3501 6.2.3), and the check that AUTHENTICATE shares with it.

Rules: no password before TLS off this machine; the same words whatever was wrong; a peer that
keeps guessing waits longer each time, and after many guesses nobody looks at them any more.
"""

from __future__ import annotations

import asyncio

from bridge.auth.passwords import SignedIn
from bridge.imap.protocol.login import Login
from bridge.imap.replies import No, Reply
from bridge.imap.seams import Request
from bridge.imap.session import Session, log
from bridge.model import Secret

TOO_MANY = "Too many wrong passwords; wait some minutes, or use the password of a device"


async def run(session: Session, request: Request, value: Login) -> Reply:
    return await sign_in(session, request, value.name, value.password)


def require_privacy(session: Session) -> None:
    """Raises No before TLS, unless the peer is on this machine (RFC 3501 6.2.3, RFC 5530 3)."""
    if not session.wire.private:
        raise No("Use TLS first: STARTTLS, or the TLS port", b"PRIVACYREQUIRED")


async def sign_in(session: Session, request: Request, name: str, password: Secret) -> Reply:
    """Signs in, or raises No [AUTHENTICATIONFAILED] after the peer's delay."""
    require_privacy(session)
    services = session.services
    peer = session.wire.peer
    if not services.guesses.allows(peer, name):
        found = await services.passwords.verify(name, password, devices_alone=True)
        if found is None:
            raise await refuse(session, name, TOO_MANY)
    else:
        found = await services.passwords.verify(name, password)
        if found is None:
            services.guesses.failed(peer, name)
            raise await refuse(session, name)
    return await admit(session, request, found)


async def refuse(session: Session, name: str, why: str = "") -> No:
    """What to raise for whoever said that name, once the peer has waited its time. `why` is for
    what is not about the name or the password."""
    delay = session.services.throttle.failed(session.wire.peer)
    log.warning("login refused", peer=session.wire.peer, login=name[:100], delay=delay)
    await asyncio.sleep(delay)
    return No(why or "Wrong user name or password", b"AUTHENTICATIONFAILED")


async def admit(session: Session, request: Request, found: SignedIn) -> Reply:
    """Signs in whoever proved itself. Raises No at the cap of sessions."""
    services = session.services
    services.throttle.succeeded(session.wire.peer)
    services.guesses.succeeded(session.wire.peer, found.login)
    login = await services.mailboxes.rows.login(found.login)
    session.welcome(login, found.device)
    log.info(
        "login",
        peer=session.wire.peer,
        login=login.name,
        device=services.devices.name(found.device),
        tls=session.wire.secure,
    )
    # RFC 3501 7.1: the capabilities after login save the client a round trip.
    return Reply(f"{request.name} completed", b"CAPABILITY " + session.capabilities())
