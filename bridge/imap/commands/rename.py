"""RENAME (RFC 3501 6.3.5, RFC 9051 6.3.6); renaming INBOX moves its messages and leaves it empty.

Subscriptions go with the name, so an IMAP4rev2 client is always told of the new one by LIST.
"""

from __future__ import annotations

from bridge.imap import names
from bridge.imap.commands.create import DELIMITER, check_name
from bridge.imap.protocol.rename import Rename
from bridge.imap.replies import No, Reply
from bridge.imap.seams import Request
from bridge.imap.session import Session
from bridge.store.api import NoSuchMailbox, WriteTx


async def run(session: Session, request: Request, value: Rename) -> Reply:
    login = session.signed_in.id
    target = check_name(names.composed(session, value.to.removesuffix(DELIMITER)))
    if target.startswith(value.mailbox + DELIMITER) and value.mailbox != "INBOX":
        raise No("A mailbox cannot be moved below itself", b"CANNOT")

    def work(tx: WriteTx) -> tuple[bytes, ...]:
        tx.rename_mailbox(login, names.stored(session, tx, value.mailbox), target)
        if not session.rev2 or value.mailbox == "INBOX":
            return ()
        try:
            return (names.listed(session, tx, tx.mailbox(login, target), value.mailbox),)
        except NoSuchMailbox:  # a level that is no mailbox, with those below it
            attributes = ["\\NonExistent", "\\HasChildren"]
            return (names.list_response(session, target, attributes, old=value.mailbox),)

    session.send(*await session.services.store.write(work))
    return Reply("RENAME completed")
