"""The wall clock jumps ten years ahead, ten back, to 1970, an hour to and fro: the real daemon
under a library that moves its clock, and the schedule by a clock of the test."""

from __future__ import annotations

import asyncio
import imaplib
import re
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bridge.cli import control
from bridge.imap.protocol.responses import internaldate
from bridge.mime.date import parse_date
from tests.pcases.home import DAY, INTERVAL, Home, maildrop
from tests.support import figures
from tests.support.pop3_server import Pop3Server
from tests.support.process import DaemonProcess, pop3_account, write_config

ME = "me@example.org"
YEARS = 3652 * DAY
HOUR = 3600
TO_1970 = "1970"
# The jumps of each life of the daemon; it starts in the first of them.
LIVES: tuple[tuple[int | str, ...], ...] = (
    (0, YEARS, 0, -YEARS),
    (TO_1970, 0),
    (-HOUR, HOUR, -HOUR, HOUR),
    (YEARS, TO_1970),
    (0,),
)


class MovedClock:
    """What the daemon's wall clock differs from ours by."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "offset"
        self._file.write_bytes(struct.pack("q", 0))
        library = folder / "clock.so"
        source = Path(__file__).parents[1] / "support" / "clock.c"
        subprocess.run(
            ["cc", "-shared", "-fPIC", "-O1", "-o", str(library), str(source), "-ldl"], check=True
        )
        self.program = (
            "env", f"LD_PRELOAD={library}", f"CLOCK_FILE={self._file}",
            sys.executable, "-m", "bridge", "run", "--config",
        )  # fmt: skip

    def jump(self, to: int | str) -> None:
        offset = int(100 - time.time()) if to == TO_1970 else int(to)
        with self._file.open("r+b") as file:
            file.write(struct.pack("q", offset))


def status(client: imaplib.IMAP4, mailbox: str) -> dict[str, int]:
    answer, (said,) = client.status(mailbox, "(MESSAGES UIDNEXT UIDVALIDITY)")
    assert answer == "OK"
    return {name.decode(): int(value) for name, value in re.findall(rb"([A-Z]+) (\d+)", said)}


class Phone:
    """A device with a password of its own, at a daemon whose clock jumps."""

    def __init__(self, password: str) -> None:
        self._password = password
        self.before = {"MESSAGES": 0, "UIDNEXT": 0, "UIDVALIDITY": 0}
        self.given: list[int] = []  # each UIDVALIDITY, in the order of the mailboxes' making

    def look(self, port: int, name: str) -> None:
        with imaplib.IMAP4("127.0.0.1", port, timeout=20) as client:
            client.login(ME, self._password)
            inbox = status(client, "INBOX")
            assert inbox["MESSAGES"] == self.before["MESSAGES"] + 1 or not self.given
            assert inbox["UIDNEXT"] > self.before["UIDNEXT"]
            assert inbox["UIDVALIDITY"] == self.before["UIDVALIDITY"] or not self.given
            self.before = inbox
            for _ in range(2):  # made, deleted, and made again
                client.delete("fleeting")
                for made in ("fleeting", name):
                    if client.create(made)[0] == "OK":
                        self.given.append(status(client, made)["UIDVALIDITY"])
            client.select("INBOX", readonly=True)
            assert client.search(None, "YOUNGER", "31536000")[0] == "OK"


async def new_password(config: Path) -> str:
    made = await asyncio.to_thread(control.ask, config, "POST", f"/devices?login={ME}&name=phone")
    assert isinstance(made, dict)
    return str(made["password"])


@pytest.mark.case("T001")
async def test_a_daemon_whose_clock_jumps(tmp_path: Path) -> None:
    """Each jump: a poll works and nobody polled meanwhile, a device signs in, mail and UIDVALIDITY
    stay, new mailboxes get numbers that no other had. At some the daemon starts anew, too."""
    clock = MovedClock(tmp_path)
    async with Pop3Server(maildrop(3)) as server:
        config = write_config(tmp_path, [pop3_account(ME, server.port)])
        phone: Phone | None = None
        jumps, years = 0, set[str]()
        for life in LIVES:
            clock.jump(life[0])
            async with DaemonProcess(config, clock.program) as daemon:
                port = await daemon.listening()
                for jump in life:
                    clock.jump(jump)
                    jumps += 1
                    server.items += maildrop(1, b"v", 100 + jumps)
                    (report,) = await daemon.poll()
                    assert report["error"] == ""
                    phone = phone or Phone(await new_password(config))
                    await asyncio.to_thread(phone.look, port, f"box-{jumps}")
                assert await daemon.stop() == 0
                assert not [line for line in daemon.log if " error " in line]
                assert len(daemon.log) < 100
                years |= {line[:4] for line in daemon.log}
        assert phone is not None
        assert {"1970", str(time.gmtime(time.time() + YEARS).tm_year)} <= years
        assert phone.before["MESSAGES"] == 3 + jumps
        assert phone.given == sorted(set(phone.given))
        # A start polls as well, unless ours joined it.
        assert jumps <= server.ledger.logins <= jumps + len(LIVES)
        assert server.ledger.retrieved.total() == 3 + jumps
        assert server.ledger.count(b"DELE") == 0
    figures.note("clock jumps", tried=jumps, lost=0, doubled=0, faults=0)


@pytest.mark.case("T001")
@pytest.mark.parametrize("jump", [YEARS, -YEARS, TO_1970, "to and fro"])
async def test_polls_neither_stop_nor_storm(tmp_path: Path, jump: int | str) -> None:
    async with Home(tmp_path) as home, Pop3Server(maildrop(3)) as server:
        await home.schedule(server)
        await home.clock.run(1.0)
        for minute in range(24 * 60):
            if jump == "to and fro":
                home.clock.jumped = HOUR if minute % 2 else -HOUR
            elif minute == 60:
                home.clock.jumped = 100 - home.clock.wall() if jump == TO_1970 else float(jump)
            await home.clock.run(60.0)
        assert len(home.reports) == int(DAY / INTERVAL) + 1
        assert {report.error for report in home.reports} == {""}
        assert server.ledger.logins == len(home.reports)
        assert server.ledger.retrieved.total() == 3
        await home.check(server)


@pytest.mark.case("T002")
@pytest.mark.parametrize("zone", [None, "", "Europe/Berlin", "America/New_York", "no/such", ":x"])
def test_no_zone_moves_a_date(zone: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """RFC 3501 2.3.3: INTERNALDATE is an instant, whatever the zone of the machine. Around both
    changes of 2026 in Berlin, the leap second of 2016, and the hour that comes twice."""
    if zone is None:
        monkeypatch.delenv("TZ", raising=False)
    else:
        monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        for text, instant, said in (
            (b"Sun, 29 Mar 2026 01:59:59 +0100", 1774745999, b"29-Mar-2026 00:59:59"),
            (b"Sun, 29 Mar 2026 03:00:00 +0200", 1774746000, b"29-Mar-2026 01:00:00"),
            (b"Sun, 25 Oct 2026 02:30:00 +0200", 1792888200, b"25-Oct-2026 00:30:00"),
            (b"Sun, 25 Oct 2026 02:30:00 +0100", 1792891800, b"25-Oct-2026 01:30:00"),
            (b"Sat, 31 Dec 2016 23:59:60 +0000", 1483228800, b" 1-Jan-2017 00:00:00"),
            (b"Sat, 31 Dec 2016 18:59:60 -0500", 1483228800, b" 1-Jan-2017 00:00:00"),
        ):
            parsed = parse_date(text)
            assert parsed is not None
            assert parsed.at == instant
            assert internaldate(instant) == b'"' + said + b' +0000"'
    finally:
        monkeypatch.undo()
        time.tzset()
