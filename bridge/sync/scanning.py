"""Scanning messages in a process of its own, while a maildrop has many to give.

One interpreter runs one thread at a time: where thousands of messages come, what takes them apart
keeps those waiting that receive and store them. Here another processor does it.

Rules:
- It is a help and never a need: whoever asks gets `Lost` where the process could not be had, died
  or does not answer, and scans by itself. The same octets give the same structure either way.
- It lives for one poll, and ends with its stdin: a daemon that is killed leaves none behind.
- It takes no module from the folder that the daemon was started in (-P), as the daemon does not.
- It is told octets and says structures, both with their length before them (4 octets, big
  endian); a structure is a tuple as `marshal` writes it, of which nothing but values can come.
"""

from __future__ import annotations

import asyncio
import contextlib
import marshal
import os
import signal
import struct
import sys
from collections import deque
from dataclasses import astuple
from typing import BinaryIO, cast

from bridge.mime.parser import scan
from bridge.model import SortKeys, Structure

_LENGTH = struct.Struct(">I")


class Lost(Exception):
    """The process will not say it."""


class ScanProcess(asyncio.SubprocessProtocol):
    """One process; `scan` as often as you like, `close` in any case."""

    def __init__(self) -> None:
        self._waiting: deque[asyncio.Future[Structure]] = deque()
        self._said = bytearray()
        self._process: asyncio.SubprocessTransport | None = None
        self._stdin: asyncio.WriteTransport | None = None
        self._gone = asyncio.Event()

    @classmethod
    async def start(cls) -> ScanProcess | None:
        """None where there is no processor to spare, or no process to be had."""
        if (os.cpu_count() or 1) < 2:
            return None
        loop = asyncio.get_running_loop()
        try:
            transport, protocol = await loop.subprocess_exec(
                cls, sys.executable, "-P", "-m", "bridge.sync.scanning", stderr=None
            )
        except OSError:
            return None
        protocol._process = transport
        protocol._stdin = cast(asyncio.WriteTransport, transport.get_pipe_transport(0))
        return protocol

    def scan(self, octets: bytes) -> asyncio.Future[Structure]:
        """Answers come in the order of asking. The future may raise `Lost`."""
        future: asyncio.Future[Structure] = asyncio.get_running_loop().create_future()
        if self._stdin is None or self._stdin.is_closing():
            future.set_exception(Lost())
            return future
        self._waiting.append(future)
        self._stdin.write(_LENGTH.pack(len(octets)))
        self._stdin.write(octets)
        return future

    def give_up(self) -> None:
        """Whoever waits gets `Lost`; nothing more is asked."""
        self._stdin = None
        if self._process is not None and not self._gone.is_set():
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
        while self._waiting:
            future = self._waiting.popleft()
            if not future.done():
                future.set_exception(Lost())

    async def close(self) -> None:
        """Ends the process, and waits for that."""
        self.give_up()
        if self._process is not None:
            await self._gone.wait()
            self._process.close()

    # --- from the loop ------------------------------------------------------------------

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        said = self._said
        said += data
        at = 0
        while len(said) - at >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(said, at)
            end = at + _LENGTH.size + length
            if len(said) < end:
                break
            self._answered(bytes(said[at + _LENGTH.size : end]))
            at = end
        del said[:at]

    def _answered(self, answer: bytes) -> None:
        if not self._waiting:
            return
        future = self._waiting.popleft()
        if future.done():
            return
        if not answer:
            future.set_exception(Lost())
            return
        fields = list(marshal.loads(answer))  # noqa: S302  our own process, and values alone
        fields[-1] = SortKeys(*fields[-1])
        future.set_result(Structure(*fields))

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        self.give_up()  # without the one it cannot be asked, without the other it cannot answer

    def process_exited(self) -> None:
        self._gone.set()
        self.give_up()


def serve(asked: BinaryIO, said: BinaryIO) -> None:
    """The process: answers until there is nothing more to read."""
    while len(header := asked.read(_LENGTH.size)) == _LENGTH.size:
        (length,) = _LENGTH.unpack(header)
        if len(octets := asked.read(length)) < length:
            return
        try:
            answer = marshal.dumps(astuple(scan(octets)))
        except Exception:
            answer = b""  # whoever asked tries by itself, and says what is wrong
        said.write(_LENGTH.pack(len(answer)) + answer)
        said.flush()


if __name__ == "__main__":
    # Ctrl-C goes to all of a terminal's processes; this one ends when the daemon has.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    serve(sys.stdin.buffer, sys.stdout.buffer)
