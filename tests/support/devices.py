"""Devices that keep a Maildir tree in step with the endpoint: mbsync and offlineimap.

    laptop = Offlineimap(tmp_path / "laptop", require("offlineimap"), wire.port)
    await laptop.sync()
    laptop.flag("INBOX", letter, "S")     # as a mail reader on that device would
    await laptop.sync()

A letter is named by its key, Message-ID or content: see `key`. Flags are Maildir's: D draft,
F flagged, R answered, S seen, T trashed.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

from tests.support.house import ADDRESS, PASSWORD


class Device:
    """A Maildir tree under `folder/mail`; a program's subclass says how it is synced."""

    def __init__(self, folder: Path, program: str, port: int) -> None:
        self.folder = folder
        self.mail = folder / "mail"
        self.program = program
        self.port = port
        self.mail.mkdir(parents=True)

    async def sync(self) -> None:
        """Runs the program once; it must be content."""
        raise NotImplementedError

    def key(self, path: Path) -> bytes:
        """The whole message, without the header that mbsync adds to what it uploads."""
        lines = path.read_bytes().splitlines(keepends=True)
        return b"".join(line for line in lines if not line.startswith(b"X-TUID: "))

    def messages(self, name: str) -> dict[bytes, str]:
        """Key -> flags of every message in a mailbox. A message that is there twice fails."""
        found: dict[bytes, str] = {}
        for path in self._files(name):
            key = self.key(path)
            assert key not in found, f"twice in {name}: {key[:200]!r}"
            found[key] = "".join(sorted(path.name.partition(":2,")[2]))
        return found

    def tree(self) -> dict[str, dict[bytes, str]]:
        names = [path.parent.relative_to(self.mail).as_posix() for path in self.mail.rglob("cur")]
        return {name: self.messages(name) for name in names}

    def flag(self, name: str, key: bytes, flags: str) -> None:
        path = self._file(name, key)
        path.rename(self.mail / name / "cur" / f"{path.name.partition(':2,')[0]}:2,{flags}")

    def move(self, name: str, key: bytes, target: str) -> None:
        path = self._file(name, key)
        # The U= in a file's name is how it is known; without it, it is a new message there.
        base, flags = path.name.partition(",")[0], path.name.partition(":2,")[2]
        path.rename(self.mail / target / "cur" / f"{base}.moved:2,{flags}")

    def delete(self, name: str, key: bytes) -> None:
        self._file(name, key).unlink()

    def write(self, name: str, octets: bytes, flags: str) -> None:
        """A new message, and a new mailbox if there is none of that name."""
        for part in ("cur", "new", "tmp"):
            (self.mail / name / part).mkdir(parents=True, exist_ok=True)
        serial = sum(1 for _ in self._files(name))
        (self.mail / name / "cur" / f"{serial}.written:2,{flags}").write_bytes(octets)

    def _files(self, name: str) -> Iterator[Path]:
        for part in ("new", "cur"):
            yield from (self.mail / name / part).iterdir()

    def _file(self, name: str, key: bytes) -> Path:
        return next(path for path in self._files(name) if self.key(path) == key)

    async def _run(self, *command: str) -> None:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env={"HOME": str(self.folder), "PATH": os.environ.get("PATH", "/usr/bin:/bin")},
        )
        output, _ = await process.communicate()
        assert process.returncode == 0, output.decode(errors="replace")


class Mbsync(Device):
    async def sync(self) -> None:
        rc = self.folder / "mbsyncrc"
        state = self.folder / "state"
        state.mkdir(exist_ok=True)
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
Path {self.mail}/
Inbox {self.mail}/INBOX
SubFolders Verbatim

Channel all
Far :bridge:
Near :device:
Patterns *
Create Both
Remove Both
Expunge Both
SyncState {state}/
"""
        )
        await self._run(self.program, "-c", str(rc), "-a")


class Offlineimap(Device):
    async def sync(self) -> None:
        rc = self.folder / "offlineimaprc"
        rc.write_text(
            f"""
[general]
accounts = bridge
metadata = {self.folder}/state
ui = quiet

[Account bridge]
localrepository = device
remoterepository = endpoint

[Repository device]
type = Maildir
localfolders = {self.mail}
sep = /

[Repository endpoint]
type = IMAP
remotehost = 127.0.0.1
remoteport = {self.port}
remoteuser = {ADDRESS}
remotepass = {PASSWORD}
ssl = no
starttls = no
"""
        )
        await self._run(self.program, "-c", str(rc), "-o", "-1")

    def key(self, path: Path) -> bytes:
        """The Message-ID: offlineimap3 parses a message and writes it anew."""
        head = path.read_bytes().replace(b"\r\n", b"\n").partition(b"\n\n")[0]
        (line,) = (each for each in head.split(b"\n") if each.lower().startswith(b"message-id:"))
        return line.partition(b":")[2].strip()


class Phone(Mbsync):
    """mbsync again, but its letters are named by Message-ID, to be compared with other programs."""

    key = Offlineimap.key
