"""STORE (RFC 3501 6.4.6): one transaction for all its messages."""

from __future__ import annotations

from collections.abc import Iterator

from bridge.imap.protocol.store import Store
from bridge.imap.replies import Bad, No, Reply
from bridge.imap.session import Request, Session
from bridge.imap.view import View
from bridge.model import Stored
from bridge.store.api import WriteTx


async def run(session: Session, request: Request, value: Store) -> Reply:
    if value.unchanged_since is not None:
        raise Bad("CONDSTORE is not offered here")
    view = session.writable
    places = view.resolve(value.numbers, by_uid=request.uid)
    if not places:
        if not request.uid:
            raise Bad("There is no message of that number")
        return Reply("STORE completed, no message was there")
    uids = view.uid_ranges(places)
    await view.mailbox.refresh()
    box, known = view.mailbox.id, view.mailbox.modseq
    foreign = view.untold()

    def work(tx: WriteTx) -> tuple[set[int], Stored]:
        # What other devices did since the refresh is told in spite of .SILENT.
        before = {state.uid for state in tx.entry_states(box, known)}
        return before, tx.store_flags(box, uids, value.op, value.flags, value.keywords)

    before, stored = await session.services.store.write(work)
    await view.mailbox.refresh()
    if value.silent:
        view.silence(stored.changed, foreign | before)
        return Reply("STORE completed")
    responses = list(answer(view, places, with_uid=request.uid))
    session.send(*view.new_keywords())
    await session.send_many(responses)
    named = sum(last - first + 1 for first, last in places)
    # RFC 2180 4.2.2; RFC 3501 6.4.8: a UID that is not there is no error.
    if len(responses) < named and not request.uid:
        raise No("Some of the messages were expunged meanwhile", b"EXPUNGEISSUED")
    return Reply("STORE completed")


def answer(view: View, places: list[tuple[int, int]], *, with_uid: bool) -> Iterator[bytes]:
    """FETCH FLAGS for every message that was named, changed or not (RFC 3501 6.4.6)."""
    for first, last in places:
        for at in range(first, last + 1):
            uid = view.uids[at]
            state = view.state(uid)
            if state is None:
                continue
            also = b" UID %d" % uid if with_uid else b""
            view.told_flags(uid, state.modseq)
            yield b"* %d FETCH (FLAGS %s%s)\r\n" % (at + 1, view.flags(state), also)
