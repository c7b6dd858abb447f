"""Which message answers which? THREAD's algorithms (RFC 5256 3), on rows of the store.

Rules: pure, no recursion, no loop whatever the References say. Siblings stand by sent date, then
by UID. A message that was never seen is a dummy: a node without a UID.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from itertools import groupby

from bridge.imap.protocol.thread import Node
from bridge.model import ThreadRow

_DEEPEST = 1_000  # ancestors that are looked at before a link is refused as a possible loop


def by_subject(rows: Sequence[ThreadRow]) -> Sequence[Node]:
    """ORDEREDSUBJECT: messages of one base subject, all below the oldest."""
    threads = []
    in_order = sorted(rows, key=lambda row: (row.subject, row.sent_at, row.uid))
    for _, same in groupby(in_order, key=lambda row: row.subject):
        first, *others = same
        node = Node(first.uid, [Node(row.uid) for row in others])
        threads.append((first.sent_at, first.uid, node))
    threads.sort()  # a UID is there once: nodes are never compared
    return [node for _, _, node in threads]


def by_references(rows: Sequence[ThreadRow]) -> Sequence[Node]:
    """REFERENCES: rows by UID -> threads."""
    roots = _pruned(_linked(rows))
    roots.sort(key=_Message.order)
    return sorted(_merged(roots), key=_Message.order)


def by_newest(rows: Sequence[ThreadRow]) -> Sequence[Node]:
    """REFS, as Dovecot has it: REFERENCES that looks at no subject, by each thread's newest
    message."""
    roots = _pruned(_linked(rows))
    return sorted(roots, key=_newest)


class _Message(Node):
    """A message ID and its place in the threads; `row` is None while no message has it."""

    __slots__ = ("parent", "row")
    children: list[_Message]

    def __init__(self, row: ThreadRow | None = None) -> None:
        super().__init__(row.uid if row else None, [])
        self.row = row
        self.parent: _Message | None = None

    @property
    def seen(self) -> ThreadRow:
        """The row, or of a dummy that of its first child."""
        return self.row or self.children[0].seen

    def order(self) -> tuple[int, int]:
        return self.seen.sent_at, self.seen.uid


def _linked(rows: Sequence[ThreadRow]) -> list[_Message]:
    """RFC 5256 3, REFERENCES (1) and (2): all messages and dummies without a parent."""
    by_id: dict[int, _Message] = {}
    every: list[_Message] = []

    def of(number: int) -> _Message:
        found = by_id.get(number)
        if found is None:
            found = by_id[number] = _Message()
            every.append(found)
        return found

    for row in rows:
        own, *references = array("Q", row.links)
        message = of(own) if own else None
        if message is None or message.row is not None:
            # no ID, or one that an earlier message has
            message = _Message(row)
            every.append(message)
        message.row, message.uid = row, row.uid
        parent = None
        for number in references:
            child = of(number)
            if parent is not None and child.parent is None:
                _link(parent, child)
            parent = child
        # (1)(B): the last reference is the parent, whatever others said
        if message.parent is not parent:
            if message.parent is not None:
                message.parent.children.remove(message)
                message.parent = None
            if parent is not None:
                _link(parent, message)
    return [message for message in every if message.parent is None]


def _link(parent: _Message, child: _Message) -> None:
    """Makes `child`, which has no parent, a child, unless that made a loop."""
    if parent is child:
        return
    if child.children:
        above: _Message | None = parent
        for _ in range(_DEEPEST):
            if above is None:
                break
            if above is child:
                return
            above = above.parent
        else:
            return
    child.parent = parent
    parent.children.append(child)


def _pruned(roots: list[_Message]) -> list[_Message]:
    """(3) and the sorting of (6): dummies go, their children take their place; only under the
    root one with several children stays. Siblings come by date."""
    order = list(roots)
    for message in order:  # grows while we walk: parents before children
        order += message.children
    for message in reversed(order):
        kept = []
        for child in message.children:
            kept += [child] if child.row is not None else child.children
        kept.sort(key=_Message.order)
        message.children = kept
    threads = []
    for root in roots:
        if root.row is not None or len(root.children) > 1:
            threads.append(root)
        else:
            threads += root.children
    return threads


def _merged(roots: list[_Message]) -> list[_Message]:
    """(5): roots by date -> threads of one base subject together."""
    table: dict[str, _Message] = {}
    for message in roots:
        subject = message.seen.subject
        if not subject:
            continue
        other = table.setdefault(subject, message)
        if other.row is not None and (
            message.row is None or (other.row.is_reply and not message.row.is_reply)
        ):
            table[subject] = message
    below: set[_Message] = set()  # what became a child
    made: list[_Message] = []
    for message in roots:
        subject = message.seen.subject
        if not subject or message in below:
            continue
        other = table[subject]
        if other is message:
            continue
        if other.row is None:
            other.children += [message] if message.row is not None else message.children
        elif message.row is not None and message.row.is_reply and not other.row.is_reply:
            other.children.append(message)
        else:
            both = table[subject] = _Message()
            both.children = [other, message]
            below.add(other)
            made.append(both)
        below.add(message)
    threads = [message for message in roots if message not in below] + made
    for message in threads:
        message.children.sort(key=_Message.order)
    return threads


def _newest(root: _Message) -> tuple[int, int]:
    newest = (0, 0)
    waiting = [root]
    while waiting:
        message = waiting.pop()
        waiting += message.children
        if message.row is not None:
            newest = max(newest, (message.row.sent_at, message.row.uid))
    return newest
