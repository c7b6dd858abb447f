"""STATUS (RFC 3501 6.3.10): every figure is kept by the store, none is counted here but
DELETED-STORAGE (RFC 9208 4.1.4), which looks at the entries with \\Deleted and no others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from operator import attrgetter
from typing import Final, TypeAlias

from bridge import limits
from bridge.imap import names
from bridge.imap.objectids import mailbox_id
from bridge.imap.protocol.status import Status
from bridge.imap.replies import Reply
from bridge.imap.seams import Request
from bridge.imap.session import Session
from bridge.model import Mailbox
from bridge.store.api import ReadTx

Figures: TypeAlias = Mapping[str, int | str]
"""What was asked for, by the name of its item."""

# What protocol.status.ITEMS names, one for one, but DELETED-STORAGE.
FACTS: Final[Mapping[str, Callable[[Mailbox], int | str]]] = {
    "MESSAGES": attrgetter("messages"),
    # An upper bound where some of them were expunged unseen: no count is worth O(mailbox).
    "RECENT": lambda row: min(row.messages, max(0, row.uidnext - row.first_recent)),
    "UIDNEXT": attrgetter("uidnext"),
    "UIDVALIDITY": attrgetter("uidvalidity"),
    "UNSEEN": attrgetter("unseen"),
    "HIGHESTMODSEQ": attrgetter("highestmodseq"),  # RFC 7162 3.1.7
    "SIZE": attrgetter("octets"),  # RFC 8438 2
    "DELETED": attrgetter("deleted"),  # RFC 9208 4.1.4, RFC 9051 6.3.11
    "APPENDLIMIT": lambda row: limits.IMAP_APPEND,  # RFC 7889 4: the same everywhere
    "MAILBOXID": lambda row: f"({mailbox_id(row.id)})",  # RFC 8474 4.3
}

MOVING: Final = frozenset({"RECENT", "DELETED-STORAGE"})
"""What the row of a mailbox in memory may not say rightly."""

COMPLETED: Final = Reply("STATUS completed")
CAPABILITY: Final = {
    "HIGHESTMODSEQ": "CONDSTORE",
    "SIZE": "STATUS=SIZE",
    "APPENDLIMIT": "APPENDLIMIT",
    "DELETED-STORAGE": "QUOTA=RES-STORAGE",
    "MAILBOXID": "OBJECTID",
}


async def run(session: Session, request: Request, value: Status) -> Reply:
    require_items(session, value.items)

    mailboxes = session.services.mailboxes
    if MOVING.isdisjoint(value.items) and names.composed(session, value.mailbox) == value.mailbox:
        row = await mailboxes.rows.get(session.signed_in.id, value.mailbox)
        session.send(row_response(session.mailbox_name(row.name), value.items, row))
        return COMPLETED

    def work(tx: ReadTx) -> tuple[str, Figures]:
        row = names.mailbox(session, tx, value.mailbox)
        return row.name, read_figures(tx, row, value.items)

    name, figures = await session.services.store.read(work)
    session.send(status_response(session.mailbox_name(name), value.items, figures))
    return COMPLETED


def require_items(session: Session, items: tuple[str, ...]) -> None:
    """What asking for these items does to the session. Raises Bad for what is not offered."""
    for item in items:
        if item in CAPABILITY:
            session.require(CAPABILITY[item], f"STATUS item {item}")
    if "HIGHESTMODSEQ" in items:
        session.enable_condstore()  # RFC 7162 3.1


def read_figures(tx: ReadTx, row: Mailbox, items: tuple[str, ...]) -> Figures:
    """The items of one mailbox, inside the transaction that read its row."""
    return {
        item: FACTS[item](row) if item in FACTS else tx.deleted_octets(row.id) if row.deleted else 0
        for item in items
    }


def status_response(name: bytes, items: tuple[str, ...], figures: Figures) -> bytes:
    """b'* STATUS name (MESSAGES 3 ...)'; `name` is wire octets."""
    form, _ = _form(items)
    return b"* STATUS %b (%b)\r\n" % (name, (form % tuple(map(figures.get, items))).encode())


def row_response(name: bytes, items: tuple[str, ...], row: Mailbox) -> bytes:
    """The same from a row in memory; `items` has none of `MOVING`."""
    form, facts = _form(items)
    return b"* STATUS %b (%b)\r\n" % (name, (form % tuple([of(row) for of in facts])).encode())


@lru_cache(maxsize=256)
def _form(items: tuple[str, ...]) -> tuple[str, tuple[Callable[[Mailbox], int | str], ...]]:
    """How these items are written, and where their figures are found."""
    facts = (FACTS[item] for item in items if item in FACTS)
    return " ".join(f"{item} %s" for item in items), tuple(facts)
