"""A listing that is the one of the last poll, when all of it was settled: there is nothing to do.

Rules:
- Only what a whole comparison found to be settled and beyond doubt is called quiet, and only for
  `LASTS` seconds: then everything is compared again.
- It is known by a hash of every UIDL and size, so that it costs neither a query nor an item of
  what is known: a maildrop of 100,000 messages without news is one listing, read once.
- Whoever deletes at the provider needs the comparison itself, and is never quiet.

Pure: values in, values out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from bridge.model import ListedItem
from bridge.sync.plan import Alarm, Plan

LASTS = 6 * 3600
_SLICE = 4096  # lines that are joined for the hash

NOTHING = Plan(
    fetch=(), paired={}, suspects=(), speaking=(), listed=(), forget=(), mark=False,
    alarm=Alarm.NONE,
)  # fmt: skip


def name(listing: Sequence[ListedItem]) -> str:
    """What the listing is called: it holds for lines in this order. Empty where a line has no
    UIDL, and for an empty listing, which is never taken on trust."""
    content = hashlib.sha256()
    for start in range(0, len(listing), _SLICE):
        part = listing[start : start + _SLICE]
        if any(line.uidl is None for line in part):
            return ""
        content.update(b"".join(map(_line, part)))
    return content.hexdigest() if listing else ""


def _line(line: ListedItem) -> bytes:
    uidl = line.uidl or b""
    return b"%d %b %d\n" % (len(uidl), uidl, line.size or 0)


def is_settled(todo: Plan) -> bool:
    """Whether a plan finds nothing to do, now or in the next poll."""
    return not (todo.fetch or todo.suspects or todo.alarm)
