"""APPEND (RFC 3501 6.3.11) with APPENDUID (RFC 4315 3)."""

from __future__ import annotations

import asyncio
import hashlib
import time

from bridge.imap.protocol.append import Append
from bridge.imap.replies import No, Reply
from bridge.imap.session import Request, Session
from bridge.mime.parser import scan
from bridge.model import EntryState, NewMessage, Octets
from bridge.store.api import NoSuchMailbox, WriteTx

SMALL = 64 * 1024  # octets that are taken apart on the event loop in under 10 ms


async def run(session: Session, request: Request, value: Append) -> Reply:
    login = session.signed_in.id
    try:
        await session.services.store.read(lambda tx: tx.mailbox(login, value.mailbox))
    except NoSuchMailbox as error:
        raise _try_create(error) from None
    if len(value.octets) <= SMALL:
        message = prepare(value.octets)
    else:
        message = await asyncio.to_thread(prepare, value.octets)
    when = int(time.time()) if value.internaldate is None else value.internaldate

    def work(tx: WriteTx) -> tuple[int, EntryState]:
        box = tx.mailbox(login, value.mailbox)
        entry = tx.add_entry(
            box.id,
            tx.add_message(message),
            flags=value.flags,
            keywords=value.keywords,
            internaldate=when,
        )
        return box.uidvalidity, entry

    try:
        uidvalidity, entry = await session.services.store.write(work)
    except NoSuchMailbox as error:
        raise _try_create(error) from None
    return Reply("APPEND completed", b"APPENDUID %d %d" % (uidvalidity, entry.uid))


def prepare(octets: Octets) -> NewMessage:
    """Digest and structure of the bytes."""
    digest = hashlib.sha256()
    step = 1024 * 1024
    for start in range(0, len(octets), step):
        digest.update(octets[start : start + step])
    return NewMessage(octets, digest.digest(), scan(octets))


def _try_create(error: NoSuchMailbox) -> No:
    # RFC 3501 6.3.11: the client may make the mailbox and try again.
    return No(str(error), b"TRYCREATE")
