"""CREATE (RFC 3501 6.3.3), with CREATE-SPECIAL-USE (RFC 6154 3).

A mailbox has one use, and a use has one mailbox: RFC 6154 lets a server hold more, but then one
device puts its sent mail here and the next one there. Which mailbox has a use is changed through
METADATA, at "/private/specialuse".
"""

from __future__ import annotations

from collections.abc import Sequence

from bridge.imap import names
from bridge.imap.objectids import mailbox_id
from bridge.imap.protocol.create import Create
from bridge.imap.replies import No, Reply
from bridge.imap.seams import Request
from bridge.imap.session import Session
from bridge.model import Mailbox, SpecialUse
from bridge.store.api import WriteTx

DELIMITER = "/"


async def run(session: Session, request: Request, value: Create) -> Reply:
    login = session.signed_in.id
    # RFC 3501 6.3.3: a trailing delimiter declares that names below will follow.
    given = value.mailbox.removesuffix(DELIMITER)
    name = check_name(names.composed(session, given))
    if value.special_use is not None:
        session.require("CREATE-SPECIAL-USE", "parameter USE")
    use = special_use(value.special_use or ())

    def work(tx: WriteTx) -> tuple[Mailbox, tuple[bytes, ...]]:
        if use is not None:
            held = next((row.name for row in tx.mailboxes(login) if row.special_use == use), None)
            if held is not None and held != name:
                raise No(f"Another mailbox is {use.value} already", b"USEATTR")
        made = tx.create_mailbox(login, name, use)
        return made, names.renaming(session, tx, given, made)

    made, renamed = await session.services.store.write(work)
    session.send(*renamed)
    # RFC 8474 4.1
    code = f"MAILBOXID ({mailbox_id(made.id)})".encode() if session.offers("OBJECTID") else None
    return Reply("CREATE completed", code)


def special_use(words: Sequence[str]) -> SpecialUse | None:
    """The one use that is named, or None. Raises No [USEATTR] for what no mailbox can have."""
    if len(words) > 1:
        raise No("A mailbox has one special use here", b"USEATTR")
    try:
        return SpecialUse(words[0]) if words else None
    except ValueError:
        raise No("There is no such special use here", b"USEATTR") from None


def check_name(name: str) -> str:
    """The name, if it can be that of a new mailbox. Raises No [CANNOT] (RFC 5530 3).

    Refused are control characters and empty levels; all else is quoted where it is shown.
    """
    if not all(name.split(DELIMITER)):
        raise No("A mailbox name has no empty level", b"CANNOT")
    if any(ord(char) < 0x20 or 0x7F <= ord(char) < 0xA0 for char in name):
        raise No("A mailbox name has no control characters", b"CANNOT")
    return name
