"""CREATE (RFC 3501 6.3.3)."""

from __future__ import annotations

from bridge.imap.protocol.create import Create
from bridge.imap.replies import No, Reply
from bridge.imap.session import Request, Session

DELIMITER = "/"


async def run(session: Session, request: Request, value: Create) -> Reply:
    login = session.signed_in.id
    # RFC 3501 6.3.3: a trailing delimiter declares that names below will follow.
    name = check_name(value.mailbox.removesuffix(DELIMITER))
    if value.special_use:
        raise No("A use cannot be given to a new mailbox", b"USEATTR")
    await session.services.store.write(lambda tx: tx.create_mailbox(login, name))
    return Reply("CREATE completed")


def check_name(name: str) -> str:
    """The name, if it can be that of a new mailbox. Raises No [CANNOT] (RFC 5530 3).

    Refused are control characters and empty levels; all else is quoted where it is shown.
    """
    if not all(name.split(DELIMITER)):
        raise No("A mailbox name has no empty level", b"CANNOT")
    if any(ord(char) < 0x20 or 0x7F <= ord(char) < 0xA0 for char in name):
        raise No("A mailbox name has no control characters", b"CANNOT")
    return name
