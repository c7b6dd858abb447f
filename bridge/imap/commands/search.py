"""SEARCH (RFC 3501 6.4.4).

Flags and numbers are answered from memory; only messages that are still undecided cost a look
into the store, in slices on a reader's thread; only those still undecided are read whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from bridge.imap.matching import Facts, Sets, Stored, matches
from bridge.imap.protocol.search import And, Key, Not, Numbers, Or, Search
from bridge.imap.replies import Bad, Reply
from bridge.imap.session import Request, Session
from bridge.imap.view import View
from bridge.model import EntryRow, MailboxId
from bridge.store.api import Columns, ReadTx

ROWS = 200  # messages that are looked at in one visit to the store


async def run(session: Session, request: Request, value: Search) -> Reply:
    if value.results is not None:
        raise Bad("SEARCH RETURN is not offered here")
    view = session.selected
    found = await find(session, view, value.key)
    numbers = found if request.uid else [view.sequence(uid) for uid in found]
    session.send(b"* SEARCH" + b"".join(b" %d" % n for n in numbers if n is not None) + b"\r\n")
    return Reply("SEARCH completed")


async def find(session: Session, view: View, key: Key) -> list[int]:
    """UIDs of the messages of the view that match, rising."""
    sets = Sets(
        {
            inner: tuple(view.resolve(inner.numbers, by_uid=inner.uid))
            for inner in _leaves(key)
            if isinstance(inner, Numbers)
        }
    )
    found: list[int] = []
    undecided: list[Facts] = []
    for facts in _facts(view):
        verdict = matches(key, facts, sets)
        if verdict is None:
            undecided.append(facts)
        elif verdict:
            found.append(facts.uid)
    for start in range(0, len(undecided), ROWS):
        work = _round(view.mailbox.id, undecided[start : start + ROWS], key, sets)
        found += await session.services.store.read(work)
    return sorted(found)


def _facts(view: View) -> Iterator[Facts]:
    box = view.mailbox
    keywords: dict[int, frozenset[str]] = {}
    for at, uid in enumerate(view.uids):
        state = view.state(uid)
        if state is None:
            continue
        if state.keywords not in keywords:
            names = box.keywords[state.keywords]
            keywords[state.keywords] = frozenset(name.lower() for name in names)
        yield Facts(
            at + 1, uid, state.flags, keywords[state.keywords], view.is_recent(uid), state.modseq
        )


def _leaves(key: Key) -> Iterator[Key]:
    """Every key that holds no other."""
    waiting = [key]
    while waiting:
        match waiting.pop():
            case And(keys):
                waiting += keys
            case Or(left, right):
                waiting += (left, right)
            case Not(inner):
                waiting.append(inner)
            case leaf:
                yield leaf


COLUMNS: tuple[Columns, ...] = ("header", "parts", "sent_day")


def _round(
    box: MailboxId, undecided: Sequence[Facts], key: Key, sets: Sets
) -> Callable[[ReadTx], list[int]]:
    def work(tx: ReadTx) -> list[int]:
        ranges = [(facts.uid, facts.uid) for facts in undecided]
        rows = {row.uid: row for row in tx.rows(box, ranges, COLUMNS)}
        return [
            facts.uid
            for facts in undecided
            if (row := rows.get(facts.uid)) is not None and _decide(tx, row, facts, key, sets)
        ]

    return work


def _decide(tx: ReadTx, row: EntryRow, facts: Facts, key: Key, sets: Sets) -> bool:
    verdict = matches(key, facts, sets, Stored(row))
    if verdict is None:
        whole = Stored(row, lambda: tx.octets(row.message_id))
        verdict = matches(key, facts, sets, whole)
    return bool(verdict)
