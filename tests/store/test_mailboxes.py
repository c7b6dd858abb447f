"""Logins, mailboxes and subscriptions, as the contract in `bridge.store.api` has them."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge import limits
from bridge.model import Change, LoginId, SpecialUse
from bridge.store.api import (
    MailboxExists,
    NoSuchMailbox,
    ReadTx,
    StoreError,
    TooMany,
    WriteTx,
)
from bridge.store.opening import open_store
from tests.store.conftest import EVERY, Clock, Home

STANDARD = ["Archive", "Drafts", "INBOX", "Junk", "Sent", "Trash"]


async def test_a_new_login_finds_its_mailboxes_subscribed(home: Home) -> None:
    found = await home.store.read(lambda tx: tx.mailboxes(home.login.id))
    assert {m.name: m.special_use for m in found} == {
        "INBOX": None,
        "Drafts": SpecialUse.DRAFTS,
        "Sent": SpecialUse.SENT,
        "Junk": SpecialUse.JUNK,
        "Trash": SpecialUse.TRASH,
        "Archive": SpecialUse.ARCHIVE,
    }
    assert await home.subscriptions() == STANDARD
    assert len({m.uidvalidity for m in found}) == len(found)
    for m in found:
        assert (m.uidnext, m.highestmodseq, m.first_recent) == (1, 1, 1)
        assert (m.messages, m.unseen, m.deleted, m.octets) == (0, 0, 0, 0)


async def test_a_known_login_keeps_what_its_owner_deleted_away(home: Home) -> None:
    await home.delete("Junk")
    again = await home.store.write(lambda tx: tx.ensure_login("me@example.org"))
    assert again == home.login
    assert "Junk" not in await home.names()
    assert await home.store.read(lambda tx: tx.login("me@example.org")) == home.login
    assert await home.store.read(lambda tx: tx.login("ME@example.org")) is None


async def test_inbox_is_found_in_any_case_and_below_it_too(home: Home) -> None:
    inbox = await home.mailbox("INBOX")
    assert await home.mailbox("iNbOx") == inbox
    made = await home.create("inbox/Lists")
    assert made.name == "INBOX/Lists"
    assert await home.mailbox("Inbox/Lists") == made
    with pytest.raises(NoSuchMailbox):
        await home.mailbox("INBOX/lists")


async def test_create_makes_missing_parents(home: Home) -> None:
    made = await home.create("a/b/c")
    assert made.name == "a/b/c"
    assert [name for name in await home.names() if name.startswith("a")] == ["a", "a/b", "a/b/c"]
    assert made == await home.store.read(lambda tx: tx.mailbox_by_id(made.id))


async def test_create_of_what_is_there_is_refused(home: Home) -> None:
    for name in ("Sent", "inbox"):
        with pytest.raises(MailboxExists):
            await home.create(name)


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("", StoreError),
        ("/a", StoreError),
        ("a/", StoreError),
        ("a//b", StoreError),
        ("a\r\n* OK", StoreError),
        ("nul\0", StoreError),
        ("\ud800", StoreError),
        ("x" * (limits.MAILBOX_NAME + 1), TooMany),
        ("ä" * (limits.MAILBOX_NAME // 2 + 1), TooMany),
        ("/".join("a" * (limits.MAILBOX_DEPTH + 1)), TooMany),
    ],
)
async def test_names_that_are_none(home: Home, name: str, error: type[StoreError]) -> None:
    with pytest.raises(error):
        await home.create(name)
    with pytest.raises(error):
        await home.rename("Sent", name)
    assert await home.names() == STANDARD


async def test_the_longest_and_deepest_names_are_kept(home: Home) -> None:
    for name in ("ä" * (limits.MAILBOX_NAME // 2), "/".join("a" * limits.MAILBOX_DEPTH)):
        made = await home.create(name)
        assert made.name == name


async def test_mailboxes_are_capped_with_their_parents(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "MAILBOXES_PER_LOGIN", 8)
    with pytest.raises(TooMany):
        await home.create("a/b/c")
    await home.create("a/b")
    with pytest.raises(TooMany):
        await home.rename("Sent", "x/y")
    assert await home.names() == sorted([*STANDARD, "a", "a/b"])
    other = await home.store.write(lambda tx: tx.ensure_login("other"))
    assert await home.store.write(lambda tx: tx.create_mailbox(other.id, "a"))


async def test_subscriptions_are_capped_and_need_no_mailbox(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "MAILBOXES_PER_LOGIN", 7)
    await home.subscribe("not there")
    await home.subscribe("not there")
    with pytest.raises(TooMany):
        await home.subscribe("too many")
    await home.subscribe("inbox", False)
    names = await home.subscriptions()
    assert names == sorted([*(n for n in STANDARD if n != "INBOX"), "not there"])


async def test_delete_takes_entries_leaves_children_and_subscription(home: Home) -> None:
    await home.create("a/b")
    await home.subscribe("a")
    await home.add("a", times=3)
    gone = await home.mailbox("a")
    await home.delete("a")
    assert "a" not in await home.names()
    assert "a/b" in await home.names()
    assert "a" in await home.subscriptions()
    with pytest.raises(NoSuchMailbox):
        await home.store.read(lambda tx: tx.mailbox_by_id(gone.id))
    assert await home.uids(gone.id) == []
    with pytest.raises(NoSuchMailbox):
        await home.delete("a")
    home.clock.time += 10
    assert await home.store.write(lambda tx: tx.purge(int(home.clock.time))) == 3


async def test_inbox_is_not_deleted(home: Home) -> None:
    with pytest.raises(StoreError, match="INBOX"):
        await home.delete("inbox")
    assert "INBOX" in await home.names()


async def test_rename_moves_the_tree_and_its_subscriptions(home: Home) -> None:
    for name in ("a/b", "a-b", "ab"):
        await home.create(name)
    for name in ("a/b", "a/gone", "a-b"):
        await home.subscribe(name)
    await home.add("a/b", times=2)
    before = await home.mailbox("a/b")
    home.told.clear()
    await home.rename("a", "x/y")
    assert [n for n in await home.names() if n not in STANDARD] == [
        "a-b",
        "ab",
        "x",
        "x/y",
        "x/y/b",
    ]
    after = await home.mailbox("x/y/b")
    assert (after.id, after.uidvalidity, after.uidnext) == (before.id, before.uidvalidity, 3)
    assert after.highestmodseq == before.highestmodseq + 1
    subscribed = await home.subscriptions()
    assert [n for n in subscribed if n not in STANDARD] == ["a-b", "x/y/b", "x/y/gone"]
    (changes,) = home.told
    assert Change(home.login.id, None, 0) in changes
    assert Change(home.login.id, after.id, after.highestmodseq) in changes


async def test_rename_into_the_own_parents_place(home: Home) -> None:
    await home.create("a/b/b/b")
    await home.delete("a")
    inner = await home.mailbox("a/b/b")
    await home.rename("a/b", "a")
    assert [n for n in await home.names() if n not in STANDARD] == ["a", "a/b", "a/b/b"]
    assert (await home.mailbox("a/b")).id == inner.id


async def test_rename_of_a_name_that_only_has_children(home: Home) -> None:
    await home.create("a/b")
    await home.delete("a")
    await home.rename("a", "z")
    assert [n for n in await home.names() if n not in STANDARD] == ["z/b"]


async def test_rename_that_cannot_be(home: Home) -> None:
    await home.create("a/b")
    await home.create("z/b")
    await home.delete("z")
    names = await home.names()
    for source, target, error, text in (
        ("a", "a/b/c", StoreError, "below itself"),  # I070
        ("a", "a", MailboxExists, "already"),
        ("a", "Sent", MailboxExists, "already"),
        ("a", "inbox", MailboxExists, "already"),
        ("a", "z", MailboxExists, "already"),  # z/b would be there twice
        ("none", "new", NoSuchMailbox, "no mailbox"),
        ("a", "x" * limits.MAILBOX_NAME, TooMany, "octets"),  # a/b would be too long
    ):
        with pytest.raises(error, match=text):
            await home.rename(source, target)
    assert await home.names() == names


async def test_rename_of_inbox_moves_its_messages_and_nothing_else(home: Home) -> None:
    await home.create("INBOX/Lists")
    await home.add(times=3, flags=8)
    before = await home.mailbox()
    await home.rename("inbox", "old/mail")
    inbox, moved = await home.mailbox(), await home.mailbox("old/mail")
    assert (inbox.id, inbox.uidvalidity, inbox.uidnext) == (before.id, before.uidvalidity, 4)
    assert (inbox.messages, moved.messages, moved.unseen) == (0, 3, 0)
    assert inbox.highestmodseq > before.highestmodseq
    assert await home.mailbox("INBOX/Lists")
    assert "INBOX" in await home.subscriptions()
    gone = await home.store.read(lambda tx: tx.expunged(inbox.id, before.highestmodseq))
    assert [uid for uid, _ in gone] == [1, 2, 3]


async def test_a_name_never_shows_an_older_uidvalidity(home: Home) -> None:
    async def make(name: str) -> int:
        return (await home.create(name)).uidvalidity

    first = await make("a")
    await home.delete("a")
    second = await make("a")
    assert second > first

    b = await make("b")
    assert b > second
    await home.delete("b")
    await home.rename("a", "b")
    assert (await home.mailbox("b")).uidvalidity > b  # "a" had the lower one


async def test_uidvalidity_does_not_follow_a_moved_clock(home: Home) -> None:
    async def make(name: str) -> int:
        return (await home.create(name)).uidvalidity

    values = [await make("a")]
    for name, time in (("b", 0.0), ("c", 4e9), ("d", 1e12), ("e", -5.0)):
        home.clock.time = time
        values.append(await make(name))
    assert values == list(range(values[0], values[0] + 5))


@pytest.mark.parametrize("time", [-1.0, 0.0, 1e12])
async def test_a_broken_clock_at_the_start_leaves_values_to_count(
    tmp_path: Path, time: float
) -> None:
    store = await open_store(tmp_path, now=Clock(time))
    login = await store.write(lambda tx: tx.ensure_login("a"))
    values = [m.uidvalidity for m in await store.read(lambda tx: tx.mailboxes(login.id))]
    assert min(values) >= 1
    assert max(values) < 2**32 - 2**20
    await store.close()


async def test_logins_do_not_see_each_other(home: Home) -> None:
    other = await home.store.write(lambda tx: tx.ensure_login("other"))
    await home.create("mine")
    await home.subscribe("mine too")
    assert [m.name for m in await home.store.read(lambda tx: tx.mailboxes(other.id))] == STANDARD
    assert await home.store.read(lambda tx: tx.subscriptions(other.id)) == STANDARD
    with pytest.raises(NoSuchMailbox):
        await home.store.read(lambda tx: tx.mailbox(other.id, "mine"))
    with pytest.raises(NoSuchMailbox):
        await home.store.write(lambda tx: tx.delete_mailbox(other.id, "mine"))
    with pytest.raises(NoSuchMailbox):
        await home.store.write(lambda tx: tx.rename_mailbox(other.id, "mine", "theirs"))
    with pytest.raises(NoSuchMailbox):
        await home.store.read(lambda tx: tx.mailbox(LoginId(999), "INBOX"))
    await home.store.write(lambda tx: tx.create_mailbox(other.id, "mine"))
    await home.add("mine")
    await home.store.write(lambda tx: tx.rename_mailbox(other.id, "mine", "theirs"))
    assert (await home.mailbox("mine")).messages == 1
    assert "mine too" in await home.subscriptions()


async def test_changes_of_the_set_of_mailboxes_are_told(home: Home) -> None:
    nothing = Change(home.login.id, None, 0)
    for work in (
        home.create("a"),
        home.subscribe("a"),
        home.subscribe("a", False),
        home.rename("a", "b"),
        home.delete("b"),
    ):
        home.told.clear()
        await work
        (changes,) = home.told
        assert nothing in changes


async def test_claim_recent_shows_each_uid_once(home: Home) -> None:
    await home.add(times=2)
    inbox = (await home.mailbox()).id
    assert await home.store.write(lambda tx: tx.claim_recent(inbox)) == 1
    assert await home.store.write(lambda tx: tx.claim_recent(inbox)) == 3
    await home.add()
    assert (await home.mailbox()).first_recent == 3
    assert await home.store.write(lambda tx: tx.claim_recent(inbox)) == 3
    assert (await home.mailbox()).first_recent == 4
    assert await home.store.read(lambda tx: tx.entry_states(inbox, since=4)) == []
    assert len(await home.store.read(lambda tx: tx.rows(inbox, EVERY))) == 3


async def test_a_mailbox_that_is_renumbered(home: Home) -> None:
    """New UIDs in the order asked for, one new UIDVALIDITY, everything else as it was."""
    messages = [home.message() for _ in range(6)]
    for number, message in enumerate(messages):
        await home.add(message=message, flags=number, keywords=["work"] * (number == 3))
    old = await home.mailbox()
    login = home.login.id
    await home.store.write(lambda tx: tx.set_metadata(login, old.id, {"/private/x": b"y"}))
    await home.store.write(lambda tx: tx.expunge(old.id, ((5, 5),), only_deleted=False))
    before = await home.flags()
    home.told.clear()
    order = [messages[n].digest for n in (3, 1, 2)]
    new = await home.store.write(lambda tx: tx.renumber(old.id, 2, order))
    assert new == await home.mailbox()
    assert new.uidvalidity > old.uidvalidity
    assert (new.uidnext, new.messages, new.octets) == (6, 5, (await home.mailbox()).octets)
    # First is left alone (below 2), then 4, 2, 3 in their places, then 6.
    assert await home.flags() == {
        new_uid: before[uid] for new_uid, uid in enumerate((1, 4, 2, 3, 6), 1)
    }
    assert await home.store.read(lambda tx: tx.metadata(login, new.id)) == {"/private/x": b"y"}
    told = {change.mailbox_id for changes in home.told for change in changes}
    assert told >= {old.id, None}
    with pytest.raises(NoSuchMailbox):
        await home.store.read(lambda tx: tx.mailbox_by_id(old.id))
    with pytest.raises(NoSuchMailbox):
        await home.store.write(lambda tx: tx.renumber(old.id, 1, order))
    assert [each.uid for each in await home.add()] == [6]


async def test_an_empty_mailbox_may_be_renumbered_and_keeps_its_use(home: Home) -> None:
    old = await home.mailbox("Archive")
    new = await home.store.write(lambda tx: tx.renumber(old.id, 1, []))
    assert (new.name, new.special_use, new.messages) == ("Archive", old.special_use, 0)
    assert sorted(await home.names()).count("Archive") == 1


async def test_what_lies_below_and_what_is_subscribed(home: Home) -> None:
    login = home.login.id

    def work(tx: WriteTx) -> None:
        for name in ("a/b", "a-c", "a0", "INBOX/lists"):
            tx.create_mailbox(login, name)
        tx.delete_mailbox(login, "a")
        tx.subscribe(login, "a/b", True)

    await home.store.write(work)

    def look(tx: ReadTx) -> dict[str, tuple[bool, bool]]:
        names = ("a", "a/b", "a-c", "A", "INBOX", "inbox", "nowhere")
        return {
            name: (tx.has_children(login, name), tx.is_subscribed(login, name)) for name in names
        }

    assert await home.store.read(look) == {
        "a": (True, False),
        "a/b": (False, True),
        "a-c": (False, False),
        "A": (False, False),
        "INBOX": (True, True),
        "inbox": (True, True),
        "nowhere": (False, False),
    }
