"""Another IMAP account as a source: folders by their use, views left out, lines that break."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge import limits
from bridge.model import Flag, Secret
from bridge.transfer.imap_client import Server
from bridge.transfer.imap_push import PushStopped
from bridge.transfer.imap_source import Puller
from bridge.transfer.journal import Journal
from bridge.transfer.tally import Tally
from tests.support.imap_target import Held, ImapTarget
from tests.transfer.house import House, flags

RAWS = [b"Subject: %d\r\n\r\nbody %d\r\n" % (number, number) for number in range(6)]


def held(uid: int, raw: bytes, said: bytes = b"") -> Held:
    return Held(uid, raw, said, b"17-Jul-1996 02:44:25 -0700")


def account() -> ImapTarget:
    """As Gmail shows one: everything lies in All Mail, other folders show parts of it."""
    source = ImapTarget()
    source.mailboxes = {
        "INBOX": [held(1, RAWS[0], b"\\Seen work"), held(2, RAWS[1])],
        "Gesendet": [held(3, RAWS[2], b"\\Answered $Forwarded")],
        "[Gmail]": [],
        "[Gmail]/All Mail": [held(10 + number, raw) for number, raw in enumerate(RAWS[:4])],
        "[Gmail]/Starred": [held(1, RAWS[0])],
        "Lists/python": [held(1, RAWS[4])],
    }
    source.attributes = {
        "Gesendet": b"\\Sent",
        "[Gmail]": b"\\Noselect",
        "[Gmail]/All Mail": b"\\All",
        "[Gmail]/Starred": b"\\Flagged",
    }
    return source


async def pull(
    house: House, source: ImapTarget, journal: Path | None = None, *, mailbox: str | None = None
) -> Tally:
    async def pause(_: float) -> None: ...

    tally, notes = Tally(), Journal(journal)
    server = Server(source.host, source.port, "me", False)
    puller = Puller(
        house.door, server, Secret("x"), notes, tally, house.folder, mailbox=mailbox, pause=pause
    )
    try:
        await puller.run()
    finally:
        notes.close()
    return tally


async def counted(house: House) -> dict[str, int]:
    return {name: found.total() for name, found in (await house.shown()).items() if found}


async def test_folders_go_by_their_use_and_views_are_left_out(house: House) -> None:
    async with account() as source:
        tally = await pull(house, source)
        assert (tally.seen, tally.done, tally.already, tally.failed) == (8, 5, 3, 0)
        assert await counted(house) == {"INBOX": 2, "Sent": 1, "Archive": 1, "Lists/python": 1}
        assert await house.octets("Archive") == [RAWS[3]]
        inbox = await house.entries("INBOX")
        assert flags(inbox) == [(Flag.SEEN, ("work",)), (Flag(0), ())]
        assert inbox[0].marks.date == 837596665
        assert flags(await house.entries("Sent")) == [(Flag.ANSWERED, ("$Forwarded",))]


async def test_a_later_run_fetches_what_is_new_alone(house: House, tmp_path: Path) -> None:
    async with account() as source:
        await pull(house, source, tmp_path / "journal", mailbox="Old")
        before = await counted(house)
        assert before == {"Old": 2, "Old/Sent": 1, "Old/Archive": 1, "Old/Lists/python": 1}
        source.mailboxes["INBOX"].append(held(99, RAWS[5]))
        tally = await pull(house, source, tmp_path / "journal", mailbox="Old")
        assert (tally.seen, tally.done, tally.already) == (9, 1, 8)
        blind = await pull(house, source, mailbox="Old")
        assert (blind.done, blind.already) == (0, 9)
        assert await counted(house) == before | {"Old": 3}


async def test_a_line_that_breaks_anywhere_costs_nothing(tmp_path: Path) -> None:
    for cut in range(40, 700, 35):
        house = await House.open(tmp_path / str(cut))
        async with account() as source:
            source.cut_after = cut
            try:
                await pull(house, source, tmp_path / f"journal-{cut}")
            except PushStopped:
                source.cut_after = None
                await pull(house, source, tmp_path / f"journal-{cut}")
            found = await counted(house)
            assert found == {"INBOX": 2, "Sent": 1, "Archive": 1, "Lists/python": 1}, cut
        await house.store.close()


async def test_a_message_over_the_cap_is_counted(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "TRANSFER_MESSAGE", 200)
    async with account() as source:
        source.mailboxes["INBOX"].append(held(5, RAWS[5] + b"x" * 200))
        tally = await pull(house, source)
        assert (tally.seen, tally.done, tally.failed) == (9, 5, 1)
        assert "too large" in tally.notes[0]
