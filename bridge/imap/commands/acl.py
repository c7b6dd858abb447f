"""GETACL, SETACL, DELETEACL, LISTRIGHTS, MYRIGHTS (RFC 4314).

A mailbox belongs to one login, which has every right to it and cannot lose one; nobody else can
be given any. LISTRIGHTS says so (all rights of the owner are required ones, all others have none
to be had), and SETACL and DELETEACL refuse what would make it otherwise.

CAPABILITY does not show ACL: Thunderbird 153 then asks for MYRIGHTS or GETACL at the first sight of
every folder, a round trip each, and has nothing to show for it but a page on sharing that cannot be
used. Who asks is answered, and LIST-MYRIGHTS, which costs no round trip, is announced.
"""

from __future__ import annotations

from bridge.imap import names
from bridge.imap.protocol.acl import OfIdentifier, OfMailbox, SetAcl
from bridge.imap.protocol.responses import astring
from bridge.imap.replies import Bad, No, Reply
from bridge.imap.seams import Request
from bridge.imap.session import Session

RIGHTS = b"lrswipkxtea"
VIRTUAL = b"cd"  # RFC 4314 2.1.1: the rights of RFC 2086 that old clients look for
KNOWN = frozenset(RIGHTS + VIRTUAL)


async def my_rights(session: Session, request: Request, value: OfMailbox) -> Reply:
    name = await _existing(session, value.mailbox)
    session.send(my_rights_response(name))
    return Reply("MYRIGHTS completed")


def my_rights_response(name: bytes) -> bytes:
    """b"* MYRIGHTS INBOX lrswipkxtecda"; `name` is wire octets."""
    return b"* MYRIGHTS %s %s%s\r\n" % (name, RIGHTS, VIRTUAL)


async def get(session: Session, request: Request, value: OfMailbox) -> Reply:
    name = await _existing(session, value.mailbox)
    owner = astring(session.signed_in.name.encode())
    session.send(b"* ACL %s %s %s%s\r\n" % (name, owner, RIGHTS, VIRTUAL))
    return Reply("GETACL completed")


async def list_rights(session: Session, request: Request, value: OfIdentifier) -> Reply:
    name = await _existing(session, value.mailbox)
    owner = value.identifier == session.signed_in.name.encode()
    required = RIGHTS + VIRTUAL if owner else b'""'
    session.send(b"* LISTRIGHTS %s %s %s\r\n" % (name, astring(value.identifier), required))
    return Reply("LISTRIGHTS completed")


async def set_rights(session: Session, request: Request, value: SetAcl) -> Reply:
    await _existing(session, value.mailbox)
    rights = frozenset(value.rights.lstrip(b"+-"))
    if not rights <= KNOWN:
        raise Bad("There is no such right")  # RFC 4314 3.1
    if value.identifier != session.signed_in.name.encode():
        raise No("Mailboxes cannot be shared here", b"NOPERM")
    taken = value.rights.startswith(b"-") and rights
    if taken or (not value.rights.startswith((b"+", b"-")) and not rights >= frozenset(RIGHTS)):
        raise No("The owner of a mailbox keeps all rights to it", b"NOPERM")
    return Reply("SETACL completed")


async def delete(session: Session, request: Request, value: OfIdentifier) -> Reply:
    await _existing(session, value.mailbox)
    if value.identifier == session.signed_in.name.encode():
        raise No("The owner of a mailbox keeps all rights to it", b"NOPERM")
    return Reply("DELETEACL completed, there was nothing to delete")


async def _existing(session: Session, mailbox: str) -> bytes:
    """The name in wire octets. Raises NoSuchMailbox."""
    row = await session.services.store.read(lambda tx: names.mailbox(session, tx, mailbox))
    return session.mailbox_name(row.name)
