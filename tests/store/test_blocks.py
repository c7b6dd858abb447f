"""Blocks of 256 UIDs beside plain dictionaries, and the migration that makes them."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from bridge.model import EntryState, EntryStates
from bridge.store import migrate
from bridge.store.api import StoreOp, UidRanges
from bridge.store.opening import DATABASE, open_store
from bridge.store.sqlite import blocks
from bridge.store.sqlite.blocks import SPAN, Block
from bridge.store.sqlite.check import examine
from bridge.store.sqlite.connection import connect, upgrade

Model = dict[int, EntryState]

UIDS = st.integers(1, 4 * SPAN)
FLAGS = st.integers(0, 31)
SETS = st.sampled_from([0, 0, 0, 1, 70_000, 2**32 - 1])
OPS: st.SearchStrategy[StoreOp] = st.sampled_from(["add", "remove", "replace"])


@st.composite
def uid_ranges(draw: st.DrawFn) -> list[tuple[int, int]]:
    ends = sorted(draw(st.sets(st.integers(1, 5 * SPAN), max_size=12)))
    return list(zip(ends[::2], ends[1::2], strict=False)) or [(1, 2**32 - 1)]


@st.composite
def mailboxes(draw: st.DrawFn) -> Model:
    """Entries that came in runs, as they do, with a MODSEQ for each run."""
    model: Model = {}
    for modseq, (start, length, flags, keywords) in enumerate(
        draw(st.lists(st.tuples(UIDS, st.integers(1, 2 * SPAN), FLAGS, SETS), max_size=6)), 2
    ):
        for uid in range(start, start + length):
            model.setdefault(uid, EntryState(uid, flags, keywords, modseq << 33))
    return model


def built(model: Model) -> list[Block]:
    """The same entries as blocks, by `with_entries` from the end on."""
    made: dict[int, Block] = {}
    for state in sorted(model.values(), reverse=True):
        number, at = divmod(state.uid, SPAN)
        block = made.get(number, blocks.empty(number))
        made[number] = block.with_entries(at, bytes([state.flags]), (state.keywords,), state.modseq)
    return [made[number] for number in sorted(made)]


def read(all_of: list[Block]) -> list[EntryState]:
    return list(blocks.states((block, block.there) for block in all_of))


def among(uid: int, uids: UidRanges) -> bool:
    return any(low <= uid <= high for low, high in uids)


def stored(op: StoreOp, old: int, flags: int) -> int:
    return {"add": old | flags, "remove": old & ~flags, "replace": flags}[op]


@given(mailboxes())
def test_entries_come_out_as_they_went_in(model: Model) -> None:
    made = built(model)
    assert read(made) == sorted(model.values())
    for block in made:
        assert len(block.flags) == SPAN
        assert (len(block.keywords), len(block.modseqs)) in {
            (keywords, modseqs) for keywords in (4, 4 * SPAN) for modseqs in (8, 8 * SPAN)
        }


@given(mailboxes(), st.integers(0, 9))
def test_what_is_newer(model: Model, since: int) -> None:
    found = blocks.states((block, block.newer(since << 33)) for block in built(model))
    assert found == [each for each in sorted(model.values()) if each.modseq > since << 33]


@given(
    mailboxes(), uid_ranges(), OPS, FLAGS,
    st.dictionaries(SETS, st.integers(0, 3)) | st.none(),
)  # fmt: skip
def test_a_store_changes_what_it_names_and_stamps_what_really_changed(
    model: Model, uids: UidRanges, op: StoreOp, flags: int, sets: Mapping[int, int] | None
) -> None:
    def become(old: int) -> int:
        return old if sets is None else sets.get(old, old)

    expected = [
        EntryState(uid, stored(op, old.flags, flags), become(old.keywords), 7 << 40)
        for uid, old in sorted(model.items())
        if among(uid, uids) and (stored(op, old.flags, flags), become(old.keywords)) != old[1:3]
    ]
    made = {block.number: block for block in built(model)}
    changing = []
    for block, mask in blocks.select(made.values(), uids):
        new, changed = block.changed(mask, op, flags, None if sets is None else become)
        made[block.number] = new = new.stamped(changed, 7 << 40)
        changing.append((new, changed))
    assert blocks.states(changing) == expected
    model |= {state.uid: state for state in expected}
    assert read(list(made.values())) == sorted(model.values())


@given(mailboxes(), uid_ranges())
def test_what_is_selected_counted_and_removed(model: Model, uids: UidRanges) -> None:
    made = {block.number: block for block in built(model)}
    chosen = list(blocks.select(made.values(), uids))
    named = [state for uid, state in sorted(model.items()) if among(uid, uids)]
    assert blocks.states(chosen) == named
    found = blocks.ranges(chosen)
    assert [uid for low, high in found for uid in range(low, high + 1)] == [s.uid for s in named]
    assert all(high + 1 < low for (_, high), (low, _) in pairwise(found))
    needed = {uid // SPAN for uid in model if among(uid, uids)}
    assert needed <= {
        number for low, high in blocks.spans(uids) for number in range(low, min(high, 99) + 1)
    }
    for block, mask in chosen:
        made[block.number] = block.without(mask)
    left = [state for uid, state in sorted(model.items()) if not among(uid, uids)]
    assert read(list(made.values())) == left
    counts = [sum(each) for each in zip(*(b.counts() for b in made.values()), strict=True)]
    assert (counts or [0, 0, 0]) == [
        len(left),
        sum(not state.flags & 8 for state in left),
        sum(bool(state.flags & 4) for state in left),
    ]


@given(mailboxes())
def test_columns_are_a_sequence_of_states(model: Model) -> None:
    rows = sorted(model.values())
    columns = EntryStates.of(rows)
    assert EntryStates.of(columns) is columns
    assert columns == rows
    assert (columns[1:3], list(columns.first(2))) == (rows[1:3], rows[:2])
    assert not rows or (columns[-1] == rows[-1] and columns != rows[:-1])
    assert repr(columns) == repr(rows)


async def test_a_database_with_an_entry_a_row_becomes_one_with_blocks(tmp_path: Path) -> None:
    await (await open_store(tmp_path)).close()  # for the files' modes and the lock
    (tmp_path / DATABASE).unlink()
    (tmp_path / DATABASE).touch()
    db = connect(tmp_path / DATABASE, writer=True)
    scripts = migrate.load("bridge.store.sqlite")
    upgrade(db, scripts[:10])
    db.executescript(
        """INSERT INTO login (name) VALUES ('a');
        INSERT INTO meta (key, value) VALUES ('uidvalidity', 9);
        INSERT INTO keyword_set (id, names) VALUES (1, '$Work');
        INSERT INTO mailbox (id, login_id, name, uidvalidity, uidnext, highestmodseq, messages,
            unseen, deleted, octets, first_recent, tombstones, changed_from)
        VALUES (3, 1, 'INBOX', 9, 701, 900, 598, 448, 299, 0, 701, 2, 0);
        INSERT INTO message (id, digest, size, header_size, fingerprint, base_subject, message_id,
            preview)
        VALUES (5, x'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855', 0, 0, x'',
            '', '', '');
        INSERT INTO message_structure VALUES (5, x'', x'', x'', x'');
        INSERT INTO message_header VALUES (5, x'');
        INSERT INTO message_sort VALUES (5, '', 0, '', '', '', '', '', x'');
        INSERT INTO expunged VALUES (3, 800, 17), (3, 850, 18);
        WITH RECURSIVE n(uid) AS (SELECT 1 UNION ALL SELECT uid + 1 FROM n WHERE uid < 600)
        INSERT INTO entry SELECT 3, uid, 5, (uid % 2) * 4 + (uid % 4 = 0) * 8,
            uid BETWEEN 300 AND 302, CASE WHEN uid < 256 THEN 900 ELSE uid END, uid * 10, uid * 11
        FROM n WHERE uid NOT IN (17, 18);"""
    )
    rows = "SELECT uid, flags, keywords, modseq FROM entry ORDER BY uid"
    before = list(map(EntryState._make, db.execute(rows).fetchall()))
    db.close()
    store = await open_store(tmp_path)
    login = await store.read(lambda tx: tx.login("a"))
    assert login is not None
    inbox = await store.read(lambda tx: tx.mailbox(login.id, "INBOX"))
    assert await store.read(lambda tx: tx.entry_states(inbox.id)) == before
    assert await store.read(lambda tx: tx.expunged(inbox.id, 0)) == [(17, 800), (18, 850)]
    (row,) = await store.read(lambda tx: tx.rows(inbox.id, ((300, 300),), ("savedate",)))
    assert (row.internaldate, row.savedate) == (3000, 3300)
    await store.close()
    assert examine(tmp_path / DATABASE) == []


async def test_the_examiner_finds_a_block_that_disagrees(tmp_path: Path) -> None:
    """The control: what holds in every other test would be noticed."""
    store = await open_store(tmp_path)
    await store.write(lambda tx: tx.ensure_login("a"))
    await store.close()
    assert examine(tmp_path / DATABASE) == []
    db = sqlite3.connect(tmp_path / DATABASE)
    ((inbox,),) = db.execute("SELECT id FROM mailbox WHERE name = 'INBOX'")
    flags = b"\x00" + b"\xff" * (SPAN - 1)
    db.execute(
        "INSERT INTO entry_block VALUES (?, ?, 1, 0, ?, ?, ?)",
        (inbox << 24, inbox, flags, bytes(4), (2).to_bytes(8, "little")),
    )
    db.commit()
    db.close()
    found = examine(tmp_path / DATABASE)
    assert [each.partition(":")[0] for each in found] == [
        "an entry has its place in a block",
        "blocks say what their entries are",
        "the counts of a mailbox are those of its entries",
    ]
