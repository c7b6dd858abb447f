"""No step of the event loop does much, whatever one device asks for: counted, not timed."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from bridge.bus import Bus
from bridge.imap import finding
from bridge.imap.commands import list as listing
from bridge.imap.mailboxes import OpenMailboxes
from bridge.imap.matching import Plan
from bridge.imap.protocol.list import List
from bridge.imap.view import SLICE, Facts, View
from bridge.model import Flag
from tests.support.endpoint import PASSWORD, Core
from tests.support.memory_store import BOX, LOGIN, MemoryStore, MemoryTx

MESSAGES = 5 * SLICE
ALL = ((1, MESSAGES),)


def _fill(tx: MemoryTx) -> None:
    for _ in range(MESSAGES):
        tx.append()


class House:
    """A mailbox of many messages, and a client that has it open."""

    def __init__(self) -> None:
        bus = Bus()
        self.store = MemoryStore(bus)
        self.store.change(_fill)
        self.mailboxes = OpenMailboxes(self.store.as_store(), bus)

    async def view(self) -> View:
        return View(await self.mailboxes.open(LOGIN, "INBOX", lambda: None), read_only=False)


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many messages were put into words at once."""
    counts: list[int] = []
    lines = View.lines

    def count(self: View, facts: Facts, *, with_uid: bool, flags: bool = True) -> bytes:
        counts.append(len(facts.numbers))
        return lines(self, facts, with_uid=with_uid, flags=flags)

    monkeypatch.setattr(View, "lines", count)
    return counts


async def test_changed_flags_are_put_into_words_slice_by_slice(written: list[int]) -> None:
    house = House()
    told = await house.view()
    house.store.change(lambda tx: tx.store_flags(BOX, ALL, "add", Flag.SEEN))
    await told.mailbox.refresh()
    pieces = told.updates(may_expunge=True, with_uid=True)
    assert written == [SLICE]  # the others wait until they are taken
    # What comes later is told later: as of now, whenever it is taken.
    house.store.change(lambda tx: tx.store_flags(BOX, ALL, "add", Flag.FLAGGED))
    await told.mailbox.refresh()
    told.tell(modseq=True, vanished=False, rev2=False)
    said = b"".join(pieces)
    assert written == [SLICE] * (MESSAGES // SLICE)
    assert said.count(b" FETCH (FLAGS (\\Seen) UID ") == MESSAGES
    assert b"Flagged" not in said
    again = b"".join(told.updates(may_expunge=True, with_uid=True))
    assert again.count(b" FETCH (FLAGS (\\Flagged \\Seen) UID ") == MESSAGES


async def test_every_other_message_is_told_in_slices_too(written: list[int]) -> None:
    house = House()
    told = await house.view()
    odd = [(uid, uid) for uid in range(1, MESSAGES, 2)]
    house.store.change(lambda tx: tx.store_flags(BOX, odd, "add", Flag.SEEN))
    await told.mailbox.refresh()
    said = b"".join(told.updates(may_expunge=True, with_uid=False))
    assert max(written) == SLICE
    assert said.splitlines() == [b"* %d FETCH (FLAGS (\\Seen))" % uid for uid, _ in odd]


async def test_expunges_are_put_into_words_one_by_one() -> None:
    house = House()
    told = await house.view()
    house.store.change(lambda tx: tx.expunge(BOX, [(1, MESSAGES - 1)], only_deleted=False))
    await told.mailbox.refresh()
    pieces = told.updates(may_expunge=True, with_uid=False)
    assert list(told.uids) == [MESSAGES]  # settled before the first is taken
    assert list(pieces) == [b"* %d EXPUNGE\r\n" % at for at in range(MESSAGES - 1, 0, -1)]


async def test_a_search_of_many_headers_is_planned_on_a_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finding, "MANY", 2)
    monkeypatch.setattr(finding, "ROWS", 1)
    loops: list[bool] = []
    made = Plan.__init__

    def note(self: Plan, *given: object) -> None:
        loops.append(threading.current_thread() is threading.main_thread())
        made(self, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(Plan, "__init__", note)
    async with Core(tmp_path) as core:
        client = await core.connect()
        await client.response()
        await client.command(f'a LOGIN alice "{PASSWORD}"')
        for number in range(4):
            message = f"From: x{number % 2}\r\n\r\n"
            await client.send(f"b APPEND INBOX {{{len(message)}+}}\r\n{message}\r\n".encode())
            while not str((await client.response())[0]).startswith("b "):
                pass
        await client.command("c SELECT INBOX")
        assert (await client.command("d SEARCH FROM x1"))[0] == ["* SEARCH 2 4"]
    # The first looks at flags and numbers alone.
    assert loops == [True, False]


async def test_very_many_mailboxes_are_chosen_on_a_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "MANY", 3)
    loops: list[bool] = []
    matching = listing._matching

    def note(names: Sequence[str], value: List) -> list[str]:
        loops.append(threading.current_thread() is threading.main_thread())
        return matching(names, value)

    monkeypatch.setattr(listing, "_matching", note)
    async with Core(tmp_path) as core:
        client = await core.connect()
        await client.response()
        await client.command(f'a LOGIN alice "{PASSWORD}"')
        found = await client.command('b LIST "" IN*')
        assert len(found) == 2
        await client.command('c LIST "" IN* RETURN (CHILDREN)')
        await client.command('d LSUB "" *')
    assert loops == [False, False, False]


async def test_a_long_answer_lets_others_have_their_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Core(tmp_path) as core:
        client = await core.connect()
        await client.response()
        session = next(iter(core._tasks.values()))
        monkeypatch.setattr("bridge.imap.session.TURN_SECONDS", 0.0)
        turns = 0
        over = False

        async def other() -> None:
            nonlocal turns
            while not over:
                turns += 1
                await asyncio.sleep(0)

        beside = asyncio.create_task(other())
        await session.send_many(b"* %d EXISTS\r\n" % number for number in range(100))
        over = True
        await beside
        assert turns >= 100
