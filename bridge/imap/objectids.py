"""Object identifiers (RFC 8474): made of what never changes, so that nothing must be kept.

A mailbox has its number, which is never given twice and stays when it is renamed. A message has
the hash of its octets: the same in every mailbox. A thread has the oldest message ID that its
messages refer to; one that is cut off from its ancestors begins a thread of its own.
"""

from __future__ import annotations

from bridge.model import EntryRow, MailboxId

_ID = 8  # octets of a hashed message ID in `SortKeys.links`
_NO_ID = bytes(_ID)


def mailbox_id(mailbox: MailboxId) -> str:
    """ "F7"."""
    return f"F{mailbox}"


def email_id(row: EntryRow) -> str:
    """ "M" and 64 hexadecimal digits; wants the column "digest"."""
    return "M" + row.digest.hex()


def thread_id(row: EntryRow) -> str:
    """ "T" and 16 hexadecimal digits; wants the columns "digest" and "links"."""
    root = row.links[_ID : 2 * _ID] or row.links[:_ID]
    # RFC 8474 5.2: never NIL, so a message without any message ID is alone.
    return "T" + (row.digest[:_ID] if root == _NO_ID else root).hex()
