"""APPEND (RFC 3501 6.3.11) with APPENDUID (RFC 4315 3), MULTIAPPEND (RFC 3502) and UTF8 (RFC
6855 4): all messages come in, in one transaction, or none does.

A header with 8-bit octets is taken from every client, though RFC 6855 4 would have us refuse it
before ENABLE UTF8=ACCEPT: who moves old mail here would lose each message whose writer knew no
better, and the octets are kept as they are whatever we think of them.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Sequence

from bridge.imap import names
from bridge.imap.commands.quota import require_room
from bridge.imap.protocol.append import Append, AppendMessage
from bridge.imap.protocol.numbers import format_ranges
from bridge.imap.replies import No, Reply
from bridge.imap.seams import Request
from bridge.imap.session import Session
from bridge.mime.parser import scan
from bridge.model import Mailbox, MailboxId, NewEntry, NewMessage, Octets
from bridge.store.api import NoSuchMailbox, WriteTx

SMALL = 64 * 1024  # octets that are taken apart on the event loop in under 10 ms


async def run(session: Session, request: Request, value: Append) -> Reply:
    if len(value.messages) > 1:
        session.require("MULTIAPPEND", "APPEND of several messages")
    refuse_unfit(session, value.messages)
    octets = [message.octets for message in value.messages]
    await require_mailbox(session, value.mailbox, octets)
    ready = await prepared(octets)
    now = int(time.time())

    def work(tx: WriteTx) -> tuple[Mailbox, list[int], tuple[bytes, ...]]:
        box = names.mailbox(session, tx, value.mailbox)
        uids = add(tx, box.id, value.messages, ready, now)
        require_room(session, tx)
        return box, uids, names.renaming(session, tx, value.mailbox, box)

    try:
        box, uids, renamed = await session.services.store.write(work)
    except NoSuchMailbox as error:
        raise try_create(error) from None
    session.note_made(box.id, uids)
    session.send(*renamed)
    return Reply("APPEND completed", b"APPENDUID %d %s" % (box.uidvalidity, format_ranges(uids)))


def refuse_unfit(session: Session, messages: Sequence[AppendMessage]) -> None:
    """Raises Bad for a form that this client is not offered, No for a message of no octets."""
    if any(message.binary for message in messages):
        session.require("BINARY", "literal8 in APPEND")
    if any(message.utf8 for message in messages):
        session.require("UTF8=ACCEPT", "UTF8 in APPEND")
    # RFC 3502 6.3.11: that is how a client calls it off.
    if not all(len(message.octets) for message in messages):
        raise No("A message of no octets calls APPEND off")


async def require_mailbox(session: Session, name: str, messages: Sequence[Octets]) -> None:
    """Raises No [TRYCREATE] before work is put into messages that have no place to go; small ones
    are less work than this question, and the transaction asks it anyway."""
    if _are_small(messages):
        return
    try:
        await session.services.store.read(lambda tx: names.mailbox(session, tx, name))
    except NoSuchMailbox as error:
        raise try_create(error) from None


def add(
    tx: WriteTx,
    mailbox: MailboxId,
    messages: Sequence[AppendMessage],
    stored: Sequence[NewMessage],
    now: int,
) -> list[int]:
    """Stores the messages and their entries; returns the UIDs."""
    entries = [
        NewEntry(
            tx.add_message(new),
            now if message.internaldate is None else message.internaldate,
            message.flags,
            message.keywords,
        )
        for message, new in zip(messages, stored, strict=True)
    ]
    return [state.uid for state in tx.add_entries(mailbox, entries)]


async def prepared(messages: Sequence[Octets]) -> list[NewMessage]:
    """Digest and structure of each; large ones are taken apart in a thread."""
    if _are_small(messages):
        return [prepare(octets) for octets in messages]
    return await asyncio.to_thread(lambda: [prepare(octets) for octets in messages])


def _are_small(messages: Sequence[Octets]) -> bool:
    return sum(map(len, messages)) <= SMALL


def prepare(octets: Octets) -> NewMessage:
    """Digest and structure of the bytes."""
    digest = hashlib.sha256()
    step = 1024 * 1024
    for start in range(0, len(octets), step):
        digest.update(octets[start : start + step])
    return NewMessage(octets, digest.digest(), scan(octets))


def try_create(error: NoSuchMailbox) -> No:
    # RFC 3501 6.3.11: the client may make the mailbox and try again.
    return No(str(error), b"TRYCREATE")
