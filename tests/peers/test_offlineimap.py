"""offlineimap on the laptop and mbsync on the phone converge through popbridge."""

from __future__ import annotations

from pathlib import Path

from bridge.daemon import Daemon
from tests.support.devices import Device, Mbsync, Offlineimap, Phone
from tests.support.dovecot import Dovecot
from tests.support.house import MESSAGES
from tests.support.require import require
from tests.support.samples import sample, samples
from tests.support.wire import Wire


def letter(number: int) -> bytes:
    """The key of a sample."""
    return b"<%d.sample@example.org>" % number


async def test_two_programs_converge(
    dovecot: Dovecot, daemon: Daemon, wire: Wire, tmp_path: Path
) -> None:
    laptop = Offlineimap(tmp_path / "laptop", require("offlineimap"), wire.port)
    phone = Phone(tmp_path / "phone", require("mbsync"), wire.port)
    for device in (laptop, phone):
        await device.sync()
    assert laptop.tree() == phone.tree()
    assert laptop.messages("INBOX") == {letter(n): "" for n in range(MESSAGES)}

    laptop.flag("INBOX", letter(0), "S")
    laptop.move("INBOX", letter(1), "Archive")
    laptop.delete("INBOX", letter(2))
    laptop.write("Garden", b"Message-ID: <roses>\nSubject: roses\n\nred\n", "FS")
    phone.flag("INBOX", letter(3), "FRS")
    phone.flag("INBOX", letter(0), "F")
    phone.move("INBOX", letter(4), "Trash")
    phone.delete("INBOX", letter(5))
    phone.write("Projects/House", b"Message-ID: <roof>\nSubject: roof\n\nrain\n", "")
    phone.write("Drafts", b"Message-ID: <draft>\nSubject: soon\n\nmore\n", "DS")
    dovecot.deliver(samples(1, first=MESSAGES))
    (report,) = await daemon.poll(None)
    assert report.new == 1

    for device in (laptop, phone, laptop, phone):
        await device.sync()
    kept = {letter(n): "" for n in range(6, MESSAGES + 1)}
    wanted = {
        "INBOX": kept | {letter(0): "FS", letter(3): "FRS"},
        "Archive": {letter(1): ""},
        "Trash": {letter(4): ""},
        "Drafts": {b"<draft>": "DS"},
        "Garden": {b"<roses>": "FS"},
        "Projects/House": {b"<roof>": ""},
        "Junk": {},
        "Sent": {},
    }
    for device in (laptop, phone):
        tree = device.tree()
        assert tree.pop("Projects", {}) == {}
        assert tree == wanted

    # The octets did not change on the way: mbsync keeps them, with LF line ends.
    plain = Mbsync(tmp_path / "tablet", require("mbsync"), wire.port)
    await plain.sync()
    lf = {sample(n).replace(b"\r\n", b"\n") for n in (0, 3, *range(6, MESSAGES + 1))}
    assert set(plain.messages("INBOX")) == lf


async def test_a_deletion_wins_over_nothing_else(wire: Wire, tmp_path: Path) -> None:
    """Both devices touch the same letters at once: one reads what the other deletes or moves."""
    laptop = Offlineimap(tmp_path / "laptop", require("offlineimap"), wire.port)
    phone = Phone(tmp_path / "phone", require("mbsync"), wire.port)
    devices: tuple[Device, ...] = (laptop, phone)
    for device in devices:
        await device.sync()
    laptop.flag("INBOX", letter(0), "S")
    phone.delete("INBOX", letter(0))
    laptop.delete("INBOX", letter(1))
    phone.flag("INBOX", letter(1), "S")
    laptop.delete("INBOX", letter(2))
    phone.delete("INBOX", letter(2))
    laptop.flag("INBOX", letter(3), "S")
    phone.flag("INBOX", letter(3), "F")
    for device in devices * 2:
        await device.sync()
    assert laptop.tree() == phone.tree()
    inbox = phone.messages("INBOX")
    assert inbox.pop(letter(3)) == "FS"
    assert inbox == {letter(n): "" for n in range(4, MESSAGES)}
