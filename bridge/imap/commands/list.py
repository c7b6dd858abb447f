"""LIST and LSUB (RFC 3501 6.3.8, 6.3.9), with SPECIAL-USE (RFC 6154) and CHILDREN (RFC 3348).

A level that has mailboxes below it and is none itself is shown as \\Noselect.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bridge.imap.protocol.list import List, matches
from bridge.imap.protocol.responses import mailbox_name
from bridge.imap.replies import Bad, Reply
from bridge.imap.session import Request, Session
from bridge.model import Mailbox
from bridge.store.api import ReadTx

DELIMITER = "/"


async def run(session: Session, request: Request, value: List) -> Reply:
    if value.extended:
        raise Bad("LIST with options is not offered here")
    login = session.signed_in.id
    # RFC 3501 6.3.8: an empty mailbox name asks for the delimiter and the root.
    if request.name == "LIST" and value.patterns == ("",):
        session.send(b'* LIST (\\Noselect) "/" ""\r\n')
        return Reply("LIST completed")

    def work(tx: ReadTx) -> tuple[Sequence[Mailbox], Sequence[str]]:
        return tx.mailboxes(login), tx.subscriptions(login)

    mailboxes, subscribed = await session.services.store.read(work)
    rows = {row.name: row for row in mailboxes}
    names = list(rows) if request.name == "LIST" else list(subscribed)
    parents = inferred(names)
    patterns = [value.reference + pattern for pattern in value.patterns]
    word = request.name.encode()
    for name in sorted({*names, *parents}, key=order):
        if not any(matches(pattern, name) for pattern in patterns):
            continue
        # RFC 3501 6.3.9: "%" on a level that only leads to subscribed names gives \\Noselect.
        if request.name == "LSUB" and name not in names and "%" not in patterns[0]:
            continue
        attributes = attributes_of(name, rows.get(name), name in parents, name in names)
        session.send(
            b'* %s (%s) "/" %s\r\n' % (word, " ".join(attributes).encode(), mailbox_name(name))
        )
    return Reply(f"{request.name} completed")


def attributes_of(name: str, row: Mailbox | None, has_children: bool, listed: bool) -> list[str]:
    """RFC 3501 7.2.2, RFC 3348 3, RFC 6154 2."""
    attributes = []
    if row is None or not listed:
        attributes.append("\\Noselect")
    attributes.append("\\HasChildren" if has_children else "\\HasNoChildren")
    if row is not None and row.special_use is not None:
        attributes.append(row.special_use)
    return attributes


def inferred(names: Iterable[str]) -> set[str]:
    """Every level above one of the names."""
    parents = set()
    for name in names:
        while DELIMITER in name:
            name = name.rpartition(DELIMITER)[0]
            if name in parents:
                break
            parents.add(name)
    return parents


def order(name: str) -> tuple[bool, str]:
    """INBOX first, then by name."""
    return name != "INBOX", name.casefold()
