"""FETCH (RFC 3501 6.4.5).

Rules: answers are made on a reader's thread in slices, so that neither the event loop nor
memory carries a whole mailbox; between slices a slow reader is waited for. Messages that were
expunged meanwhile are left out, and the client is told so (RFC 2180 4.1, RFC 5530 3).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from bridge import limits
from bridge.imap.fetchitems import (
    Known,
    Piece,
    Stretch,
    columns,
    marks_seen,
    needs_store,
    response,
)
from bridge.imap.protocol.fetch import Fetch, Item, Simple
from bridge.imap.replies import Bad, No, Reply
from bridge.imap.session import Request, Session
from bridge.imap.view import View
from bridge.model import Flag, MailboxId
from bridge.store.api import Columns, ReadTx

ROWS = 200  # messages whose rows are in memory at once
OCTETS = 1024 * 1024  # of answer that ends a slice early


async def run(session: Session, request: Request, value: Fetch) -> Reply:
    if value.changed_since is not None or value.vanished:
        raise Bad("CONDSTORE is not offered here")
    view = session.selected
    places = view.resolve(value.numbers, by_uid=request.uid)
    if not places:
        if not request.uid:
            raise Bad("There is no message of that number")
        return Reply("FETCH completed, no message was there")
    items = value.items
    # RFC 3501 6.4.8: the UID is part of every answer to UID FETCH.
    if request.uid and Simple("UID") not in items:
        items = (Simple("UID"), *items)
    if marks_seen(items) and not view.read_only:
        marked = await _mark_seen(session, view, places)
        if marked and Simple("FLAGS") not in items:
            items = (*items, Simple("FLAGS"))
    if needs_store(items):
        complete = await _from_store(session, view, places, items)
    else:
        complete = await _from_memory(session, view, places, items)
    # RFC 3501 6.4.8: a UID that is not there is no error.
    if not complete and not request.uid:
        raise No("Some of the messages were expunged meanwhile", b"EXPUNGEISSUED")
    return Reply("FETCH completed")


def _positions(places: Sequence[tuple[int, int]]) -> Iterator[int]:
    for first, last in places:
        yield from range(first, last + 1)


def _known(view: View, at: int) -> Known | None:
    state = view.state(view.uids[at])
    if state is None:
        return None
    return Known(at + 1, state.uid, view.flags(state), state.modseq)


async def _mark_seen(session: Session, view: View, places: Sequence[tuple[int, int]]) -> bool:
    """Sets \\Seen where it is missing; whether it was missing anywhere."""
    unseen = []
    for at in _positions(places):
        state = view.state(view.uids[at])
        if state is not None and not state.flags & Flag.SEEN:
            unseen.append((state.uid, state.uid))
    if not unseen:
        return False
    box = view.mailbox.id
    await session.services.store.write(
        lambda tx: tx.store_flags(box, unseen, "add", int(Flag.SEEN))
    )
    await view.mailbox.refresh()
    return True


async def _from_memory(
    session: Session, view: View, places: Sequence[tuple[int, int]], items: Sequence[Item]
) -> bool:
    complete = True
    shows_flags = Simple("FLAGS") in items
    for count, at in enumerate(_positions(places), 1):
        known = _known(view, at)
        if known is None:
            complete = False
            continue
        for piece in response(known, None, items, None):
            assert isinstance(piece, bytes)
            session.send(piece)
        if shows_flags:
            view.told_flags(known.uid, known.modseq)
        if count % (10 * ROWS) == 0:
            await session.flush()
    return complete


@dataclass(frozen=True, slots=True)
class Slice:
    """What one visit to the reader's thread made: answers, and how many messages they cover."""

    pieces: list[Piece]
    covered: int
    missing: int


SliceWork = Callable[[ReadTx], Slice]


async def _from_store(
    session: Session, view: View, places: Sequence[tuple[int, int]], items: Sequence[Item]
) -> bool:
    wanted = columns(items)
    shows_flags = Simple("FLAGS") in items
    positions = list(_positions(places))
    complete = True
    start = 0
    while start < len(positions):
        known = [(view.uids[at], _known(view, at)) for at in positions[start : start + ROWS]]
        made = await session.services.store.read(_slice_of(view.mailbox.id, known, wanted, items))
        complete = complete and not made.missing
        if shows_flags:
            for _, facts in known[: made.covered]:
                if facts is not None:
                    view.told_flags(facts.uid, facts.modseq)
        start += made.covered
        await _send(session, made.pieces)
    return complete


def _slice_of(
    box: MailboxId,
    known: Sequence[tuple[int, Known | None]],
    wanted: tuple[Columns, ...],
    items: Sequence[Item],
) -> SliceWork:
    def work(tx: ReadTx) -> Slice:
        rows = {row.uid: row for row in tx.rows(box, _ranges([uid for uid, _ in known]), wanted)}
        pieces: list[Piece] = []
        octets = covered = missing = 0
        for uid, facts in known:
            covered += 1
            row = rows.get(uid)
            if row is None or facts is None:
                missing += 1
                continue
            made = response(facts, row, items, tx)
            pieces += made
            octets += sum(len(piece) for piece in made if isinstance(piece, bytes))
            if octets > OCTETS:
                break
        return Slice(pieces, covered, missing)

    return work


def _ranges(uids: Sequence[int]) -> list[tuple[int, int]]:
    """Rising UIDs as closed intervals."""
    out: list[tuple[int, int]] = []
    for uid in uids:
        if out and out[-1][1] == uid - 1:
            out[-1] = out[-1][0], uid
        else:
            out.append((uid, uid))
    return out


async def _send(session: Session, pieces: Sequence[Piece]) -> None:
    """Queues the pieces; long stretches are read and sent chunk by chunk."""
    for piece in pieces:
        if isinstance(piece, bytes):
            session.send(piece)
            continue
        for start in range(piece.start, piece.end, limits.CHUNK):
            session.send(await _chunk(session, piece, start))
            await session.flush()
    await session.flush()


async def _chunk(session: Session, piece: Stretch, start: int) -> bytes:
    end = min(start + limits.CHUNK, piece.end)
    return await session.services.store.read(lambda tx: tx.octets(piece.message_id, start, end))
