"""SELECT and EXAMINE (RFC 3501 6.3.1, 6.3.2; RFC 9051 6.3.2, 6.3.3), with CONDSTORE and QRESYNC
(RFC 7162 3.1.8, 3.2.5).

With QRESYNC the client says what it knew when it left, and is told what changed since then:
VANISHED (EARLIER) for what is gone, FETCH for what came or changed.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from operator import itemgetter

from bridge.imap import names
from bridge.imap.objectids import mailbox_id
from bridge.imap.protocol.numbers import NumberSet, format_ranges
from bridge.imap.protocol.responses import untagged
from bridge.imap.protocol.select import Qresync, Select
from bridge.imap.replies import Reply
from bridge.imap.seams import Request
from bridge.imap.session import Session
from bridge.imap.view import View
from bridge.store.api import ReadTx

Ranges = Sequence[tuple[int, int]]  # closed, rising, disjoint


async def run(session: Session, request: Request, value: Select) -> Reply:
    login = session.signed_in
    if value.qresync is not None:
        session.require_qresync()
    # RFC 3501 6.3.1: the old mailbox is left first, also when the new one cannot be opened.
    if session.view is not None:
        session.leave_mailbox()
        # RFC 7162 3.2.11: what comes after this belongs to the new mailbox.
        session.send(untagged(b"OK", "The old mailbox is closed", b"CLOSED"))
    if "CONDSTORE" in value.parameters:
        session.enable_condstore()
    name, listed = value.mailbox, b""
    if session.rev2 or names.composed(session, name) != name:
        name, listed = await session.services.store.read(lambda tx: _listed(session, tx, name))
    box = await session.services.mailboxes.open(login.id, name, session.activity.set)
    view = View(box, read_only=request.name == "EXAMINE")
    session.enter_mailbox(view)
    if box.row.name == "INBOX":
        session.services.on_interest(login.id)
    await session.claim_recent(view)
    session.send(b"* FLAGS " + view.applicable() + b"\r\n")
    session.send(b"* OK [PERMANENTFLAGS " + view.permanent() + b"] Flags that stay\r\n")
    session.send(view.size())
    if session.rev2:
        session.send(listed)
    elif (unseen := view.first_unseen()) is not None:
        session.send(b"* OK [UNSEEN %d] First unseen\r\n" % unseen)
    session.send(b"* OK [UIDVALIDITY %d] UIDs stay valid\r\n" % box.row.uidvalidity)
    session.send(b"* OK [UIDNEXT %d] Next UID\r\n" % box.row.uidnext)
    session.send(b"* OK [HIGHESTMODSEQ %d] Highest MODSEQ\r\n" % view.modseq)
    if session.offers("OBJECTID"):
        # RFC 8474 4.2
        code = f"MAILBOXID ({mailbox_id(box.id)})"
        session.send(untagged(b"OK", "What the mailbox is called whatever its name", code))
    if value.qresync is not None and value.qresync.uidvalidity == box.row.uidvalidity:
        await resynchronize(session, view, value.qresync)
    access = b"READ-ONLY" if view.read_only else b"READ-WRITE"
    return Reply(f"{request.name} completed", access)


def _listed(session: Session, tx: ReadTx, name: str) -> tuple[str, bytes]:
    """The name as it is stored, and its LIST response. Raises NoSuchMailbox."""
    row = names.mailbox(session, tx, name)
    return row.name, names.listed(session, tx, row, name)


async def resynchronize(session: Session, view: View, known: Qresync) -> None:
    """What changed since the client left (RFC 7162 3.2.5.1)."""
    uids = known.known_uids or NumberSet.parse(b"1:%d" % max(view.mailbox.row.uidnext - 1, 1))
    ranges = uids.ranges(view.mailbox.row.uidnext - 1)
    gone = await vanished(session, view, ranges, known.modseq)
    agreed = agreement(view, known)
    # RFC 7162 3.2.10.1: EARLIER moves no numbers, so what was expunged after EXISTS was told, and
    # is counted there, has to wait for a VANISHED that does.
    gone = [uid for uid in gone if uid > agreed and view.sequence(uid) is None]
    if gone:
        session.send(b"* VANISHED (EARLIER) " + format_ranges(gone) + b"\r\n")
    await session.send_many(changes(view, ranges, known.modseq))


def changes(view: View, ranges: Ranges, modseq: int) -> Iterator[bytes]:
    """FETCH for every entry of the UID ranges that changed after `modseq`."""
    for uid in view.mailbox.changed_since(modseq):
        state, number = view.state(uid), view.sequence(uid)
        if state is not None and number is not None and within(uid, ranges):
            yield view.fetch(number, state, with_uid=True)


async def vanished(session: Session, view: View, ranges: Ranges, modseq: int) -> list[int]:
    """UIDs of the ranges that were expunged after `modseq`, rising; where the store no longer
    remembers so far back, all that are not there (RFC 7162 3.2.6)."""
    box = view.mailbox.id
    gone = await session.services.store.read(lambda tx: tx.expunged(box, modseq))
    return sorted(uid for uid, _ in gone if within(uid, ranges))


def within(uid: int, ranges: Ranges) -> bool:
    at = bisect_right(ranges, uid, key=itemgetter(0)) - 1
    return at >= 0 and uid <= ranges[at][1]


def agreement(view: View, known: Qresync) -> int:
    """The highest UID up to which the client's numbers are ours: it knows of every expunge
    below it (RFC 7162 3.2.5.2). 0 where it said nothing."""
    agreed = 0
    if known.matches is not None:
        numbers, uids = (expand(each) for each in known.matches)
        for number, uid in zip(numbers, uids, strict=False):
            if number > len(view.uids) or view.uids[number - 1] != uid:
                break
            agreed = uid
    return agreed


def expand(numbers: NumberSet) -> Iterator[int]:
    for low, high in numbers.ranges(0xFFFF_FFFF):
        yield from range(low, high + 1)
