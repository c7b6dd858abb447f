"""RENAME (RFC 3501 6.3.5); renaming INBOX moves its messages and leaves it empty."""

from __future__ import annotations

from bridge.imap.commands.create import DELIMITER, check_name
from bridge.imap.protocol.rename import Rename
from bridge.imap.replies import No, Reply
from bridge.imap.seams import Request
from bridge.imap.session import Session


async def run(session: Session, request: Request, value: Rename) -> Reply:
    login = session.signed_in.id
    target = check_name(value.to.removesuffix(DELIMITER))
    if target.startswith(value.mailbox + DELIMITER) and value.mailbox != "INBOX":
        raise No("A mailbox cannot be moved below itself", b"CANNOT")
    await session.services.store.write(lambda tx: tx.rename_mailbox(login, value.mailbox, target))
    return Reply("RENAME completed")
