"""The process that scans: the same structures, in order, and nobody needs it."""

from __future__ import annotations

import asyncio
import io
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import ClassVar

import pytest

from bridge import limits
from bridge.mime.parser import scan
from bridge.model import Structure
from bridge.sync.scanning import Lost, ScanProcess, serve
from tests.support.pop3_server import Item, Pop3Server
from tests.support.samples import samples
from tests.sync.house import House, mail, maildrop, octets


@pytest.fixture
async def process() -> AsyncIterator[ScanProcess]:
    started = await ScanProcess.start()
    assert started is not None
    yield started
    await started.close()


def pid_of(process: ScanProcess) -> int:
    assert process._process is not None
    return process._process.get_pid()


def test_octets_in_structures_out() -> None:
    said = io.BytesIO()
    serve(io.BytesIO(b"\0\0\0\x0cSubject: hi\n\0\0\0\0\0\0\0\x20too short"), said)
    answers = said.getvalue()
    length = int.from_bytes(answers[:4], "big")
    assert b'"hi"' in answers[4 : 4 + length]
    # The empty message has a structure too; what was cut short is no message.
    rest = answers[4 + length :]
    assert int.from_bytes(rest[:4], "big") == len(rest) - 4 > 0


async def test_it_says_what_we_would_have_found(process: ScanProcess) -> None:
    raws = [*samples(60, 1), b"", b"x" * 300_000]
    assert await asyncio.gather(*map(process.scan, raws)) == list(map(scan, raws))


async def test_whoever_waits_is_told_when_it_dies(process: ScanProcess) -> None:
    os.kill(pid_of(process), signal.SIGSTOP)
    waiting = [process.scan(b"Subject: x\r\n\r\n" * 1000) for _ in range(100)]
    os.kill(pid_of(process), signal.SIGKILL)
    for future in waiting:
        with pytest.raises(Lost):
            await future
    with pytest.raises(Lost):
        await process.scan(b"Subject: x\r\n\r\n")


async def test_it_ends_with_its_stdin() -> None:
    """As it does when the daemon is killed."""
    running = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bridge.sync.scanning", stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert running.stdin is not None
    running.stdin.close()
    async with asyncio.timeout(30):
        assert await running.wait() == 0


async def test_it_ends_when_it_is_closed() -> None:
    process = await ScanProcess.start()
    assert process is not None
    number = pid_of(process)
    waiting = process.scan(b"Subject: x\r\n\r\n")
    await process.close()
    with pytest.raises(ProcessLookupError):
        os.kill(number, 0)
    assert waiting.done()
    assert waiting.exception() is None or isinstance(waiting.exception(), Lost)
    await process.close()


async def test_it_takes_no_module_from_where_the_daemon_was_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "struct.py").write_text("raise SystemExit('somebody else is here')")
    monkeypatch.chdir(tmp_path)
    process = await ScanProcess.start()
    assert process is not None
    assert await process.scan(b"Subject: x\r\n\r\n") == scan(b"Subject: x\r\n\r\n")
    await process.close()


async def test_one_processor_is_not_shared_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    assert await ScanProcess.start() is None


async def test_without_a_process_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    assert await ScanProcess.start() is None


# --- a poll with its help ---------------------------------------------------------------------


class Watched(ScanProcess):
    """Those that polls started, and what they were asked."""

    started: ClassVar[list[Watched]] = []
    asked = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.started.append(self)

    def scan(self, octets: bytes) -> asyncio.Future[Structure]:
        self.asked += 1
        return super().scan(octets)


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> type[Watched]:
    monkeypatch.setattr(Watched, "started", [])
    monkeypatch.setattr("bridge.sync.fetch.ScanProcess", Watched)
    monkeypatch.setattr(limits, "SCAN_APART", 40)
    return Watched


async def test_a_large_maildrop_is_scanned_apart(house: House, watched: type[Watched]) -> None:
    async with Pop3Server(maildrop(200)) as server:
        report = await house.poll(server)
        assert (report.new, report.failed, report.error) == (200, 0, "")
        assert await house.shown() == octets(server.items)
        (helper,) = watched.started
        assert helper.asked == 200
        with pytest.raises(ProcessLookupError):
            os.kill(pid_of(helper), 0)
        server.items += [Item(b"n%d" % number, mail(number)) for number in (901, 902)]
        await house.poll(server)  # few come: no help
        assert len(watched.started) == 1


@pytest.mark.parametrize(("count", "helpers"), [(39, 0), (40, 1)])
async def test_so_many_are_scanned_apart_and_no_fewer(
    house: House, watched: type[Watched], count: int, helpers: int
) -> None:
    async with Pop3Server(maildrop(count)) as server:
        assert (await house.poll(server)).new == count
    assert len(watched.started) == helpers


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
async def test_a_helper_that_is_gone_costs_no_message(
    house: House, watched: type[Watched], monkeypatch: pytest.MonkeyPatch, how: signal.Signals
) -> None:
    """Killed, or silent for ever."""
    monkeypatch.setattr(limits, "SCAN_SECONDS", 0.1)

    class Broken(Watched):
        def scan(self, octets: bytes) -> asyncio.Future[Structure]:
            if self.asked == 30:
                os.kill(pid_of(self), how)
            return super().scan(octets)

    monkeypatch.setattr("bridge.sync.fetch.ScanProcess", Broken)
    async with Pop3Server(maildrop(200)) as server:
        report = await house.poll(server)
        assert (report.new, report.failed, report.error) == (200, 0, "")
        assert await house.shown() == octets(server.items)


async def test_a_poll_that_is_cancelled_leaves_no_process(
    house: House, watched: type[Watched]
) -> None:
    async with Pop3Server(maildrop(200)) as server:
        asked = asyncio.Event()

        class Telling(Watched):
            def scan(self, octets: bytes) -> asyncio.Future[Structure]:
                asked.set()
                return super().scan(octets)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("bridge.sync.fetch.ScanProcess", Telling)
            polling = asyncio.create_task(house.poll(server))
            await asked.wait()
            polling.cancel()
            with pytest.raises(asyncio.CancelledError):
                await polling
        (helper,) = watched.started
        with pytest.raises(ProcessLookupError):
            os.kill(pid_of(helper), 0)
        assert (await house.poll(server)).error == ""
        assert sorted(await house.shown()) == sorted(octets(server.items))
