"""Entries: UIDs, MODSEQs, counts, COPY, MOVE, EXPUNGE and what they leave behind."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import pytest

from bridge import limits
from bridge.model import Change, Copied, EntryState, Flag, MailboxId, MessageId, NewEntry
from bridge.store.api import NoSuchMailbox, ReadTx, StoreError, TooMany, UidRanges, WriteTx
from tests.store.conftest import EVERY, Home, recount
from tests.store.sqlite_only import set_uidnext

NOWHERE = MailboxId(4711)


def states_since(tx: ReadTx, mailbox: MailboxId, since: int) -> Sequence[EntryState]:
    return tx.entry_states(mailbox, since)


async def copy(home: Home, source: MailboxId, uids: UidRanges, target: MailboxId) -> Copied:
    return await home.store.write(lambda tx: tx.copy(source, uids, target))


async def move(home: Home, source: MailboxId, uids: UidRanges, target: MailboxId) -> Copied:
    return await home.store.write(lambda tx: tx.move(source, uids, target))


async def row_uids(home: Home, mailbox: MailboxId, uids: UidRanges) -> list[int]:
    return [row.uid for row in await home.store.read(lambda tx: tx.rows(mailbox, uids))]


async def test_an_entry_takes_the_next_uid_and_the_next_modseq(home: Home) -> None:
    states = await home.add(times=3, flags=Flag.SEEN | Flag.DELETED)
    flags = Flag.SEEN | Flag.DELETED
    assert states == [
        EntryState(1, flags, 0, 2),
        EntryState(2, flags, 0, 3),
        EntryState(3, flags, 0, 4),
    ]
    inbox = await home.mailbox()
    assert (inbox.uidnext, inbox.highestmodseq) == (4, 4)
    assert (inbox.messages, inbox.unseen, inbox.deleted, inbox.octets) == (3, 0, 3, 600)
    assert await home.store.read(lambda tx: tx.entry_states(inbox.id)) == states
    assert home.told[-1] == [Change(home.login.id, inbox.id, 4)]


async def test_entries_since_a_modseq_come_by_uid(home: Home) -> None:
    await home.add(times=4)
    inbox = await home.mailbox()
    await home.store.write(lambda tx: tx.store_flags(inbox.id, [(3, 3)], "add", Flag.SEEN))
    await home.store.write(lambda tx: tx.store_flags(inbox.id, [(1, 1)], "add", Flag.SEEN))
    since = await home.store.read(lambda tx: tx.entry_states(inbox.id, since=inbox.highestmodseq))
    assert [(s.uid, s.modseq) for s in since] == [(1, 7), (3, 6)]
    assert await home.store.read(lambda tx: tx.entry_states(inbox.id, since=7)) == []


async def test_what_changed_is_found_since_any_modseq(home: Home) -> None:
    await home.add(times=20)
    inbox = await home.mailbox()
    await home.store.write(lambda tx: tx.store_flags(inbox.id, [(3, 3)], "add", Flag.SEEN))
    await home.store.write(lambda tx: tx.store_flags(inbox.id, [(9, 9)], "add", Flag.SEEN))
    for since in range(inbox.highestmodseq + 2):
        after = partial(states_since, mailbox=inbox.id, since=since)
        states = await home.store.read(after)
        expected = {uid: uid + 1 for uid in range(1, 21)} | {3: 22, 9: 23}
        assert [(s.uid, s.modseq) for s in states] == [
            (uid, modseq) for uid, modseq in expected.items() if modseq > since
        ]
    assert recount(home.data_dir) == []


async def test_no_entry_without_mailbox_or_message(home: Home) -> None:
    inbox = await home.mailbox()
    with pytest.raises(NoSuchMailbox):
        await home.store.write(
            lambda tx: tx.add_entry(NOWHERE, tx.add_message(home.message()), internaldate=1)
        )
    with pytest.raises(StoreError):
        await home.store.write(lambda tx: tx.add_entry(inbox.id, MessageId(4711), internaldate=1))
    assert await home.mailbox() == inbox


async def test_several_entries_share_a_modseq_and_have_uids_in_their_order(home: Home) -> None:
    await home.add(times=2)
    inbox = await home.mailbox()
    new, known = home.message(), home.message()
    await home.store.write(lambda tx: tx.add_message(known))  # without an entry, until now

    def add(tx: WriteTx) -> Sequence[EntryState]:
        one, two = tx.add_message(new), tx.add_message(known)
        return tx.add_entries(
            inbox.id,
            [
                NewEntry(one, 7, Flag.SEEN, ["$A"]),
                NewEntry(two, 8),
                NewEntry(one, 9, Flag.DELETED, ["$B"]),
            ],
        )

    states = await home.store.write(add)
    assert [state.uid for state in states] == [3, 4, 5]
    assert {state.modseq for state in states} == {inbox.highestmodseq + 1}
    found = await home.store.read(lambda tx: tx.entry_states(inbox.id))
    assert list(found)[2:] == list(states)
    rows = await home.store.read(lambda tx: list(tx.rows(inbox.id, ((3, 5),))))
    assert [(row.size, row.internaldate) for row in rows] == [
        (len(new.octets), 7), (len(known.octets), 8), (len(new.octets), 9)
    ]  # fmt: skip
    after = await home.mailbox()
    assert (after.messages, after.unseen, after.deleted) == (5, 4, 1)
    home.clock.time += 10
    assert await home.store.write(lambda tx: tx.purge(int(home.clock.time))) == 0
    assert await home.store.write(lambda tx: tx.add_entries(inbox.id, ())) == ()
    assert await home.mailbox() == after


async def test_several_entries_are_all_made_or_none(home: Home) -> None:
    inbox = await home.mailbox()

    def add(tx: WriteTx) -> None:
        message = tx.add_message(home.message())
        with pytest.raises(StoreError):
            tx.add_entries(inbox.id, [NewEntry(message, 1), NewEntry(MessageId(4711), 1)])

    await home.store.write(add)
    assert await home.mailbox() == inbox
    await set_uidnext(home.store, inbox.id, 2**32 - 2)

    def overflow(tx: WriteTx) -> None:
        message = tx.add_message(home.message())
        tx.add_entries(inbox.id, [NewEntry(message, 1), NewEntry(message, 1)])

    with pytest.raises(TooMany, match="UIDs"):
        await home.store.write(overflow)
    assert (await home.mailbox()).messages == 0


@pytest.mark.case("I025")
async def test_uids_end_before_they_wrap(home: Home) -> None:
    """I025: UIDNEXT may show 2^32-1, nothing takes it."""
    inbox = await home.mailbox()
    await set_uidnext(home.store, inbox.id, 2**32 - 2)
    (state,) = await home.add()
    assert state.uid == 2**32 - 2
    for _ in range(2):
        with pytest.raises(TooMany, match="UIDs"):
            await home.add()
    with pytest.raises(TooMany):
        await home.store.write(lambda tx: tx.copy(inbox.id, EVERY, inbox.id))
    assert (await home.mailbox()).uidnext == 2**32 - 1
    trash = await home.mailbox("Trash")
    await home.store.write(lambda tx: tx.move(inbox.id, EVERY, trash.id))
    assert await home.uids(trash.id) == [1]


async def test_copy_takes_flags_keywords_and_date_along(home: Home) -> None:
    await home.add(times=2, flags=Flag.FLAGGED, keywords=["$Work"], internaldate=77)
    await home.add(times=2, flags=Flag.SEEN)
    inbox, trash = await home.mailbox(), await home.mailbox("Trash")
    copied = await home.store.write(lambda tx: tx.copy(inbox.id, [(2, 3), (9, 9)], trash.id))
    assert copied == Copied(trash.uidvalidity, [2, 3], range(1, 3))
    assert await home.flags("Trash") == {
        1: (Flag.FLAGGED, ("$Work",)),
        2: (Flag.SEEN, ()),
    }
    rows = await home.store.read(lambda tx: tx.rows(trash.id, EVERY))
    assert [(row.uid, row.internaldate) for row in rows] == [(1, 77), (2, 1_600_000_000)]
    after = await home.mailbox("Trash")
    assert (after.messages, after.unseen, after.octets, after.uidnext) == (2, 1, 400, 3)
    assert after.highestmodseq == 2
    assert await home.mailbox() == inbox


async def test_copy_inside_one_mailbox(home: Home) -> None:
    await home.add(times=3)
    inbox = await home.mailbox()
    copied = await home.store.write(lambda tx: tx.copy(inbox.id, EVERY, inbox.id))
    assert (list(copied.source_uids), list(copied.target_uids)) == ([1, 2, 3], [4, 5, 6])
    assert (await home.mailbox()).messages == 6


async def test_copy_of_nothing_changes_nothing(home: Home) -> None:
    inbox, trash = await home.mailbox(), await home.mailbox("Trash")
    home.told.clear()
    for uids in (((5, 9),), ()):
        copied = await copy(home, inbox.id, uids, trash.id)
        assert (list(copied.source_uids), list(copied.target_uids)) == ([], [])
    assert await home.mailbox("Trash") == trash
    assert home.told == []


async def test_copy_and_move_want_both_mailboxes(home: Home) -> None:
    await home.add()
    inbox = await home.mailbox()
    for source, target in ((NOWHERE, inbox.id), (inbox.id, NOWHERE)):
        with pytest.raises(NoSuchMailbox):
            await copy(home, source, EVERY, target)
        with pytest.raises(NoSuchMailbox):
            await move(home, source, EVERY, target)
    assert await home.uids(inbox.id) == [1]


async def test_move_leaves_tombstones_and_tells_both(home: Home) -> None:
    await home.add(times=4)
    inbox, trash = await home.mailbox(), await home.mailbox("Trash")
    home.told.clear()
    moved = await home.store.write(lambda tx: tx.move(inbox.id, [(2, 2), (4, 4)], trash.id))
    assert (list(moved.source_uids), list(moved.target_uids)) == ([2, 4], [1, 2])
    assert await home.uids(inbox.id) == [1, 3]
    assert await home.store.read(lambda tx: tx.expunged(inbox.id, inbox.highestmodseq)) == [
        (2, inbox.highestmodseq + 1),
        (4, inbox.highestmodseq + 1),
    ]
    (changes,) = home.told
    assert {change.mailbox_id for change in changes} == {inbox.id, trash.id}


async def test_move_inside_one_mailbox_gives_new_uids(home: Home) -> None:
    await home.add(times=3)
    inbox = await home.mailbox()
    moved = await home.store.write(lambda tx: tx.move(inbox.id, EVERY, inbox.id))
    assert (list(moved.source_uids), list(moved.target_uids)) == ([1, 2, 3], [4, 5, 6])
    assert await home.uids(inbox.id) == [4, 5, 6]


async def test_expunge_takes_only_what_is_marked(home: Home) -> None:
    await home.add(times=2, flags=Flag.DELETED)
    await home.add(times=2)
    await home.add(times=2, flags=Flag.DELETED | Flag.SEEN)
    inbox = await home.mailbox()
    assert await home.store.write(lambda tx: tx.expunge(inbox.id, [(2, 5)])) == [2, 5]
    assert await home.uids(inbox.id) == [1, 3, 4, 6]
    assert await home.store.write(lambda tx: tx.expunge(inbox.id)) == [1, 6]
    assert list(await home.store.write(lambda tx: tx.expunge(inbox.id))) == []
    after = await home.mailbox()
    assert (after.messages, after.unseen, after.deleted, after.octets) == (2, 2, 0, 400)
    assert await home.store.read(lambda tx: tx.expunged(inbox.id, 0)) == [
        (2, 8),
        (5, 8),
        (1, 9),
        (6, 9),
    ]
    assert await home.store.read(lambda tx: tx.expunged(inbox.id, 8)) == [(1, 9), (6, 9)]
    (state,) = await home.add()
    assert state.uid == 7


async def test_expunge_of_what_is_not_marked_wants_uids(home: Home) -> None:
    await home.add(times=3)
    inbox = await home.mailbox()
    gone = await home.store.write(lambda tx: tx.expunge(inbox.id, [(1, 2)], only_deleted=False))
    assert gone == [1, 2]
    with pytest.raises(ValueError, match="UIDs"):
        await home.store.write(lambda tx: tx.expunge(inbox.id, only_deleted=False))
    assert await home.uids(inbox.id) == [3]


async def test_forgotten_tombstones_are_told_as_all_that_is_not_there(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "TOMBSTONES", 3)
    await home.add(times=10)
    inbox = await home.mailbox()
    assert inbox.highestmodseq == 11

    async def expunge(first: int, last: int) -> None:
        await home.store.write(lambda tx: tx.expunge(inbox.id, [(first, last)], only_deleted=False))

    await expunge(1, 2)  # MODSEQ 12
    await expunge(4, 4)  # 13
    assert await home.store.read(lambda tx: tx.expunged(inbox.id, 11)) == [
        (1, 12),
        (2, 12),
        (4, 13),
    ]
    await expunge(7, 8)  # 14: five tombstones, 12 is forgotten
    assert await home.store.read(lambda tx: tx.expunged(inbox.id, 12)) == [
        (4, 13),
        (7, 14),
        (8, 14),
    ]
    assert await home.store.read(lambda tx: tx.expunged(inbox.id, 11)) == [
        (1, 12),
        (2, 12),
        (4, 13),
        (7, 14),
        (8, 14),
    ]
    await expunge(3, 10)  # 15: the newest stay, though they are five
    assert await home.store.read(lambda tx: tx.expunged(inbox.id, 14)) == [
        (uid, 15) for uid in (3, 5, 6, 9, 10)
    ]
    everything = await home.store.read(lambda tx: tx.expunged(inbox.id, 0))
    assert sorted(uid for uid, _ in everything) == list(range(1, 11))


async def test_rows_bring_the_columns_asked_for(home: Home) -> None:
    new = home.message(size=300)
    await home.add(message=new, internaldate=5)
    await home.add(times=3)
    inbox = await home.mailbox()
    (plain,) = await home.store.read(lambda tx: tx.rows(inbox.id, [(1, 1)]))
    assert (plain.uid, plain.size, plain.internaldate) == (1, 300, 5)
    assert plain.header_size == new.structure.header_size
    assert (plain.envelope, plain.header, plain.parts, plain.sent_day) == (b"", b"", b"", None)
    (full,) = await home.store.read(
        lambda tx: tx.rows(
            inbox.id,
            [(1, 1)],
            ("envelope", "bodystructure", "body", "header", "parts", "sent_day"),
        )
    )
    s = new.structure
    assert (full.envelope, full.bodystructure, full.body) == (s.envelope, s.bodystructure, s.body)
    assert (full.header, full.parts, full.sent_day) == (s.header, s.parts, s.sent_day)
    (header,) = await home.store.read(lambda tx: tx.rows(inbox.id, [(1, 1)], ["header"]))
    assert (header.header, header.envelope, header.message_id) == (s.header, b"", plain.message_id)


async def test_rows_of_many_ranges_come_by_uid(home: Home) -> None:
    await home.add(times=9)
    inbox = await home.mailbox()
    for uids, found in (
        ([(2, 2), (4, 6), (8, 2**32 - 1)], [2, 4, 5, 6, 8, 9]),
        ([(20, 30), (31, 31)], []),
        ([], []),
        (EVERY, list(range(1, 10))),
        ([(i, i) for i in range(1, 20_000, 2)], [1, 3, 5, 7, 9]),
    ):
        assert await row_uids(home, inbox.id, uids) == found


async def test_one_logins_expunge_leaves_the_others_entry(home: Home) -> None:
    """I063: stored once for two, and yet each has their own."""
    other = await home.store.write(lambda tx: tx.ensure_login("other"))
    new = home.message()
    await home.add(message=new, flags=Flag.SEEN)

    def give(tx: WriteTx) -> EntryState:
        return tx.add_entry(tx.mailbox(other.id, "INBOX").id, tx.add_message(new), internaldate=1)

    state = await home.store.write(give)
    assert (state.uid, state.flags) == (1, 0)
    inbox = await home.mailbox()
    await home.store.write(lambda tx: tx.expunge(inbox.id, EVERY, only_deleted=False))
    home.clock.time += 10
    assert await home.store.write(lambda tx: tx.purge(int(home.clock.time))) == 0
    theirs = await home.store.read(lambda tx: tx.mailbox(other.id, "INBOX"))
    assert (theirs.messages, theirs.unseen) == (1, 1)


async def test_the_save_date_is_that_of_the_mailbox(home: Home) -> None:
    await home.add(internaldate=1_000)
    inbox, archive = await home.mailbox(), await home.mailbox("Archive")
    saved = int(home.clock.time)
    home.clock.time += 1_000
    await copy(home, inbox.id, EVERY, archive.id)
    home.clock.time += 1_000
    await move(home, inbox.id, EVERY, archive.id)

    rows = await home.store.read(lambda tx: tx.rows(archive.id, EVERY, ("savedate",)))
    assert [(row.internaldate, row.savedate) for row in rows] == [
        (1_000, saved + 1_000),
        (1_000, saved + 2_000),
    ]
    await home.store.write(lambda tx: tx.renumber(archive.id, 1, []))
    archive = await home.mailbox("Archive")
    again = await home.store.read(lambda tx: tx.rows(archive.id, EVERY, ("savedate",)))
    assert [row.savedate for row in again] == [saved + 1_000, saved + 2_000]
