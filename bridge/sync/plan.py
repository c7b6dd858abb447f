"""What a poll does, from the listing and what is known: a function of values, without a server.

Rules:
- A known UIDL is a reason not to fetch as long as its LIST size agrees with the remembered one.
- Everything else is fetched, in listing order, and recognised by its content afterwards
  (`bridge.sync.identity`): an unknown UIDL, a known one with another size (reused), a line
  without UIDL (at every poll: no listing proves which message it is), and of the lines that
  share a UIDL and a size all, when they are more than the items known for them.
- A UIDL that comes back after it had vanished may be reused. Its line is fetched to verify it,
  a few a poll, so that a maildrop that returns after an outage is not downloaded anew; a line
  that still waits for its turn does not count as listed.
- A listing that looks wrong is an alarm, not a fact: nothing is forgotten because of it. It
  does count as a listing that missed items, which only means that they are verified on return.
- A UIDL that vanished is not a deletion (Gmail hides what was fetched): an item may be forgotten
  90 days and 30 listings after it was last listed, never before both; and `bridge.sync.poll`
  keeps it for as long as its message is stored.

Time and memory are linear in the listing and the known items.
"""

from __future__ import annotations

import enum
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from bridge import limits
from bridge.model import KnownItem, ListedItem

DAY = 86_400
KEEP_SECONDS = 90 * DAY
KEEP_LISTINGS = 30
ALARM_ITEMS = 20  # a smaller maildrop changes for good reasons
VERIFY_ITEMS = 32  # that came back, fetched again in one poll
VERIFY_OCTETS = limits.BATCH_OCTETS


_Item = TypeVar("_Item", ListedItem, KnownItem)


class Alarm(enum.StrEnum):
    """Why a listing is not believed."""

    NONE = ""
    EMPTY = "the listing is empty, although the maildrop was not"
    RESET = "most UIDLs are unknown, although the maildrop is not larger than before"


@dataclass(frozen=True, slots=True)
class Plan:
    """What one poll has to do.

    `fetch` is in listing order. `speaking` are the ids of the known items that lines stand for;
    `listed` those of them that are beyond question, to be marked when `mark` is set (it is not
    when the mark would change nothing). `forget` are items that may be forgotten. `paired` is the
    item of a line's number, those that are fetched to verify them among them; `suspects` are
    paired lines of another size, where sizes lie.
    """

    fetch: Sequence[ListedItem]
    paired: Mapping[int, KnownItem]
    suspects: Sequence[ListedItem]
    speaking: Collection[int]
    listed: Collection[int]
    forget: Sequence[KnownItem]
    mark: bool
    alarm: Alarm


def plan(
    listing: Sequence[ListedItem],
    known: Sequence[KnownItem],
    now: int,
    doubted: Collection[int] = frozenset(),
    *,
    sizes_lie: bool = False,
) -> Plan:
    """Plans a poll. `doubted` are items that an earlier poll could not be sure of: the lines of
    their UIDLs are fetched again. `sizes_lie` says that LIST gives other sizes at each poll for
    what did not change. `now` is in seconds since the epoch."""
    paired = _paired(listing, known, doubted, sizes_lie)
    alarm = _alarm(len(listing), len(paired), known)
    verify = set(_verify(listing, paired))
    speaking = {item.id for number, item in paired.items() if number not in verify}
    waiting = {item.id for item in paired.values() if item.missed_polls}
    listed = speaking - waiting if waiting else speaking
    fetch = [line for line in listing if line.number not in paired or line.number in verify]
    suspects: list[ListedItem] = []
    if sizes_lie:
        suspects = [
            line
            for line in listing
            if (item := paired.get(line.number)) is not None
            and line.size != item.size
            and line.number not in verify
        ]
    forget: list[KnownItem] = []
    if listing and not alarm:
        forget = [item for item in known if _due(item, now)]
        if forget:
            mentioned = {item.id for item in paired.values()}.union(doubted)
            forget = [item for item in forget if item.id not in mentioned]
    return Plan(
        fetch=fetch,
        paired=paired,
        suspects=suspects,
        speaking=speaking,
        listed=listed,
        forget=forget,
        mark=_worth_marking(known, listed, now),
        alarm=alarm,
    )


def _paired(
    listing: Sequence[ListedItem],
    known: Sequence[KnownItem],
    doubted: Collection[int],
    sizes_lie: bool,
) -> dict[int, KnownItem]:
    """The item of a line's number. Its indexes are gone when it returns: they are large."""
    line_of, lines_of = _by_uidl(listing)
    item_of, items_of = _by_uidl(known)
    in_doubt = {item.uidl for item in known if item.id in doubted} if doubted else frozenset()
    paired: dict[int, KnownItem] = {}  # by message number
    for uidl, line in line_of.items():
        item = item_of.get(uidl)
        if item is None or uidl in in_doubt:
            continue
        if uidl in lines_of or uidl in items_of:
            paired.update(_pair(lines_of.get(uidl, [line]), items_of.get(uidl, [item]), sizes_lie))
        elif sizes_lie or line.size == item.size or line.size is None or item.size is None:
            paired[line.number] = item
    return paired


def in_full(todo: Plan, known: Sequence[KnownItem]) -> Plan:
    """A plan that was made from brief items (`ReadTx.maildrop`), with the same items in full."""
    by_id = {item.id: item for item in known}
    return replace(
        todo,
        paired={number: by_id[item.id] for number, item in todo.paired.items()},
        forget=[by_id[item.id] for item in todo.forget],
    )


def _by_uidl(values: Iterable[_Item]) -> tuple[dict[bytes, _Item], dict[bytes, list[_Item]]]:
    """The first of each UIDL, and all of those that share one: a list for each of 100,000 UIDLs
    would cost more than the rest of the plan."""
    first: dict[bytes, _Item] = {}
    shared: dict[bytes, list[_Item]] = {}
    for value in values:
        if value.uidl is not None:
            other = first.setdefault(value.uidl, value)
            if other is not value:
                shared.setdefault(value.uidl, [other]).append(value)
    return first, shared


def _pair(lines: list[ListedItem], items: list[KnownItem], sizes_lie: bool) -> dict[int, KnownItem]:
    """Pairs the lines of one UIDL with its items by size, the item of best standing first.

    Where lines outnumber the items of a size nobody can say which of them is the new one, so
    none of them is paired. An unknown size agrees with any.
    """
    paired: dict[int, KnownItem] = {}
    if len(lines) == 1:
        line = lines[0]
        agreeing = [
            i for i in items if sizes_lie or line.size == i.size or None in (line.size, i.size)
        ]
        if agreeing:
            exact = [item for item in agreeing if item.size == line.size]
            paired[line.number] = max(exact or agreeing, key=_standing)
        return paired
    by_size: dict[int | None, list[KnownItem]] = defaultdict(list)
    for item in sorted(items, key=_standing):
        by_size[item.size].append(item)
    same: dict[int | None, list[ListedItem]] = defaultdict(list)
    for line in lines:
        same[line.size].append(line)
    vague: list[ListedItem] = []
    for size, alike in same.items():
        if size is not None and len(alike) <= len(by_size[size]):
            paired.update((line.number, by_size[size].pop()) for line in alike)
        elif size is None or by_size[None]:
            vague.extend(alike)
    left = [i for size, rest in by_size.items() if size is None or same[None] for i in rest]
    if len(vague) <= len(left):
        paired.update((line.number, left.pop()) for line in vague)
    return paired


def _standing(item: KnownItem) -> tuple[int, int]:
    """What was listed last speaks for a line before what was missed, then the newest."""
    return -item.missed_polls, item.id


def _verify(listing: Sequence[ListedItem], paired: dict[int, KnownItem]) -> Iterable[int]:
    """The numbers of the lines that came back after their item was missed, within the budget."""
    count = octets = 0
    for line in listing:
        item = paired.get(line.number)
        if item is None or not item.missed_polls:
            continue
        if count and (count >= VERIFY_ITEMS or octets + (line.size or 0) > VERIFY_OCTETS):
            return
        count += 1
        octets += line.size or 0
        yield line.number


def _alarm(lines: int, paired: int, known: Sequence[KnownItem]) -> Alarm:
    present = sum(1 for item in known if not item.missed_polls)
    if not lines:
        return Alarm.EMPTY if present >= ALARM_ITEMS else Alarm.NONE
    # Enough are known to share half of the listing, and they do not: it is not mere growth.
    if lines >= ALARM_ITEMS and 2 * paired < lines <= 2 * present:
        return Alarm.RESET
    return Alarm.NONE


def _due(item: KnownItem, now: int) -> bool:
    return item.missed_polls >= KEEP_LISTINGS and now - item.listed_at >= KEEP_SECONDS


def _worth_marking(known: Sequence[KnownItem], listed: Collection[int], now: int) -> bool:
    """Whether a mark tells anything: a poll without news shall not rewrite every item."""
    return any(
        abs(now - item.listed_at) >= DAY if item.id in listed else item.missed_polls < KEEP_LISTINGS
        for item in known
    )
