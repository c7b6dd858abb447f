"""The TOP pass: lines that known items could be, recognised by their headers before any RETR.

Rules:
- Only a line that could be a known item is asked for (`bridge.sync.headers`); what headers do
  not settle is left to be fetched.
- TOP is pipelined where the server can. One that does not know it, or refuses it three times in
  a row, is not asked on.
- Matches are handed over as they come, so that a pass that is cut goes on where it was.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from contextlib import aclosing

from bridge.model import KnownItem, ListedItem
from bridge.pop3.client import Pop3Error, Pop3Session
from bridge.sync.headers import Unspoken, header_fingerprint
from bridge.sync.plan import Plan

Match = tuple[ListedItem, KnownItem]
BATCH = 256  # matches that share a transaction
SUSPECTS = 32  # lines whose sizes lie, looked at in one poll


async def reconcile(
    session: Pop3Session,
    lines: Sequence[ListedItem],
    unspoken: Unspoken,
    matched: Callable[[Sequence[Match]], Awaitable[None]],
) -> Sequence[ListedItem]:
    """What is left to be fetched, in the order of `lines`. Raises Pop3Error when the session is
    gone; `matched` has heard of everything before that."""
    asked = {line.number: line for line in lines if unspoken.may_be(line)}
    known: set[int] = set()
    batch: list[Match] = []
    try:
        async with aclosing(session.tops(list(asked))) as tops:
            async for number, header in tops:
                if isinstance(header, Pop3Error):
                    continue
                item = unspoken.take(asked[number], header_fingerprint(header))
                if item is None:
                    continue
                known.add(number)
                batch.append((asked[number], item))
                if len(batch) == BATCH:
                    full, batch = batch, []
                    await matched(full)
    finally:
        if batch:
            await matched(batch)
    return [line for line in lines if line.number not in known]


async def reused(
    session: Pop3Session, lines: Sequence[ListedItem], expected: Callable[[int], bytes | None]
) -> Sequence[ListedItem]:
    """Of lines whose size says nothing, those whose headers are others than `expected` of their
    number: their UIDL was reused. Raises Pop3Error when the session is gone."""
    asked = {line.number: line for line in lines if expected(line.number) is not None}
    found: list[ListedItem] = []
    async with aclosing(session.tops(list(asked))) as tops:
        async for number, header in tops:
            shown = None if isinstance(header, Pop3Error) else header_fingerprint(header)
            if shown is not None and shown != expected(number):
                found.append(asked[number])
    return found


def count_resized(plan: Plan, known: Iterable[KnownItem], unchanged: Collection[int]) -> int:
    """How many lines were fetched because of their size alone, and are what their UIDL was:
    `unchanged` are numbers of lines whose bytes proved it."""
    sizes = {item.uidl: item.size for item in known if item.uidl is not None}
    return sum(
        1
        for line in plan.fetch
        if line.number in unchanged
        and line.number not in plan.paired
        and line.uidl in sizes
        and sizes[line.uidl] != line.size
    )
