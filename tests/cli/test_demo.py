"""The demo: its messages, its POP3 server against poplib, and all of it as a person sees it."""

from __future__ import annotations

import asyncio
import email
import email.policy
import os
import poplib
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

from bridge.cli.demo import MESSAGES
from bridge.cli.demo_maildrop import DemoMaildrop
from bridge.cli.demo_messages import sample_messages
from tests.support.require import require

NOW = datetime(2026, 11, 23, 14, 0, tzinfo=UTC)
SAMPLES = [b"A: 1\r\n\r\n.dot\r\n..two\r\nend\r\n", b"B: 2\r\n\r\n", b"C: 3\r\n\r\nno end"]
T = TypeVar("T")


# --- messages ---------------------------------------------------------------------------


def test_messages_are_the_same_each_time() -> None:
    assert sample_messages(50, NOW) == sample_messages(50, NOW)


def test_messages_differ() -> None:
    made = sample_messages(MESSAGES, NOW)
    assert len(set(made)) == MESSAGES


def test_every_line_ends_with_crlf() -> None:
    for raw in sample_messages(MESSAGES, NOW):
        assert not re.search(rb"[^\r]\n|\r[^\n]", raw)


def test_dates_rise_over_the_last_months() -> None:
    parsed = [email.message_from_bytes(raw) for raw in sample_messages(MESSAGES, NOW)]
    dates = [email.utils.parsedate_to_datetime(each["Date"]) for each in parsed]
    assert dates == sorted(dates)
    assert NOW - timedelta(days=181) < dates[0] < NOW - timedelta(days=170)
    assert NOW - timedelta(days=2) < dates[-1] < NOW


def test_every_kind_is_there() -> None:
    parsed = [
        email.message_from_bytes(raw, policy=email.policy.default)
        for raw in sample_messages(MESSAGES, NOW)
    ]
    types = {part.get_content_type() for each in parsed for part in each.walk()}
    assert {"text/plain", "text/html", "text/calendar", "application/csv", "image/png"} <= types
    assert "message/rfc822" in types
    charsets = {part.get_content_charset() for each in parsed for part in each.walk()}
    assert {"us-ascii", "utf-8", "iso-2022-jp", "iso-8859-1"} <= charsets
    assert any(each["In-Reply-To"] for each in parsed)
    names = {part.get_filename() for each in parsed for part in each.walk()}
    assert "Übersicht.csv" in names
    assert any("山田太郎" in str(each["From"]) for each in parsed)
    identities = {each["Message-ID"] for each in parsed}
    assert len(identities) == MESSAGES
    assert {each["In-Reply-To"] for each in parsed if each["In-Reply-To"]} <= identities


# --- the POP3 server --------------------------------------------------------------------


async def with_poplib(maildrop: DemoMaildrop, work: Callable[[poplib.POP3], T]) -> T:
    def session() -> T:
        client = poplib.POP3("127.0.0.1", maildrop.port, timeout=10)
        client.user("demo")
        client.pass_("secret")
        try:
            return work(client)
        finally:
            client.quit()

    return await asyncio.to_thread(session)


async def test_poplib_reads_it() -> None:
    async with DemoMaildrop(SAMPLES, "demo", "secret") as maildrop:
        found = await with_poplib(
            maildrop,
            lambda client: (
                client.stat(),
                client.list()[1],
                client.uidl()[1],
                client.uidl(2),
                [b"\r\n".join(client.retr(n)[1]) for n in (1, 2, 3)],
                client.top(1, 1)[1],
                client.capa(),
            ),
        )
    stat, listing, uidls, uidl, messages, top, capabilities = found
    assert stat == (3, sum(map(len, SAMPLES)))
    assert listing == [f"{n} {len(raw)}".encode() for n, raw in enumerate(SAMPLES, 1)]
    assert uidls == [b"1 demo-00001", b"2 demo-00002", b"3 demo-00003"]
    assert uidl == b"+OK 2 demo-00002"
    assert [each.rstrip() for each in messages] == [each.rstrip() for each in SAMPLES]
    assert top == [b"A: 1", b"", b".dot"]
    assert "PIPELINING" in capabilities


async def test_dele_counts_after_quit_only() -> None:
    async with DemoMaildrop(SAMPLES, "demo", "secret") as maildrop:
        await with_poplib(maildrop, lambda client: (client.dele(1), client.rset()))
        assert await with_poplib(maildrop, lambda client: len(client.uidl()[1])) == 3
        await with_poplib(maildrop, lambda client: client.dele(1))
        found = await with_poplib(maildrop, lambda client: client.uidl()[1])
        assert found == [b"1 demo-00002", b"2 demo-00003"]


async def test_answers_come_in_order_whatever_comes_at_once() -> None:
    async with DemoMaildrop(SAMPLES, "demo", "secret") as maildrop:
        reader, writer = await asyncio.open_connection("127.0.0.1", maildrop.port)
        writer.write(
            b"STAT\r\nUSER demo\r\nPASS wrong\r\nUSER demo\r\nPASS secret\r\nNOOP\r\nRETR 9\r\n"
            b"RETR x\r\nTOP 1\r\nWHAT\r\nSTAT\r\nQUIT\r\n"
        )
        answers = (await reader.read()).splitlines()
        writer.close()
        await writer.wait_closed()
    assert answers == [
        b"+OK popbridge demo",
        b"-ERR log in first",
        b"+OK",
        b"-ERR [AUTH] wrong user or password",
        b"+OK",
        b"+OK welcome",
        b"+OK",
        b"-ERR no such message",
        b"-ERR no such message",
        b"-ERR no such message",
        b"-ERR unknown command",
        f"+OK 3 {sum(map(len, SAMPLES))}".encode(),
        b"+OK bye",
    ]


# --- the whole --------------------------------------------------------------------------


def test_the_curl_line_that_the_demo_prints_works(tmp_path: Path) -> None:
    require("curl")
    demo = subprocess.Popen(
        [sys.executable, "-m", "bridge", "demo"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    try:
        assert demo.stdout
        said = ""
        for line in demo.stdout:
            said += line
            if line.startswith("Ctrl-C"):
                break
        (curl,) = re.findall(r"^ +(curl .*)$", said, re.MULTILINE)
        fetched = subprocess.run(curl, shell=True, capture_output=True, timeout=30)
        assert fetched.returncode == 0, fetched.stderr
        assert b"\r\nMessage-ID: <demo.0@example.org>\r\n" in fetched.stdout
        (config,) = re.findall(r"popbridge status --config (.*)$", said, re.MULTILINE)
        status = subprocess.run(
            [sys.executable, "-m", "bridge", "status", "--config", config],
            capture_output=True,
            text=True,
            timeout=30,
        )
        assert status.returncode == 0, status.stderr
        assert re.search(rf"^demo +up to date .* {MESSAGES} +{MESSAGES}$", status.stdout, re.M)
    finally:
        demo.send_signal(signal.SIGINT)
        out, err = demo.communicate(timeout=30)
    assert (demo.returncode, err) == (0, "")
    assert out.endswith("the temporary folder is removed.\n")
    assert list(tmp_path.iterdir()) == []
