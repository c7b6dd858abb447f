"""What the tests of the POP3 client share: a sink, and a session with a scripted server."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Any

import pytest

from bridge.model import Endpoint, ListedItem, Secret, Security
from bridge.pop3.client import Pop3Error, Pop3Session, Retrieved
from tests.support.pop3_server import Pop3Server


class MemorySink:
    """A `model.Sink` that counts what was not closed."""

    still_open = 0

    def __init__(self) -> None:
        self.octets = bytearray()
        self.largest_write = 0
        self._open = True
        MemorySink.still_open += 1

    def write(self, data: bytes, /) -> None:
        self.octets += data
        self.largest_write = max(self.largest_write, len(data))

    def finish(self) -> bytes:
        return bytes(self.octets)

    def close(self) -> None:
        if self._open:
            self._open = False
            MemorySink.still_open -= 1


class AdvancingClock:
    """The running loop's clock, moved on by the peer: a slow peer without a slow test."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        true_time = loop.time
        self._step = seconds
        self._ahead = 0.0
        monkeypatch.setattr(loop, "time", lambda: true_time() + self._ahead)

    async def advance(self) -> None:
        for _ in range(10):  # what was sent before is read before the time passes
            await asyncio.sleep(0)
        self._ahead += self._step


def endpoint(server: Pop3Server, **more: Any) -> Endpoint:
    """The endpoint of a server; `more` are other fields of it."""
    own = Endpoint(
        server.host, server.port, Security(server.security), server.username, server.ca_file
    )
    return replace(own, **more)


async def open_session(
    server: Pop3Server, *, password: str | None = None, pipelining: bool = True, **more: Any
) -> Pop3Session:
    return await Pop3Session.open(
        endpoint(server, **more),
        Secret(server.password if password is None else password),
        new_sink=MemorySink,
        pipelining=pipelining,
    )


@contextlib.asynccontextmanager
async def session(
    server: Pop3Server, *, password: str | None = None, pipelining: bool = True
) -> AsyncIterator[Pop3Session]:
    """A session that is dropped at the end, if the test did not end it."""
    opened = await open_session(server, password=password, pipelining=pipelining)
    try:
        yield opened
    finally:
        await opened.abort()


async def refusal(server: Pop3Server, *, password: str | None = None, **more: Any) -> Pop3Error:
    """The error with which a session does not open."""
    try:
        opened = await open_session(server, password=password, **more)
    except Pop3Error as error:
        return error
    await opened.abort()
    raise AssertionError("the session opened")


class Taken:
    """What `retrieve` gave, with its sinks emptied and closed, and the error that ended it."""

    def __init__(self) -> None:
        self.all: list[Retrieved] = []
        self.octets: dict[int, bytes] = {}  # by number
        self.order: list[int] = []
        self.failed: dict[int, str] = {}
        self.too_large: list[int] = []
        self.largest_write = 0
        self.error: Pop3Error | None = None

    def add(self, retrieved: Retrieved) -> None:
        number = retrieved.item.number
        self.all.append(retrieved)
        self.order.append(number)
        if retrieved.too_large:
            assert retrieved.sink is None
            self.too_large.append(number)
        elif retrieved.error:
            assert retrieved.sink is None
            self.failed[number] = retrieved.error
        else:
            assert isinstance(retrieved.sink, MemorySink)
            self.octets[number] = retrieved.sink.finish()
            assert len(self.octets[number]) == retrieved.size
            self.largest_write = max(self.largest_write, retrieved.sink.largest_write)
            retrieved.sink.close()


async def take(opened: Pop3Session, items: Sequence[ListedItem] | None = None) -> Taken:
    """Retrieves everything (or `items`) and keeps the error, if one ends it."""
    taken = Taken()
    try:
        wanted = await opened.listing() if items is None else items
        async with contextlib.aclosing(opened.retrieve(wanted)) as incoming:
            async for retrieved in incoming:
                taken.add(retrieved)
    except Pop3Error as error:
        taken.error = error
    return taken
