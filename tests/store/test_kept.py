"""A chunk that was read in part is there for the next part, and only few of them are."""

from __future__ import annotations

import pytest

from bridge import limits
from bridge.model import MessageId
from bridge.store.sqlite.kept import KeptChunks
from tests.store.conftest import Home
from tests.store.sqlite_only import execute
from tests.store.test_messages import only_message

ONE, OTHER = MessageId(1), MessageId(2)


def test_only_what_lies_in_the_chunk_is_found() -> None:
    kept = KeptChunks()
    kept.keep(ONE, 100, b"0123456789")
    assert kept.find(ONE, 100, 110) == b"0123456789"
    assert kept.find(ONE, 103, 105) == b"34"
    assert kept.find(ONE, 99, 105) is None
    assert kept.find(ONE, 105, 111) is None
    assert kept.find(OTHER, 103, 105) is None


def test_a_message_has_one_chunk() -> None:
    kept = KeptChunks()
    kept.keep(ONE, 0, b"abc")
    kept.keep(ONE, 3, b"def")
    assert kept.find(ONE, 0, 1) is None
    assert kept.find(ONE, 3, 4) == b"d"


def test_the_longest_unused_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "KEPT_CHUNKS", 2)
    kept = KeptChunks()
    kept.keep(ONE, 0, b"one")
    kept.keep(OTHER, 0, b"other")
    assert kept.find(ONE, 0, 3) == b"one"
    kept.keep(MessageId(3), 0, b"third")
    assert kept.find(OTHER, 0, 3) is None
    assert kept.find(ONE, 0, 3) == b"one"


async def test_the_next_part_needs_no_disk(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was read in part is read no second time; what was read whole is not kept."""
    monkeypatch.setattr(limits, "CHUNK", 100)
    message = home.message(250)
    await home.add(message=message)
    number = await only_message(home)
    assert await home.store.read(lambda tx: tx.octets(number, 0, 100)) == message.octets[:100]
    assert await home.store.read(lambda tx: tx.octets(number, 100, 150)) == message.octets[100:150]
    await execute(home.store, "UPDATE message_chunk SET octets = zeroblob(length(octets))")
    assert await home.store.read(lambda tx: tx.octets(number, 150, 200)) == message.octets[150:200]
    assert await home.store.read(lambda tx: tx.octets(number, 0, 100)) == bytes(100)
    for start in (0, 100, 200):
        part = message.octets[start : start + 100]
        query = "UPDATE message_chunk SET octets = ? WHERE start = ?"
        await execute(home.store, query, part, start)
