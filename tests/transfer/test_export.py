"""Exports, and the way back: what goes out comes in again as it was."""

from __future__ import annotations

import mailbox
from collections.abc import Sequence
from pathlib import Path

import pytest

from bridge.model import Flag
from bridge.transfer.exporting import export_files
from bridge.transfer.marks import Marks
from bridge.transfer.tally import Tally
from bridge.transfer.targets import TargetFormat
from tests.support.samples import samples
from tests.transfer.house import House

KINDS: Sequence[TargetFormat] = ("mbox", "maildir", "eml")
ODD = (
    b"Subject: x\r\n\r\nFrom here\r\n>From there\r\n>>From a Thu Nov  5 10:00:00 2026\r\n",
    b"From: a@example.org\r\n\r\nno end of line",
    b"Subject: bare\n\nlf\n",
    b"Subject: mixed\r\n\r\na\nb\r\n\r\n\r\n",
    b"Status: RO\r\nX-Status: F\r\nSubject: a status of its own\r\n\r\nhello\r\n",
    b"\r\nno header\r\n",
    b" a folded line first\r\nSubject: x\r\n\r\n",
    b"From me, not a header\r\n\r\n",
    b"Subject: nul\r\n\r\n\0\xff\r\r\n",
    b"X-Mozilla-Status: 0001\r\nContent-Length: 3\r\nSubject: x\r\n\r\nabcdef\r\n",
    b"Content-Length: 8\r\nSubject: y\r\n\r\nabcdef\r\n",  # right, as it happens
    b"\n",
    b"x",
    b"Subject: lines at the end\r\n\r\nFrom \n\n\n\n",
)


async def export(
    house: House, kind: TargetFormat, target: Path, mailbox: str | None = None
) -> Tally:
    tally = Tally()
    await export_files(house.door, kind, target, tally, house.folder, mailbox=mailbox)
    return tally


async def fill(house: House) -> None:
    """Folders with names for every format to stumble over, all flags, keywords, dates."""
    names = (
        "INBOX",
        "Lists/python.dev",
        "Käse & Brot/50% ..",
        "日本語",
        ".hidden",
        "a/b/c",
        "a.mbox/b.eml",
        "x" * 300,
    )
    for box, name in enumerate(names):
        await house.fill(
            name,
            *(
                (
                    raw.replace(b"Message-ID: <", b"Message-ID: <%d." % box),
                    Marks(
                        number % 32,
                        ("$Forwarded", f"word{number}")[: number % 3],
                        1_600_000_000 + 86_400 * number,
                    ),
                )
                for number, raw in enumerate(samples(12), 1)
            ),
        )
    await house.fill("odd", *((raw, Marks(int(Flag.SEEN), (), 5)) for raw in ODD))
    await house.door.make([])


@pytest.mark.parametrize("kind", KINDS)
async def test_what_goes_out_comes_in_again(
    house: House, tmp_path: Path, kind: TargetFormat
) -> None:
    await fill(house)
    target = tmp_path / "out"
    tally = await export(house, kind, target)
    assert (tally.seen, tally.done, tally.already, tally.notes) == (110, 110, 0, [])
    again = await export(house, kind, target)
    assert (again.seen, again.done, again.already, again.notes) == (110, 0, 110, [])
    other = await House.open(tmp_path / "other")
    back = await other.import_(kind, target)
    assert (back.done, back.already, back.failed, back.notes) == (110, 0, 0, [])
    assert not back.skipped
    assert await other.shown() == await house.shown()
    assert [each.name for each in await other.door.folders()] == [
        each.name for each in await house.door.folders()
    ]
    # And once more, from there.
    second = tmp_path / "second"
    await export(other, kind, second)
    third = await House.open(tmp_path / "third")
    await third.import_(kind, second)
    assert await third.shown() == await house.shown()
    await other.store.close()
    await third.store.close()


async def test_other_programs_read_what_was_exported(house: House, tmp_path: Path) -> None:
    raws = list(samples(5))
    await house.fill("INBOX", *((raw, Marks(int(Flag.SEEN | Flag.FLAGGED), (), 9)) for raw in raws))
    await house.fill("a/b", (b"Subject: c\r\n\r\n", Marks()))
    await export(house, "mbox", tmp_path / "mbox")
    box = mailbox.mbox(tmp_path / "mbox" / "INBOX.mbox")
    assert [box[key].get_flags() for key in box.keys()] == ["ROF"] * 5  # noqa: SIM118
    assert [each["Message-ID"] for each in box] == [
        f"<{number}.sample@example.org>" for number in range(5)
    ]
    box.close()
    assert (tmp_path / "mbox" / "a" / "b.mbox").exists()
    await export(house, "maildir", tmp_path / "maildir")
    folder = mailbox.Maildir(tmp_path / "maildir")
    assert {folder.get_bytes(key) for key in folder.keys()} == set(raws)  # noqa: SIM118
    assert {each.get_flags() for each in folder} == {"FS"}
    assert sorted(folder.list_folders()) == [
        "Archive",
        "Drafts",
        "Junk",
        "Sent",
        "Trash",
        "a",
        "a.b",
    ]
    await export(house, "eml", tmp_path / "eml")
    assert {each.read_bytes() for each in (tmp_path / "eml" / "INBOX").iterdir()} == set(raws)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_later_export_adds_what_is_new_and_takes_flags_anew(
    house: House, tmp_path: Path, kind: TargetFormat
) -> None:
    first, second, third = samples(3)
    await house.fill("INBOX", (first, Marks()), (second, Marks()))
    await export(house, kind, tmp_path / "out", "INBOX")
    await house.fill("INBOX", (third, Marks()))

    def mark(tx):  # type: ignore[no-untyped-def]
        box = tx.mailbox(house.login, "INBOX")
        tx.store_flags(box.id, ((1, 1),), "add", int(Flag.SEEN), ("late",))
        tx.expunge(box.id, ((2, 2),), only_deleted=False)

    await house.store.write(mark)
    tally = await export(house, kind, tmp_path / "out", "INBOX")
    rewritten = kind == "mbox"
    assert (tally.seen, tally.done, tally.failed) == (2, 2 if rewritten else 1, 0)
    assert bool(tally.skipped) != rewritten
    other = await House.open(tmp_path / "other")
    await other.import_(kind, tmp_path / "out")
    marks = {each.digest: each.marks for each in await other.entries("INBOX")}
    for each in await house.entries("INBOX"):
        assert marks[each.digest] == each.marks
    await other.store.close()


async def test_an_export_that_is_not_as_it_should_be_says_so(house: House, tmp_path: Path) -> None:
    await house.fill("INBOX", *((raw, Marks(0, (), 7)) for raw in samples(3)))
    await export(house, "maildir", tmp_path / "out")
    damaged = sorted((tmp_path / "out" / "cur").iterdir())[0]
    damaged.write_bytes(damaged.read_bytes() + b"more")
    tally = await export(house, "maildir", tmp_path / "out")
    assert (tally.failed, tally.already) == (1, 3)
    assert "is not there as it should be" in tally.notes[0]
