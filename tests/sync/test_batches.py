"""Batches: by count, by octets, by time; the writer waits when one is full."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from bridge import limits
from bridge.model import ListedItem
from bridge.spool import Spool
from bridge.sync.batches import Batches
from bridge.sync.settle import Fetched
from tests.support.messages import new_message, raw_message


def fetched(folder: Path, number: int, size: int = 200) -> Fetched:
    raw = raw_message(str(number), size)
    message = new_message(raw)
    spool = Spool(folder)
    spool.write(raw)
    octets = spool.finish()
    item = ListedItem(number, b"u%d" % number, size)
    return Fetched(item, spool, octets, message.digest, message.structure)


async def filled(folder: Path, size: int, count: int) -> list[int]:
    """Sizes of the batches that `count` messages make, when whoever reads is never late."""
    batches: Batches[Fetched] = Batches()

    async def fill() -> None:
        for number in range(count):
            await batches.put(fetched(folder, number, size))
        batches.end()

    filling = asyncio.create_task(fill())
    sizes = []
    async for batch in batches:
        sizes.append(len(batch))
        for each in batch:
            each.spool.close()
    await filling
    return sizes


async def test_a_batch_has_so_many_messages(tmp_path: Path) -> None:
    most = limits.BATCH_MESSAGES
    sizes = await filled(tmp_path, 200, 3 * most)
    assert sum(sizes) == 3 * most
    assert max(sizes) == most


async def test_a_batch_has_so_many_octets(tmp_path: Path) -> None:
    size = limits.BATCH_OCTETS // 4
    sizes = await filled(tmp_path, size, 13)
    assert sum(sizes) == 13
    # The one that fills it goes along.
    assert max(sizes) == 4


async def test_a_batch_that_does_not_fill_is_handed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "BATCH_SECONDS", 0.01)
    batches: Batches[Fetched] = Batches()
    for number in (1, 2):
        await batches.put(fetched(tmp_path, number))
        batch = await asyncio.wait_for(anext(batches), 10)
        assert [each.item.number for each in batch] == [number]
        batch[0].spool.close()


async def test_a_message_that_nobody_took_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its spool is somebody's to close, and what looks at it to wait for: never nobody's."""
    monkeypatch.setattr(limits, "BATCH_MESSAGES", 1)
    batches: Batches[Fetched] = Batches()
    assert await batches.put(fetched(tmp_path, 1))
    waiting = asyncio.create_task(batches.put(fetched(tmp_path, 2)))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    batches.stop()
    assert not await batches.put(fetched(tmp_path, 3))
    rest = batches.rest()
    assert [each.item.number for each in rest] == [1, 2, 3]
    assert batches.rest() == []
    for each in rest:
        each.spool.close()
