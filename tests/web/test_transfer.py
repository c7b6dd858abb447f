"""The way of the commands into the store over the control socket, both ends real."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from starlette.applications import Starlette

from bridge.cli.door import DaemonDoor, Gone
from bridge.model import Flag
from bridge.spool import Spool
from bridge.store.api import NoSuchMailbox, StoreError, StoreFull
from bridge.transfer.door import ENTRIES, Folder, LocalDoor, Offer, all_entries
from bridge.transfer.marks import Marks
from bridge.web import control_socket
from bridge.web.listener import Listener
from bridge.web.transfer import transfer_routes
from tests.transfer.house import House

LARGE = b"Subject: large\r\n\r\n" + b"x" * 3_000_000 + b"\r\n"


class Daemon:
    """What `transfer_routes` asks of a daemon."""

    def __init__(self, house: House) -> None:
        self._house = house
        self.refusal: StoreError | None = None

    async def door(self, login: str) -> LocalDoor:
        if self.refusal is not None:
            raise self.refusal
        if login != "me":
            raise LookupError(f"there is no login {login}")
        return self._house.door

    def new_spool(self) -> Spool:
        return Spool(self._house.folder)

    async def backup(self, path: Path) -> int:
        return await self._house.store.backup(path)


@pytest.fixture
async def daemon(tmp_path: Path) -> AsyncIterator[Daemon]:
    house = await House.open(tmp_path / "data")
    made = Daemon(house)
    listening = control_socket.listening(tmp_path / "control.sock")
    server = Listener(Starlette(routes=transfer_routes(made)), listening)
    await server.start()
    yield made
    await server.stop()
    await house.store.close()


@pytest.fixture
def door(daemon: Daemon, tmp_path: Path) -> DaemonDoor:
    return DaemonDoor(tmp_path / "control.sock", "me", tmp_path)


async def test_what_goes_in_comes_out(door: DaemonDoor) -> None:
    await door.make([Folder("Käse/Brot", None, False)])
    small = b"Subject: a\r\n\r\nb\r\n"
    marks = Marks(int(Flag.SEEN), ("work",), 7)
    offers = [Offer("Käse/Brot", small, marks), Offer("INBOX", LARGE, Marks())]
    assert [each.word for each in await door.take(offers, dry=True)] == ["done", "done"]
    assert [each.word for each in await door.take(offers)] == ["done", "done"]
    assert [each.word for each in await door.take(offers)] == ["already", "already"]
    again = [Offer("Archive", small, marks, if_absent=True)]
    assert [each.word for each in await door.take(again)] == ["already"]
    folders = {each.name: each for each in await door.folders()}
    assert (folders["Käse/Brot"].messages, folders["Käse/Brot"].subscribed) == (1, False)
    assert folders["Sent"].special_use == "\\Sent"
    (kept,) = [each async for each in all_entries(door, "Käse/Brot")]
    assert (kept.size, kept.marks) == (len(small), marks)
    for mailbox, raw in (("Käse/Brot", small), ("INBOX", LARGE)):
        got = [(uid, o[0 : len(o)]) async for uid, o in door.fetch(mailbox, [1, 2, 3])]
        assert got == [(1, raw)]
    assert len(await door.entries("INBOX", after=1)) == 0
    assert ENTRIES > 1


async def test_refusals_come_through_as_they_are(daemon: Daemon, door: DaemonDoor) -> None:
    offer = [Offer("INBOX", b"Subject: a\r\n\r\n", Marks())]
    with pytest.raises(NoSuchMailbox, match="no mailbox of that name"):
        await door.entries("nowhere")
    daemon.refusal = StoreFull("the disk is full")
    with pytest.raises(StoreFull, match="the disk is full"):
        await door.take(offer)
    daemon.refusal = StoreError("it is broken")
    with pytest.raises(StoreError, match="it is broken"):
        await door.folders()


async def test_another_login_is_nobody(daemon: Daemon, tmp_path: Path) -> None:
    other = DaemonDoor(tmp_path / "control.sock", "you", tmp_path)
    with pytest.raises(StoreError, match="there is no login you"):
        await other.folders()


async def test_a_daemon_that_goes_away_is_named(tmp_path: Path) -> None:
    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()

    path = tmp_path / "control.sock"
    server = await asyncio.start_unix_server(hang_up, path)
    door = DaemonDoor(path, "me", tmp_path)
    with pytest.raises(Gone, match="run this again"):
        await door.folders()
    with pytest.raises(Gone, match="run this again"):
        async with contextlib.aclosing(door.fetch("INBOX", [1])) as fetched:  # type: ignore[type-var]
            await anext(fetched)
    server.close()
    await server.wait_closed()
