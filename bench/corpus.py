"""The mail that every peer is given: made and not found, the same octets at each run.

Three mailboxes, by what they measure, and one of any size:
- `mixed`: 27 kB a message on average, as people have it: most are short texts, some HTML, every
  tenth has an attachment; threads, lists, several languages.
- `large`: 145 kB a message on average, for reading bodies.
- `tiny`: 300 octets a message, for what depends on numbers alone.
- `numbered`: as tiny, with as many unseen messages and as many with a rare word at every size.
"""

from __future__ import annotations

import random
from base64 import encodebytes
from collections.abc import Callable, Iterator
from functools import cache

RARE = "quetzalcoatlus"
"""A word of one `mixed` message in a thousand."""

_CONSONANTS, _VOWELS = "bcdfghklmnprstvwz", "aeiou"
_LANGUAGES = ("Grüße aus Köln", "Überweisung Nr.", "日本語のお知らせ", "Réunion à Orléans")
_NAMES = ("Ann Archer", "Bob Baker", "Carla Cooper", "Jörg Müller", "Dan Draper", "Eve Farmer")


@cache
def _words() -> tuple[str, ...]:
    chance = random.Random(1)
    made: set[str] = set()
    while len(made) < 5000:
        length = chance.choice((1, 2, 2, 3, 3, 4))
        made.add(
            "".join(chance.choice(_CONSONANTS) + chance.choice(_VOWELS) for _ in range(length))
        )
    return tuple(sorted(made))


def _text(chance: random.Random, octets: int) -> str:
    """About so many octets of prose, in lines of 72."""
    lines: list[str] = []
    size = 0
    words = _words()
    while size < octets:
        line = " ".join(words[int(len(words) * chance.random() ** 2)] for _ in range(12))[:72]
        lines.append(line)
        size += len(line) + 2
    return "\r\n".join(lines) + "\r\n"


def _encoded(text: str) -> str:
    if text.isascii():
        return text
    return "=?utf-8?q?" + "".join(f"={octet:02X}" for octet in text.encode()) + "?="


def _header(number: int, chance: random.Random) -> str:
    name = _NAMES[number % len(_NAMES)]
    thread = number // 4
    subject = " ".join(chance.choices(_words(), k=chance.randrange(2, 8)))
    if number % 7 == 0:
        subject = f"{_LANGUAGES[number % len(_LANGUAGES)]} {number}"
    if number % 50 == 0:
        subject += " invoice"
    first = f"<{thread * 4}.bench@example.org>"
    reply = "" if number % 4 == 0 else f"In-Reply-To: {first}\r\nReferences: {first}\r\n"
    listed = "List-Id: <talk.lists.example.org>\r\nPrecedence: list\r\n" if number % 3 == 0 else ""
    day, hour = 1 + number // 24 % 28, number % 24
    month = ("Jan", "Feb", "Mar", "Apr", "May", "Jun")[number // 672 % 6]
    relays = "".join(
        f"Received: from relay{hop}.example.org (relay{hop}.example.org [192.0.2.{hop + 1}])\r\n"
        f"\tby mx{hop}.example.net with ESMTPS id {chance.getrandbits(48):012x}\r\n"
        f"\tfor <me@example.net>; {day} {month} 2024 {hour:02d}:{hop:02d}:00 +0000\r\n"
        for hop in range(2)
    )
    return (
        f"Return-Path: <sender{number % 97}@example.org>\r\n{relays}"
        f"From: {_encoded(name)} <sender{number % 97}@example.org>\r\n"
        'To: "Me, Myself" <me@example.net>, talk@lists.example.org\r\n'
        + ("Cc: Team <team@example.com>\r\n" if number % 5 == 0 else "")
        + f"Subject: {_encoded(('Re: ' if reply else '') + subject)}\r\n"
        f"Date: {day} {month} 2024 {hour:02d}:30:00 +0100\r\n"
        f"Message-ID: <{number}.bench@example.org>\r\n{reply}{listed}MIME-Version: 1.0\r\n"
        f"User-Agent: Bench/1.0\r\nX-Spam-Score: {chance.random():.2f}\r\n"
    )


def mixed(number: int, attachment: int = 210_000) -> bytes:
    """Message `number` of the `mixed` mailbox; every tenth carries about so many octets."""
    chance = random.Random(number)
    header = _header(number, chance)
    text = _text(chance, int(800 + 9000 * chance.random() ** 3))
    if number % 1000 == 17:
        text += f"and there was a {RARE} in it\r\n"
    plain = "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
    if number % 10 == 9:
        size = int(attachment * (0.5 + chance.random()))
        octets = encodebytes(chance.randbytes(size * 3 // 4)).replace(b"\n", b"\r\n").decode()
        body = (
            f'Content-Type: multipart/mixed; boundary="b{number}"\r\n\r\n'
            f"--b{number}\r\n{plain}{text}\r\n--b{number}\r\n"
            f"Content-Type: application/pdf; name=paper{number}.pdf\r\n"
            "Content-Transfer-Encoding: base64\r\n"
            f"Content-Disposition: attachment; filename=paper{number}.pdf\r\n\r\n"
            f"{octets}\r\n--b{number}--\r\n"
        )
    elif number % 3 == 1:
        html = "".join(f"<p style=margin:0>{line}</p>\r\n" for line in text.split("\r\n"))
        body = (
            f'Content-Type: multipart/alternative; boundary="b{number}"\r\n\r\n'
            f"--b{number}\r\n{plain}{text}\r\n--b{number}\r\n"
            "Content-Type: text/html; charset=utf-8\r\n\r\n"
            f"<html><body>{html}</body></html>\r\n--b{number}--\r\n"
        )
    else:
        body = plain + text
    return (header + body).encode()


def large(number: int) -> bytes:
    """Message `number` of the `large` mailbox: an attachment of up to 300 kB, thirty of 2 MB."""
    return mixed(number * 10 + 9, 1_500_000 if number % 33 == 0 else 95_000)


def tiny(number: int) -> bytes:
    """Message `number` of the `tiny` mailbox."""
    return (
        f"From: sender{number % 97}@example.org\r\nTo: me@example.net\r\n"
        f"Subject: tiny {number}\r\nDate: 1 Jan 2024 {number % 24:02d}:00:00 +0000\r\n"
        f"Message-ID: <{number}.tiny@example.org>\r\n\r\nhello {number}\r\n"
    ).encode()


SPECIAL = 1_000  # the first messages of `numbered`, among which searches find ten
UNSEEN = 100  # the last messages of `numbered`, which are not \\Seen


def numbered(number: int) -> bytes:
    """Message `number` of a mailbox of any size, which stands in it in seven digits and nowhere
    else. Ten of the first thousand have RARE in their text, ten others "invoice" as subject."""
    place = number % 100 if number < SPECIAL else 0
    subject = f"number {number:07}" + (" invoice" if place == 5 else "")
    text = f"hello {number:07}" + (f" from a {RARE}" if place == 3 else "")
    return (
        f"From: sender{number % 97:02}@example.org\r\nTo: me@example.net\r\n"
        f"Subject: {subject}\r\nDate: 1 Jan 2024 {number % 24:02d}:00:00 +0000\r\n"
        f"Message-ID: <{number:07}.numbered@example.org>\r\n\r\n{text}\r\n"
    ).encode()


def messages(make: Callable[[int], bytes], count: int) -> Iterator[bytes]:
    return map(make, range(count))
