"""A poll that is cancelled, or runs out of memory, anywhere: the next one has all, once.

    POPBRIDGE_CANCELS=all pytest tests/sync/test_cancelled.py -s

The poll is stepped from outside: at its n-th await `CancelledError` is thrown into it, n rising
until it runs to its end (in the suite some n are drawn). In the same way `MemoryError` is raised at
the n-th call of a function of ours that takes octets apart.
"""

from __future__ import annotations

import asyncio
import inspect
import os
import secrets
import sys
import types
from collections import Counter
from collections.abc import Callable, Coroutine, Generator, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from random import Random
from types import FrameType
from typing import Any, TypeVar

import pytest

from tests.store.conftest import recount
from tests.support import figures
from tests.support.pop3_server import Pop3Server
from tests.sync.house import House, maildrop, octets

T = TypeVar("T")

EVERY = os.environ.get("POPBRIDGE_CANCELS") == "all"
SEED = int(os.environ.get("POPBRIDGE_SEED", secrets.randbelow(1_000_000)))
MESSAGES = 6


@types.coroutine
def cancelled(work: Coroutine[Any, Any, T], number: int) -> Generator[Any, None, T]:
    """Awaits `work`, and cancels it at its `number`th await."""
    for step in count(1):
        try:
            waits_for = work.throw(asyncio.CancelledError()) if step == number else work.send(None)
        except StopIteration as end:
            result: T = end.value
            return result
        yield waits_for
    raise AssertionError


@pytest.mark.case("C014")
@pytest.mark.timeout(1800 if EVERY else 120)
async def test_a_poll_that_is_cancelled_at_an_await(tmp_path: Path) -> None:
    tried = 0
    for number in count(1) if EVERY else sorted(Random(SEED).sample(range(1, 26), 8)):
        async with Pop3Server(maildrop(MESSAGES)) as server:
            house = await House.open(tmp_path / str(number))
            try:
                await cancelled(house.poll(server), number)
                ended = True
            except asyncio.CancelledError:
                ended = False
            await _whole(house, server, number)
        tried += not ended
        if ended:
            break
    assert tried
    figures.note("poll cancelled at an await", tried=tried, lost=0, doubled=0, faults=0)


async def _whole(house: House, server: Pop3Server, number: int) -> None:
    report = await house.poll(server)
    assert (report.error, report.failed) == ("", 0), (SEED, number)
    assert Counter(await house.shown()) == Counter(octets(server.items)), (SEED, number)
    assert (await house.poll(server)).new == 0
    await house.store.close()
    assert recount(house.data) == [], (SEED, number)


# --- memory -------------------------------------------------------------------------------

GOES_ON = inspect.CO_GENERATOR | inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR
PARSERS = tuple(f"{os.sep}bridge{os.sep}{each}{os.sep}" for each in ("mime", "pop3"))


@contextmanager
def out_of_memory(number: int) -> Iterator[Callable[[], bool]]:
    """MemoryError at the `number`th call into the parsers; whether there were so many."""
    calls = 0

    def profile(frame: FrameType, event: str, _: object) -> None:
        nonlocal calls
        # Raised where a coroutine or a generator goes on, it would pass that by, and what it has
        # to end would never be ended: nothing real can.
        if frame.f_code.co_flags & GOES_ON:
            return
        if event == "call" and any(each in frame.f_code.co_filename for each in PARSERS):
            calls += 1
            if calls == number:
                raise MemoryError

    sys.setprofile(profile)
    try:
        yield lambda: calls >= number
    finally:
        sys.setprofile(None)


@pytest.mark.case("C013")
@pytest.mark.timeout(1800 if EVERY else 120)
async def test_a_poll_that_runs_out_of_memory(tmp_path: Path) -> None:
    """It ends with a report, or the message does; nothing but that poll is hurt."""
    tried = 0
    for number in count(1, 7) if EVERY else sorted(Random(SEED).sample(range(1, 500), 3)):
        async with Pop3Server(maildrop(MESSAGES)) as server:
            house = await House.open(tmp_path / str(number))
            with out_of_memory(number) as happened:
                report = await house.poll(server)
            assert report.new + report.failed <= MESSAGES
            await _whole(house, server, number)
        tried += happened()
        if not happened():
            break
    assert tried
    figures.note("poll out of memory", tried=tried, lost=0, doubled=0, faults=0)
