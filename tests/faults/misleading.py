"""A POP3 server that follows a script of faults: wrong, torn, doubled, swapped and missing replies.

A fault names its reply by verb and how often that verb came before in the session, so that a
script means the same in lock-step and in a window. Whatever a fault does to a reply, the server
waits `PATIENCE` for the next command after it, then hangs up: nobody waits for a minute.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass
from enum import StrEnum

from tests.support.pop3_connection import Closed
from tests.support.pop3_server import Pop3Server
from tests.support.pop3_session import Session

PATIENCE = 0.05  # seconds
LARGE = 8 * 1024  # octets: of such a message the loss of most shows (`bridge.sync.short`)

STATUSES = (
    b"", b"+ok", b"OK", b"-ERR", b"-err [SYS/TEMP] later", b"-ERR [IN-USE] locked",
    b"+OK [odd] \xff\x00", b"220 ready", b"+OK" + b" x" * 300, b"* BAD", b"+",
)  # fmt: skip
JUNK = (b"\r\n", b"+OK\r\n", b"-ERR what\r\n", b".\r\n", b"\x00" * 40 + b"\r\n", b"y" * 9_000)
NUMBERS = (b"0", b"-1", b"999999999999999999999999", b"x", b"", b"1 1 1", b"\xff")


class Kind(StrEnum):
    CUT = "cut"  # at an octet of the reply, with or without goodbye
    STATUS = "status"  # another first line
    DOUBLE = "double"  # twice: what follows is out of step
    JUNK = "junk"  # octets before it
    AFTER = "after"  # octets behind it
    SWAP = "swap"  # the reply to the next command comes first
    OTHER = "other"  # RETR and TOP of one number give another message
    EARLY = "early"  # the end mark in the middle of a large message
    DROP = "drop"  # a line of a listing is missing
    TWICE = "twice"  # a line of a listing comes twice
    NUMBER = "number"  # the number in a line of a listing is no number, or another one
    VALUE = "value"  # its UIDL or size is another line's, or none
    ROTATE = "rotate"  # each UIDL stands beside the number before it


FRAMING = (Kind.CUT, Kind.STATUS, Kind.JUNK, Kind.AFTER, Kind.EARLY, Kind.DROP)
"""Those that leave no octet of a message in the place of another's."""


@dataclass(frozen=True, slots=True)
class Fault:
    kind: Kind
    verb: bytes
    nth: int  # of that verb in the session, from 0
    draw: int  # what the kind needs to choose by

    def __str__(self) -> str:
        return f"{self.verb.decode()}#{self.nth} {self.kind} {self.draw}"


class Misleading(Session):
    """One connection; the faults are those of the server at its start."""

    server: MisleadingServer

    def __init__(
        self, server: MisleadingServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        super().__init__(server, reader, writer)
        self._faults = {(fault.verb, fault.nth): fault for fault in server.faults}
        self._counted: Counter[bytes] = Counter()
        self._caught: bytearray | None = None
        self._struck = False

    async def line(self) -> bytes:
        if not self._struck:
            return await super().line()
        try:
            return await asyncio.wait_for(super().line(), PATIENCE)
        except TimeoutError:
            raise Closed from None

    async def send(self, data: bytes) -> None:
        if self._caught is None:
            await super().send(data)
        else:
            self._caught += data

    async def hang_up(self) -> None:
        if self._caught is not None:
            raise Closed
        await super().hang_up()

    async def _answer(self, line: bytes) -> None:
        verb = line.partition(b" ")[0].upper()
        fault = self._faults.get((verb, self._counted[verb]))
        self._counted[verb] += 1
        if fault is None:
            await super()._answer(line)
            return
        self._struck = True
        if fault.kind is Kind.OTHER and verb in (b"RETR", b"TOP") and self.items:
            line = _other(line, fault.draw % len(self.items) + 1)
        reply, closed = await self._reply(line)
        if fault.kind is Kind.CUT:
            self.server.rude = bool(fault.draw % 2)
            await self.send(reply[: fault.draw % (len(reply) + 1)])
            await self.hang_up()
        if fault.kind is Kind.SWAP and b"\n" in self.buffer:
            other, closed = await self._reply(await super().line())
            await self.send(other + reply)
        else:
            await self.send(changed(reply, verb, fault))
        if closed:
            await self.hang_up()

    async def _reply(self, line: bytes) -> tuple[bytes, bool]:
        """What would be said, and whether the connection ends behind it."""
        self._caught = bytearray()
        closed = False
        try:
            await super()._answer(line)
        except Closed:
            closed = True
        reply, self._caught = bytes(self._caught), None
        return reply, closed


def _other(line: bytes, number: int) -> bytes:
    words = line.split(b" ")
    if len(words) > 1:
        words[1] = b"%d" % number
    return b" ".join(words)


def changed(reply: bytes, verb: bytes, fault: Fault) -> bytes:
    """A reply after the fault. Pure."""
    draw = fault.draw
    status, _, rest = reply.partition(b"\r\n")
    match fault.kind:
        case Kind.STATUS:
            return STATUSES[draw % len(STATUSES)] + b"\r\n" + rest
        case Kind.DOUBLE:
            return reply + reply
        case Kind.JUNK:
            return JUNK[draw % len(JUNK)] + reply
        case Kind.AFTER:
            return reply + JUNK[draw % len(JUNK)]
        case Kind.EARLY if verb == b"RETR" and len(rest) > LARGE:
            return status + b"\r\n" + rest[: draw % (len(rest) // 4)] + b"\r\n.\r\n"
    if verb not in (b"UIDL", b"LIST") or not rest.endswith(b".\r\n"):
        return reply
    lines = rest.split(b"\r\n")[:-2]
    if lines:
        lines = _listing(lines, fault.kind, draw)
    return b"\r\n".join([status, *lines, b".", b""])


def _listing(lines: list[bytes], kind: Kind, draw: int) -> list[bytes]:
    at = draw % len(lines)
    numbers, values = zip(*(line.split(b" ", 1) for line in lines), strict=True)
    if kind is Kind.DROP:
        del lines[at]
    elif kind is Kind.TWICE:
        lines.insert(at, lines[at])
    elif kind is Kind.NUMBER:
        wrong = (*NUMBERS, *numbers)[draw % (len(NUMBERS) + len(numbers))]
        lines[at] = wrong + b" " + values[at]
    elif kind is Kind.VALUE:
        others = (*values, b"")
        lines[at] = numbers[at] + b" " + others[draw // 7 % len(others)]
    elif kind is Kind.ROTATE:
        turned = (*values[1:], values[0])
        return [b" ".join(pair) for pair in zip(numbers, turned, strict=True)]
    return lines


class MisleadingServer(Pop3Server):
    """`faults` are those of the sessions that begin from now on."""

    session_type = Misleading
    faults: tuple[Fault, ...] = ()
