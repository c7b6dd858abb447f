"""Imports: files of other programs, hostile ones, and mail that comes twice."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bridge import limits
from bridge.model import Flag
from bridge.transfer.marks import TRUNCATED, Marks
from bridge.transfer.sources import BadSource
from tests.support.pop3_server import Item, Pop3Server
from tests.sync.house import Clock, mail
from tests.sync.house import House as Polled
from tests.transfer.house import House, flags


def lf(octets: bytes) -> bytes:
    return octets.replace(b"\r\n", b"\n")


MBOX = b"""\
From a@example.org Thu Nov  5 10:00:00 2026
Status: RO
X-Status: AF
X-Keywords: $Forwarded work
Subject: one

>From me
>>From you
From the desk of nobody

From a@example.org Thu Nov  5 11:00:00 2026
Subject: two

body
"""


async def test_an_mbox_with_flags_keywords_and_dates(house: House, tmp_path: Path) -> None:
    (tmp_path / "old").write_bytes(MBOX)
    tally = await house.import_("mbox", tmp_path / "old")
    assert (tally.seen, tally.done, tally.already, tally.failed) == (2, 2, 0, 0)
    one, two = await house.entries("INBOX")
    assert one.marks == Marks(
        Flag.SEEN | Flag.ANSWERED | Flag.FLAGGED, ("$Forwarded", "work"), 1793872800
    )
    assert two.marks == Marks(0, (), 1793876400)
    assert await house.octets("INBOX") == [
        b"Subject: one\r\n\r\nFrom me\r\n>From you\r\nFrom the desk of nobody\r\n",
        b"Subject: two\r\n\r\nbody\r\n",
    ]
    again = await house.import_("mbox", tmp_path / "old")
    assert (again.seen, again.done, again.already) == (2, 0, 2)


async def test_a_dry_run_changes_nothing(house: House, tmp_path: Path) -> None:
    (tmp_path / "old").write_bytes(MBOX + b"\n" + MBOX)
    before = await house.shown()
    tally = await house.import_("mbox", tmp_path / "old", "a/b", dry=True)
    assert (tally.seen, tally.done, tally.already) == (4, 2, 2)
    assert await house.shown() == before


async def test_a_content_length_that_is_right_is_believed(house: House, tmp_path: Path) -> None:
    body = b"From x@example.org Thu Nov  5 10:00:00 2026\nSubject: no\n\n>From y\n"
    (tmp_path / "cl2").write_bytes(
        b"From a Thu Nov  5 10:00:00 2026\nSubject: a\nContent-Length: %d\n\n%b\n"
        b"From a Thu Nov  5 10:00:00 2026\nSubject: b\nContent-Length: 999\n\nb\n"
        % (len(body), body)
    )
    tally = await house.import_("mbox", tmp_path / "cl2")
    assert tally.seen == 2
    assert await house.octets("INBOX") == [
        b"Subject: a\r\n\r\n" + body.replace(b"\n", b"\r\n"),
        b"Subject: b\r\n\r\nb\r\n",
    ]


async def test_E001_mixed_line_ends_and_a_truncated_end(house: House, tmp_path: Path) -> None:
    (tmp_path / "bad").write_bytes(
        b"From a Thu Nov  5 10:00:00 2026\r\nSubject: mixed\r\n\r\na\nb\r\n\r\n"
        b"From a Thu Nov  5 10:00:00 2026\nSubject: cut\n\nhalf a li"
    )
    tally = await house.import_("mbox", tmp_path / "bad")
    assert (tally.seen, tally.done, tally.truncated) == (2, 2, 1)
    assert "breaks off" in tally.notes[0]
    assert flags(await house.entries("INBOX")) == [(Flag(0), ()), (Flag(0), (TRUNCATED,))]
    assert await house.octets("INBOX") == [
        b"Subject: mixed\r\n\r\na\nb\r\n",
        b"Subject: cut\r\n\r\nhalf a li",
    ]


def maildir(folder: Path) -> Path:
    for part in ("cur", "new", "tmp"):
        (folder / part).mkdir(parents=True)
    return folder


async def test_E002_a_maildir_with_links_fifos_and_odd_names(house: House, tmp_path: Path) -> None:
    box = maildir(tmp_path / "Maildir")
    lists = maildir(box / ".Lists.K&AOQ-se")
    (lists / "dovecot-keywords").write_bytes(b"0 $Junk\n1 work\n")
    (box / "cur" / "1.a:2,FRS").write_bytes(lf(mail(1)))
    (box / "new" / "2.a").write_bytes(lf(mail(2)))
    (box / "tmp" / "3.a").write_bytes(b"half")
    (box / "cur" / "4\nnewline:2,S").write_bytes(mail(4))
    (lists / "cur" / "5.a:2,PSb").write_bytes(mail(5))
    (tmp_path / "secret").write_bytes(b"Subject: not yours\r\n\r\n")
    (box / "cur" / "6.link:2,S").symlink_to(tmp_path / "secret")
    (box / ".Linked").symlink_to(tmp_path)
    os.mkfifo(box / "cur" / "7.fifo:2,S")
    (box / "cur" / "8.empty:2,").touch()
    os.utime(box / "cur" / "1.a:2,FRS", (1_600_000_000, 1_600_000_000))
    tally = await house.import_("maildir", box)
    assert (tally.seen, tally.done, tally.failed) == (4, 4, 0)
    assert dict(tally.skipped) == {"links and others that are no files": 2, "empty": 1}
    assert await house.octets("INBOX") == [mail(1), mail(4), mail(2)]
    inbox = await house.entries("INBOX")
    assert inbox[0].marks == Marks(Flag.FLAGGED | Flag.ANSWERED | Flag.SEEN, (), 1_600_000_000)
    assert flags(await house.entries("Lists/Käse")) == [(Flag.SEEN, ("$Forwarded", "work"))]
    assert "Lists/Käse" in {each.name for each in await house.door.folders() if each.subscribed}


async def test_a_thunderbird_profile(house: House, tmp_path: Path) -> None:
    folder = tmp_path / "x.default" / "Mail" / "Local Folders"
    (folder / "Archives.sbd").mkdir(parents=True)
    (folder / "Inbox.msf").write_bytes(b'// <!-- <mdb:mork:z v="1.4"/> -->')
    (folder / "Inbox").write_bytes(
        b"From - Thu Nov  5 10:00:00 2026\r\nX-Account-Key: account1\r\nX-UIDL: 7\r\n"
        b"X-Mozilla-Status: 1007\r\nX-Mozilla-Status2: 00000000\r\n"
        b"X-Mozilla-Keys: $label1 work                                         \r\n"
        + mail(1)
        + b"\r\nFrom - Thu Nov  5 10:00:00 2026\r\nX-Mozilla-Status: 0009\r\n"
        + mail(2)
        + b"\r\nFrom \r\nX-Mozilla-Status: 0000\r\n"
        + mail(3)
    )
    (folder / "Archives").touch()
    (folder / "Archives.sbd" / "2025").write_bytes(
        b"From - Thu Nov  5 10:00:00 2026\nX-Mozilla-Status: 0001\n" + lf(mail(4)) + b"\n"
    )
    tally = await house.import_("thunderbird", tmp_path / "x.default")
    assert (tally.seen, tally.done) == (3, 3)
    assert dict(tally.skipped) == {"deleted, and not compacted yet": 1}
    assert await house.octets("INBOX") == [mail(1), mail(3)]
    assert await house.octets("Archives/2025") == [mail(4)]
    assert flags(await house.entries("INBOX")) == [
        (Flag.SEEN | Flag.ANSWERED | Flag.FLAGGED, ("$Forwarded", "$label1", "work")),
        (Flag(0), ()),
    ]


async def test_fields_of_programs_come_off_and_those_of_the_message_stay(
    house: House, tmp_path: Path
) -> None:
    own = b"Subject: own\nX-Mozilla-Status: 0001\nX-UIDL: 5\n\nbody\n"
    added = b"X-UIDL: 9\nX-Mozilla-Status: 0000\nX-Mozilla-Keys:\n"
    late = b"Subject: late\nX-Mozilla-Status: 0001\nTo: a\n\nbody\n"
    line = b"From - Thu Nov  5 10:00:00 2026\n"
    (tmp_path / "Inbox").write_bytes(line + added + own + b"\n" + line + late)
    await house.import_("thunderbird", tmp_path)
    assert await house.octets("INBOX") == [
        own.replace(b"\n", b"\r\n"),
        b"Subject: late\r\nTo: a\r\n\r\nbody\r\n",
    ]
    assert flags(await house.entries("INBOX")) == [(Flag(0), ()), (Flag.SEEN, ())]


@pytest.mark.case("E003")
async def test_an_archive_is_refused(house: House, tmp_path: Path) -> None:
    (tmp_path / "mail.zip").write_bytes(b"PK\x03\x04 and so on")
    with pytest.raises(BadSource, match="archive"):
        await house.import_("mbox", tmp_path / "mail.zip")


async def test_a_message_over_the_cap_is_left_and_its_neighbours_are_taken(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "TRANSFER_MESSAGE", 300)
    for number, size in ((1, 0), (2, 400), (3, 0)):
        (tmp_path / f"{number}.eml").write_bytes(mail(number, size=size))
    (tmp_path / "note.txt").write_text("no mail")
    tally = await house.import_("eml", tmp_path)
    assert (tally.seen, tally.done, tally.failed) == (3, 2, 1)
    assert "2.eml: larger than popbridge takes" in tally.notes[0]
    assert await house.octets("INBOX") == [mail(1), mail(3)]


# --- a message that also comes by POP3 ------------------------------------------------------


async def test_an_import_before_the_poll_and_one_after_it_lead_to_one_entry(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "Mail" / "Local Folders"
    folder.mkdir(parents=True)
    (folder / "Family").write_bytes(
        b"".join(
            b"From - Thu Nov  5 10:00:00 2026\nX-Mozilla-Status: 0001\n" + lf(mail(n)) + b"\n"
            for n in (1, 2)
        )
        # Here the program that wrote it changed the headers.
        + b"From - Thu Nov  5 10:00:00 2026\nX-Mozilla-Status: 0001\nX-Spam: no\n"
        + lf(mail(3))
    )
    outcomes = []
    for order in ("import first", "poll first"):
        polled = await Polled.open(tmp_path / order, Clock())
        house = House.of(polled.store, polled.account, polled.data)
        server = Pop3Server([Item(b"u%d" % n, mail(n)) for n in (1, 2, 3, 4)])
        async with server:
            if order == "poll first":
                assert (await polled.poll(server)).new == 4
            tally = await house.import_("thunderbird", tmp_path)
            assert tally.done == (0 if order == "poll first" else 3)
            assert tally.already == (3 if order == "poll first" else 0)
            report = await polled.poll(server)
            assert report.new == (0 if order == "poll first" else 1)
            assert (await polled.poll(server)).new == 0
        again = await house.import_("thunderbird", tmp_path)
        assert (again.done, again.already) == (0, 3)
        found = {name: sum(each.values()) for name, each in (await house.shown()).items()}
        outcomes.append((found, flags(await house.entries("Family"))))
        await polled.store.close()
    assert outcomes[0] == outcomes[1]
    assert outcomes[0] == ({"INBOX": 1, "Family": 3}, [(Flag.SEEN, ())] * 3)
