"""Two devices, each an mbsync store, converge through popbridge."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from bridge.daemon import Daemon
from tests.support.dovecot import Dovecot
from tests.support.house import ADDRESS, PASSWORD, account, require, running
from tests.support.samples import samples

MESSAGES = 30


@dataclass(frozen=True)
class Device:
    """A Maildir tree that mbsync keeps in step with the endpoint."""

    folder: Path
    program: str
    port: int

    async def sync(self) -> None:
        """Runs mbsync once; it must be content."""
        self.folder.mkdir(exist_ok=True)
        (self.folder / "mail").mkdir(exist_ok=True)
        rc = self.folder / "mbsyncrc"
        rc.write_text(
            f"""
IMAPStore bridge
Host 127.0.0.1
Port {self.port}
User {ADDRESS}
Pass "{PASSWORD}"
SSLType None
AuthMechs LOGIN

MaildirStore device
Path {self.folder}/mail/
Inbox {self.folder}/mail/INBOX
SubFolders Verbatim

Channel all
Far :bridge:
Near :device:
Patterns *
Create Both
Remove Both
Expunge Both
SyncState {self.folder}/state/
"""
        )
        (self.folder / "state").mkdir(exist_ok=True)
        process = await asyncio.create_subprocess_exec(
            self.program,
            "-c",
            str(rc),
            "-a",
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await process.communicate()
        assert process.returncode == 0, output.decode()

    def mailbox(self, name: str) -> Path:
        return self.folder / "mail" / name

    def messages(self, name: str) -> dict[bytes, str]:
        """Content -> flags of every message in a mailbox, as the Maildir shows them."""
        found = {}
        for part in ("new", "cur"):
            for path in (self.mailbox(name) / part).iterdir():
                flags = path.name.partition(":2,")[2]
                found[content(path)] = "".join(sorted(flags))
        return found

    def file(self, name: str, octets: bytes) -> Path:
        for part in ("new", "cur"):
            for path in (self.mailbox(name) / part).iterdir():
                if content(path) == octets:
                    return path
        raise LookupError(name)

    def flag(self, name: str, octets: bytes, flags: str) -> None:
        path = self.file(name, octets)
        base = path.name.partition(":2,")[0]
        path.rename(self.mailbox(name) / "cur" / f"{base}:2,{flags}")

    def move(self, name: str, octets: bytes, target: str) -> None:
        path = self.file(name, octets)
        # mbsync knows a message by the U= in its name; without it, it is a new one there.
        flags = path.name.partition(":2,")[2]
        base = path.name.partition(",")[0] + ".moved"
        path.rename(self.mailbox(target) / "cur" / f"{base}:2,{flags}")

    def tree(self) -> dict[str, dict[bytes, str]]:
        return {
            path.parent.relative_to(self.folder / "mail").as_posix(): self.messages(
                path.parent.relative_to(self.folder / "mail").as_posix()
            )
            for path in (self.folder / "mail").rglob("cur")
        }


def content(path: Path) -> bytes:
    """The message without the header that mbsync adds to what it uploads."""
    lines = path.read_bytes().splitlines(keepends=True)
    return b"".join(line for line in lines if not line.startswith(b"X-TUID: "))


@pytest.fixture
async def daemon(tmp_path: Path) -> AsyncIterator[Daemon]:
    require("dovecot")
    with Dovecot(tmp_path) as dovecot:
        dovecot.deliver(samples(MESSAGES))
        async with running(tmp_path, [account(dovecot)]) as daemon:
            (report,) = await daemon.poll(None)
            assert report.new == MESSAGES
            yield daemon


async def test_two_devices_converge(daemon: Daemon, tmp_path: Path) -> None:
    program = require("mbsync")
    port = daemon.imap_ports[0]
    phone = Device(tmp_path / "phone", program, port)
    laptop = Device(tmp_path / "laptop", program, port)
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
    laptop.file("INBOX", dropped).unlink()
    laptop.flag("INBOX", both, "F")
    draft = b"Subject: a draft\nFrom: me@example.net\n\nto be continued\n"
    (laptop.mailbox("Drafts") / "cur" / "1.draft:2,DS").write_bytes(draft)
    for part in ("cur", "new", "tmp"):
        (phone.mailbox("Projects") / part).mkdir(parents=True)
    (phone.mailbox("Projects") / "cur" / "2.note:2,").write_bytes(b"Subject: new folder\n\nhi\n")

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
    assert laptop.messages("Projects") == {b"Subject: new folder\n\nhi\n": ""}

    # A device that starts from nothing sees the same.
    tablet = Device(tmp_path / "tablet", program, port)
    await tablet.sync()
    assert tablet.tree() == phone.tree()

    # The provider still has everything, and a poll brings nothing back that was deleted here.
    (report,) = await daemon.poll(None)
    assert (report.listed, report.new) == (MESSAGES, 0)
    shutil.rmtree(tmp_path / "tablet")
