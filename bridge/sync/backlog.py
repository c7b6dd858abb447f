"""The first sync of a large maildrop: the newest mail first, and arrival order at its end.

Rules:
- With more than `FIRST_SYNC` new messages and none known, the newest `NEWEST` come first, then the
  rest in listing order. A small maildrop comes in order at once.
- When all is in, the mailbox is numbered anew in listing order: one new UIDVALIDITY, in one
  transaction with the note that the backlog is done. A crash before it leaves the note, and the
  next poll goes on; flags set meanwhile stay, connected sessions hear that the mailbox is gone.
- A server without UIDLs gets none of this: its lines cannot be told apart in a later session.
"""

from __future__ import annotations

from collections.abc import Sequence

from bridge.model import Account, KnownItem, ListedItem, MailboxId
from bridge.store.api import NoSuchMailbox, WriteTx
from bridge.sync.memory import Memory
from bridge.sync.settle import arrivals

FIRST_SYNC = 500
NEWEST = 200


def order(
    lines: Sequence[ListedItem],
    listing: Sequence[ListedItem],
    known: Sequence[KnownItem],
    memory: Memory,
) -> tuple[Sequence[ListedItem], bool]:
    """The order in which to ask, and whether this is (still) a large first sync."""
    if memory.backlog is None and (
        known or len(lines) <= FIRST_SYNC or any(line.uidl is None for line in lines)
    ):
        return lines, False
    newest = {line.number for line in listing[-NEWEST:]}
    first = [line for line in lines if line.number in newest]
    return [*first, *(line for line in lines if line.number not in newest)], True


def begin(tx: WriteTx, account: Account) -> tuple[int, int]:
    """(mailbox, its next UID), for `Memory.backlog`."""
    box = arrivals(tx, account)
    return box.id, box.uidnext


def end(tx: WriteTx, account: Account, listing: Sequence[ListedItem], memory: Memory) -> None:
    """Puts the mailbox in arrival order, as far as the listing tells it."""
    if memory.backlog is None:
        return
    mailbox, first = memory.backlog
    digests: dict[bytes | None, list[bytes]] = {}
    for item in tx.maildrop(account.id):
        digests.setdefault(item.uidl, []).append(item.digest)
    order = [digest for line in listing for digest in digests.get(line.uidl, ())]
    try:
        tx.renumber(MailboxId(mailbox), first, list(dict.fromkeys(order)))
    except NoSuchMailbox:  # a device deleted it meanwhile
        return
