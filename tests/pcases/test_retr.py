"""RETR and TOP: bodies that are cut, mixed up, badly stuffed, endless, or large. Bytes are exact,
or the message is marked; a connection that is out of step ends without QUIT.

Long because each case of the area has its test here.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import itertools
import os
import re
import time
from collections import deque
from collections.abc import Iterator
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from bridge import limits
from bridge.sync.poison import PAUSES
from tests.pcases.home import DAY, Home, mail, maildrop
from tests.pop3.harness import AdvancingClock
from tests.support import figures
from tests.support.memory import Sampled
from tests.support.pop3_server import Item, Pop3Server, stuff

HEAD = b"Message-ID: <odd@example.org>\r\nSubject: odd\r\n\r\n"
EVERY_CUT = os.environ.get("POPBRIDGE_CUTS") == "all"


async def is_shown(home: Home, octets: bytes, *, wire: bytes | None = None) -> None:
    """In lock-step and in a window, the octets come through as they are, once."""
    for number, pipelining in enumerate((True, False)):
        address = f"{number}@example.org"
        items = [*maildrop(2), Item(b"odd", octets, wire=wire), *maildrop(2, b"v", 3)]
        async with Pop3Server(items, pipelining=pipelining) as server:
            report = await home.poll(server, address=address)
            assert (report.new, report.failed, report.error) == (5, 0, "")
            assert (await home.poll(server, address=address)).octets == 0
            shown = await home.check(server, mailbox=f"Mail/{address}")
            assert shown[2] == octets


# --- octets -----------------------------------------------------------------------------------


async def test_P034_dots_that_are_stuffed(home: Home) -> None:
    await is_shown(home, HEAD + b".\r\n..\r\n.hidden\r\n...three\r\n.\r\n")


async def test_P035_a_dot_that_is_not_stuffed(home: Home) -> None:
    """RFC 1939 3 takes it off: the size tells, and the session stays in step."""
    whole = HEAD + b".hidden\r\nrest\r\n"
    got = HEAD + b"hidden\r\nrest\r\n"
    items = [Item(b"odd", got, listed=b"%d" % len(whole), wire=b"+OK\r\n" + whole + b".\r\n")]
    async with Pop3Server(items + maildrop(3)) as server:
        assert (await home.poll(server)).new == 4
        assert (await home.poll(server)).octets == 0
        await home.check(server)


@pytest.mark.parametrize("pipelining", [True, False])
@pytest.mark.parametrize("listed", [None, b"10"])
async def test_P036_a_lone_dot_that_is_not_stuffed(
    home: Home, pipelining: bool, listed: bytes | None
) -> None:
    """What follows is no reply: the message is cut. It is never taken for whole, blocks nobody,
    and in the end a note stands for it until the server can send it."""
    whole = mail(4, body=b"first half\r\n.\r\nsecond half\r\n")
    items = maildrop(8)
    items[3] = Item(b"u4", whole, listed=listed, wire=b"+OK\r\n" + whole + b".\r\n")
    async with Pop3Server(items, pipelining=pipelining) as server:
        for poll in range(12):
            await home.poll(server)
            assert server.ledger.sessions[-1].quit == (b"RETR 4" not in _said(server))
            home.clock.now += DAY if poll > 3 else 900
        await home.check(server, without=[whole])
        (note,) = await home.notes()
        assert b"cannot be fetched" in note
        server.items[3] = Item(b"u4", whole, listed=listed)
        home.clock.now += DAY
        await home.poll(server)
        await home.check(server)
        assert await home.notes() == []


def _said(server: Pop3Server) -> list[bytes]:
    return server.ledger.sessions[-1].commands


async def test_P037_bare_LF_dot_LF_is_no_end_mark(home: Home) -> None:
    await is_shown(home, HEAD + b"one\n.\ntwo\r\n.\nthree\n.\r\nfour\r\n")


async def test_P038_bare_LF_throughout(home: Home) -> None:
    octets = HEAD.replace(b"\r\n", b"\n") + b"one\ntwo\n\nthree\n"
    await is_shown(home, octets + b"\r\n")


async def test_P039_bare_CR_inside_lines(home: Home) -> None:
    octets = b"Subject: one\rInjected: two\r\n" + HEAD + b"a\rb\r\rc\r\n\r\r\n"
    await is_shown(home, octets)

    def fetch(client: Any) -> bytes:
        client.select('"Mail/0@example.org"', readonly=True)
        rows = client.fetch("3", "(BODY.PEEK[HEADER.FIELDS (INJECTED)])")[1]
        return bytes(rows[0][1])

    assert await home.imap(fetch) == b"\r\n"


async def test_P040_NUL_octets(home: Home) -> None:
    """RFC 3501 9 has no NUL in a literal, but replaced ones would be another message: BODY[] is
    exact."""
    await is_shown(home, b"X-Nul: a\0b\r\n" + HEAD + b"one\0two\0\r\n\0\r\n")


async def test_P041_eight_bits_in_headers(home: Home) -> None:
    odd = "Прив€т".encode("koi8-r", "replace") + "中文".encode("gbk") + "日本".encode("shift-jis")
    octets = b"Subject: " + odd + b"\xff\xfe\r\nFrom: " + odd + b" <a@b>\r\n\r\n" + odd + b"\r\n"
    await is_shown(home, octets)

    def fetch(client: Any) -> bytes:
        client.select('"Mail/0@example.org"', readonly=True)
        answer, rows = client.fetch("3", "(ENVELOPE BODYSTRUCTURE)")
        assert answer == "OK"
        return b"".join(b"".join(row) if isinstance(row, tuple) else row for row in rows)

    answer = await home.imap(fetch)
    assert b"ENVELOPE (" in answer
    assert answer.count(b"(") == answer.count(b")")


@pytest.mark.parametrize("ending", ["without CRLF", "dot glued"])
async def test_P042_a_last_line_without_its_end(
    home: Home, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    text = HEAD + b"the last line"
    if ending == "without CRLF":
        await is_shown(home, text + b"\r\n", wire=b"+OK\r\n" + text + b"\r\n.\r\n")
        return
    monkeypatch.setattr(limits, "POP3_REPLY_SECONDS", 0.05)
    glued = Item(b"glued", text, wire=b"+OK\r\n" + text + b".\r\n")
    async with Pop3Server([*maildrop(2), glued, *maildrop(3, b"v", 3)], pipelining=False) as server:
        for _ in range(8):
            await home.poll(server)
            home.clock.now += DAY
        await home.check(server, without=[text])
        assert len(await home.notes()) == 1
        server.items += maildrop(1, b"w", 10)
        await home.poll(server)
        await home.check(server, without=[text])


@pytest.mark.parametrize("octets", [b"", b"\r\n"])
async def test_P043_an_empty_message(home: Home, octets: bytes) -> None:
    await is_shown(home, octets)


@pytest.mark.parametrize("octets", [b"no header at all\r\n", b"Subject: only\r\nFrom: a@b\r\n"])
async def test_P044_no_header_or_nothing_else(home: Home, octets: bytes) -> None:
    await is_shown(home, octets)


@pytest.mark.parametrize("length", [3_000, 70_000, 10 * 1024 * 1024])
async def test_P045_a_line_of_any_length(home: Home, length: int) -> None:
    octets = HEAD + b"b" * length + b"\r\n"
    async with Pop3Server([(b"u1", octets), *maildrop(1, b"v", 2)]) as server:
        assert (await home.poll(server)).new == 2
        await home.check(server)


@pytest.mark.parametrize("megabytes", [1, 16])
async def test_P046_a_header_line_of_any_length(home: Home, megabytes: int) -> None:
    octets = b"X-Long: " + b"h" * (megabytes * 1024 * 1024) + b"\r\n" + HEAD + b"text\r\n"
    async with Pop3Server([(b"u1", octets)]) as server:
        started = time.process_time()
        assert (await home.poll(server)).new == 1
        assert time.process_time() - started < 1.0
        await home.check(server)


async def test_P047_a_message_of_100_MiB(home: Home) -> None:
    """It streams into the store in bounded memory, while other accounts go on."""
    line = b"0123456789" * 7 + b"\r\n"
    lines = 100 * 1024 * 1024 // len(line)

    def reply() -> Iterator[bytes]:
        yield b"+OK\r\n" + HEAD
        for _ in range(lines // 1000):
            yield line * 1000
        yield b".\r\n"

    size = len(HEAD) + lines // 1000 * 1000 * len(line)
    async with Pop3Server([Item(b"big", HEAD, listed=b"%d" % size)]) as server:
        server.streams[b"RETR"] = reply
        await home.account()
        async with Pop3Server(maildrop(3)) as other:
            big = home.poll(server)
            small = home.poll(other, address="b@example.org")
            with Sampled() as memory:
                reports = await _first_ends(small, big)
            assert memory.grown < 32 * 1024 * 1024
            assert [(report.new, report.error) for report in reports] == [(3, ""), (1, "")]
            await home.check(other, mailbox="Mail/b@example.org")
    digest = hashlib.sha256(HEAD)
    for _ in range(lines // 1000):
        digest.update(line * 1000)
    known = await home.store.read(lambda tx: tx.maildrop(tx.accounts()[0].id))
    assert [(item.digest, item.size) for item in known] == [(digest.digest(), size)]


async def _first_ends(first: Any, second: Any) -> list[Any]:
    """Both at once; the first is done before the second."""
    tasks = [asyncio.ensure_future(each) for each in (first, second)]
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    assert done == {tasks[0]}
    return list(await asyncio.gather(*tasks))


async def test_P048_larger_than_what_is_taken(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "POP3_MESSAGE", 5_000)
    items = [*maildrop(1), Item(b"big", mail(2, size=9_000)), *maildrop(1, b"v", 3)]
    async with Pop3Server(items) as server:
        for _ in range(5):
            report = await home.poll(server)
            assert (report.failed, report.error) == (1, "")
            home.clock.now += DAY
        (note,) = await home.notes()
        assert b"larger than popbridge takes" in note
        assert server.ledger.retrieved[b"big"] == 0
        await home.check(server, without=[items[1].octets])
        monkeypatch.setattr(limits, "POP3_MESSAGE", 50_000)
        await home.poll(server)
        await home.check(server)
        assert await home.notes() == []


# --- cuts -------------------------------------------------------------------------------------


async def test_P049_closed_at_every_octet_of_a_body(home: Home) -> None:
    """A sample of the places, all of them with POPBRIDGE_CUTS=all; never is a part shown."""
    items = [Item(b"u1", mail(1, size=4096))]
    body = len(b"+OK\r\n") + len(stuff(items[0].octets))
    async with Pop3Server(items) as server:
        await home.poll(server, address="0@example.org")
        start = server.ledger.sessions[0].sent - len(b"+OK bye\r\n") - body
        places = range(body) if EVERY_CUT else sorted({*range(0, body, 41), *range(body - 8, body)})
        for place in places:
            server.cut_after = start + place
            report = await home.poll(server)
            assert (report.new, report.error_class or report.failed) in ((0, "connect"), (0, 1))
            assert not server.ledger.sessions[-1].quit
            home.clock.now += DAY
        assert await home.shown() == []
        server.cut_after = None
        home.clock.now += DAY
        assert (await home.poll(server)).new == 1
        assert (await home.poll(server)).octets == 0
        await home.check(server)
        assert await home.notes() == []
    figures.note("RETR cut at an octet", tried=len(places), lost=0, doubled=0)


@pytest.mark.parametrize("rude", [True, False])
async def test_P050_lost_before_the_end_mark(home: Home, rude: bool) -> None:
    async with Pop3Server(maildrop(1), rude=rude) as server:
        await home.poll(server, address="0@example.org")
        server.cut_after = server.ledger.sessions[0].sent - len(b".\r\n+OK bye\r\n")
        assert (await home.poll(server)).new == 0
        assert await home.shown() == []
        server.cut_after = None
        before = server.ledger.retrieved.total()
        assert (await home.poll(server)).new == 1
        assert (await home.poll(server)).octets == 0
        assert server.ledger.retrieved.total() == before + 1
        await home.check(server)


@pytest.mark.parametrize("rude", [True, False])
async def test_P051_lost_before_QUIT(home: Home, rude: bool) -> None:
    async with Pop3Server(maildrop(5), hang_up=[b"QUIT"], rude=rude) as server:
        assert (await home.poll(server)).new == 5
        assert (await home.poll(server)).octets == 0
        await home.restart()
        assert (await home.poll(server)).octets == 0
        assert server.ledger.retrieved.total() == 5
        await home.check(server)


# --- wrong answers ----------------------------------------------------------------------------


@pytest.mark.parametrize("heals", [1, 2, 6, 20])
@pytest.mark.parametrize("top", [True, False])
async def test_P052_RETR_3_gives_the_body_of_4(home: Home, heals: int, top: bool) -> None:
    """Looks like two identical messages. One answer settles nothing, nor do two where LIST knows
    better; message 3 is had whenever the server can send it, and told of until then."""
    items = maildrop(6)
    async with Pop3Server(items, pipelining=False, top=top) as server:
        server.replies[b"RETR 3"] = b"+OK\r\n" + stuff(items[3].octets)
        for _ in range(heals):
            report = await home.poll(server)
            assert report.error == ""
            home.clock.now += DAY
        assert (len(await home.notes()) == 1) == (heals > 5)
        shown = await home.shown()
        assert items[3].octets in shown
        assert items[2].octets not in shown
        server.replies.clear()
        for _ in range(3):
            await home.poll(server)
            home.clock.now += DAY
        assert (await home.poll(server)).octets == 0
        await home.check(server)
        assert await home.notes() == []


async def test_P053_one_message_is_refused_for_ever(home: Home) -> None:
    items = maildrop(9)
    items[4] = Item(b"u5", mail(5), error=b"message corrupt \x1b[2J")
    tries = []
    async with Pop3Server(items) as server:
        for poll in range(60):
            report = await home.poll(server)
            assert (report.failed, report.error) == (1, "")
            tries.append(server.ledger.sessions[-1].commands.count(b"RETR 5"))
            assert server.ledger.sessions[-1].quit
            home.clock.now += 1800
            if poll == 20:
                server.items += maildrop(1, b"later", 20)
        # 15 minutes, 1 h, 4 h, 16 h, and then a day
        assert [n for n, asked in enumerate(tries) if asked] == [0, 1, 3, 11, 43]
        assert PAUSES == (900, 3600, 4 * 3600, 16 * 3600, DAY)
        (note,) = await home.notes()
        assert b"message corrupt" in note
        assert b"\x1b" not in note
        await home.check(server, without=[mail(5)])
        server.items[4] = Item(b"u5", mail(5))
        home.clock.now += DAY
        assert (await home.poll(server)).new == 1
        await home.check(server)


@pytest.mark.parametrize("pipelining", [True, False])
async def test_P054_SYS_TEMP_at_RETR(home: Home, pipelining: bool) -> None:
    items = maildrop(6)
    items[3] = Item(b"u4", mail(4), error=b"[SYS/TEMP] mail store is away")
    async with Pop3Server(items, pipelining=pipelining) as server:
        report = await home.poll(server)
        assert report.error_class == "temporary"
        assert report.new >= 3
        server.items[3] = Item(b"u4", mail(4))
        home.clock.now += 900
        await home.poll(server)
        await home.check(server)
        assert await home.notes() == []


async def test_P055_a_body_that_drips(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    async with Pop3Server(maildrop(1)) as server, Pop3Server(maildrop(2, b"v", 5)) as other:
        clock = AdvancingClock(monkeypatch, seconds=10)

        async def pace() -> None:
            if server.ledger.count(b"RETR"):
                await clock.advance()

        server.segment, server.pace = 1, pace
        report = await home.poll(server)
        assert report.error_class == "limit"
        assert "slowly" in report.error
        assert (await home.poll(other, address="b@example.org")).new == 2
        await home.check(other, mailbox="Mail/b@example.org")
        server.segment = server.pace = None
        assert (await home.poll(server)).new == 1
        await home.check(server)


async def test_P056_a_body_without_end(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut at the cap; and where the disk is nearly full, before that: it keeps its reserve."""
    monkeypatch.setattr(limits, "POP3_MESSAGE", 24 * 1024 * 1024)

    def endless() -> Iterator[bytes]:
        yield b"+OK\r\n"
        yield from itertools.repeat(b"x" * 70 + b"\r\n")

    async with Pop3Server([*maildrop(1), Item(b"endless", b"?", listed=b"10")]) as server:
        server.streams[b"RETR 2"] = endless
        report = await home.poll(server)
        assert (report.new, report.error_class) == (1, "limit")
        sent = server.ledger.sent
        assert sent < 2 * limits.POP3_MESSAGE
        server.items += maildrop(2, b"v", 3)
        await home.poll(server)
        await home.poll(server)  # it is asked for last now, and rarely
        await home.check(server, without=[b"?"])

        # The disk fills: nothing is taken in, and nothing is asked for, below the reserve.
        free = limits.DISK_RESERVE + 6 * 1024 * 1024
        server.streams[b"RETR 2"] = endless
        home.clock.now += 2 * DAY
        before = server.ledger.sent

        def statvfs(path: object) -> Any:
            left = free - (server.ledger.sent - before)
            return os.statvfs_result((1, 1, 0, 0, left, 0, 0, 0, 0, 255))

        monkeypatch.setattr(os, "statvfs", statvfs)
        report = await home.poll(server)
        assert report.error_class == "store"
        assert "free some space" in report.advice
        assert server.ledger.sent - before < 16 * 1024 * 1024
        monkeypatch.undo()
        server.streams.clear()
        server.items[1] = Item(b"endless", mail(2))
        home.clock.now += 2 * DAY
        await home.poll(server)
        await home.check(server, without=[b"?"])


@pytest.mark.parametrize("pipelining", [True, False])
async def test_P057_an_end_mark_without_its_LF(
    home: Home, monkeypatch: pytest.MonkeyPatch, pipelining: bool
) -> None:
    """Cyrus issue 4717. In a window the next reply is glued to it, and nothing is merged."""
    monkeypatch.setattr(limits, "POP3_END_MARK_SECONDS", 0.02)
    items = maildrop(6)
    items[2] = Item(b"u3", mail(3), wire=b"+OK\r\n" + mail(3) + b".\r")
    async with Pop3Server(items, pipelining=pipelining) as server:
        for _ in range(4):
            await home.poll(server)
            home.clock.now += 900
        await home.check(server)
        assert await home.notes() == []


async def test_P058_TOP_that_is_cut_or_says_OK_twice(home: Home) -> None:
    async with Pop3Server([Item(b"u%d" % n, mail(n, size=90_000)) for n in range(1, 11)]) as server:
        await home.poll(server)
        items = [Item(b"x%d" % n, mail(n, size=90_000)) for n in range(1, 14)]
        server.items = items
        server.replies[b"TOP 1 0"] = b"+OK\r\n" + items[0].octets[:60] + b"\r\n.\r\n"
        head = items[1].octets.partition(b"\r\n\r\n")[0]
        server.replies[b"TOP 2 0"] = b"+OK\r\n+OK again\r\n" + head + b"\r\n\r\n.\r\n"
        report = await home.poll(server)
        assert (report.new, report.relinked) == (3, 10)
        assert server.ledger.retrieved.total() == 10 + 3 + 1
        assert (await home.poll(server)).octets == 0
        await home.check(server)  # nothing is shown by its top


async def test_P059_replies_that_change_places(home: Home) -> None:
    items = maildrop(40)

    def reply(number: int) -> bytes:
        return b"+OK\r\n" + stuff(items[number - 1].octets)

    async with Pop3Server(items) as server:
        server.replies.update({b"RETR 2": deque([reply(3)]), b"RETR 3": deque([reply(2)])})
        assert (await home.poll(server)).new == 40
        assert server.ledger.sessions[-1].most_outstanding > 1
        server.items += maildrop(20, b"v", 41)
        assert (await home.poll(server)).new == 20
        assert server.ledger.sessions[-1].most_outstanding <= 2  # LIST and UIDL
        assert b"RETR 41" in _said(server)
        await home.check(server)


def _signed(key: rsa.RSAPrivateKey, header: bytes, body: bytes) -> bytes:
    """RFC 6376, simple/simple, rsa-sha256."""
    digest = base64.b64encode(hashlib.sha256(body).digest())
    field = (
        b"DKIM-Signature: v=1; a=rsa-sha256; c=simple/simple; d=example.org; s=k;\r\n"
        b"\th=from:subject; bh=%s; b="
    ) % digest
    signature = key.sign(header + field, padding.PKCS1v15(), hashes.SHA256())
    return field + base64.b64encode(signature) + b"\r\n" + header + b"\r\n" + body


async def test_P060_a_DKIM_signature_holds(home: Home) -> None:
    key = rsa.generate_private_key(65537, 2048)
    body = b"..dots\r\n.\r\n\ttabs \r\ntrailing  \r\nbare\nLF and \xe4\r\n"
    header = b"From: a@example.org\r\nSubject:  two  spaces \r\n"
    async with Pop3Server([(b"u1", _signed(key, header, body))]) as server:
        await home.poll(server)
        (shown,) = await home.check(server)
    head, _, got = shown.partition(b"\r\n\r\n")
    told = re.search(rb"bh=([^;]+); b=([^\r]+)\r\n", head)
    assert told is not None
    assert base64.b64decode(told[1]) == hashlib.sha256(got).digest()
    field, rest = head[: told.start(2)], head[told.end() :] + b"\r\n"
    key.public_key().verify(
        base64.b64decode(told[2]), rest + field, padding.PKCS1v15(), hashes.SHA256()
    )


async def test_P061_a_status_line_without_end(home: Home) -> None:
    async with Pop3Server(maildrop(3)) as server:
        server.replies[b"RETR 2"] = b"+OK " + b"x" * 1024 * 1024
        report = await home.poll(server)
        assert (report.new, report.error_class) == (1, "limit")
        assert not server.ledger.sessions[-1].quit
        server.replies.clear()
        assert (await home.poll(server)).new == 2
        await home.check(server)
