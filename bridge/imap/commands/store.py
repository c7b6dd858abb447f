"""STORE (RFC 3501 6.4.6), with UNCHANGEDSINCE (RFC 7162 3.1.3): one transaction for all.

The test and the change of each message are one step, so of two devices that both want to be
first only one is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bridge.imap.protocol.numbers import format_ranges
from bridge.imap.protocol.store import Store
from bridge.imap.replies import Bad, No, Reply
from bridge.imap.seams import Request
from bridge.imap.session import Session
from bridge.imap.view import View
from bridge.model import EntryState, Stored
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
    box, known = view.mailbox.id, view.mailbox.modseq
    foreign = view.untold()

    def work(tx: WriteTx) -> tuple[set[int], Stored]:
        # What other devices did since the refresh is told in spite of .SILENT.
        before = {state.uid for state in tx.entry_states(box, known)}
        return before, tx.store_flags(
            box, uids, value.op, value.flags, value.keywords, value.unchanged_since
        )

    before, stored = await session.services.store.write(work)
    await view.mailbox.refresh()
    code = modified(view, stored.modified, by_uid=request.uid)
    if value.silent:
        view.silence(stored.changed, foreign | before)
        if "CONDSTORE" in session.enabled:
            await session.send_many(new_modseqs(view, stored.changed, foreign | before))
        return Reply("STORE completed", code)
    responses = list(answer(view, places, with_uid=request.uid))
    session.send(*view.new_keywords())
    await session.send_many(responses)
    named = sum(last - first + 1 for first, last in places)
    # RFC 2180 4.2.2; RFC 3501 6.4.8: a UID that is not there is no error. RFC 7162 3.1.3: what
    # failed the test is told in any case.
    if len(responses) < named and not request.uid:
        raise No("Some of the messages were expunged meanwhile", code or b"EXPUNGEISSUED")
    return Reply("STORE completed", code)


def modified(view: View, uids: Sequence[int], *, by_uid: bool) -> bytes | None:
    """The code MODIFIED with what failed the test, in the numbers of the command."""
    if not uids:
        return None
    numbers = uids if by_uid else [n for uid in uids if (n := view.sequence(uid)) is not None]
    return b"MODIFIED " + format_ranges(numbers)


def new_modseqs(view: View, changed: Sequence[EntryState], foreign: set[int]) -> Iterator[bytes]:
    """After a silent STORE the client still needs the MODSEQ that it made (RFC 7162 3.1.3);
    entries that another device changed too are told whole, by the view."""
    for state in changed:
        number = view.sequence(state.uid)
        if number is not None and state.uid not in foreign:
            yield view.fetch(number, state, with_uid=True, flags=False)


def answer(view: View, places: list[tuple[int, int]], *, with_uid: bool) -> Iterator[bytes]:
    """FETCH FLAGS for every message that was named, changed or not (RFC 3501 6.4.6)."""
    for first, last in places:
        for at in range(first, last + 1):
            uid = view.uids[at]
            state = view.state(uid)
            if state is None:
                continue
            view.told_flags([(uid, state.modseq)])
            yield view.fetch(at + 1, state, with_uid=with_uid)
