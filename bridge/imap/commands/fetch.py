"""FETCH (RFC 3501 6.4.5).

Rules: answers are made on a reader's thread in slices, so that neither the event loop nor
memory carries a whole mailbox; between slices a slow reader is waited for. Messages that were
expunged meanwhile are left out, and the client is told so (RFC 2180 4.1, RFC 5530 3).
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise, takewhile
from typing import TypeVar

from bridge import limits
from bridge.imap.ahead import Asked, NotHeld
from bridge.imap.answers import Fixed, Layout
from bridge.imap.commands.select import vanished
from bridge.imap.fetchitems import (
    Decoded,
    Decoding,
    Known,
    Piece,
    Stretch,
    capability,
    columns,
    decodes,
    is_short,
    marks_seen,
    response,
    short,
    span_of,
)
from bridge.imap.planes import common, places_of, runs
from bridge.imap.protocol.fetch import Fetch, Item, Simple
from bridge.imap.protocol.numbers import NumberSet, format_ranges, part_of
from bridge.imap.replies import Bad, No, Reply
from bridge.imap.seams import Disconnected, Request
from bridge.imap.session import Session, log
from bridge.imap.view import View
from bridge.mime.decoding import UnknownEncoding
from bridge.model import Flag, MailboxId
from bridge.store.api import Columns, NoSuchMailbox, ReadTx, StoreDamaged, StoreError

T = TypeVar("T")

ROWS = 256  # messages whose rows are in memory at once
FIRST_ROWS = 16  # of these, where the messages may be large
TURN = 2 * ROWS  # messages whose answers are put together before others have their turn
OCTETS = 1024 * 1024  # of answer that ends a slice early
AHEAD = 4  # messages that are still held when the next ones are read


async def run(session: Session, request: Request, value: Fetch) -> Reply:
    view = session.selected
    refuse_items(session, value.items)
    if value.vanished:
        # RFC 7162 3.2.6
        session.require_qresync()
        if not request.uid or value.changed_since is None:
            raise Bad("VANISHED goes with UID FETCH and CHANGEDSINCE only")
    if value.changed_since is not None or Simple("MODSEQ") in value.items:
        session.enable_condstore()
    places = view.resolve(value.numbers, by_uid=request.uid)
    if value.partial is not None:
        # RFC 9394 3.3 and 3.4: before CHANGEDSINCE looks at them
        session.require("PARTIAL", "FETCH modifier PARTIAL")
        if not request.uid:
            raise Bad("PARTIAL goes with UID FETCH only")
        places = list(runs(part_of(list(_positions(places)), value.partial)))
    if value.vanished and value.changed_since is not None:
        await _tell_vanished(session, view, value.numbers, value.changed_since)
    if not places:
        # RFC 5182 2.1: "$" may be empty.
        if not request.uid and not value.numbers.saved:
            raise Bad("There is no message of that number")
        return Reply("FETCH completed, no message was there")
    items = value.items
    if value.changed_since is not None:
        # RFC 7162 3.1.4.1: only what changed since, and MODSEQ with it.
        changed = view.mailbox.changed_since(value.changed_since)
        places = common(places, places_of(view.uids, changed))
        if Simple("MODSEQ") not in items:
            items = (*items, Simple("MODSEQ"))
    # RFC 3501 6.4.8: the UID is part of every answer to UID FETCH.
    if request.uid and Simple("UID") not in items:
        items = (Simple("UID"), *items)
    if marks_seen(items) and not view.read_only:
        marked = await _mark_seen(session, view, places)
        if marked:
            # RFC 7162 3.2.4: the answer tells of a change, so it has UID and MODSEQ too.
            also = ("FLAGS", "UID", "MODSEQ") if "CONDSTORE" in session.enabled else ("FLAGS",)
            items += tuple(Simple(name) for name in also if Simple(name) not in items)
    complete = await respond(session, view, places, items)
    # RFC 3501 6.4.8: a UID that is not there is no error.
    if not complete and not request.uid:
        raise No("Some of the messages were expunged meanwhile", b"EXPUNGEISSUED")
    return Reply("FETCH completed")


def refuse_items(session: Session, items: Sequence[Item]) -> None:
    """Raises Bad for too many sections, and for what this login is not offered."""
    if sum(not isinstance(item, Simple) for item in items) > limits.IMAP_FETCH_SECTIONS:
        raise Bad(f"FETCH has at most {limits.IMAP_FETCH_SECTIONS} sections")
    for item in items:
        if (belongs := capability(item)) is not None:
            session.require(belongs, "FETCH item of that name")


async def respond(
    session: Session, view: View, places: Sequence[tuple[int, int]], items: Sequence[Item]
) -> bool:
    """Sends the answers for these positions; False where some of them were expunged meanwhile.
    Raises No [UNKNOWN-CTE] when all else is sent."""
    if all(map(is_short, items)):
        return await _put_together(session, view, places, items)
    return await _from_store(session, view, places, items)


async def _tell_vanished(session: Session, view: View, numbers: NumberSet, modseq: int) -> None:
    """VANISHED (EARLIER) before any FETCH (RFC 7162 3.2.6)."""
    gone = await vanished(session, view, numbers.ranges(view.mailbox.row.uidnext - 1), modseq)
    # What this client still counts is told without EARLIER, when its numbers may move.
    gone = [uid for uid in gone if view.sequence(uid) is None]
    if gone:
        session.send(b"* VANISHED (EARLIER) " + format_ranges(gone) + b"\r\n")


def _positions(places: Sequence[tuple[int, int]]) -> Iterator[int]:
    for first, last in places:
        yield from range(first, last + 1)


def _known(view: View, positions: Sequence[int]) -> list[Known]:
    """What the view knows of these messages, less those that were expunged."""
    return list(map(Known._make, zip(*view.facts(list(runs(positions))), strict=True)))


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
    try:
        await session.services.store.write(
            lambda tx: tx.store_flags(box, unseen, "add", int(Flag.SEEN))
        )
    except NoSuchMailbox:
        raise
    except StoreError:
        return False  # reading goes on where the disk takes no writes
    await view.mailbox.refresh()
    return True


async def _put_together(
    session: Session, view: View, places: Sequence[tuple[int, int]], items: Sequence[Item]
) -> bool:
    """Answers of short items: what the mailbox knows, and what `Ready` keeps or the store has."""
    layout = Layout(items)
    reader = _FixedReader(session, view.mailbox.id, layout.fixed)
    portions = [*slices(places, TURN), []]
    complete = True
    try:
        for some, then in pairwise(portions):
            facts = view.facts(some)
            complete = complete and len(facts.uids) == sum(last - first + 1 for first, last in some)
            start = 0
            while start < len(facts.uids):
                if layout.fixed:
                    fixed = await reader.read(facts.uids[start:])
                    here = facts.part(start, start + len(fixed))
                    start += len(fixed)
                    there = [octets for octets in fixed if octets is not None]
                    if len(there) < len(fixed):
                        complete = False
                        here = here.those(octets is not None for octets in fixed)
                    if reader.has_read:
                        coming = [view.uids[at] for at in islice(_positions(then), ROWS)]
                        await reader.prepare(facts.uids[start : start + ROWS] or coming)
                    session.send(layout.lines(here, there))
                else:
                    here, start = facts, len(facts.uids)
                    session.send(layout.lines(here))
                if layout.shows_flags:
                    view.told_flags(here.uids, here.modseqs)
                await session.flush()
                await asyncio.sleep(0)
    finally:
        reader.stop()
    return complete


def slices(places: Sequence[tuple[int, int]], most: int) -> Iterator[list[tuple[int, int]]]:
    """The intervals in portions of at most so many positions."""
    portion: list[tuple[int, int]] = []
    room = most
    for first, last in places:
        while last - first + 1 >= room:
            yield [*portion, (first, first + room - 1)]
            first, portion, room = first + room, [], most
        if first <= last:
            portion.append((first, last))
            room -= last - first + 1
    if portion:
        yield portion


class _FixedReader:
    """The fixed octets of messages: what `Ready` keeps of them, or what the store has, where those
    of the next messages are read while the last ones are sent."""

    def __init__(self, session: Session, box: MailboxId, items: tuple[Item, ...]) -> None:
        self._session, self._box, self._items = session, box, items
        self._columns = columns(items)
        self.has_read = False  # anything from the store
        self._ahead: asyncio.Task[object] | None = None

    async def read(self, uids: Sequence[int]) -> list[Fixed]:
        """Of the first of these UIDs: of as many as were ready, or were read in one visit to the
        store; at least of one. None for what was expunged."""
        ready = self._session.services.ready
        found = ready.find(self._box, self._items, uids)
        if None in found and self._ahead is not None:
            await self._ahead
            self._ahead = None
            found = ready.find(self._box, self._items, uids)
        if None not in found:
            return found
        if at := found.index(None):
            return found[:at]
        pairs = takewhile(lambda pair: pair[1] is None, zip(uids, found, strict=True))
        return await self._visit([uid for uid, _ in pairs][:ROWS])

    async def prepare(self, uids: Sequence[int]) -> None:
        """These, which are so many that one visit has them, come next: reads them into `Ready`."""
        self.stop()
        if None in self._session.services.ready.find(self._box, self._items, uids):
            self._ahead = await _started(self._visit(uids))

    async def _visit(self, uids: Sequence[int]) -> list[Fixed]:
        box, items, wanted = self._box, self._items, self._columns

        def work(tx: ReadTx) -> tuple[int, dict[int, bytes]]:
            rows = tx.rows(box, list(runs(uids)), wanted)
            made: dict[int, bytes] = {}
            octets = 0
            for row, fixed in zip(rows, short(rows, items, tx), strict=True):
                made[row.uid] = fixed
                octets += len(fixed)
                if octets > OCTETS:
                    return uids.index(row.uid) + 1, made
            return len(uids), made

        self.has_read = True
        covered, made = await self._session.services.store.read(work)
        self._session.services.ready.keep(box, items, made)
        return list(map(made.get, uids[:covered]))

    def stop(self) -> None:
        if self._ahead is not None:
            self._ahead.cancel()


@dataclass(frozen=True, slots=True)
class Slice:
    """What one visit to the reader's thread made: answers, and how many messages they cover."""

    pieces: list[Piece]
    covered: int
    missing: int
    undecoded: int
    damaged: int


SliceWork = Callable[[ReadTx], Slice]


async def _from_store(
    session: Session, view: View, places: Sequence[tuple[int, int]], items: Sequence[Item]
) -> bool:
    """The answers of one visit to the store are sent while the next ones are read."""
    wanted = columns(items)
    asked = None
    if len(places) == 1 and places[0][0] == places[0][1]:
        asked = Asked.of(places[0][0], view.uids[places[0][0]], items)
    if asked is not None:
        return await _one(session, view, asked)
    shows_flags = Simple("FLAGS") in items
    positions = list(_positions(places))
    complete = True
    undecoded = damaged = 0

    async def read(here: Sequence[int]) -> tuple[list[Known], Slice]:
        known = _known(view, here)
        work = _slice_of(view.mailbox.id, known, wanted, items)
        return known, await session.services.store.read(work)

    most = FIRST_ROWS
    here = positions[:most]
    ahead: asyncio.Task[tuple[list[Known], Slice]] | None = None
    try:
        while here:
            known, made = await (ahead or read(here))
            complete = complete and len(known) == len(here) and not made.missing
            undecoded += made.undecoded
            damaged += made.damaged
            if shows_flags:
                told = known[: made.covered]
                view.told_flags([each.uid for each in told], [each.modseq for each in told])
            last = known[made.covered].number - 2 if made.covered < len(known) else here[-1]
            start = bisect_right(positions, last)
            # Rows whose octets do not come into the slice are read again for the next one; one of
            # messages that were all expunged says nothing of the next.
            most = min(max(2 * made.covered, FIRST_ROWS), ROWS)
            here = positions[start : start + most]
            ahead = await _started(read(here)) if here else None
            await _send(session, made.pieces)
            await session.flush()
    finally:
        if ahead is not None:
            ahead.cancel()
    if damaged:
        # RFC 5530 3: all others were sent
        raise No(f"{damaged} of the messages are damaged here", b"CORRUPTION")
    if undecoded:
        # RFC 3516 4.3
        raise No("A part is in an encoding that is not known here", b"UNKNOWN-CTE")
    return complete


async def _one(session: Session, view: View, asked: Asked) -> bool:
    """Octets of one message. Where the device goes on as foreseen, what comes next is read while
    these are on their way."""
    box, ahead, store = view.mailbox.id, session.services.ahead, session.services.store
    uid, items = asked.uid, asked.items
    wanted = columns(items)
    known = _known(view, [asked.position])
    held = await ahead.find(box, uid, wanted)
    try:
        pieces = response(known[0], held.row, items, held) if known and held is not None else None
    except NotHeld:
        pieces = None
    if known and pieces is None:
        made = await store.read(_slice_of(box, known, wanted, items))
        pieces = None if made.missing else made.pieces
    if pieces is None:
        return False
    if Simple("FLAGS") in items:
        view.told_flags([each.uid for each in known], [each.modseq for each in known])
    if asked.follows(view.asked):
        piece = asked.next_piece
        if piece is None:
            _look_ahead(session, view, asked)
        elif held is None or not ((span := span_of(piece, held.row)) and held.holds(span)):
            ahead.read(store, box, [uid], piece, wanted)
    view.asked = asked
    await _send(session, pieces)
    return True


def _look_ahead(session: Session, view: View, asked: Asked) -> None:
    """The messages after this one are read while the last of those that are held are asked for."""
    ahead, box = session.services.ahead, view.mailbox.id
    first = asked.position + 1
    for start, uid in enumerate(view.uids[first : first + AHEAD], first):
        if not ahead.foresees(box, uid):
            coming = view.uids[start : start + limits.READ_AHEAD_MESSAGES]
            ahead.read(session.services.store, box, coming, asked.section, columns(asked.items))
            return


def _slice_of(
    box: MailboxId,
    known: Sequence[Known],
    wanted: tuple[Columns, ...],
    items: Sequence[Item],
) -> SliceWork:
    costly = decodes(items)
    plain = [item for item in items if not decodes([item])]

    def work(tx: ReadTx) -> Slice:
        uids = [facts.uid for facts in known]
        rows = {row.uid: row for row in tx.rows(box, list(runs(uids)), wanted)}
        pieces: list[Piece] = []
        octets = covered = missing = undecoded = damaged = 0
        for facts in known:
            covered += 1
            row = rows.get(facts.uid)
            if row is None:
                missing += 1
                continue
            try:
                made = response(facts, row, items, tx)
            except UnknownEncoding:
                undecoded += 1
                made = response(facts, row, plain, tx) if plain else []
            except StoreDamaged:
                damaged += 1
                continue
            pieces += made
            octets += sum(len(piece) for piece in made if isinstance(piece, bytes))
            if costly:
                octets += row.size  # that were decoded, about
            if octets > OCTETS:
                break
        return Slice(pieces, covered, missing, undecoded, damaged)

    return work


async def _send(session: Session, pieces: Sequence[Piece]) -> None:
    """Queues the pieces; long stretches are read and sent chunk by chunk. What is queued in the end
    may leave together with the tagged response."""
    for piece in pieces:
        if isinstance(piece, bytes):
            session.send(piece)
        elif isinstance(piece, Stretch):
            await _send_stretch(session, piece)
        else:
            await _send_decoded(session, piece)


async def _send_stretch(session: Session, piece: Stretch) -> None:
    """A chunk is sent while the next one is read."""
    chunks = [
        Stretch(piece.message_id, start, min(start + limits.CHUNK, piece.end))
        for start in range(piece.start, piece.end, limits.CHUNK)
    ]
    octets = await _chunk(session, chunks[0])
    for chunk in chunks[1:]:
        ahead = await _started(_chunk(session, chunk))
        try:
            session.send(octets)
            await session.flush()
            octets = await ahead
        finally:
            ahead.cancel()
    session.send(octets)
    await session.flush()


async def _started(work: Coroutine[object, object, T]) -> asyncio.Task[T]:
    """The work as a task that has begun; as a rule that waits until somebody else waits."""
    task = asyncio.create_task(work)
    await asyncio.sleep(0)
    return task


async def _send_decoded(session: Session, piece: Decoded) -> None:
    decoding = Decoding(piece)
    while (raw := decoding.next) is not None:
        session.send(decoding.feed(await _chunk(session, raw)))
        await session.flush()


async def _chunk(session: Session, piece: Stretch) -> bytes:
    message, start, end = piece.message_id, piece.start, piece.end
    try:
        return await session.services.store.read(lambda tx: tx.octets(message, start, end))
    except StoreError as error:
        # In the middle of a literal nothing else can be said.
        log.error("message not read", peer=session.wire.peer, error=str(error))
        raise Disconnected from None
