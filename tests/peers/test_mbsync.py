"""Two devices, each an mbsync store, converge through popbridge."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bridge import config
from bridge.daemon import Daemon
from tests.support.devices import Mbsync
from tests.support.house import MESSAGES
from tests.support.require import require
from tests.support.wire import Wire

# Without these a client has RFC 3501 alone to keep up with others: it looks for what it uploaded,
# expunges all that is deleted, and reads all flags again.
LATER = (
    "CONDSTORE",
    "ENABLE",
    "ESEARCH",
    "LIST-EXTENDED",
    "MOVE",
    "NAMESPACE",
    "QRESYNC",
    "UIDPLUS",
)


@pytest.mark.parametrize("hidden", [(), LATER], ids=["with all extensions", "with RFC 3501 alone"])
async def test_two_devices_converge(
    daemon: Daemon, wire: Wire, tmp_path: Path, hidden: tuple[str, ...]
) -> None:
    program = require("mbsync")
    path = tmp_path / "config.yaml"
    settings = json.loads(path.read_text())
    settings["logins"][0]["hide_capabilities"] = hidden
    path.write_text(json.dumps(settings))
    await daemon.reload(config.load(path))
    phone = Mbsync(tmp_path / "phone", program, wire.port)
    laptop = Mbsync(tmp_path / "laptop", program, wire.port)
    await phone.sync()
    await laptop.sync()
    assert phone.tree() == laptop.tree()
    letters = sorted(phone.messages("INBOX"))
    assert len(letters) == MESSAGES
    read, starred, moved, dropped, both = letters[:5]

    # Each device does its own things while the other looks away.
    phone.flag("INBOX", read, "S")
    phone.move("INBOX", moved, "Archive")
    phone.flag("INBOX", both, "S")
    laptop.flag("INBOX", starred, "FS")
    laptop.delete("INBOX", dropped)
    laptop.flag("INBOX", both, "F")
    draft = b"Subject: a draft\nFrom: me@example.net\n\nto be continued\n"
    laptop.write("Drafts", draft, "DS")
    note = b"Subject: new folder\n\nhi\n"
    phone.write("Projects", note, "")

    for device in (phone, laptop, phone, laptop):
        await device.sync()
    assert phone.tree() == laptop.tree()
    inbox = phone.messages("INBOX")
    assert inbox[read] == "S"
    assert inbox[starred] == "FS"
    assert inbox[both] == "FS"
    assert moved not in inbox
    assert dropped not in inbox
    assert len(inbox) == MESSAGES - 2
    assert moved in phone.messages("Archive")
    assert laptop.messages("Drafts") == {draft: "DS"}
    assert laptop.messages("Projects") == {note: ""}

    # A device that starts from nothing sees the same.
    tablet = Mbsync(tmp_path / "tablet", program, wire.port)
    await tablet.sync()
    assert tablet.tree() == phone.tree()

    # The provider still has everything, and a poll brings nothing back that was deleted here.
    (report,) = await daemon.poll(None)
    assert (report.listed, report.new) == (MESSAGES, 0)
