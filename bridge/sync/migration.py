"""A maildrop that got new UIDLs and nothing else, at a server without TOP.

Where TOP works, headers tell (`bridge.sync.reconcile`). Without it every body would be fetched
again, 30,000 of them after a provider's move. Rules:

- The listing must be the former one but for its UIDLs: as many lines, and the very same sizes, at
  least half of them different. A message that came or went meanwhile shows in them.
- A sample of bodies must prove it: the newest lines, where a new message would stand, and some
  from everywhere. One that is not what its size says, and all are fetched.
- Only a line whose size no other has is linked by it. The others are fetched: content decides.

Pure: values in, values out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from bridge.model import KnownItem, ListedItem
from bridge.sync.plan import ALARM_ITEMS

NEWEST = 10  # lines at the end, each of them in the sample
SHARE = 100  # and one of so many others


def by_size(
    lines: Sequence[ListedItem], listing: Sequence[ListedItem], known: Sequence[KnownItem]
) -> Mapping[int, KnownItem]:
    """The item of a line's number, if the sample proves it; empty where the maildrop is another.
    `lines` are those of the listing that are to be fetched."""
    present = [item for item in known if not item.missed_polls]
    if len(lines) < ALARM_ITEMS or not len(lines) == len(listing) == len(present):
        return {}
    if any(line.size is None or line.uidl is None for line in lines):
        return {}
    if len({line.uidl for line in lines}) < len(lines):
        return {}
    sizes = Counter(line.size for line in lines)
    if 2 * len(sizes) < len(lines) or sizes != Counter(item.size for item in present):
        return {}
    item_of = {item.size: item for item in present}
    return {line.number: item_of[line.size] for line in lines if sizes[line.size] == 1}


def sample(
    lines: Sequence[ListedItem], paired: Mapping[int, KnownItem]
) -> tuple[Sequence[ListedItem], Sequence[ListedItem]]:
    """What is fetched in any case, and what is linked if it proves right."""
    ordered = sorted(lines, key=lambda line: line.number)
    chosen = {line.number for line in (*ordered[-NEWEST:], *ordered[SHARE // 2 :: SHARE])}
    chosen |= {line.number for line in lines if line.number not in paired}
    return (
        [line for line in lines if line.number in chosen],
        [line for line in lines if line.number not in chosen],
    )
