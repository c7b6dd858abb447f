"""What servers answer: greetings, refusals with and without codes, limits, nonsense. Nobody is
hammered, no account is locked out, and what a server says harms no terminal and no page."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from structlog.testing import capture_logs

from bridge import limits, logs
from bridge.pop3 import quirks
from bridge.web.page import screen
from bridge.web.templating import render
from tests.pcases.home import ADDRESS, DAY, EPOCH, INTERVAL, Home, maildrop
from tests.support.pop3_server import Pop3Server
from tests.web.test_page import account, facts

MINUTE = 60.0
HOUR = 3600.0


def gaps(server: Pop3Server) -> list[float]:
    return [b - a for a, b in itertools.pairwise(server.ledger.attempts)]


async def recovers(home: Home, server: Pop3Server, hours: float = 30) -> None:
    """Once the server is well, the account is, by itself."""
    server.replies.clear()
    server.hang_up = set()
    await home.clock.run(hours * HOUR)
    assert (await home.state()).error == ""
    await home.check(server)


@pytest.mark.parametrize(
    ("greeting", "error_class"),
    [
        (b"-ERR [SYS/TEMP] down\r\n", "temporary"),
        (b"-ERR go away\r\n", "temporary"),
        (b"\r\n", "protocol"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "protocol"),
        (b"220 mx ESMTP\r\n", "protocol"),
        (b"* OK IMAP4rev1\r\n", "protocol"),
        (bytes(range(256)), "protocol"),
    ],
)
async def test_P070_greetings_that_are_none(home: Home, greeting: bytes, error_class: str) -> None:
    async with Pop3Server(maildrop(2), greeting=greeting) as server:
        await home.schedule(server)
        await home.clock.run(DAY)
        assert {report.error_class for report in home.reports} == {error_class}
        assert all(report.advice for report in home.reports)
        assert len(home.reports) < 12  # it backs off: a day has 96 intervals
        assert server.ledger.commands == []
        server.greeting = None
        await recovers(home, server)


async def test_P071_IN_USE_at_PASS(home: Home) -> None:
    async with Pop3Server(maildrop(2)) as server:
        server.replies[b"PASS"] = b"-ERR [IN-USE] Do you have another POP session running?\r\n"
        await home.schedule(server)
        await home.clock.run(2 * HOUR)
        state = await home.state()
        assert state.error_class == "busy"
        assert gaps(server)[:3] == [120, 240, 480]  # soon, and then at the interval
        assert all(gap <= INTERVAL for gap in gaps(server))
        await recovers(home, server, 1)


async def test_P072_LOGIN_DELAY(home: Home) -> None:
    async with Pop3Server(maildrop(2), extra_capabilities=[b"LOGIN-DELAY 900"]) as server:
        schedule = await home.schedule(server, interval=MINUTE)
        await home.clock.run(2 * HOUR)
        assert len(server.ledger.attempts) == 9
        for _ in range(5):  # nobody comes sooner: not after a restart, not when he is told to
            await home.restart()
            await home.clock.run(10)
            (report,) = await (await home.schedule(server, interval=MINUTE)).poll_now(ADDRESS)
            assert "15 min" in report.error
        assert schedule.why(ADDRESS) == ""
        server.replies[b"PASS"] = b"-ERR [LOGIN-DELAY] too soon\r\n"
        await home.clock.run(HOUR)
        server.replies.clear()
        server.extra_capabilities = []  # it is not said before every login
        await home.restart()
        await home.clock.run(HOUR)
        await home.check(server, least=900)


@pytest.mark.parametrize("command", [b"PASS", b"USER", b"LIST"])
async def test_P073_SYS_TEMP(home: Home, command: bytes) -> None:
    async with Pop3Server(maildrop(2)) as server:
        server.replies[command] = b"-ERR [SYS/TEMP] try later\r\n"
        if command == b"LIST":
            server.replies[b"UIDL"] = server.replies[command]
        await home.schedule(server)
        await home.clock.run(DAY)
        assert {report.error_class for report in home.reports} == {"temporary"}
        assert len(home.reports) < 12
        assert server.ledger.count(b"STAT") == 0  # nor is it needed
        await recovers(home, server)


async def test_P074_SYS_PERM(home: Home) -> None:
    async with Pop3Server(maildrop(2)) as server:
        server.replies[b"PASS"] = b"-ERR [SYS/PERM] mailbox is closed\r\n"
        await home.schedule(server)
        await home.clock.run(3 * DAY + HOUR)
        assert (await home.state()).error_class == "permanent"
        assert gaps(server) == [DAY] * 3
        (note,) = await home.notes()
        assert b"mailbox is closed" in note.replace(b"=\r\n", b"")
        await home.restart()
        await home.clock.run(HOUR)
        assert len(server.ledger.attempts) == 4
        await recovers(home, server)
        assert await home.notes() == []


@pytest.mark.parametrize("said", [b"-ERR [AUTH] no\r\n", b"-ERR bad password\r\n"])
async def test_P075_a_wrong_password(home: Home, said: bytes) -> None:
    async with Pop3Server(maildrop(2)) as server:
        server.replies[b"PASS"] = said
        schedule = await home.schedule(server)
        await home.clock.run(DAY)
        assert schedule.state(ADDRESS) == "needs attention"
        assert all(gap >= HOUR for gap in gaps(server)[2:])
        (note,) = await home.notes()
        assert b"cannot log in" in note
        for _ in range(5):
            await home.restart()
            await home.clock.run(10 * MINUTE)
        assert all(gap >= HOUR for gap in gaps(server)[2:])

        # A new password is tried at once.
        server.replies.clear()
        server.password, tried = "changed", len(server.ledger.attempts)
        home.forget_passwords()
        await home.schedule(server)
        await home.clock.run(1)
        assert len(server.ledger.attempts) == tried + 1
        await home.check(server)
        assert await home.notes() == []


async def test_P076_POP_is_switched_off(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """GMX answers as for a wrong password: the hint says so, and nobody hammers."""
    gmx = quirks.of("pop.gmx.net")
    monkeypatch.setattr(quirks, "of", lambda host, greeting=b"": gmx)
    async with Pop3Server(maildrop(2)) as server:
        await home.schedule(server)
        await home.clock.run(1)
        server.replies[b"PASS"] = b"-ERR authentication failed\r\n"
        await home.clock.run(DAY)
        first = next(report for report in home.reports if report.error)
        assert "but a login worked" in first.error  # so the password may well be right
        assert "switch it on" in first.advice or "switched off" in first.advice
        assert len(server.ledger.attempts) <= 3 + 24
        assert all(gap >= HOUR for gap in gaps(server)[3:])
        await recovers(home, server)


@pytest.mark.parametrize(
    ("said", "least"),
    [
        (b"Exceeded the login limit for a 15 minute period. Reduce the frequency", 15 * MINUTE),
        (b"login frequency too high, please retry after 30 minutes", 30 * MINUTE),
        (b"too many connections from your host", 15 * MINUTE),
        (b"Too frequent logins", 15 * MINUTE),
    ],
)
async def test_P077_a_rate_limit_in_plain_words(home: Home, said: bytes, least: float) -> None:
    async with Pop3Server(maildrop(2)) as server:
        server.replies[b"PASS"] = b"-ERR " + said + b"\r\n"
        await home.schedule(server, interval=MINUTE)
        await home.clock.run(6 * HOUR)
        assert (await home.state()).error_class == "busy"
        assert min(gaps(server)) >= least
        server.replies.clear()
        await home.clock.run(6 * HOUR)
        await home.restart()
        await home.clock.run(6 * HOUR)
        assert (await home.state()).error == ""
        await home.check(server, least=least)


async def test_P078_cut_off_when_polled_too_soon(home: Home) -> None:
    """OVH closes the connection without a word when it is asked within a minute."""
    async with Pop3Server(maildrop(2)) as server:
        schedule = await home.schedule(server)
        await home.clock.run(1)
        server.hang_up = {b"CAPA"}
        for _ in range(30):
            await schedule.poll_now(ADDRESS)
            await home.clock.run(1)
        assert len(server.ledger.sessions) == 2  # the second one taught a minute
        assert (await home.state()).least_interval == 60
        await home.clock.run(DAY)
        assert len(server.ledger.sessions) < 14
        await recovers(home, server)


async def test_P079_a_hundred_accounts_at_a_host_that_is_down(home: Home) -> None:
    chance = random.Random(79).random
    home.chance = chance
    addresses = [f"{n}@example.org" for n in range(100)]
    async with Pop3Server(maildrop(2)) as server:
        server.greeting = b"-ERR [SYS/TEMP] down\r\n"
        await home.schedule(server, *addresses)
        await home.clock.run(6 * HOUR)
        assert server.ledger.most_sessions <= home.per_host
        assert len(server.ledger.sessions) < 7 * 100
        server.greeting = None
        server.ledger.attempts.clear()
        await home.clock.run(7 * HOUR)
        # They come back spread over the hours, never in a herd.
        minutes = [int(when // 60) for when in server.ledger.attempts]
        assert max(minutes.count(each) for each in minutes) < 40
        assert server.ledger.most_sessions <= home.per_host
        assert server.ledger.logins >= 100
        for address in addresses[::25]:
            await home.check(server, mailbox=f"Mail/{address}")


async def test_P080_what_a_server_says_is_shown_escaped_and_cut(home: Home) -> None:
    nasty = b"\x1b[2J<script>alert(1)</script>\x07\xff" + b"x" * 5_000
    async with Pop3Server(maildrop(2)) as server:
        server.replies[b"PASS"] = b"-ERR " + nasty + b"\r\n"
        for _ in range(3):
            with capture_logs() as told:
                report = await home.poll(server)
            home.clock.now += HOUR
        state = await home.state()
        (note,) = await home.notes()
        for text in (report.error, state.error, note.decode()):
            assert "\x1b" not in text
            assert len(text) < 2_000
        assert all(len(logs.printable(str(log))) < 600 for log in told)
        assert all(logs.printable(str(log)).isprintable() for log in told)
        assert "<script>" in state.error
        seen = screen(facts(account("needs attention", error=state.error)), "en", EPOCH)
        session = SimpleNamespace(token="")
        shown = render("en", "live.html", screen=seen, seen="", session=session, events=())
        assert "alert(1)" in shown
        assert "<script>alert" not in shown
        server.replies[b"PASS"] = b"-ERR " + b"x" * 100_000 + b"\r\n"
        assert (await home.poll(server)).error_class == "limit"
        server.replies.clear()
        await home.poll(server)
        await home.check(server)


@pytest.mark.parametrize(
    ("reply", "right"),
    [
        (b"+ok\r\n", True), (b"+OK\r\n", True), (b"+Ok logged in\n", True), (b"+OK\t\r\n", True),
        (b"+OKAY\r\n", False), (b"OK\r\n", False), (b"-err no\r\n", False), (b"-ERROR\r\n", False),
        (b"+O\r\n", False),
    ],
)  # fmt: skip
async def test_P081_status_lines(home: Home, reply: bytes, right: bool) -> None:
    async with Pop3Server(maildrop(2)) as server:
        server.replies[b"PASS"] = reply
        report = await home.poll(server)
        assert (report.error == "") == right
        assert report.error_class in (("",) if right else ("protocol", "auth"))
        server.replies.clear()
        await home.poll(server)
        await home.check(server)


@pytest.mark.parametrize("sort", ["unknown", "endless", "STLS after the login"])
async def test_P082_CAPA(home: Home, sort: str) -> None:
    def endless() -> Iterator[bytes]:
        yield b"+OK\r\n"
        for number in itertools.count():
            yield b"X-%d\r\n" % number

    async with Pop3Server(maildrop(5)) as server:
        server.capa = sort != "unknown"
        if sort == "endless":
            server.streams[b"CAPA"] = endless
        if sort == "STLS after the login":
            server.pipelining = False
            server.extra_capabilities = [b"STLS"]
        report = await home.poll(server)
        assert report.error_class == ("limit" if sort == "endless" else "")
        if sort == "endless":
            assert server.ledger.count(b"PASS") == 0
            assert server.ledger.sent < 10 * limits.POP3_LINE * limits.POP3_CAPABILITIES
        assert server.ledger.count(b"STLS") == 0
        server.streams.clear()
        await home.poll(server)
        await home.check(server)


@pytest.mark.parametrize("segment", [1, 2, 3, 7, 64])
async def test_P083_replies_in_pieces(home: Home, segment: int) -> None:
    async with Pop3Server(maildrop(6), segment=segment) as server:
        assert (await home.poll(server)).new == 6
        server.segment = None  # and many in one piece
        server.items += maildrop(3, b"v", 7)
        assert (await home.poll(server)).new == 3
        await home.check(server)
