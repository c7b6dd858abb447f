"""Accounts, the state that a person reads, and settled maildrop items."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bridge.model import Account, AccountState, KnownItem, ListedItem, Poison, ServerDelete
from bridge.store.api import StoreError, WriteTx
from tests.store.conftest import Home
from tests.store.sqlite_only import execute


async def account(home: Home, address: str = "me@gmx.de", mailbox: str = "INBOX") -> Account:
    return await home.store.write(lambda tx: tx.ensure_account(address, home.login.id, mailbox))


async def settle(home: Home, owner: Account, *uidls: bytes | None, now: int = 1000) -> list[int]:
    def work(tx: WriteTx) -> list[int]:
        return [
            tx.settle_item(
                owner.id,
                ListedItem(number, uidl, 10 * number),
                bytes([number]) * 32,
                bytes([100 + number]) * 32,
                now,
            )
            for number, uidl in enumerate(uidls, 1)
        ]

    return await home.store.write(work)


async def known(home: Home, owner: Account) -> dict[int, tuple[int, int]]:
    """Item -> (listed_at, missed_polls)."""
    items = await home.store.read(lambda tx: tx.maildrop(owner.id))
    return {item.id: (item.listed_at, item.missed_polls) for item in items}


async def test_an_account_is_found_again_and_follows_the_config(home: Home) -> None:
    made = await account(home)
    assert made == Account(made.id, "me@gmx.de", home.login.id, "INBOX")
    assert await account(home) == made
    other = await home.store.write(lambda tx: tx.ensure_login("family"))
    moved = await home.store.write(lambda tx: tx.ensure_account("me@gmx.de", other.id, "a/b"))
    assert (moved.id, moved.login_id, moved.mailbox) == (made.id, other.id, "a/b")
    assert await home.store.read(lambda tx: tx.accounts()) == [moved]
    assert await home.store.read(lambda tx: tx.mailbox(other.id, "a/b"))
    assert "a/b" in await home.store.read(lambda tx: tx.subscriptions(other.id))


async def test_two_accounts_may_share_a_login(home: Home) -> None:
    await account(home, "one@example.org")
    await account(home, "two@example.org", "inbox")
    found = await home.store.read(lambda tx: tx.accounts())
    assert [(a.address, a.login_id, a.mailbox) for a in found] == [
        ("one@example.org", home.login.id, "INBOX"),
        ("two@example.org", home.login.id, "INBOX"),
    ]


async def test_the_state_of_an_account_is_kept(home: Home) -> None:
    owner = await account(home)
    fresh = AccountState("me@gmx.de")
    assert await home.store.read(lambda tx: tx.account_states()) == [fresh]
    bad = AccountState("me@gmx.de", None, 7, 0, 0, 2, "wrong password", "auth", "log in")
    await home.store.write(lambda tx: tx.record_poll(owner.id, bad))
    assert await home.store.read(lambda tx: tx.account_states()) == [bad]
    await settle(home, owner, b"a", b"b", b"c")
    good = AccountState("me@gmx.de", last_success=9, last_attempt=9, listed=3, stored=99)
    await home.store.write(lambda tx: tx.record_poll(owner.id, good))
    assert await home.store.read(lambda tx: tx.account_states()) == [replace(good, stored=3)]


async def test_items_are_known_as_they_were_settled(home: Home) -> None:
    """RFC 1939 7: two messages of one maildrop may share a UIDL; some have none."""
    owner, other = await account(home), await account(home, "other@gmx.de")
    ids = await settle(home, owner, b"same", b"same", None, bytes(range(256)))
    items = await home.store.read(lambda tx: tx.maildrop(owner.id))
    assert items == [
        KnownItem(ids[0], b"same", 10, b"\1" * 32, bytes([101]) * 32, 1000, 0),
        KnownItem(ids[1], b"same", 20, b"\2" * 32, bytes([102]) * 32, 1000, 0),
        KnownItem(ids[2], None, 30, b"\3" * 32, bytes([103]) * 32, 1000, 0),
        KnownItem(ids[3], bytes(range(256)), 40, b"\4" * 32, bytes([104]) * 32, 1000, 0),
    ]
    assert await home.store.read(lambda tx: tx.maildrop(other.id)) == []


async def test_a_missed_item_counts_polls_until_it_is_back(home: Home) -> None:
    owner, other = await account(home), await account(home, "other@gmx.de")
    a, b = await settle(home, owner, b"a", b"b", now=1000)
    (theirs,) = await settle(home, other, b"a", now=1000)

    async def poll(now: int, *listed: int) -> dict[int, tuple[int, int]]:
        await home.store.write(lambda tx: tx.mark_listing(owner.id, listed, now))
        return await known(home, owner)

    assert await poll(2000, a, b) == {a: (2000, 0), b: (2000, 0)}
    assert await poll(3000, a) == {a: (3000, 0), b: (2000, 1)}
    assert await poll(4000, a) == {a: (4000, 0), b: (2000, 2)}
    assert await poll(5000) == {a: (4000, 1), b: (2000, 3)}
    assert await poll(6000, b, 4711) == {a: (4000, 2), b: (6000, 0)}
    assert await poll(7000, b, theirs) == {a: (4000, 3), b: (7000, 0)}
    (c,) = await settle(home, owner, b"c", now=7500)
    assert (await known(home, owner))[c] == (7500, 0)
    assert await poll(8000, a, b) == {a: (8000, 0), b: (8000, 0), c: (7500, 1)}
    assert await known(home, other) == {theirs: (1000, 0)}


async def test_a_relinked_item_is_listed_again(home: Home) -> None:
    owner = await account(home)
    a, b = await settle(home, owner, b"a", b"b")
    await home.store.write(lambda tx: tx.mark_listing(owner.id, [b], 2000))
    await home.store.write(lambda tx: tx.relink_item(a, ListedItem(1, b"new", None), 3000))
    items = await home.store.read(lambda tx: tx.maildrop(owner.id))
    assert (items[0].uidl, items[0].size, items[0].digest) == (b"new", None, b"\1" * 32)
    assert await known(home, owner) == {a: (3000, 0), b: (2000, 0)}
    with pytest.raises(StoreError):
        await home.store.write(lambda tx: tx.relink_item(4711, ListedItem(1, b"x", 1), 3000))


async def test_a_poll_without_news_writes_no_item(home: Home) -> None:
    owner = await account(home)
    ids = await settle(home, owner, *[b"%d" % n for n in range(1, 50)])
    await home.store.write(lambda tx: tx.mark_listing(owner.id, ids, 2000))
    ((before,),) = await execute(home.store, "SELECT total_changes()")
    await home.store.write(lambda tx: tx.mark_listing(owner.id, ids, 3000))
    assert await execute(home.store, "SELECT total_changes() - ?", before) == [(1,)]
    assert set((await known(home, owner)).values()) == {(3000, 0)}


async def test_forgotten_items_are_gone_and_their_ids_too(home: Home) -> None:
    owner = await account(home)
    a, b, c = await settle(home, owner, b"a", b"b", b"c")
    await home.store.write(lambda tx: tx.forget_items([a, c, 4711]))
    assert list(await known(home, owner)) == [b]
    (d,) = await settle(home, owner, b"d")
    assert d > c


async def test_an_item_outlives_its_message(home: Home) -> None:
    """P068, P069: the tombstone of an expunged message keeps digest and fingerprint."""
    owner = await account(home)
    message = home.message()
    await home.add(message=message)

    def work(tx: WriteTx) -> int:
        return tx.settle_item(
            owner.id,
            ListedItem(1, b"a", 5),
            message.digest,
            message.structure.fingerprint,
            1000,
        )

    await home.store.write(work)
    inbox = (await home.mailbox()).id
    await home.store.write(lambda tx: tx.expunge(inbox, [(1, 1)], only_deleted=False))
    assert await home.store.write(lambda tx: tx.purge(int(home.clock.time) + 1)) == 1
    (item,) = await home.store.read(lambda tx: tx.maildrop(owner.id))
    assert (item.digest, item.fingerprint) == (message.digest, message.structure.fingerprint)


async def test_headers_and_age_of_an_item(home: Home) -> None:
    owner = await account(home)

    def work(tx: WriteTx) -> None:
        for uidl, now, headers in ((b"a", 1000, b"h" * 16), (b"b", 2000, None)):
            line = ListedItem(1, uidl, 5)
            tx.settle_item(owner.id, line, b"d" * 32, b"f" * 32, now, headers=headers)

    await home.store.write(work)
    items = await home.store.read(lambda tx: tx.maildrop(owner.id))
    assert [item.headers for item in items] == [b"h" * 16, None]
    kept = await home.store.read(lambda tx: tx.retained(owner.id))
    assert [(item.uidl, item.settled_at) for item in kept] == [(b"a", 1000), (b"b", 1000)]
    assert [(item.message_id, bool(item.kept_on_device)) for item in kept] == [(None, False)] * 2


@pytest.mark.parametrize(
    ("times", "watched"),
    [
        ([1000, 1900, 2800], 1800),
        ([1000, 1000 + 10 * 365 * 86_400], 86_400),  # P064: a clock that jumps
        ([1000, 5000, 900, 1800], 4900),  # and back
        ([1000], 0),
    ],
)
async def test_the_clock_of_an_account_is_moved_by_polls(
    home: Home, times: list[int], watched: int
) -> None:
    owner = await account(home)
    for now in times:
        state = AccountState("me@gmx.de", last_success=now, last_attempt=now)
        await home.store.write(lambda tx, state=state: tx.record_poll(owner.id, state))  # type: ignore[misc]  # a default binds the loop's value
    assert await home.store.read(lambda tx: tx.watched(owner.id)) == watched


async def test_what_no_device_keeps_is_marked_and_its_bytes_are_held(home: Home) -> None:
    owner = await account(home)
    message = home.message()
    await home.add(message=message)
    digest, fingerprint = message.digest, message.structure.fingerprint

    def settle_one(tx: WriteTx) -> int:
        return tx.settle_item(owner.id, ListedItem(1, b"a", 5), digest, fingerprint, 1000)

    item = await home.store.write(settle_one)
    (kept,) = await home.store.read(lambda tx: tx.retained(owner.id))
    assert (bool(kept.kept_on_device), kept.deleted_at) == (True, None)
    inbox = (await home.mailbox()).id
    await home.store.write(lambda tx: tx.expunge(inbox, [(1, 1)], only_deleted=False))
    await home.store.write(lambda tx: tx.mark_deleted(owner.id, [item], [], 5000))
    await home.store.write(lambda tx: tx.mark_deleted(owner.id, [item], [], 6000))
    (kept,) = await home.store.read(lambda tx: tx.retained(owner.id))
    assert (bool(kept.kept_on_device), kept.deleted_at) == (False, 5000)
    later = int(home.clock.time) + 1
    assert await home.store.write(lambda tx: tx.purge(later)) == 0
    await home.store.write(lambda tx: tx.mark_deleted(owner.id, [], [item], 7000))
    assert await home.store.write(lambda tx: tx.purge(later)) == 1
    (kept,) = await home.store.read(lambda tx: tx.retained(owner.id))
    assert (kept.deleted_at, kept.message_id) == (None, None)


async def test_bytes_are_not_held_for_what_is_no_longer_listed(home: Home) -> None:
    owner = await account(home)
    message = home.message()
    await home.add(message=message)
    digest, fingerprint = message.digest, message.structure.fingerprint
    item = await home.store.write(
        lambda tx: tx.settle_item(owner.id, ListedItem(1, b"a", 5), digest, fingerprint, 1000)
    )
    inbox = (await home.mailbox()).id
    await home.store.write(lambda tx: tx.expunge(inbox, [(1, 1)], only_deleted=False))
    await home.store.write(lambda tx: tx.mark_deleted(owner.id, [item], [], 5000))
    await home.store.write(lambda tx: tx.mark_listing(owner.id, [], 6000))
    assert await home.store.read(lambda tx: tx.retained(owner.id)) == []
    assert await home.store.write(lambda tx: tx.purge(int(home.clock.time) + 1)) == 1


async def test_poisons_are_added_changed_and_forgotten(home: Home) -> None:
    owner, other = await account(home), await account(home, "other@gmx.de")
    for uidl in (b"a", None):
        row = Poison(0, uidl, 5, 1, 1000, "no \ud800", None)
        await home.store.write(lambda tx, row=row: tx.note_poison(owner.id, row))  # type: ignore[misc]  # a default binds the loop's value
    first, second = await home.store.read(lambda tx: tx.poisons(owner.id))
    assert (first.uidl, first.said, second.uidl) == (b"a", "no ?", None)
    worse = replace(first, failures=3, next_try=9000, said="never", stub=b"d" * 32)
    await home.store.write(lambda tx: tx.note_poison(owner.id, worse))
    await home.store.write(lambda tx: tx.forget_poison(second.id))
    assert await home.store.read(lambda tx: tx.poisons(owner.id)) == [worse]
    assert await home.store.read(lambda tx: tx.poisons(other.id)) == []


async def test_the_audit_of_deletes_is_kept_the_newest_first(home: Home) -> None:
    rows = [
        ServerDelete("me@gmx.de", 1000, b"a", 5, b"d" * 32, "old", "asked"),
        ServerDelete("you@web.de", 2000, b"b", None, b"e" * 32, "old", "asked"),
    ]
    one, two = await home.store.write(lambda tx: tx.log_deletes(rows))
    await home.store.write(lambda tx: tx.set_outcome([two], "done"))
    done = replace(rows[1], outcome="done")
    assert await home.store.read(lambda tx: tx.server_deletes()) == [done, rows[0]]
    assert await home.store.read(lambda tx: tx.server_deletes("me@gmx.de")) == [rows[0]]
    assert await home.store.read(lambda tx: tx.server_deletes(most=1)) == [done]
    assert one < two


async def test_a_memory_and_an_alert_are_kept_by_account(home: Home) -> None:
    owner, other = await account(home), await account(home, "other@gmx.de")
    assert await home.store.read(lambda tx: tx.memory(owner.id)) == ""
    await home.store.write(lambda tx: tx.remember(owner.id, "{}"))
    await home.store.write(lambda tx: tx.set_alert(owner.id, ("auth", b"d" * 32)))
    await home.store.write(lambda tx: tx.set_alert(owner.id, ("store", b"e" * 32)))
    assert await home.store.read(lambda tx: tx.memory(owner.id)) == "{}"
    assert await home.store.read(lambda tx: tx.alert(owner.id)) == ("store", b"e" * 32)
    assert await home.store.read(lambda tx: tx.memory(other.id)) == ""
    assert await home.store.read(lambda tx: tx.alert(other.id)) is None
    await home.store.write(lambda tx: tx.set_alert(owner.id, None))
    assert await home.store.read(lambda tx: tx.alert(owner.id)) is None


async def test_a_message_is_withdrawn_from_every_mailbox_of_its_login(home: Home) -> None:
    message = home.message()
    await home.add(message=message)
    await home.add("Archive", message=message)
    await home.add()
    other = await home.store.write(lambda tx: tx.ensure_login("family"))

    def theirs(tx: WriteTx) -> None:
        number = tx.add_message(message)
        tx.add_entry(tx.mailbox(other.id, "INBOX").id, number, internaldate=1)

    await home.store.write(theirs)
    login = home.login.id
    assert await home.store.write(lambda tx: tx.withdraw(login, message.digest)) == 2
    assert await home.store.write(lambda tx: tx.withdraw(login, message.digest)) == 0
    assert (await home.mailbox()).messages == 1
    assert (await home.mailbox("Archive")).messages == 0
    assert (await home.store.read(lambda tx: tx.mailbox(other.id, "INBOX"))).messages == 1


async def test_a_state_keeps_its_notice_and_its_interval(home: Home) -> None:
    owner = await account(home)
    state = AccountState("me@gmx.de", 9, 9, notice="new ids", least_interval=900)
    await home.store.write(lambda tx: tx.record_poll(owner.id, state))
    assert await home.store.read(lambda tx: tx.account_states()) == [state]
