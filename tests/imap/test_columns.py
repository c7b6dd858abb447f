"""Columns in memory against looking at every message by itself."""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge import limits
from bridge.imap.columns import FIELDS, AllColumns, Columns
from bridge.imap.matching import EPOCH, Stored, figure
from bridge.imap.protocol.search import Internal, Key, Larger, Older, Saved, Sent, Smaller
from bridge.mime.parser import scan
from bridge.mime.text import fold
from bridge.model import EntryRow, MailboxId, MessageId
from bridge.store.api import ReadTx, Store, UidRanges

T = TypeVar("T")
BOX = MailboxId(7)
NOW = 1_700_000_000
DAY = NOW // 86_400 + EPOCH


class Rows:
    """A store that has these entries, and counts how many it gave."""

    def __init__(self, rows: Sequence[EntryRow]) -> None:
        self.rows_there = rows
        self.given = 0

    async def read(self, work: Callable[[ReadTx], T]) -> T:
        return work(cast(ReadTx, self))

    def rows(
        self, mailbox: MailboxId, uids: UidRanges, columns: Iterable[str]
    ) -> Sequence[EntryRow]:
        found = [
            row for row in self.rows_there if any(low <= row.uid <= high for low, high in uids)
        ]
        self.given += len(found)
        return found

    @property
    def uids(self) -> array[int]:
        return array("I", [row.uid for row in self.rows_there])

    def as_store(self) -> Store:
        return cast(Store, self)


def entry(uid: int, header: bytes, age: int = 0, sent: int | None = None) -> EntryRow:
    octets = header + b"\r\n"
    return EntryRow(
        uid=uid,
        message_id=MessageId(uid),
        size=len(octets),
        internaldate=NOW - age,
        header_size=len(octets),
        header=scan(octets).header,
        sent_day=sent,
        savedate=NOW - age // 2,
    )


async def nothing(done: int, total: int) -> None:
    pass


async def made(store: Rows) -> Columns:
    columns = Columns(BOX)
    await columns.read(store.as_store(), store.uids, figures=True, header=True, progress=nothing)
    return columns


WORDS = st.sampled_from(
    ["", "a", "ab", "Ä", "日本", "=?utf-8?q?=00a?=", "=?utf-7?q?+2AA-?=", "b\r\n c"]
)
HEADERS = st.lists(
    st.tuples(st.sampled_from(["From", "TO", "Cc", "Bcc", "Subject", "X-Other"]), WORDS), max_size=4
)
MESSAGES = st.lists(st.tuples(HEADERS, st.integers(0, 300_000), st.booleans()), max_size=6)
FIGURE_KEYS: st.SearchStrategy[Key] = st.one_of(
    st.builds(Larger, st.integers(0, 40)),
    st.builds(Smaller, st.integers(0, 40)),
    st.builds(Older, st.integers(1, 300_000)),
    *(
        st.builds(kind, st.sampled_from(["before", "on", "since"]), st.integers(DAY - 4, DAY))
        for kind in (Internal, Sent, Saved)
    ),
)


def stored(messages: Sequence[tuple[list[tuple[str, str]], int, bool]]) -> Rows:
    rows = []
    for number, (headers, age, dated) in enumerate(messages):
        header = "".join(f"{name}: {value}\r\n" for name, value in headers).encode()
        sent = DAY - age // 86_400 if dated else None
        rows.append(entry(2 * number + 1, header, age, sent))
    return Rows(rows)


@given(MESSAGES, st.sampled_from(FIELDS), st.sampled_from(["", "a", "ab", "ä", "本", "b c", " "]))
def test_a_field_has_what_its_messages_have(
    messages: list[tuple[list[tuple[str, str]], int, bool]], field: bytes, needle: str
) -> None:
    store = stored(messages)
    columns = asyncio.run(made(store))
    expected = [
        Stored(row, lambda _: b"", frozenset()).header_has(field, fold(needle))
        for row in store.rows_there
    ]
    assert [*columns.having(field, store.uids, fold(needle))] == expected
    # Views may know more, and less: what is not there matches nothing.
    assert [*columns.having(field, array("I", range(1, 13)), fold(needle))][::2] == [
        *expected,
        *[False] * (6 - len(expected)),
    ]


@given(MESSAGES, FIGURE_KEYS)
def test_a_figure_is_that_of_the_row(
    messages: list[tuple[list[tuple[str, str]], int, bool]], key: Key
) -> None:
    store = stored(messages)
    columns = asyncio.run(made(store))
    asked = figure(key, NOW)
    assert asked is not None
    expected = [asked.has(row) for row in store.rows_there]
    assert [*columns.figures(asked, store.uids)] == expected
    assert [*columns.figures(asked, array("I", range(1, 13)))][::2] == [
        *expected,
        *[False] * (6 - len(expected)),
    ]


async def test_only_what_is_new_is_read() -> None:
    rows = [entry(uid, b"Subject: x%d\r\n" % uid) for uid in range(1, 6)]
    store = Rows(rows)
    everything = AllColumns()

    async def get(count: int) -> Columns | None:
        return await everything.get(
            store.as_store(),
            BOX,
            store.uids[:count],
            figures=False,
            header=True,
            progress=nothing,
        )

    columns = await get(3)
    assert await get(3) is columns
    assert store.given == 3
    assert await get(5) is columns
    assert store.given == 5
    assert columns is not None
    assert columns.having(b"subject", store.uids, "x5") == bytes([0, 0, 0, 0, 1])


async def test_only_so_much_memory_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "SEARCH_COLUMNS", 1_000)
    store = Rows([entry(uid, b"Subject: %s\r\n" % (b"x" * 300)) for uid in (1, 2)])
    everything = AllColumns()

    async def get(mailbox: int) -> Columns | None:
        return await everything.get(
            store.as_store(),
            MailboxId(mailbox),
            store.uids,
            figures=False,
            header=True,
            progress=nothing,
        )

    first = await get(1)
    assert await get(1) is first
    await get(2)
    assert await get(1) is not first
    store.rows_there = [*store.rows_there] * 2
    assert await get(1) is None
