"""REPLACE and UID REPLACE (RFC 8508): the new message comes and the old one goes in one
transaction, so that a draft is never there twice, and never gone.

The old one goes for good, with \\Deleted or without, as by UID EXPUNGE.
"""

from __future__ import annotations

import time

from bridge.imap import names
from bridge.imap.commands.append import add, prepared, refuse_unfit, require_mailbox, try_create
from bridge.imap.commands.quota import require_room
from bridge.imap.protocol.replace import Replace
from bridge.imap.protocol.responses import untagged
from bridge.imap.replies import Bad, No, Reply
from bridge.imap.seams import Request
from bridge.imap.session import Session
from bridge.model import Mailbox
from bridge.store.api import NoSuchMailbox, WriteTx


async def run(session: Session, request: Request, value: Replace) -> Reply:
    view, message = session.writable, value.message
    refuse_unfit(session, [message])
    places = view.resolve(value.number, by_uid=request.uid)
    if not places:
        if not request.uid:
            raise Bad("There is no message of that number")
        raise No("There is no message of that UID", b"NONEXISTENT")
    source, uids = view.mailbox.id, view.uid_ranges(places)
    await require_mailbox(session, value.mailbox, [message.octets])
    (stored,) = await prepared([message.octets])
    now = int(time.time())

    def work(tx: WriteTx) -> tuple[Mailbox, int, tuple[bytes, ...]]:
        box = names.mailbox(session, tx, value.mailbox)
        (uid,) = add(tx, box.id, [message], [stored], now)
        if not tx.expunge(source, uids, only_deleted=False):
            raise No("Another device expunged the message meanwhile", b"EXPUNGEISSUED")
        # RFC 8508 3.4: what goes makes room for what comes.
        require_room(session, tx)
        return box, uid, names.renaming(session, tx, value.mailbox, box)

    try:
        box, uid, renamed = await session.services.store.write(work)
    except NoSuchMailbox as error:
        raise try_create(error) from None
    # RFC 8508 4.3: before EXPUNGE
    session.note_made(box.id, [uid])
    session.send(*renamed)
    appended = b"APPENDUID %d %d" % (box.uidvalidity, uid)
    session.send(untagged(b"OK", "The replacement is stored", appended))
    if "QRESYNC" not in session.enabled:
        return Reply("REPLACE completed")
    # RFC 8508 4.5: as RFC 7162 3.2.7 has it for EXPUNGE
    await session.sync(may_expunge=True, with_uid=request.uid)
    return Reply("REPLACE completed", b"HIGHESTMODSEQ %d" % view.modseq)
