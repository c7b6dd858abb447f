"""What a client is told of mailboxes that it has not selected (RFC 5465): two pictures of a login,
before and after, and the difference as responses.

Rules: pure; a picture holds what is, not what happened, so that a thousand changes cost one
response, nothing can overflow, and a change that was undone is no news.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from bridge.imap.protocol.notify import Group
from bridge.model import Mailbox, MailboxId

MESSAGES = frozenset({"MESSAGENEW", "MESSAGEEXPUNGE"})
Annotations = Mapping[tuple[MailboxId | None, str], bytes]
"""A hash of every annotation of a login, by mailbox (None: the server) and name."""


@dataclass(frozen=True, slots=True)
class Picture:
    """One login at one instant. `annotations` is empty where nobody asked for them."""

    mailboxes: Mapping[MailboxId, Mailbox] = field(default_factory=dict)
    subscribed: frozenset[str] = frozenset()
    annotations: Annotations = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Status:
    """`* STATUS` with these items."""

    row: Mailbox
    items: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Listed:
    """`* LIST` of a name, which may be no mailbox any more; `was` is its name before."""

    name: str
    was: str | None = None


@dataclass(frozen=True, slots=True)
class Annotated:
    """`* METADATA` with the names of what changed; the mailbox "" is the server."""

    mailbox: str
    entries: tuple[str, ...]


News = Status | Listed | Annotated


class Wanted:
    """Which events are wanted where; several groups may name one mailbox (RFC 5465 6)."""

    def __init__(self, groups: Sequence[Group]) -> None:
        # RFC 5465 6.1: the selected mailbox has its own group, told by the session.
        self._groups = [group for group in groups if not group.filter.startswith("SELECTED")]
        self._named = [frozenset(group.names) for group in self._groups]
        self.events = frozenset(event for group in self._groups for event in group.events)

    def of(self, name: str, picture: Picture) -> frozenset[str]:
        """The events that are wanted of the mailbox of that name."""
        events: frozenset[str] = frozenset()
        for group, names in zip(self._groups, self._named, strict=True):
            if group.events - events and _covers(group.filter, names, name, picture):
                events |= group.events
        return events


def _covers(kind: str, names: frozenset[str], name: str, picture: Picture) -> bool:
    match kind:
        case "SUBSCRIBED":
            return name in picture.subscribed
        case "MAILBOXES":
            return name in names
        case "SUBTREE":
            levels = name.split("/")
            return any("/".join(levels[:depth]) in names for depth in range(1, len(levels) + 1))
        case _:
            # RFC 5465 6.3: where mail arrives is said in the config alone, so that INBOXES is
            # PERSONAL, which is every mailbox.
            return True


def first_statuses(now: Picture, wanted: Wanted, selected: MailboxId | None) -> Iterator[Status]:
    """What NOTIFY SET STATUS is answered with (RFC 5465 3.1)."""
    for row in now.mailboxes.values():
        events = wanted.of(row.name, now) if row.id != selected else frozenset()
        items: tuple[str, ...] = ()
        if events & MESSAGES:
            items = ("MESSAGES", "UIDNEXT", "UIDVALIDITY")
        if "FLAGCHANGE" in events:
            items += ("HIGHESTMODSEQ",)
        if items:
            yield Status(row, items)


def news(
    old: Picture, now: Picture, wanted: Wanted, *, selected: MailboxId | None, condstore: bool
) -> Iterator[News]:
    """Names first, so that no STATUS is of a mailbox that the client has not heard of."""
    yield from _names(old, now, wanted)
    yield from _subscriptions(old, now, wanted)
    yield from _annotations(old, now, wanted)
    known = {row.name: row for row in old.mailboxes.values()}
    for row in now.mailboxes.values():
        # A mailbox whose UIDs were given anew has another id.
        before = old.mailboxes.get(row.id) or known.get(row.name)
        if before is None or before == row or row.id == selected:
            continue
        items = _status_items(before, row, wanted.of(row.name, now), condstore)
        if items:
            yield Status(row, items)


def _status_items(
    before: Mailbox, row: Mailbox, events: frozenset[str], condstore: bool
) -> tuple[str, ...]:
    items: tuple[str, ...] = ()
    # RFC 5465 5.2, 5.3
    if events & MESSAGES and (row.messages, row.uidnext) != (before.messages, before.uidnext):
        items = ("UIDNEXT", "MESSAGES", "HIGHESTMODSEQ") if condstore else ("UIDNEXT", "MESSAGES")
    # RFC 5465 5.1
    if "FLAGCHANGE" in events:
        if row.uidvalidity != before.uidvalidity:
            items = (*items, "UIDVALIDITY")
        if row.unseen != before.unseen:
            items = (*items, "UNSEEN")
        if condstore and row.highestmodseq != before.highestmodseq:
            items = (*items, "HIGHESTMODSEQ", "UIDVALIDITY")
    return tuple(dict.fromkeys(items))


def _names(old: Picture, now: Picture, wanted: Wanted) -> Iterator[Listed]:
    if "MAILBOXNAME" not in wanted.events:
        return
    renamed = {
        before.name: row.name
        for row in now.mailboxes.values()
        if (before := old.mailboxes.get(row.id)) is not None and before.name != row.name
    }
    told = {}
    for was, name in renamed.items():
        events = wanted.of(name, now) | wanted.of(was, old)
        if "MAILBOXNAME" in events and not _with_parent(was, name, renamed):
            told[was] = name
            yield Listed(name, was)
    were = {row.name for row in old.mailboxes.values()} - renamed.keys()
    are = {row.name for row in now.mailboxes.values()} - set(renamed.values())
    affected = were ^ are
    # RFC 5465 5.4: what is above a mailbox that came or went is affected too.
    affected |= {name.rpartition("/")[0] for name in affected} - {""}
    affected |= set(_strays(old, now, told))
    for name in sorted(affected):
        if "MAILBOXNAME" in wanted.of(name, now) | wanted.of(name, old):
            yield Listed(name)


def _with_parent(was: str, name: str, renamed: Mapping[str, str]) -> bool:
    """RFC 5465 5.4: children that are renamed with their parent are not told."""
    while "/" in was and "/" in name and was.rpartition("/")[2] == name.rpartition("/")[2]:
        was, name = was.rpartition("/")[0], name.rpartition("/")[0]
        if renamed.get(was) == name:
            return True
    return False


def _strays(old: Picture, now: Picture, told: Mapping[str, str]) -> Iterator[str]:
    """Names below a renamed mailbox that are not where the client now takes them to be, as when
    they were renamed back, or deleted, before it was told."""
    for row in old.mailboxes.values():
        above, slash, _ = row.name.rpartition("/")
        while slash:
            if above in told:
                implied = f"{told[above]}/{row.name[len(above) + 1 :]}"
                after = now.mailboxes.get(row.id)
                if after is None or after.name != implied:
                    yield from (implied, row.name)
            above, slash, _ = above.rpartition("/")


def _subscriptions(old: Picture, now: Picture, wanted: Wanted) -> Iterator[Listed]:
    if "SUBSCRIPTIONCHANGE" not in wanted.events:
        return
    for name in sorted(old.subscribed ^ now.subscribed):
        if "SUBSCRIPTIONCHANGE" in wanted.of(name, now) | wanted.of(name, old):
            yield Listed(name)


def _annotations(old: Picture, now: Picture, wanted: Wanted) -> Iterator[Annotated]:
    changed: dict[MailboxId | None, list[str]] = {}
    for key in sorted(old.annotations.keys() | now.annotations.keys(), key=lambda key: key[1]):
        if old.annotations.get(key) != now.annotations.get(key):
            changed.setdefault(key[0], []).append(key[1])
    for mailbox, entries in changed.items():
        if mailbox is None:
            if "SERVERMETADATACHANGE" in wanted.events:
                yield Annotated("", tuple(entries))
            continue
        row = now.mailboxes.get(mailbox)  # those of a mailbox that went are no news
        if row is not None and "MAILBOXMETADATACHANGE" in wanted.of(row.name, now):
            yield Annotated(row.name, tuple(entries))
