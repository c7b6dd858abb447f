"""STORE by sets: what changes, what keeps its MODSEQ, keywords as interned sets."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from bridge import limits
from bridge.model import Flag, MailboxId, Stored
from bridge.store.api import NoSuchMailbox, StoreError, StoreOp, TooMany, UidRanges, WriteTx
from tests.store.conftest import EVERY, Home


async def store(
    home: Home,
    uids: UidRanges,
    op: StoreOp,
    flags: int = 0,
    keywords: Iterable[str] = (),
    unchanged_since: int | None = None,
    name: str = "INBOX",
) -> Stored:
    return await home.store.write(
        lambda tx: tx.store_flags(
            tx.mailbox(home.login.id, name).id, uids, op, flags, keywords, unchanged_since
        )
    )


async def test_only_what_changes_takes_the_one_new_modseq(home: Home) -> None:
    await home.add(times=2)
    await home.add(flags=Flag.SEEN)
    await home.add(flags=Flag.FLAGGED)
    stored = await store(home, EVERY, "add", Flag.SEEN)
    assert [(s.uid, Flag(s.flags), s.modseq) for s in stored.changed] == [
        (1, Flag.SEEN, 6),
        (2, Flag.SEEN, 6),
        (4, Flag.SEEN | Flag.FLAGGED, 6),
    ]
    assert list(stored.modified) == []
    inbox = await home.mailbox()
    assert (inbox.unseen, inbox.highestmodseq) == (0, 6)
    states = await home.store.read(lambda tx: tx.entry_states(inbox.id))
    assert [s.modseq for s in states] == [6, 6, 4, 6]


async def test_a_store_that_changes_nothing_is_silent(home: Home) -> None:
    await home.add(times=2, flags=Flag.SEEN, keywords=["$A"])
    before = await home.mailbox()
    home.told.clear()
    for op, flags, keywords in (
        ("add", Flag.SEEN, ()),
        ("add", 0, ("$a",)),
        ("remove", Flag.DRAFT, ("$B",)),
        ("replace", Flag.SEEN, ("$A",)),
        ("add", 0, ()),
    ):
        assert not (await store(home, EVERY, op, flags, keywords)).changed  # type: ignore[arg-type]  # a tuple of literals is inferred as str
    assert await home.mailbox() == before
    assert home.told == []


async def test_replace_and_remove(home: Home) -> None:
    await home.add(flags=Flag.SEEN | Flag.DELETED, keywords=["$A", "$B"])
    await home.add(flags=Flag.DRAFT)
    await store(home, EVERY, "replace", Flag.FLAGGED, ["$C"])
    assert await home.flags() == {1: (Flag.FLAGGED, ("$C",)), 2: (Flag.FLAGGED, ("$C",))}
    await store(home, [(1, 1)], "add", Flag.DELETED, ["$B", "$A"])
    await store(home, EVERY, "remove", Flag.FLAGGED, ["$c"])
    assert await home.flags() == {1: (Flag.DELETED, ("$A", "$B")), 2: (Flag(0), ())}
    inbox = await home.mailbox()
    assert (inbox.unseen, inbox.deleted) == (2, 1)


async def test_sets_of_keywords_that_run_into_each_other(home: Home) -> None:
    """An entry of {} becomes {a}, while those of {a} wait for the same STORE."""
    await home.add()
    await home.add(keywords=["a"])
    await home.add(keywords=["a", "b"])
    stored = await store(home, EVERY, "add", Flag.SEEN, ["a"])
    assert [s.uid for s in stored.changed] == [1, 2, 3]
    assert {s.modseq for s in stored.changed} == {5}
    stored = await store(home, EVERY, "add", Flag.SEEN, ["b"])
    assert [s.uid for s in stored.changed] == [1, 2]
    assert set((await home.flags()).values()) == {(Flag.SEEN, ("a", "b"))}
    stored = await store(home, EVERY, "remove", 0, ["a"])
    assert len(stored.changed) == 3
    assert set((await home.flags()).values()) == {(Flag.SEEN, ("b",))}


async def test_keywords_compare_without_case_and_keep_the_first_spelling(home: Home) -> None:
    await home.add(keywords=["$Work", "zeta", "Alpha"])
    await home.add(keywords=["$WORK", "alpha", "ZETA", "$work"])
    assert set((await home.flags()).values()) == {(Flag(0), ("$Work", "Alpha", "zeta"))}
    sets = await home.store.read(lambda tx: tx.keyword_sets())
    assert sets == {1: ("$Work", "Alpha", "zeta")}
    await store(home, EVERY, "remove", 0, ["$wOrK"])
    assert await home.store.read(lambda tx: tx.keyword_sets(known=1)) == {2: ("Alpha", "zeta")}
    assert await home.store.read(lambda tx: tx.keyword_sets(known=2)) == {}


async def test_a_set_that_was_undone_is_made_again(home: Home) -> None:
    """The writer remembers sets; those of a job that failed never came to be."""
    inbox = (await home.mailbox()).id
    await home.add()

    def work(tx: WriteTx) -> None:
        tx.store_flags(inbox, EVERY, "add", 0, ["$lost"])
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await home.store.write(work)
    await home.add(keywords=["$Other"])
    await home.add(keywords=["$LOST"])
    assert await home.flags() == {
        1: (Flag(0), ()),
        2: (Flag(0), ("$Other",)),
        3: (Flag(0), ("$LOST",)),
    }


@pytest.mark.parametrize("keyword", ["", "two words", "tab\t", "line\r\n", "ä", "nul\0"])
async def test_what_is_no_keyword_is_refused(home: Home, keyword: str) -> None:
    await home.add()
    with pytest.raises(StoreError):
        await store(home, EVERY, "add", Flag.SEEN, [keyword])
    with pytest.raises(StoreError):
        await home.add(keywords=[keyword])
    assert await home.flags() == {1: (Flag(0), ())}


async def test_a_long_keyword_is_refused(home: Home) -> None:
    await home.add(keywords=["k" * limits.KEYWORD_NAME])
    with pytest.raises(TooMany):
        await home.add(keywords=["k" * (limits.KEYWORD_NAME + 1)])


async def test_keywords_are_capped_for_each_login(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "KEYWORDS_PER_LOGIN", 3)
    await home.add(keywords=["a", "b"])
    await store(home, EVERY, "add", 0, ["c"])
    with pytest.raises(TooMany):
        await store(home, EVERY, "add", 0, ["d"])
    with pytest.raises(TooMany):
        await home.add(keywords=["a", "d"])
    await store(home, EVERY, "replace", 0, ["C", "B"])
    await store(home, EVERY, "add", 0, ["d"])  # "a" is in use no more
    assert await home.flags() == {1: (Flag(0), ("b", "c", "d"))}
    with pytest.raises(TooMany):
        await store(home, EVERY, "add", 0, ["e"])
    other = await home.store.write(lambda tx: tx.ensure_login("other"))
    inbox = (await home.store.read(lambda tx: tx.mailbox(other.id, "INBOX"))).id
    message = home.message()
    await home.store.write(
        lambda tx: tx.add_entry(
            inbox, tx.add_message(message), keywords=["x", "y", "z"], internaldate=1
        )
    )


async def test_unchangedsince_leaves_and_tells_what_changed(home: Home) -> None:
    """RFC 7162 3.1.3."""
    await home.add(times=4)  # MODSEQ 2 to 5
    await store(home, [(2, 2)], "add", Flag.FLAGGED)  # 6
    stored = await store(home, EVERY, "add", Flag.SEEN, unchanged_since=5)
    assert [s.uid for s in stored.changed] == [1, 3, 4]
    assert list(stored.modified) == [2]
    assert (await home.flags())[2] == (Flag.FLAGGED, ())
    stored = await store(home, EVERY, "add", Flag.SEEN, unchanged_since=0)
    assert (list(stored.changed), list(stored.modified)) == ([], [1, 2, 3, 4])
    stored = await store(home, EVERY, "add", Flag.SEEN, unchanged_since=2**63 - 1)
    assert [s.uid for s in stored.changed] == [2]


async def test_store_on_uids_that_are_not_there(home: Home) -> None:
    await home.add(times=2)
    for uids in ((), ((7, 9),), ((7, 7), (9, 2**32 - 1))):
        assert await store(home, uids, "add", Flag.SEEN) == Stored((), ())
    with pytest.raises(NoSuchMailbox):
        await home.store.write(lambda tx: tx.store_flags(MailboxId(4711), EVERY, "add", Flag.SEEN))


async def test_twenty_thousand_ranges(home: Home) -> None:
    await home.add(times=50)
    odd = [(uid, uid) for uid in range(1, 2 * limits.IMAP_NUMBER_RANGES, 2)]
    stored = await store(home, odd, "add", Flag.SEEN, ["$Odd"])
    assert [s.uid for s in stored.changed] == list(range(1, 50, 2))
    assert (await home.mailbox()).unseen == 25


async def test_flags_beyond_the_five_are_dropped(home: Home) -> None:
    (state,) = await home.add(flags=1024 | Flag.SEEN)
    assert state.flags == Flag.SEEN
    stored = await store(home, EVERY, "add", 2048 | Flag.DRAFT)
    assert [s.flags for s in stored.changed] == [Flag.SEEN | Flag.DRAFT]
