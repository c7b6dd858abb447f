"""Messages that came shorter than LIST announced: kept as they came, told of, asked for again.

Some servers never send certain attachments (InterChange, MailMax), some are wrong about sizes
(Exchange, OpenMail). Rules:

- Short is more than `SLACK` and a fiftieth below the size of LIST: rounding is not short.
- A short message is asked for again in `TRIES` later sessions. When it comes whole, it takes the
  place of the short one; bytes that do not begin as the short ones are a message of their own.
- It is never deleted at the provider.
- A server whose messages are mostly short measures in its own way: then no size is short.

Pure: values in, values out.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from bridge.model import KnownItem, ListedItem

SLACK = 1024  # octets: OpenMail rounds up to them (fetchmail FAQ)
TRIES = 3
MOST = 100  # lines that are asked for again
HABIT = 3  # short messages, and most of them, or as many that stay short: it is the server's way

Short = tuple[bytes, int, int]
"""(UIDL, size by LIST, how often it was asked for again)."""


def is_short(line: ListedItem, octets: int) -> bool:
    """Whether a message of so many octets is less than LIST announced."""
    return line.size is not None and octets + SLACK + line.size // 50 < line.size


def due(waiting: Sequence[Short], known: Iterable[KnownItem]) -> frozenset[int]:
    """The ids of the items that are asked for again."""
    if not waiting:
        return frozenset()
    lines = {(uidl, size) for uidl, size, _ in waiting}
    return frozenset(item.id for item in known if (item.uidl, item.size) in lines)


def after(
    waiting: Sequence[Short], came: Collection[int], short: Sequence[ListedItem]
) -> tuple[Sequence[Short], int]:
    """What is asked for again next time, after a session in which messages of the sizes `came`
    (by LIST) were had, of which `short` were short; and how many stayed short to the end."""
    tries = {(uidl, size): times for uidl, size, times in waiting}
    stayed = 0
    for line in short:
        if line.uidl is None or line.size is None:
            continue  # it is looked at in every poll
        name = line.uidl, line.size
        tries[name] = tries.get(name, -1) + 1
        if tries[name] == TRIES:
            del tries[name]
            stayed += 1
    names = {(line.uidl, line.size) for line in short}
    left = [
        (uidl, size, times)
        for (uidl, size), times in tries.items()
        if (uidl, size) in names or size not in came
    ]
    return left[-MOST:], stayed


def is_habit(short: int, came: int) -> bool:
    return short >= HABIT and 2 * short > came


def notice(short: int) -> str:
    return (
        f"{short} of the provider's messages came shorter than it announced. They are kept as "
        "they came, and asked for again a few times; see whether they are whole in its web mail."
    )
