"""What may be deleted at the provider, and why: a function of values. By default nothing.

Rules, all of which must hold for an item:
- The present listing shows it beyond question, under a UIDL that no other line has.
- Its bytes are in the store (whoever deletes reads them back first).
- It is old enough by the wall clock and by the account's own clock, which polls move by a day at
  most: a clock that jumps ten years deletes nothing.
- The policy has a reason: days since it arrived here, a grace time since no device keeps it any
  more, or a maildrop that is too large (then the oldest first, never what arrived here less than
  a day ago).
- At most `limits.DELETES_PER_POLL` a poll.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from bridge import limits
from bridge.model import ListedItem, Retained

DAY = 86_400
LEAST_AGE = DAY  # of what only the size of the maildrop gives away


@dataclass(frozen=True, slots=True)
class Policy:
    """`days` and `after_device_delete` are in seconds, `max_size` in octets; None: not wanted."""

    days: int | None = None
    after_device_delete: int | None = None
    max_size: int | None = None

    @property
    def deletes(self) -> bool:
        return self != Policy()


FOREVER = Policy()


@dataclass(frozen=True, slots=True)
class Due:
    """One message that may be deleted at the provider."""

    line: ListedItem
    item: Retained
    reason: str


@dataclass(frozen=True, slots=True)
class Devices:
    """Items that no device keeps any more, and items that one keeps again."""

    deleted: Sequence[int]
    restored: Sequence[int]


def devices(policy: Policy, items: Sequence[Retained]) -> Devices:
    """What is to be marked. Without the policy nothing counts as deleted on a device."""
    wanted = policy.after_device_delete is not None
    return Devices(
        [i.id for i in items if wanted and not i.kept_on_device and i.deleted_at is None],
        [i.id for i in items if i.deleted_at is not None and (i.kept_on_device or not wanted)],
    )


def due(
    policy: Policy,
    listing: Sequence[ListedItem],
    spoken: Mapping[int, int],
    items: Sequence[Retained],
    now: int,
    watched: int,
) -> Sequence[Due]:
    """What may go, in listing order but for the cap. `spoken` gives the item of a line's number,
    of lines beyond question only; `watched` is the account's own clock."""
    if not policy.deletes:
        return ()
    by_id = {item.id: item for item in items}
    shared = Counter(line.uidl for line in listing)
    found: list[Due] = []
    size = sum(line.size or 0 for line in listing)
    for line in sorted(listing, key=lambda line: line.number):
        item = by_id.get(spoken.get(line.number, 0))
        if (
            item is None
            or line.uidl is None
            or line.uidl != item.uidl
            or shared[line.uidl] != 1
            or item.message_id is None
        ):
            continue
        reason = _reason(policy, item, size, now, watched)
        if reason:
            size -= line.size or 0
            found.append(Due(line, item, reason))
            if len(found) == limits.DELETES_PER_POLL:
                break
    return found


def _reason(policy: Policy, item: Retained, size: int, now: int, watched: int) -> str:
    def for_long(since: int | None, since_watched: int | None, seconds: int) -> bool:
        if since is None or since_watched is None:
            return False
        return now - since >= seconds and watched - since_watched >= seconds

    grace = policy.after_device_delete
    if (
        grace is not None
        and not item.kept_on_device
        and for_long(item.deleted_at, item.deleted_watched, grace)
    ):
        return f"deleted on a device {_span(grace)} ago or more"
    if policy.days is not None and for_long(item.settled_at, item.settled_watched, policy.days):
        return f"here for {_span(policy.days)} or more"
    if (
        policy.max_size is not None
        and size > policy.max_size
        and for_long(item.settled_at, item.settled_watched, LEAST_AGE)
    ):
        return f"the maildrop is larger than {policy.max_size // 1_000_000} MB"
    return ""


def _span(seconds: int) -> str:
    amount, unit = (seconds // DAY, "day") if seconds >= DAY else (seconds // 3600, "hour")
    return f"{amount} {unit}{'s' * (amount != 1)}"


def unique(
    listing: Sequence[ListedItem], speaking: Mapping[int, int], listed: Collection[int]
) -> Mapping[int, int]:
    """`speaking` (line -> item) without what is not beyond question: items not in `listed`, and
    items for which two lines speak."""
    lines = Counter(speaking.values())
    return {
        number: item for number, item in speaking.items() if item in listed and lines[item] == 1
    }
