"""How far the UIDLs of a provider are believed, and what is fetched where they say nothing.

Rules:
- A provider that gives the UIDLs of known messages to others (some are just numbers) is not
  believed any more: its listings count as if they had no UIDLs, and content decides. Where all
  messages are of one size only headers tell, so once a day the newest line is looked at.
- Where there is neither UIDL nor TOP, every poll would fetch the whole maildrop. Lines that may
  well be known take turns within `limits.NAMELESS_OCTETS` a poll; a line that cannot be known,
  by its size, is fetched at once.

- A provider that lists only the oldest few messages which were not retrieved yet (Gmail), and notes
  at QUIT which were, lists the same few for ever when that QUIT was lost and all of them are
  known: new mail would never be seen. So they are retrieved once more, to be noted.

Pure: values in, values out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace

from bridge import limits
from bridge.model import KnownItem, ListedItem

POPPED_MOST = 1_000  # lines: Gmail gives about 250 a session, another mode lists them all
REUSED_LINES = 3  # in one poll, and UIDLs are not believed any more
REUSED_SHARE = 10  # if they are at least one in ten of those that are known


def unnoted(listing: Sequence[ListedItem], known: Iterable[KnownItem]) -> frozenset[int]:
    """The ids of the known items in the listing of such a provider, after a lost QUIT."""
    if len(listing) > POPPED_MOST:
        return frozenset()
    uidls = {line.uidl for line in listing if line.uidl is not None}
    return frozenset(item.id for item in known if item.uidl in uidls)


def without_uidls(listing: Sequence[ListedItem]) -> Sequence[ListedItem]:
    return [replace(line, uidl=None) for line in listing]


def reused(
    listing: Sequence[ListedItem], known: Iterable[KnownItem], others: Collection[int]
) -> Collection[int]:
    """The numbers of the lines whose UIDL was that of another message before. `others` are the
    numbers of lines that are not what the items of their UIDL are."""
    if not others:
        return ()
    uidls = {item.uidl for item in known if item.uidl is not None}
    counted = Counter(line.uidl for line in listing)
    return {
        line.number
        for line in listing
        if line.number in others and line.uidl in uidls and counted[line.uidl] == 1
    }


def lost(found: Collection[int], listed: int, probed: int | None) -> bool:
    """Whether reuse as `reused` found it, of so many listed lines, ends the trust. `probed` is
    the number of the line that was looked at although nothing spoke against it."""
    many = len(found) >= REUSED_LINES and REUSED_SHARE * len(found) >= listed
    return many or probed in found


def take_turns(
    lines: Sequence[ListedItem], silent: Iterable[KnownItem], turn: int
) -> tuple[Sequence[ListedItem], int]:
    """What is fetched of `lines` now, in their order, and the next `turn`. `silent` are the known
    items that no line speaks for."""
    sizes = Counter(item.size for item in silent)
    wanted = Counter(line.size for line in lines if line.uidl is None)
    likely = [
        line
        for line in lines
        if line.uidl is None
        and wanted[line.size] <= (sizes.total() if line.size is None else sizes[line.size])
    ]
    chosen: set[int] = set()
    octets = 0
    start = turn % len(likely) if likely else 0
    for line in (*likely[start:], *likely[:start]):
        octets += line.size or 0
        if chosen and octets > limits.NAMELESS_OCTETS:
            break
        chosen.add(line.number)
    spared = {line.number for line in likely} - chosen
    return [line for line in lines if line.number not in spared], turn + len(chosen)
