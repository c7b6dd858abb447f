"""Messages that break parsers, and how long the whole daemon needs for each.

    python -m tests.mime.hostile [--dovecot] [--only NAME ...]

prints milliseconds for each message: stored by APPEND, ENVELOPE with BODYSTRUCTURE, all octets, the
header fields that Thunderbird asks for, SEARCH, SORT and THREAD; and what others felt meanwhile.
The daemon is a process of its own and has collected all of them by POP3 before.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import secrets
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.mime.imap_list import parse
from tests.support.dovecot import Dovecot
from tests.support.judge import Responses
from tests.support.lag import percentile
from tests.support.pop3_server import Pop3Server
from tests.support.process import PASSWORD, DaemonProcess, pop3_account, write_config
from tests.support.second_parser import accept

MEGABYTE = 1024 * 1024
THUNDERBIRD = (
    "(UID RFC822.SIZE FLAGS BODY.PEEK[HEADER.FIELDS (From To Cc Bcc Subject Date Message-ID"
    " Priority X-Priority References Newsgroups In-Reply-To Content-Type Reply-To)])"
)
STEPS: Mapping[str, str] = {
    "structure": "UID FETCH {} (ENVELOPE BODYSTRUCTURE)",
    "octets": "UID FETCH {} BODY.PEEK[]",
    "fields": "UID FETCH {} " + THUNDERBIRD,
    "search": "UID SEARCH UID {} SUBJECT xyzzy",
    "sort": "UID SORT (SUBJECT FROM TO DATE) UTF-8 UID {}",
    "thread": "UID THREAD REFERENCES UTF-8 UID {}",
}


def _mail(*fields: bytes, body: bytes = b"hello\r\n") -> bytes:
    return b"".join(each + b"\r\n" for each in fields) + b"\r\n" + body


def _multiparts(depth: int) -> bytes:
    opened = b"".join(
        b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n)
        for n in range(depth)
    )
    return opened + b"\r\nhello\r\n" + b"".join(b"--b%d--\r\n" % n for n in reversed(range(depth)))


def _messages(depth: int, inner: bytes) -> bytes:
    return b"Content-Type: message/rfc822\r\n\r\n" * depth + inner


def _parts(count: int) -> bytes:
    head = b"Subject: parts\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
    return head + b"--b\r\n\r\nx\r\n" * count + b"--b--\r\n"


def _nested(depth: int) -> bytes:
    return b"From: a@example.org " + b"(" * depth + b"x" + b")" * depth


def _typed(kind: bytes, body: bytes = b"hello\r\n", *more: bytes) -> bytes:
    return _mail(
        b"Subject: typed", b"MIME-Version: 1.0", b"Content-Type: " + kind, *more, body=body
    )


INJECTED = b'a1 OK done\r\n ) {10}\r\n * 1 EXISTS \\ "'
# By case and what is special about it.
MESSAGES: Mapping[str, Callable[[], bytes]] = {
    "I073 responses in header fields": lambda: _mail(
        b"Subject: " + INJECTED,
        b"Message-ID: <" + INJECTED + b"@x>",
        b"From: " + INJECTED + b" <x@example.org>",
        b'Content-Type: multipart/mixed; boundary="b ) {10}"; charset="' + INJECTED + b'"',
        body=b'--b ) {10}\r\nContent-Disposition: attachment; filename="' + INJECTED + b'"\r\n\r\n',
    ),
    "I074 100,000 To: lines": lambda: _mail(*[b"To: a%d@example.org" % n for n in range(100_000)]),
    "I074 500,000 To: lines": lambda: _mail(*[b"To: a%d@example.org" % n for n in range(500_000)]),
    "I075 10,000 addresses": lambda: _mail(
        b"To: " + b",\r\n ".join(b"a%d@example.org" % n for n in range(10_000))
    ),
    "I075 100,000 addresses": lambda: _mail(
        b"To: " + b",\r\n ".join(b"a%d@example.org" % n for n in range(100_000))
    ),
    "I076 Subject of 10 MB": lambda: _mail(b"Subject: " + b"subject " * (10 * MEGABYTE // 8)),
    "I076 headers of 50 MB": lambda: _mail(
        *[b"X-%d: %b" % (n, b"x" * 70) for n in range(50 * MEGABYTE // 80)]
    ),
    "I077 multiparts 100 deep": lambda: _multiparts(100),
    "I077 multiparts 1,000 deep": lambda: _multiparts(1_000),
    "I077 multiparts 5,000 deep": lambda: _multiparts(5_000),
    "I078 messages 5,000 deep": lambda: _messages(5_000, _mail(b"Subject: x")),
    "I078 messages 5,000 deep, the last one broken": lambda: _messages(
        5_000, b"Content-Type: multipart/mixed; boundary=\r\n--\r\n" + b"\xff" * 100
    ),
    "I079 10,000 parts": lambda: _parts(10_000),
    "I079 100,000 parts": lambda: _parts(100_000),
    "I080 10,000 segments of a parameter": lambda: _typed(
        b"text/plain" + b"".join(b";\r\n name*%d=x" % n for n in range(10_000))
    ),
    "I081 100,000 encoded words": lambda: _mail(
        b"Subject: " + b"\r\n ".join([b"=?utf-8?q?=C3=A4?="] * 100_000)
    ),
    "I082 1,000 nested comments": lambda: _mail(_nested(1_000)),
    "I082 20,000 nested comments": lambda: _mail(_nested(20_000)),
    "I082 a comment that ends in a backslash": lambda: _mail(b"From: a@example.org (x\\"),
    "I083 groups and nothing": lambda: _mail(
        b"From: ;;;;", b"To: group: a@x, b@y;, :;", b"Cc:", b"Reply-To: <>, @, <@x:>,,,"
    ),
    "I084 codecs that are no charsets": lambda: _mail(
        b"Subject: =?unicode_escape?q?=5Cx41?= =?zlib?b?eJw=?= =?rot13?q?uryyb?= =?idna?q?x?=",
        b"Content-Type: text/plain; charset=" + b"../x" * 250,
    ),
    "I085 an empty boundary": lambda: _typed(b'multipart/mixed; boundary=""', b"--\r\n\r\nx\r\n--"),
    "I085 a boundary of 1 MB": lambda: _typed(
        b"multipart/mixed; boundary=" + b"b" * MEGABYTE, b"--" + b"b" * MEGABYTE + b"\r\n\r\nx\r\n"
    ),
    "I085 the same boundary in itself, deep": lambda: _typed(
        b"multipart/mixed; boundary=b",
        b"--b\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
        b"--b\r\n\r\nx\r\n--b--\r\n" * 2_000,
    ),
    "I085 a boundary without end": lambda: _typed(
        b"multipart/mixed; boundary=Subject", b"--Subject\r\n\r\n" + b"--Subjec\r\n" * 50_000
    ),
    "I086 broken transfer encodings": lambda: _typed(
        b"multipart/mixed; boundary=b",
        b"--b\r\nContent-Transfer-Encoding: base64\r\n\r\n=A=!?\xff" + b"A" * 100_000 + b"\r\n"
        b"--b\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n=0 =ZZ =\r\n" + b"=" * 100_000
        + b"\r\n--b\r\nContent-Transfer-Encoding: x-uuencode\r\n\r\nbegin 644 x\r\n#!!"
        b"\r\n--b--\r\n",
    ),
    "I087 Date, Message-ID and References of 1 MB": lambda: _mail(
        b"Date: " + b"1" * MEGABYTE, b"Message-ID: <" + b"m" * MEGABYTE + b">",
        b"References: <" + b"r" * MEGABYTE + b">",
    ),
    "I087 100,000 References": lambda: _mail(
        b"Message-ID: <a@example.org>",
        b"References: " + b"\r\n ".join(b"<%d@example.org>" % n for n in range(100_000)),
    ),
    "I088 UTF-8 that is cut": lambda: _typed(
        b"text/plain; charset=utf-8", "\N{GRINNING FACE}".encode() * 199 + b"\xf0\x9f\x98"
    ),
    "I091 two addresses in one": lambda: _mail(
        b'From: "alice@example.org" <mallory@example.net>', b"From: alice@example.org)bob@x"
    ),
    "I092 line ends in encoded words": lambda: _mail(
        b"Subject: =?utf-8?b?" + base64.b64encode(b"x\r\nBcc: all@example.org\r\n\r\nbody") + b"?="
    ),
    "bare CR in header lines": lambda: _mail(b"Subject: a\rb\rc", b"X-A: b\r", b"From: a@x\r\r"),
    "a line of 20 MB": lambda: _mail(b"Subject: x", body=b"x" * (20 * MEGABYTE) + b"\r\n"),
}  # fmt: skip


@dataclass
class Row:
    """Milliseconds by step, for one message. `lag` is the 99th percentile of the loop's, `other`
    the longest NOOP of another session meanwhile. `began` and `ended` are of CLOCK_MONOTONIC."""

    name: str
    octets: int
    ms: dict[str, float] = field(default_factory=dict)
    began: float = 0.0
    ended: float = 0.0
    lag: float = 0.0
    other: float = 0.0

    @property
    def worst(self) -> float:
        return max(self.ms.values())


class Line:
    """A connection that looks at octets only when they are all there, so that what is measured is
    the server."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def connect(cls, port: int, name: str, password: str) -> Line:
        line = cls(*await asyncio.open_connection("127.0.0.1", port))
        await line._reader.readline()
        await line.ask(f'LOGIN {name} "{password}"'.encode())
        return line

    async def ask(self, command: bytes) -> tuple[float, bytes]:
        """Milliseconds until the tagged OK, and all that came before it."""
        tag = secrets.token_hex(8).encode()
        end = b"\r\n" + tag + b" "
        heard = bytearray(b"\r\n")
        began = time.monotonic()
        self._writer.write(tag + b" " + command + b"\r\n")
        await self._writer.drain()
        while not (heard.endswith(b"\r\n") and end in heard[-2000:]):
            octets = await self._reader.read(MEGABYTE)
            assert octets, bytes(heard[-200:])
            heard += octets
        taken = 1000 * (time.monotonic() - began)
        at = heard.rindex(end)
        assert heard[at + len(end) :].startswith(b"OK"), bytes(heard[at:])
        return taken, bytes(heard[2 : at + 2])

    def close(self) -> None:
        self._writer.transport.abort()


@contextlib.asynccontextmanager
async def bystander(line: Line) -> AsyncIterator[list[tuple[float, float]]]:
    """Somebody who asks for nothing much, again and again: when, and how many milliseconds it
    took."""
    waited: list[tuple[float, float]] = []

    async def ask() -> None:
        while True:
            began = time.monotonic()
            waited.append((began, (await line.ask(b"NOOP"))[0]))
            await asyncio.sleep(0.01)

    task = asyncio.create_task(ask())
    try:
        yield waited
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def time_each(line: Line, messages: Mapping[str, bytes], *, judge: bool) -> list[Row]:
    """Stores each by APPEND in a mailbox of its own, and asks for it."""
    rows = []
    for number, (name, octets) in enumerate(messages.items()):
        row = Row(name, len(octets))
        box = b"box%d" % number
        await line.ask(b"CREATE " + box)
        row.began = time.monotonic()
        row.ms["store"], _ = await line.ask(b"APPEND %b {%d+}\r\n%b" % (box, len(octets), octets))
        await line.ask(b"SELECT " + box)
        heard = {}
        for step, command in STEPS.items():
            row.ms[step], heard[step] = await line.ask(command.format(1).encode())
        row.ended = time.monotonic()
        assert octets in heard["octets"]
        if judge:
            structure = next(Responses().feed(heard["structure"]))
            parse(structure.partition(b" BODYSTRUCTURE ")[2].removesuffix(b")\r\n"))
            if "deep" in name:
                del heard["structure"]  # imap-codec goes eight levels down
            for response in (each for said in heard.values() for each in Responses().feed(said)):
                accept(response)
        rows.append(row)
    return rows


async def measure(folder: Path, messages: Mapping[str, bytes]) -> list[Row]:
    """Of popbridge: collects them by POP3, then each as `time_each`. Raises AssertionError where
    an answer is wrong."""
    samples = folder / "lag"
    items = [(b"uid%d" % number, octets) for number, octets in enumerate(messages.values())]
    async with Pop3Server(items=items) as provider:
        config = write_config(
            folder, [pop3_account("alice", provider.port), pop3_account("bob", 9)]
        )
        program = (sys.executable, "-m", "tests.support.lag", str(samples))
        async with DaemonProcess(config, program) as daemon:
            port = await daemon.listening()
            await daemon.poll()
            line = await Line.connect(port, "alice", PASSWORD)
            other = await Line.connect(port, "bob", PASSWORD)
            async with bystander(other) as waited:
                began = time.monotonic()
                _, said = await line.ask(b"EXAMINE INBOX")
                assert b"* %d EXISTS" % len(messages) in said
                for step in ("fields", "search", "sort", "thread"):
                    await line.ask(STEPS[step].format("1:*").encode())
                all_of_them = Row("all of them at once", 0, {"list": 0.0}, began, time.monotonic())
                all_of_them.ms["list"] = 1000 * (all_of_them.ended - began)
                rows = await time_each(line, messages, judge=True)
            line.close()
            other.close()
            assert await daemon.stop() == 0
    lags = [tuple(map(float, each.split())) for each in samples.read_text().splitlines()]
    for row in [*rows, all_of_them]:
        during = [lag for moment, lag in lags if row.began <= moment <= row.ended]
        row.lag = percentile(during, 99)
        row.other = max((ms for at, ms in waited if row.began - 1 <= at <= row.ended), default=0.0)
    return [*rows, all_of_them]


async def measure_dovecot(folder: Path, messages: Mapping[str, bytes]) -> list[Row]:
    with Dovecot(folder) as dovecot:
        line = await Line.connect(dovecot.imap_port, dovecot.username, dovecot.password)
        rows = await time_each(line, messages, judge=False)
        line.close()
    return rows


def table(rows: list[Row], theirs: Mapping[str, Row]) -> str:
    """Markdown."""
    columns = ["store", *STEPS]
    head = ["message", "MB", *columns, "loop lag p99", "another's NOOP"]
    head += ["Dovecot's structure", "its worst"] if theirs else []
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for row in rows:
        cells = [row.name, f"{row.octets / MEGABYTE:.1f}"]
        cells += [f"{row.ms[each]:.0f}" if each in row.ms else "" for each in columns]
        cells += [f"{row.lag:.0f}", f"{row.other:.0f}"]
        if theirs:
            its = theirs.get(row.name)
            cells += [f"{its.ms['structure']:.0f}", f"{its.worst:.0f}"] if its else ["", ""]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.mime.hostile")
    parser.add_argument("--dovecot", action="store_true", help="measure it, too")
    parser.add_argument("--only", nargs="*", default=[], metavar="NAME", help="parts of names")
    options = parser.parse_args()
    messages = {
        name: make()
        for name, make in MESSAGES.items()
        if not options.only or any(each in name for each in options.only)
    }
    with tempfile.TemporaryDirectory(prefix="popbridge-hostile-") as folder:
        rows = asyncio.run(measure(Path(folder), messages))
        theirs = []
        if options.dovecot:
            theirs = asyncio.run(measure_dovecot(Path(folder), messages))
    print(table(rows, {row.name: row for row in theirs}))


if __name__ == "__main__":
    main()
