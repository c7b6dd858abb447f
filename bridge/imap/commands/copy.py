"""COPY and MOVE (RFC 3501 6.4.7, RFC 6851), both with COPYUID (RFC 4315 3)."""

from __future__ import annotations

from bridge.imap import names
from bridge.imap.commands.quota import require_room
from bridge.imap.protocol.copy import Copy
from bridge.imap.protocol.numbers import format_ranges
from bridge.imap.protocol.responses import untagged
from bridge.imap.replies import Bad, No, Reply
from bridge.imap.seams import Request
from bridge.imap.session import Session
from bridge.model import Copied, MailboxId
from bridge.store.api import NoSuchMailbox, WriteTx


async def run(session: Session, request: Request, value: Copy) -> Reply:
    moving = request.name == "MOVE"
    view = session.writable if moving else session.selected
    uids = view.uid_ranges(view.resolve(value.numbers, by_uid=request.uid))
    if not uids:
        # RFC 5182 2.1: "$" may be empty.
        if not request.uid and not value.numbers.saved:
            raise Bad("There is no message of that number")
        return Reply(f"{request.name} completed, no message was there")
    box = view.mailbox.id

    def work(tx: WriteTx) -> tuple[MailboxId, Copied]:
        target = names.mailbox(session, tx, value.mailbox).id
        if moving:
            return target, tx.move(box, uids, target)
        copied = tx.copy(box, uids, target)
        require_room(session, tx)
        return target, copied

    try:
        target, copied = await session.services.store.write(work)
    except NoSuchMailbox as error:
        # RFC 3501 6.4.7: the client may make the mailbox and try again.
        raise No(str(error), b"TRYCREATE") from None
    if not copied.source_uids:
        raise No("The messages were expunged meanwhile", b"EXPUNGEISSUED")
    session.note_made(target, copied.target_uids)
    code = b"COPYUID %d %s %s" % (
        copied.uidvalidity,
        format_ranges(copied.source_uids),
        format_ranges(copied.target_uids),
    )
    if moving:
        # RFC 6851 4.3: the pairs come in an untagged OK, before the EXPUNGE responses.
        session.send(untagged(b"OK", "Moved", code))
        highest = None
        if "CONDSTORE" in session.enabled:
            await session.sync(may_expunge=True, with_uid=request.uid)
            highest = b"HIGHESTMODSEQ %d" % view.modseq  # RFC 6851 4.4
        return Reply("MOVE completed", highest)
    return Reply("COPY completed", code)
