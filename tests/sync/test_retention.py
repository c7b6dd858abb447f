"""Deleting at the provider: never by default, and never what is not safe here.

The oracle: what the server lost was stored, shown or asked to go, verified, and is in the audit;
what it lost and nobody may delete is a wrong DELE, of which there are none.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import pytest

from bridge import limits
from bridge.model import Account, ListedItem, MailboxId, MessageId, Retained, ServerDelete
from bridge.store.api import ReadTx, Store, T, WriteTx
from bridge.sync.poll import Poller
from bridge.sync.retention import DAY, FOREVER, Policy, due
from tests.store.sqlite_only import execute
from tests.support.pop3_server import Item, Pop3Server
from tests.sync.house import NOW, House, mail, maildrop, octets

DAYS_30 = Policy(days=30 * DAY)
DEVICE_7 = Policy(after_device_delete=7 * DAY)


def use(house: House, policy: Policy) -> None:
    house.poller.policies = {house.account.id: policy}


async def days(house: House, server: Pop3Server, count: int) -> None:
    """A poll a day."""
    for _ in range(count):
        house.clock.now += DAY
        report = await house.poll(server)
        assert not report.error


async def audit(house: House) -> list[ServerDelete]:
    return list(await house.store.read(lambda tx: tx.server_deletes()))


async def right(house: House, server: Pop3Server, all_items: list[Item]) -> None:
    """The oracle: every message of the maildrop's history is here, whatever the server lost; and
    it lost what the audit says, nothing else."""
    assert sorted(await house.shown()) == sorted({item.octets for item in all_items})
    confirmed = {each.uidl for each in await audit(house) if each.outcome == "done"}
    assert confirmed == set(server.ledger.deleted)
    left = {item.uidl for item in server.items}
    assert {item.uidl for item in all_items} - left == set(server.ledger.deleted)


async def move(house: House, uid: int, source: str, target: str) -> None:
    def work(tx: WriteTx) -> None:
        login = house.account.login_id
        here, there = tx.mailbox(login, source).id, tx.mailbox(login, target).id
        tx.move(here, ((uid, uid),), there)

    await house.store.write(work)


async def test_after_30_days_here_and_not_before(house: House) -> None:
    use(house, DAYS_30)
    items = maildrop(6)
    async with Pop3Server(items) as server:
        await house.poll(server)
        await days(house, server, 10)
        late = Item(b"late", mail(99))
        server.items.append(late)
        await days(house, server, 20)
        assert server.ledger.count(b"DELE") == 0
        house.clock.now += DAY
        assert (await house.poll(server)).deleted == 6
        assert [item.uidl for item in server.items] == [b"late"]
        await right(house, server, [*items, late])
        assert {each.reason for each in await audit(house)} == {"here for 30 days or more"}
        await days(house, server, 3)  # what went there stays here, and nothing comes back
        await right(house, server, [*items, late])


async def test_only_so_many_octets_a_poll_are_read_back(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(house, DAYS_30)
    items = maildrop(6)
    async with Pop3Server(items) as server:
        await house.poll(server)
        # Less than any message: one is proved all the same, or nothing would ever go.
        monkeypatch.setattr(limits, "DELETE_READ_BACK", 1)
        await days(house, server, 31)
        gone = len(server.ledger.deleted)
        assert gone in (1, 2)
        assert (await house.poll(server)).deleted == 1
        await right(house, server, items)


async def test_a_message_deleted_on_a_device_goes_after_its_grace(house: House) -> None:
    use(house, DEVICE_7)
    items = maildrop(4)
    async with Pop3Server(items) as server:
        await house.poll(server)
        await move(house, 2, "INBOX", "Trash")
        await house.expunge(3)
        await move(house, 4, "INBOX", "Archive")
        await days(house, server, 7)
        assert server.ledger.count(b"DELE") == 0
        # A day after it lost its last entry housekeeping would take its bytes: it is held.
        await house.store.write(lambda tx: tx.purge(2**40))
        await days(house, server, 2)
        assert server.ledger.deleted == [b"u2", b"u3"]
        reasons = {each.reason for each in await audit(house)}
        assert reasons == {"deleted on a device 7 days ago or more"}
        await days(house, server, 10)
        assert server.ledger.deleted == [b"u2", b"u3"]
        assert await house.store.write(lambda tx: tx.purge(2**40)) == 1


async def test_a_message_that_is_restored_in_time_stays(house: House) -> None:
    use(house, DEVICE_7)
    async with Pop3Server(maildrop(3)) as server:
        await house.poll(server)
        await move(house, 2, "INBOX", "Trash")
        await days(house, server, 6)
        await move(house, 1, "Trash", "INBOX")
        await days(house, server, 3)
        await move(house, 4, "INBOX", "Trash")  # and the grace begins anew
        await days(house, server, 6)
        assert server.ledger.count(b"DELE") == 0


async def test_a_policy_that_is_taken_back_deletes_nothing_and_holds_nothing(house: House) -> None:
    use(house, DEVICE_7)
    async with Pop3Server(maildrop(3)) as server:
        await house.poll(server)
        await house.expunge(1)
        await days(house, server, 5)
        use(house, FOREVER)
        await days(house, server, 30)
        assert server.ledger.count(b"DELE") == 0
        assert await house.store.write(lambda tx: tx.purge(2**40)) == 1


async def test_max_size_takes_the_oldest_and_never_what_is_new(house: House) -> None:
    items = [Item(b"u%d" % n, mail(n, size=1000)) for n in range(1, 11)]
    size = len(items[0].octets)
    use(house, Policy(max_size=6 * size + 100))
    async with Pop3Server(items) as server:
        await house.poll(server)
        await house.poll(server)
        assert server.ledger.count(b"DELE") == 0
        await days(house, server, 2)
        assert server.ledger.deleted == [b"u1", b"u2", b"u3", b"u4"]
        await days(house, server, 3)
        assert len(server.ledger.deleted) == 4
        await right(house, server, items)


async def test_a_message_that_does_not_verify_stays(house: House) -> None:
    use(house, DAYS_30)
    async with Pop3Server(maildrop(3)) as server:
        await house.poll(server)
        await execute(
            house.store,
            "UPDATE message_chunk SET octets = zeroblob(length(octets)) WHERE message_id = 2",
        )
        await days(house, server, 32)
        assert server.ledger.deleted == [b"u1", b"u3"]
        await execute(house.store, "DELETE FROM message_chunk WHERE message_id = 2")
        await days(house, server, 2)
        assert server.ledger.deleted == [b"u1", b"u3"]
        # The provider still had it, so that it is whole again.
        assert await house.shown() == [mail(number) for number in (1, 2, 3)]


async def test_a_refused_dele_is_noted_and_the_others_go(house: House) -> None:
    use(house, DAYS_30)
    async with Pop3Server(maildrop(3)) as server:
        await house.poll(server)
        await days(house, server, 30)
        server.replies[b"DELE 2"] = b"-ERR locked\r\n"
        house.clock.now += DAY
        assert (await house.poll(server)).deleted == 2
        outcomes = {each.uidl: each.outcome for each in await audit(house)}
        assert outcomes == {b"u1": "done", b"u2": "refused", b"u3": "done"}


async def test_numbers_that_shift_delete_no_other_message(house: House) -> None:
    use(house, DAYS_30)
    items = maildrop(6)
    async with Pop3Server(items) as server:
        await house.poll(server)
        await days(house, server, 29)
        server.items = [*items[3:], Item(b"new", mail(50)), *items[1:2]]
        await days(house, server, 2)
        assert sorted(server.ledger.deleted) == [b"u2", b"u4", b"u5", b"u6"]
        assert [item.uidl for item in server.items] == [b"new"]


async def test_an_alarm_deletes_nothing(house: House) -> None:
    use(house, DAYS_30)
    items = maildrop(40)
    async with Pop3Server(items) as server:
        await house.poll(server)
        await days(house, server, 30)
        server.items = maildrop(40, b"reset")
        house.clock.now += DAY
        await house.poll(server)
        assert server.ledger.count(b"DELE") == 0
        assert (await house.poll(server)).deleted == 40  # its age is that of the message
        assert len(await house.shown()) == 40


async def test_what_the_provider_deletes_is_not_deleted_here(house: House) -> None:
    use(house, Policy(DAYS_30.days, 7 * DAY, 10**9))
    items = maildrop(30)
    async with Pop3Server(items) as server:
        await house.poll(server)
        for gone in range(1, 31):
            server.items = items[gone:]
            await days(house, server, 1)
        assert await house.shown() == octets(items)


async def test_a_provider_that_does_not_keep_is_warned_of_once(house: House) -> None:
    async with Pop3Server(maildrop(2), extra_capabilities=[b"EXPIRE 0"]) as server:
        await house.poll(server)
        assert "does NOT keep mail" in (await house.state()).notice
        house.clock.now += 8 * DAY
        await house.reopened()
        await house.poll(server)
        assert (await house.state()).notice == ""


async def test_a_preview_asks_nobody_and_tells_the_same(house: House) -> None:
    use(house, DAYS_30)
    async with Pop3Server(maildrop(5)) as server:
        await house.poll(server)
        await days(house, server, 30)
        house.clock.now += DAY
        use(house, FOREVER)
        await house.poll(server)
        use(house, DAYS_30)
        sessions = len(server.ledger.sessions)
        planned = await house.poller.preview(house.account)
        assert len(server.ledger.sessions) == sessions
        assert [(each.uidl, each.outcome) for each in planned] == [
            (b"u%d" % n, "planned") for n in range(1, 6)
        ]
        assert planned[0].digest == hashlib.sha256(mail(1)).digest()
        assert (await house.poll(server)).deleted == 5


async def test_what_a_device_takes_back_at_the_last_moment_stays(house: House) -> None:
    """Between the decision and the audit a device restores it."""

    class Restoring:
        def __init__(self, store: Store) -> None:
            self.write = store.write
            self._store = store

        async def read(self, work: Callable[[ReadTx], T]) -> T:
            found = await self._store.read(work)
            if found == len(mail(2)):  # the read-back has verified it
                await move(house, 1, "Trash", "INBOX")
            return found

    use(house, DEVICE_7)
    async with Pop3Server(maildrop(3)) as server:
        await house.poll(server)
        await move(house, 2, "INBOX", "Trash")
        await days(house, server, 7)
        store: Any = Restoring(house.store)
        house.poller = Poller(store, wall=house.clock, spool_dir=house.data)
        use(house, DEVICE_7)
        await days(house, server, 1)
        assert len(await house.shown()) == 3
        assert server.ledger.count(b"DELE") == 0
        assert await audit(house) == []


async def test_an_account_that_moves_to_another_login_deletes_nothing(house: House) -> None:
    """What is stored stays with the old login, and counts as kept there."""
    use(house, DEVICE_7)

    def move_house(tx: WriteTx) -> Account:
        return tx.ensure_account(house.account.address, tx.ensure_login("family").id, "INBOX")

    async with Pop3Server(maildrop(5)) as server:
        await house.poll(server)
        house.account = await house.store.write(move_house)
        await days(house, server, 20)
        assert server.ledger.count(b"DELE") == 0


# --- values -----------------------------------------------------------------------------


def kept(number: int, **changes: object) -> Retained:
    facts = {
        "id": number,
        "uidl": b"u%d" % number,
        "size": 100,
        "digest": b"d",
        "settled_at": NOW - 40 * DAY,
        "settled_watched": 0,
        "deleted_at": None,
        "deleted_watched": None,
        "kept_on_device": True,
        "message_id": MessageId(number),
        **changes,
    }
    return Retained(**facts)  # type: ignore[arg-type]  # fields by name


LISTING = [ListedItem(n, b"u%d" % n, 100) for n in (1, 2, 3)]
SPOKEN = {1: 1, 2: 2, 3: 3}
ITEMS = [kept(1), kept(2), kept(3)]


def doomed(policy: Policy, items: list[Retained], watched: int = 40 * DAY) -> list[int]:
    return [each.line.number for each in due(policy, LISTING, SPOKEN, items, NOW, watched)]


def test_both_clocks_must_agree() -> None:
    assert doomed(DAYS_30, ITEMS) == [1, 2, 3]
    assert doomed(DAYS_30, ITEMS, watched=29 * DAY) == []
    young = [kept(n, settled_at=NOW - 29 * DAY) for n in (1, 2, 3)]
    assert doomed(DAYS_30, young, watched=9999 * DAY) == []


@pytest.mark.parametrize(
    "changes", [{"message_id": None}, {"uidl": None}, {"uidl": b"other"}, {"id": 9}]
)
def test_what_is_not_beyond_question_stays(changes: dict[str, object]) -> None:
    assert doomed(DAYS_30, [kept(1), kept(2, **changes), kept(3)]) == [1, 3]


def test_by_default_nothing_is_due() -> None:
    assert doomed(FOREVER, ITEMS) == []


async def test_the_age_of_a_message_is_that_of_its_first_item(house: House) -> None:
    def work(tx: WriteTx) -> list[int]:
        for uidl, now in ((b"old", 1000), (b"new", 2000)):
            tx.settle_item(house.account.id, ListedItem(1, uidl, 5), b"d" * 32, b"f" * 32, now)
        return [each.settled_at for each in tx.retained(house.account.id)]

    assert await house.store.write(work) == [1000, 1000]


async def test_a_trash_by_any_name_is_found_by_its_use(house: House) -> None:
    use(house, DEVICE_7)

    def look(tx: ReadTx) -> list[bool]:
        return [bool(each.kept_on_device) for each in tx.retained(house.account.id)]

    async with Pop3Server(maildrop(2)) as server:
        await house.poll(server)
        await house.store.write(
            lambda tx: tx.rename_mailbox(house.account.login_id, "Trash", "Papierkorb")
        )
        await move(house, 1, "INBOX", "Papierkorb")
        assert await house.store.read(look) == [False, True]
        box: MailboxId = (
            await house.store.read(lambda tx: tx.mailbox(house.account.login_id, "Papierkorb"))
        ).id
        await house.store.write(lambda tx: tx.set_special_use(box, None))
        assert await house.store.read(look) == [True, True]
