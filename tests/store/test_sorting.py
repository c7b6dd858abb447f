"""SORT and THREAD at the store's door: order by columns, rows of threads."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import replace

import pytest

from bridge.model import SortKeys, ThreadRow
from bridge.store.api import SortColumn, UidRanges
from bridge.store.migrate import load
from tests.store.conftest import EVERY, Home

KEYS = [
    SortKeys("B", False, "ZED", "A", "", "ZED", "X", bytes(8)),
    SortKeys("A", True, "ANN", "B", "C", "ANN B", "Y", b"12345678abcdefgh"),
    SortKeys("B", True, "A\u0308", "A", "", "", "Z", bytes(8)),
    SortKeys("\U0001f600", False, "A", "a", "\uffff", "A", "\uffff", bytes(8)),
]
DATES = [1_500_000_000, None, 1_400_000_000, 1_500_000_000]


async def fill(home: Home) -> None:
    """UIDs 1 to 4; INTERNALDATE falls as they rise."""
    for number, (keys, sent_at) in enumerate(zip(KEYS, DATES, strict=True)):
        new = home.message(500 - number % 2)
        structure = replace(new.structure, sort_keys=keys, sent_at=sent_at)
        await home.add(
            message=replace(new, structure=structure), internaldate=1_450_000_000 - number
        )


async def order(home: Home, *by: tuple[SortColumn, bool], uids: UidRanges = EVERY) -> Sequence[int]:
    box = (await home.mailbox()).id
    return await home.store.read(lambda tx: tx.sorted_uids(box, uids, by))


@pytest.mark.parametrize(
    ("column", "rising", "falling"),
    [
        ("arrival", [4, 3, 2, 1], [1, 2, 3, 4]),
        # without a date INTERNALDATE counts; equal ones stand by UID either way
        ("sent_at", [3, 2, 1, 4], [1, 4, 2, 3]),
        ("size", [2, 4, 1, 3], [1, 3, 2, 4]),
        ("subject", [2, 1, 3, 4], [4, 1, 3, 2]),
        # as octets of UTF-8: the mark above of the third is behind every ASCII letter
        ("sender", [4, 2, 3, 1], [1, 3, 2, 4]),
        ("to", [1, 3, 2, 4], [4, 2, 1, 3]),
        ("cc", [1, 3, 2, 4], [4, 2, 1, 3]),
        ("display_from", [3, 4, 2, 1], [1, 2, 4, 3]),
        ("display_to", [1, 2, 3, 4], [4, 3, 2, 1]),
    ],
)
async def test_one_column(
    home: Home, column: SortColumn, rising: list[int], falling: list[int]
) -> None:
    await fill(home)
    assert await order(home, (column, False)) == rising
    assert await order(home, (column, True)) == falling


async def test_several_columns_and_some_of_the_entries(home: Home) -> None:
    await fill(home)
    assert await order(home, ("subject", False), ("sent_at", False)) == [2, 3, 1, 4]
    assert await order(home, ("to", False), ("subject", False), ("size", True)) == [1, 3, 2, 4]
    assert await order(home, ("subject", True), uids=((1, 1), (3, 9))) == [4, 1, 3]
    assert await order(home, ("subject", True), uids=((7, 9),)) == []
    assert await order(home) == [1, 2, 3, 4]


async def test_thread_rows(home: Home) -> None:
    await fill(home)
    box = (await home.mailbox()).id
    rows = await home.store.read(lambda tx: tx.thread_rows(box, ((2, 3), (9, 9))))
    assert rows == [
        ThreadRow(2, 1_449_999_999, "A", True, b"12345678abcdefgh"),
        ThreadRow(3, 1_400_000_000, "B", True, bytes(8)),
    ]
    assert await home.store.read(lambda tx: tx.thread_rows(box, ())) == []


def test_what_schema_1_stored_sorts_by_its_subject() -> None:
    first, second = load("bridge.store.sqlite")[:2]
    db = sqlite3.connect(":memory:")
    db.executescript(first.sql)
    db.execute(
        """INSERT INTO message (digest, size, header_size, fingerprint, base_subject, message_id,
            preview) VALUES (zeroblob(32), 1, 1, x'', 'hello', '', '')"""
    )
    db.executescript(second.sql)
    assert db.execute("SELECT subject, is_reply, sender, links FROM message_sort").fetchall() == [
        ("HELLO", 0, "", bytes(8))
    ]
