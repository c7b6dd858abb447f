"""What is read ahead: the next message, the next piece; once a device goes on, and not much."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar, cast

import pytest

from bridge import limits
from bridge.imap.ahead import Ahead, Asked, Held, NotHeld
from bridge.imap.protocol.fetch import Item, Section, Simple
from bridge.model import EntryRow, MailboxId, MessageId
from bridge.store.api import ReadTx, Store, StoreDamaged, StoreError, WriteTx
from tests.support.endpoint import PASSWORD, Endpoint
from tests.support.imap_client import Client, Server
from tests.support.messages import new_message

T = TypeVar("T")
LINES = b"0123456789abcdef\r\n"
PIECE = 64 * 1024
WHOLE = Section((), "", (), True, None, b"BODY[]")
BOX = MailboxId(7)


def message(number: int, octets: int = 5_000) -> bytes:
    return b"Subject: %d\r\n\r\n" % number + LINES * (octets // len(LINES))


@pytest.fixture
async def endpoint(tmp_path: Path) -> AsyncIterator[Endpoint]:
    async with Endpoint(tmp_path) as endpoint:
        yield endpoint


async def opened(endpoint: Endpoint) -> Client:
    client = await Client.connect(Server("127.0.0.1", endpoint.port, {}))
    await client.response()
    await client.command(f'a LOGIN alice "{PASSWORD}"')
    await client.command("b SELECT INBOX")
    return client


async def store(endpoint: Endpoint, *messages: bytes) -> None:
    def work(tx: WriteTx) -> None:
        box = tx.mailbox(tx.ensure_login("alice").id, "INBOX")
        for octets in messages:
            tx.add_entry(box.id, tx.add_message(new_message(octets)), internaldate=0)

    await endpoint.store.write(work)


@pytest.fixture
def reads(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> list[None]:
    """Grows with each visit to the store that reads."""
    counted: list[None] = []
    read = endpoint.store.read

    async def noted(work: Callable[[ReadTx], T]) -> T:
        counted.append(None)
        return await read(work)

    monkeypatch.setattr(endpoint.store, "read", noted)
    return counted


async def literal(client: Client, command: str) -> bytes:
    heard = await client.command(f"c {command}")
    assert str(heard[-1][0]).startswith("c OK"), heard
    found = heard[0][1]
    assert isinstance(found, bytes)
    return found


async def test_message_by_message(
    endpoint: Endpoint, reads: list[None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the third on each is there when it is asked for, several of one visit."""
    monkeypatch.setattr(limits, "READ_AHEAD_MESSAGES", 4)
    messages = [message(number) for number in range(12)]
    await store(endpoint, *messages)
    client = await opened(endpoint)
    reads.clear()
    for number, octets in enumerate(messages, 1):
        assert await literal(client, f"FETCH {number} (FLAGS BODY.PEEK[])") == octets
    assert len(reads) == 2 + 3
    client.close()


async def test_piece_by_piece(endpoint: Endpoint, reads: list[None]) -> None:
    octets = message(1, 3 * limits.CHUNK)
    await store(endpoint, octets)
    client = await opened(endpoint)
    reads.clear()
    pieces = [
        await literal(client, f"UID FETCH 1 (BODY.PEEK[]<{start}.{PIECE}>)")
        for start in range(0, len(octets), PIECE)
    ]
    assert b"".join(pieces) == octets
    # Two to see how it goes on; then what each visit reaches.
    assert len(reads) == 2 + -(-len(octets) // limits.READ_AHEAD_OCTETS)
    client.close()


async def test_who_jumps_about_makes_nothing_be_read(endpoint: Endpoint, reads: list[None]) -> None:
    messages = [message(number) for number in range(6)]
    await store(endpoint, *messages)
    client = await opened(endpoint)
    reads.clear()
    order = [1, 4, 2, 6, 3, 5]
    for number in order:
        assert await literal(client, f"FETCH {number} BODY.PEEK[]") == messages[number - 1]
    assert len(reads) == len(order)
    client.close()


async def test_what_was_read_ahead_and_expunged_is_not_told(endpoint: Endpoint) -> None:
    await store(endpoint, *[message(number) for number in range(4)])
    client, other = await opened(endpoint), await opened(endpoint)
    for number in (1, 2):
        await literal(client, f"FETCH {number} BODY.PEEK[]")
    await other.command("d UID STORE 3 +FLAGS.SILENT (\\Deleted)")
    await other.command("e EXPUNGE")
    heard = await client.command("f FETCH 3 BODY.PEEK[]")
    assert heard == [["f NO [EXPUNGEISSUED] Some of the messages were expunged meanwhile"]]
    client.close()
    other.close()


async def test_flags_are_those_of_now(endpoint: Endpoint) -> None:
    messages = [message(number) for number in range(3)]
    await store(endpoint, *messages)
    client, other = await opened(endpoint), await opened(endpoint)
    for number in (1, 2):
        await literal(client, f"FETCH {number} (FLAGS BODY.PEEK[])")
    await other.command("d STORE 3 +FLAGS.SILENT (\\Flagged)")
    await client.command("n NOOP")
    heard = await client.command("f FETCH 3 (FLAGS BODY.PEEK[])")
    assert str(heard[0][0]).startswith("* 3 FETCH (FLAGS (\\Flagged")
    client.close()
    other.close()


def asked(position: int, section: Section = WHOLE, *others: Item) -> Asked:
    found = Asked.of(position, position + 10, (*others, section))
    assert found is not None
    return found


def piece(first: int, length: int, path: tuple[int, ...] = ()) -> Section:
    return replace(WHOLE, path=path, partial=(first, length))


@pytest.mark.parametrize(
    ("before", "now", "follows"),
    [
        (asked(1), asked(2), True),
        (asked(1), asked(3), False),
        (asked(2), asked(1), False),
        (asked(1), asked(2, WHOLE, Simple("FLAGS")), False),
        (asked(1, piece(0, 10)), asked(1, piece(10, 99)), True),
        (asked(1, piece(0, 10)), asked(1, piece(20, 10)), False),
        (asked(1, piece(0, 10)), asked(2, piece(10, 10)), False),
        (asked(1, piece(0, 10, (2,))), asked(1, piece(10, 10)), False),
        (None, asked(1), False),
    ],
)
def test_what_follows(before: Asked | None, now: Asked, follows: bool) -> None:
    assert now.follows(before) is follows


@pytest.mark.parametrize(
    "items",
    [
        (Simple("FLAGS"),),
        (WHOLE, replace(WHOLE, text="HEADER")),
        (replace(WHOLE, text="HEADER.FIELDS", fields=(b"from",)),),
        (replace(WHOLE, rev2=True),),
    ],
)
def test_what_is_never_foreseen(items: tuple[Item, ...]) -> None:
    assert Asked.of(0, 1, items) is None


def test_only_what_is_held_is_given() -> None:
    held = Held(EntryRow(1, MessageId(5), 100, 0, 0), (), 10, b"abcdef")
    assert held.octets(MessageId(5), 10, 16) == b"abcdef"
    assert held.octets(MessageId(5), 12, 14) == b"cd"
    for start, end in ((9, 12), (12, 17), (0, None)):
        with pytest.raises(NotHeld):
            held.octets(MessageId(5), start, end)
    with pytest.raises(NotHeld):
        held.octets(MessageId(6), 12, 14)


class Rows:
    """A `Store` whose messages all have ten octets; from UID 100 on it cannot read."""

    async def read(self, work: Callable[[ReadTx], T]) -> T:
        return work(cast(ReadTx, self))

    def rows(self, box: MailboxId, uids: list[tuple[int, int]], columns: object) -> list[EntryRow]:
        ((first, last),) = uids
        if last >= 100:
            raise StoreError("broken")
        return [EntryRow(uid, MessageId(uid), 10, 0, 0) for uid in range(first, last + 1)]

    def octets(self, message: MessageId, start: int, end: int) -> bytes:
        if message == 50:
            raise StoreDamaged("not what came")
        return b"0123456789"[start:end]


async def test_the_oldest_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "READ_AHEAD", 2)
    ahead, rows = Ahead(), cast(Store, Rows())
    for uid in (1, 2, 1, 3):
        ahead.read(rows, BOX, [uid], WHOLE, ())
    there = [await ahead.find(BOX, uid, ()) is not None for uid in (1, 2, 3)]
    assert there == [True, False, True]


async def test_no_more_than_the_octets_of_a_visit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "READ_AHEAD_OCTETS", 25)
    ahead, rows = Ahead(), cast(Store, Rows())
    ahead.read(rows, BOX, [1, 2, 3, 4], WHOLE, ())
    # What is being read is waited for; what was left out is not there.
    assert ahead.foresees(BOX, 3)
    there = [await ahead.find(BOX, uid, ()) is not None for uid in (1, 2, 3, 4)]
    assert there == [True, True, False, False]
    assert [ahead.foresees(BOX, uid) for uid in (1, 2, 3, 4)] == there


async def test_a_damaged_message_does_not_hide_the_others() -> None:
    ahead, rows = Ahead(), cast(Store, Rows())
    ahead.read(rows, BOX, [49, 50, 51], WHOLE, ())
    there = [await ahead.find(BOX, uid, ()) is not None for uid in (49, 50, 51)]
    assert there == [True, False, True]


async def test_no_more_than_a_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CHUNK", 4)
    monkeypatch.setattr(limits, "READ_AHEAD_OCTETS", 8)
    ahead, rows = Ahead(), cast(Store, Rows())
    ahead.read(rows, BOX, [1], WHOLE, ())
    assert await ahead.find(BOX, 1, ()) is None
    for first, length, octets in (
        (1, 2, b"1234567"),
        (3, 2, b"34567"),
        (3, 7, b"3456789"),
        (9, 9, b"9"),
    ):
        ahead.read(rows, BOX, [1], piece(first, length), ())
        held = await ahead.find(BOX, 1, ())
        assert held is not None
        assert held.held == octets


async def test_what_cannot_be_read_is_not_there() -> None:
    ahead, rows = Ahead(), cast(Store, Rows())
    ahead.read(rows, BOX, [100], WHOLE, ())
    assert await ahead.find(BOX, 100, ()) is None


async def test_other_columns_are_not_there() -> None:
    ahead, rows = Ahead(), cast(Store, Rows())
    ahead.read(rows, BOX, [1], WHOLE, ("envelope", "parts"))
    async with asyncio.timeout(5):
        assert await ahead.find(BOX, 1, ("parts",)) is not None
        assert await ahead.find(BOX, 1, ("header",)) is None
