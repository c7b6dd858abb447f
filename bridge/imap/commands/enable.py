"""ENABLE (RFC 5161, RFC 9051 6.3.1): what changes the server's answers, once the client asks."""

from __future__ import annotations

from bridge.imap.protocol.enable import Enable
from bridge.imap.replies import Reply
from bridge.imap.seams import Request
from bridge.imap.session import Session

IMPLIED = {"QRESYNC": ("CONDSTORE",)}  # RFC 7162 3.2.3


async def run(session: Session, request: Request, value: Enable) -> Reply:
    offered = session.capabilities().decode().split()
    new = []
    for name in (SPELT.get(name, name) for name in value.names):
        if name not in ENABLED_BY or name not in offered or name in session.enabled:
            continue
        new.append(name)
        ENABLED_BY[name](session)
        for implied in IMPLIED.get(name, ()):
            if implied not in new and implied not in value.names:
                new.append(implied)
    # RFC 5161 3.2: the untagged answer comes also when nothing new was enabled.
    session.send(b" ".join((b"* ENABLED", *(name.encode() for name in new))) + b"\r\n")
    return Reply("ENABLE completed")


ENABLED_BY = {
    "CONDSTORE": Session.enable_condstore,
    "QRESYNC": Session.enable_qresync,
    "UTF8=ACCEPT": Session.enable_utf8,
    "IMAP4rev2": Session.enable_rev2,
}
SPELT = {name.upper(): name for name in ENABLED_BY}
