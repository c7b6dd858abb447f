"""STORE (RFC 3501 6.4.6), with UNCHANGEDSINCE (RFC 7162 3.1.3): one transaction for all.

The test and the change of each message are one step, so of two devices that both want to be
first only one is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from bridge.imap.commands.fetch import TURN, slices
from bridge.imap.mailboxes import News
from bridge.imap.planes import places_of
from bridge.imap.protocol.numbers import format_ranges
from bridge.imap.protocol.store import Store
from bridge.imap.replies import Bad, No, Reply
from bridge.imap.seams import Request
from bridge.imap.session import Session
from bridge.imap.view import View
from bridge.model import Stored
from bridge.store.api import WriteTx


async def run(session: Session, request: Request, value: Store) -> Reply:
    view = session.writable
    if value.unchanged_since is not None:
        session.enable_condstore()
    places = view.resolve(value.numbers, by_uid=request.uid)
    if not places:
        # RFC 5182 2.1: "$" may be empty.
        if not request.uid and not value.numbers.saved:
            raise Bad("There is no message of that number")
        return Reply("STORE completed, no message was there")
    uids = view.uid_ranges(places)
    await view.mailbox.refresh()
    box, known, news = view.mailbox.id, view.mailbox.modseq, view.mailbox.reader()
    foreign = view.untold()

    def work(tx: WriteTx) -> tuple[set[int], Stored, News]:
        # What other devices did since the refresh is told in spite of .SILENT.
        before = {state.uid for state in tx.entry_states(box, known)}
        stored = tx.store_flags(
            box, uids, value.op, value.flags, value.keywords, value.unchanged_since
        )
        return before, stored, news(tx, None if before else stored.changed)

    before, stored, behind = await session.services.store.write(work)
    await view.mailbox.follow(behind)
    foreign |= before
    code = modified(view, stored.modified, by_uid=request.uid)
    if value.silent:
        view.silence(stored.changed, foreign)
        if "CONDSTORE" in session.enabled:
            # RFC 7162 3.1.3: after a silent STORE the client still needs the MODSEQ that it made;
            # entries that another device changed too are told whole, by the view.
            made = [each.uid for each in stored.changed if each.uid not in foreign]
            changed = places_of(view.uids, made)
            await tell(session, view, changed, with_uid=True, flags=False)
        return Reply("STORE completed", code)
    session.send(*view.new_keywords())
    view.silence(stored.changed, set())  # all of it is told now
    complete = await tell(session, view, places, with_uid=request.uid)
    # RFC 2180 4.2.2; RFC 3501 6.4.8: a UID that is not there is no error. RFC 7162 3.1.3: what
    # failed the test is told in any case.
    if not complete and not request.uid:
        raise No("Some of the messages were expunged meanwhile", code or b"EXPUNGEISSUED")
    return Reply("STORE completed", code)


def modified(view: View, uids: Sequence[int], *, by_uid: bool) -> bytes | None:
    """The code MODIFIED with what failed the test, in the numbers of the command."""
    if not uids:
        return None
    numbers = uids if by_uid else [n for uid in uids if (n := view.sequence(uid)) is not None]
    return b"MODIFIED " + format_ranges(numbers)


async def tell(
    session: Session,
    view: View,
    places: Sequence[tuple[int, int]],
    *,
    with_uid: bool,
    flags: bool = True,
) -> bool:
    """FETCH FLAGS for every message that was named, changed or not (RFC 3501 6.4.6); False where
    some of them were expunged meanwhile."""
    complete = True
    for some in slices(places, TURN):
        facts = view.facts(some)
        complete = complete and len(facts.uids) == sum(last - first + 1 for first, last in some)
        session.send(view.lines(facts, with_uid=with_uid, flags=flags))
        if flags:
            view.told_flags(facts.uids, facts.modseqs)
        if len(facts.uids) == TURN:
            await session.flush()
            await asyncio.sleep(0)
    return complete
