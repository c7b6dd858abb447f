"""An IMAP server that takes mail and misbehaves on demand: the other end of a migration.

    async with ImapTarget() as target:
        target.cut_after = 1000      # octets that it takes of each connection, then it is gone
        target.drop_answers = 2      # so many APPENDs are stored and never answered
        target.late = 1              # so many APPENDs are stored once another connection appends
        target.answer = lambda raw: b"NO [OVERQUOTA] full"   # or None: store it
        ...
        target.mailboxes["INBOX"]    # what it holds

Rules: an APPEND is stored whole or not at all, several messages of one together (RFC 3502). It
speaks what the migration uses, and nothing else.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

_LITERAL = re.compile(rb"\{(\d+)(\+?)\}$")
_APPEND = re.compile(rb'\((?P<flags>[^)]*)\) "(?P<date>[^"]*)" $')


class _Gone(Exception):
    """The connection is cut."""


@dataclass
class Held:
    uid: int
    octets: bytes
    flags: bytes
    date: bytes


@dataclass
class ImapTarget:
    """See the module."""

    capabilities: bytes = b"IMAP4rev1 LITERAL+ MULTIAPPEND UIDPLUS"
    cut_after: int | None = None
    drop_answers: int = 0
    late: int = 0
    answer: Callable[[bytes], bytes | None] = lambda _: None
    greeting: bytes = b"* OK ready\r\n"
    silent: bool = False
    attributes: dict[str, bytes] = field(default_factory=dict)  # of LIST
    refuses_create: bool = False
    host: str = "127.0.0.1"
    port: int = 0
    logins: int = 0
    appends: int = 0
    mailboxes: dict[str, list[Held]] = field(default_factory=lambda: {"INBOX": []})
    _uid: int = 0
    _waiting: list[tuple[str, list[tuple[bytes, bytes, bytes]]]] = field(default_factory=list)
    _server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, self.host, 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._server is not None
        self._server.close()

    def held(self, mailbox: str = "INBOX") -> list[bytes]:
        return [each.octets for each in self.mailboxes.get(mailbox, [])]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        session = _Session(self, reader, writer)
        try:
            await session.run()
        except (_Gone, asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.transport.abort()


class _Session:
    def __init__(
        self, target: ImapTarget, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._target = target
        self._reader = reader
        self._writer = writer
        self._left = target.cut_after
        self._selected = "INBOX"

    async def run(self) -> None:
        self._writer.write(self._target.greeting)
        while True:
            line = await self._line()
            tag, _, rest = line.partition(b" ")
            word = rest.split(b" ")[0].upper()
            if self._target.silent and word == b"CAPABILITY":
                await self._reader.read()  # until the client goes
                raise _Gone
            if word == b"CREATE" and self._target.refuses_create:
                self._writer.write(tag + b" NO not here\r\n")
                continue
            if word == b"APPEND":
                await self._append(tag, rest)
                continue
            self._writer.write(self._untagged(word, rest))
            self._writer.write(tag + b" OK [READ-WRITE] done\r\n")
            if word == b"LOGOUT":
                await self._writer.drain()
                raise _Gone

    async def _octets(self, count: int) -> bytes:
        """Of the client; the cut comes between any two."""
        if self._left is not None:
            if count > self._left:
                await self._reader.readexactly(self._left)
                raise _Gone
            self._left -= count
        return await self._reader.readexactly(count)

    async def _line(self) -> bytes:
        line = await self._reader.readuntil(b"\r\n")
        if self._left is not None:
            if len(line) > self._left:
                raise _Gone
            self._left -= len(line)
        return line[:-2]

    def _untagged(self, word: bytes, rest: bytes) -> bytes:
        target = self._target
        match word:
            case b"CAPABILITY":
                return b"* CAPABILITY " + target.capabilities + b"\r\n"
            case b"LOGIN":
                target.logins += 1
                return b""
            case b"LIST":
                return b"".join(
                    b'* LIST (%b) "/" "%b"\r\n' % (target.attributes.get(name, b""), name.encode())
                    for name in target.mailboxes
                )
            case b"CREATE":
                target.mailboxes.setdefault(_name(rest), [])
            case b"SELECT" | b"EXAMINE":
                self._selected = _name(rest)
                return b"* OK [UIDVALIDITY 7] .\r\n* OK [PERMANENTFLAGS (\\Seen \\*)] .\r\n"
            case b"UID" if b" FETCH " in rest:
                return self._fetched(rest)
            case b"UID" | b"EXPUNGE":
                return self._marked(rest)
        return b""

    def _fetched(self, rest: bytes) -> bytes:
        asked = rest.split(b" ")[2]
        found = []
        for number, each in enumerate(self._target.mailboxes[self._selected], 1):
            if not any(_within(each.uid, part) for part in asked.split(b",")):
                continue
            items = b'UID %d RFC822.SIZE %d FLAGS (%b) INTERNALDATE "%b"' % (
                each.uid,
                len(each.octets),
                each.flags,
                each.date,
            )
            if b"BODY" in rest:
                items += b" BODY[] {%d}\r\n%b" % (len(each.octets), each.octets)
            found.append(b"* %d FETCH (%b)\r\n" % (number, items))
        return b"".join(found)

    async def _append(self, tag: bytes, line: bytes) -> None:
        target = self._target
        name = _name(line)
        taken = []
        while (announced := _LITERAL.search(line)) is not None:
            if not announced[2]:
                self._writer.write(b"+ go on\r\n")
            head = _APPEND.search(line[: announced.start()])
            assert head is not None, line
            octets = await self._octets(int(announced[1]))
            taken.append((octets, head["flags"], head["date"]))
            line = await self._line()
        target.appends += 1
        refusal = next((said for raw, _, _ in taken if (said := target.answer(raw))), None)
        if refusal is not None:
            self._writer.write(tag + b" " + refusal + b"\r\n")
            return
        if target.late:
            target.late -= 1
            target._waiting.append((name, taken))
            raise _Gone
        while target._waiting:
            self._store(*target._waiting.pop())
        uids = self._store(name, taken)
        if target.drop_answers:
            target.drop_answers -= 1
            raise _Gone
        code = b""
        if b"UIDPLUS" in target.capabilities:
            code = b"[APPENDUID 7 %d:%d] " % (uids[0], uids[-1])
        self._writer.write(tag + b" OK " + code + b"done\r\n")

    def _store(self, name: str, taken: list[tuple[bytes, bytes, bytes]]) -> list[int]:
        target = self._target
        uids = []
        for octets, flags, date in taken:
            target._uid += 1
            uids.append(target._uid)
            target.mailboxes[name].append(Held(target._uid, octets, flags, date))
        return uids

    def _marked(self, rest: bytes) -> bytes:
        """UID SEARCH DELETED, UID STORE, UID EXPUNGE and EXPUNGE."""
        box = self._target.mailboxes[self._selected]
        words = rest.upper().split()
        deleted = [each for each in box if b"\\Deleted" in each.flags]
        if b"SEARCH" in words:
            return b"* SEARCH%b\r\n" % b"".join(b" %d" % each.uid for each in deleted)
        asked = words[2] if words[0] == b"UID" else b"1:*"
        among = [e for e in box if any(_within(e.uid, part) for part in asked.split(b","))]
        for each in among:
            if b"STORE" in words:
                each.flags += b" \\Deleted"
            elif each in deleted:
                box.remove(each)
        return b""


def _name(rest: bytes) -> str:
    return rest.split(b'"')[1].decode()


def _within(uid: int, part: bytes) -> bool:
    low, _, high = part.partition(b":")
    return int(low) <= uid <= (2**32 if high == b"*" else int(high or low))
