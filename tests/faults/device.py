"""Two IMAP clients: `Device` writes and knows exactly what it was told; `observe` reads all.

`Device` is a few lines over a socket: what counts is the instant at which a tagged OK was here.
`observe` is Python's imaplib, which knows nothing of ours.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import imaplib
import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Self

from tests.support.process import PASSWORD

Flags = frozenset[str]


class Lost(ConnectionError):
    """The connection is gone; whether the last command was done nobody can say."""


class Refused(AssertionError):
    """A tagged NO or BAD: these tests ask for nothing that may be refused."""


class Device:
    """One connection, signed in."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.asked = 0  # commands; the last one's tag is d<asked>
        self.selected: str | None = None

    @classmethod
    @contextlib.asynccontextmanager
    async def connect(cls, port: int, login: str) -> AsyncIterator[Self]:
        """Raises Lost when the daemon dies meanwhile."""
        try:
            device = cls(*await asyncio.open_connection("127.0.0.1", port))
        except OSError as error:
            raise Lost(str(error)) from error
        try:
            await device.line()
            await device.command(f'LOGIN "{login}" "{PASSWORD}"'.encode())
            yield device
        finally:
            device._writer.close()
            with contextlib.suppress(OSError):
                await device._writer.wait_closed()

    async def line(self) -> bytes:
        """The next line of the server, without CRLF. Raises Lost."""
        try:
            line = await self._reader.readline()
        except OSError as error:
            raise Lost(str(error)) from error
        if not line.endswith(b"\r\n"):
            raise Lost("the connection ended")
        return line[:-2]

    async def send(self, octets: bytes) -> None:
        """Raises Lost."""
        try:
            self._writer.write(octets)
            await self._writer.drain()
        except OSError as error:
            raise Lost(str(error)) from error

    async def command(self, line: bytes) -> bytes:
        """Sends a command (literals as LITERAL+ in it), returns the text of its tagged OK, or
        of the untagged OK with COPYUID before it (RFC 6851 4.3). Raises Lost, Refused."""
        self.asked += 1
        tag = b"d%d" % self.asked
        await self.send(tag + b" " + line + b"\r\n")
        copied = b""
        while True:
            answer = await self.line()
            if answer.startswith(b"* OK [COPYUID "):
                copied = answer
            if answer.startswith(tag + b" "):
                status, _, text = answer[len(tag) + 1 :].partition(b" ")
                if status != b"OK":
                    raise Refused(f"{line[:200]!r} -> {answer!r}")
                return copied or text

    async def fetch(self, uids: str) -> dict[int, tuple[bytes, Flags]]:
        """SHA-256 of the octets and flags, by UID. Raises Lost, Refused."""
        self.asked += 1
        tag = b"d%d" % self.asked
        await self.send(b"%s UID FETCH %s (UID FLAGS BODY.PEEK[])\r\n" % (tag, uids.encode()))
        found: dict[int, tuple[bytes, Flags]] = {}
        while True:
            answer = await self.line()
            if answer.startswith(tag + b" "):
                if not answer.startswith(tag + b" OK "):
                    raise Refused(f"FETCH {uids} -> {answer!r}")
                return found
            literal = re.search(rb"BODY\[\] \{([0-9]+)\}$", answer)
            if literal is None:
                continue  # what another device changed
            octets = await self._octets(int(literal[1]))
            rest = answer + await self.line()
            uid, flags = re.search(rb"UID ([0-9]+)", rest), re.search(rb"FLAGS \(([^)]*)\)", rest)
            assert uid is not None, rest
            assert flags is not None, rest
            found[int(uid[1])] = (hashlib.sha256(octets).digest(), flags_of(flags[1]))

    async def _octets(self, count: int) -> bytes:
        try:
            return await self._reader.readexactly(count)
        except (OSError, EOFError) as error:
            raise Lost(str(error)) from error

    async def select(self, mailbox: str) -> None:
        if self.selected != mailbox:
            await self.command(b"SELECT " + mailbox.encode())
            self.selected = mailbox

    async def idle(self) -> None:
        """Goes into IDLE; what the server says then comes by `line`."""
        await self.send(b"idle IDLE\r\n")
        while not (await self.line()).startswith(b"+"):
            pass


@dataclass(frozen=True, slots=True)
class Seen:
    """A mailbox as a client saw it: UID -> (SHA-256 of the octets, flags but \\Recent)."""

    uidvalidity: int
    uidnext: int
    entries: Mapping[int, tuple[bytes, Flags]]


def observe(port: int, login: str) -> dict[str, Seen]:
    """Every mailbox with every octet. Raises OSError or imaplib.IMAP4.abort when the daemon dies
    meanwhile."""
    client = imaplib.IMAP4("127.0.0.1", port)
    try:
        client.login(login, PASSWORD)
        _, lines = client.list()
        names = [
            line.decode().rsplit(" ", 1)[1].strip('"') for line in lines if isinstance(line, bytes)
        ]
        return {name: _mailbox(client, name) for name in names}
    finally:
        client.shutdown()


def _mailbox(client: imaplib.IMAP4, name: str) -> Seen:
    client.select(name, readonly=True)
    uidvalidity, uidnext = (_number(client, code) for code in ("UIDVALIDITY", "UIDNEXT"))
    _, said = client.uid("FETCH", "1:*", "(UID FLAGS BODY.PEEK[])")
    entries: dict[int, tuple[bytes, Flags]] = {}
    for item in said:
        if isinstance(item, tuple):
            head, octets = item
            uid = re.search(rb"UID ([0-9]+)", head)
            flags = re.search(rb"FLAGS \(([^)]*)\)", head)
            assert uid is not None, head
            assert flags is not None, head
            assert int(uid[1]) not in entries, f"{name}: UID {uid[1]!r} twice in one answer"
            entries[int(uid[1])] = (hashlib.sha256(octets).digest(), flags_of(flags[1]))
    return Seen(uidvalidity, uidnext, entries)


def flags_of(listed: bytes) -> Flags:
    return frozenset(listed.decode().split()) - {"\\Recent"}


def _number(client: imaplib.IMAP4, code: str) -> int:
    _, (said,) = client.response(code)
    assert isinstance(said, bytes), f"no {code}"
    return int(said)
