"""What the daemon takes at its worst with 10,000 messages and 50 devices: at most 150 MB.

Each cache is filled on the way: first sync, header fields, flags, searches, order, whole messages;
then a device stores large ones. (`python -m bench` says it of messages of 27 kB.)
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from pathlib import Path

from bridge.imap.commands.append import prepare
from bridge.store.api import WriteTx
from bridge.store.opening import open_store
from tests.support import figures
from tests.support.process import PASSWORD, DaemonProcess, pop3_account, write_config

MESSAGES = 10_000
DEVICES = 50
MOST_MB = 150
ADDRESS = "one@example.org"
FIELDS = "From To Cc Subject Date Message-ID References In-Reply-To Content-Type Reply-To"
WORK = (
    "UID FETCH 1:* (UID FLAGS INTERNALDATE RFC822.SIZE ENVELOPE BODYSTRUCTURE)",
    f"UID FETCH 1:* (UID RFC822.SIZE FLAGS BODY.PEEK[HEADER.FIELDS ({FIELDS})])",
    "UID FETCH 1:* (BODY.PEEK[HEADER])",
    "UID FETCH 1:* (BODY.PEEK[])",
    "UID FETCH 1:* (FLAGS)",
    "UID SEARCH FROM sender9",
    "UID SEARCH SUBJECT offer",
    "UID SEARCH BODY needle",
    "UID SORT (DATE) UTF-8 ALL",
    "UID THREAD REFERENCES UTF-8 ALL",
    "UID STORE 1:* +FLAGS (\\Seen)",
)


def message(number: int, lines: int = 20) -> bytes:
    """About 3 kB, two thirds of them header, as mail has it today."""
    path = "".join(
        f"Received: from relay{hop}.example.org (relay{hop}.example.org [192.0.2.{hop}])\r\n"
        f"\tby mx{hop}.example.net with ESMTPS id {number:012x}; 1 Jan 2024 00:0{hop}:00 +0000\r\n"
        for hop in range(5)
    )
    return (
        f"{path}From: Sender {number} <sender{number % 97}@example.org>\r\n"
        f'To: "Me, Myself" <me{number}@example.net>, talk@lists.example.org\r\n'
        f"Subject: an offer that nobody can refuse, number {number}, for a long time to come\r\n"
        f"Date: {1 + number // 24 % 28} Jan 2024 {number % 24:02d}:30:00 +0100\r\n"
        f"Message-ID: <{number}.memory@example.org>\r\n"
        f"References: <{number // 4}.memory@example.org>\r\nX-Padding: {'x' * 600}\r\n"
        "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n"
        + f"All work and no play makes Jack {number} a dull boy\r\n"
        * lines
    ).encode()


async def fill(folder: Path) -> None:
    def work(tx: WriteTx) -> None:
        box = tx.mailbox(tx.ensure_login(ADDRESS).id, "INBOX").id
        for number in range(MESSAGES):
            tx.add_entry(box, tx.add_message(prepare(message(number))), internaldate=number)

    store = await open_store(folder / "data")
    await store.write(work)
    await store.close()


class Device:
    """A connection that looks for the tagged answer alone."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def run(self, command: bytes, end: bytes = b"\r\nzqz OK") -> None:
        self._writer.write(b"zqz " + command + b"\r\n")
        tail = b"\r\n"
        while end not in tail:
            octets = await self._reader.read(256 * 1024)
            assert octets, tail
            tail = tail[-256:] + octets

    def close(self) -> None:
        self._writer.close()


async def device(port: int) -> Device:
    opened = Device(*await asyncio.open_connection("127.0.0.1", port))
    await opened.run(f'LOGIN {ADDRESS} "{PASSWORD}"'.encode())
    await opened.run(b"SELECT INBOX")
    return opened


def peak_mb(pid: int) -> float:
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1]) / 1024


async def test_ten_thousand_messages_and_fifty_devices(tmp_path: Path) -> None:
    start = time.monotonic()
    await fill(tmp_path)
    config = write_config(tmp_path, [pop3_account(ADDRESS, 1)])
    async with DaemonProcess(config) as daemon:
        port = await daemon.listening()
        with contextlib.ExitStack() as stack:
            for _ in range(DEVICES):
                idle = await device(port)
                stack.callback(idle.close)
                await idle.run(b"IDLE", end=b"+ ")
            busy = await device(port)
            stack.callback(busy.close)
            for command in WORK:
                await busy.run(command.encode())
            for number in range(40):
                large = message(MESSAGES + number, lines=20_000)
                await busy.run(b"APPEND INBOX {%d+}\r\n%b" % (len(large), large))
            used = peak_mb(daemon.pid)
    assert used < MOST_MB
    figures.note("memory at work", tried=MESSAGES, peak_mb=used, seconds=time.monotonic() - start)
