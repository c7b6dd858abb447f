"""Sample messages, made and not found: the same ones at each run, no two alike."""

from __future__ import annotations

import random
from base64 import encodebytes
from collections.abc import Iterator

_SUBJECTS = (
    b"Lunch on Thursday",
    b"=?utf-8?q?Gr=C3=BC=C3=9Fe_aus_K=C3=B6ln?=",
    b"=?iso-2022-jp?B?GyRCJDMkcyRLJEEkTxsoQg==?=",
    b"Re: Lunch on Thursday",
    b"Rechnung Nr. 4711",
    b"a long subject that was folded by\r\n its author long ago",
)


def sample(number: int) -> bytes:
    """Message `number`, CRLF line ends, between half a kB and some 20 kB."""
    chance = random.Random(number)
    head = b"".join(
        (
            b"Received: from a.example by b.example; Mon, %d Nov 2026 %02d:%02d:%02d +0000\r\n"
            % (1 + number % 28, number // 3600 % 24, number // 60 % 60, number % 60),
            b"From: Sender %d <sender%d@example.org>\r\n" % (number % 7, number % 7),
            b'To: "Me, Myself" <me@example.net>, group: a@b.example, c@d.example;\r\n',
            b"Subject: %s %d\r\n" % (_SUBJECTS[number % len(_SUBJECTS)], number),
            b"Date: Mon, %d Nov 2026 %02d:00:00 +0100\r\n" % (1 + number % 28, number % 24),
            b"Message-ID: <%d.sample@example.org>\r\n" % number,
        )
    )
    match number % 5:
        case 0:
            return head + b"\r\n" + _lines(chance, 30)
        case 1:
            return (
                head
                + b"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
                + b"Content-Transfer-Encoding: 8bit\r\n\r\n"
                + "Grüße, 日本語, naïve\r\n.a dot at the start\r\n..two dots\r\n".encode()
                + _lines(chance, 5)
            )
        case 2:
            return head + _multipart(chance, b"=_b%d" % number)
        case 3:
            return head + b"\r\n" + b"x" * (1000 + chance.randrange(9000)) + b"\r\n"
        case _:
            return head + b"\r\n" + _lines(chance, 3) + b"blanks at the end \t \r\n\r\n\r\n"


def samples(count: int, first: int = 0) -> Iterator[bytes]:
    return (sample(number) for number in range(first, first + count))


def _lines(chance: random.Random, count: int) -> bytes:
    words = (b"alpha", b"bravo", b"charlie", b"delta", b".", b"echo foxtrot", b"--golf")
    return b"".join(
        b" ".join(chance.choices(words, k=chance.randrange(1, 12))) + b"\r\n" for _ in range(count)
    )


def _multipart(chance: random.Random, boundary: bytes) -> bytes:
    attachment = encodebytes(chance.randbytes(3000)).replace(b"\n", b"\r\n")
    return b"".join(
        (
            b'MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="%s"\r\n\r\n' % boundary,
            b"preamble\r\n--%s\r\n" % boundary,
            b"Content-Type: text/html; charset=utf-8\r\n\r\n<p>Hello &amp; good bye</p>\r\n",
            b"--%s\r\nContent-Type: application/octet-stream; name=a.bin\r\n" % boundary,
            b"Content-Transfer-Encoding: base64\r\nContent-Disposition: attachment\r\n\r\n",
            attachment,
            b"--%s--\r\n" % boundary,
        )
    )
