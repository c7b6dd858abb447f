"""Mail for maildrops: no two alike, reproducible, with what goes wrong on the way."""

from __future__ import annotations

import hashlib
from random import Random

from tests.support.pop3_server import Item

_LINES = (
    b"Some text that nobody will read.",
    b".a line that begins with a dot",
    b".",
    b"..",
    b"",
    "grüße in 8 bit".encode(),
    b"x" * 600,
)


def maildrop(name: str, count: int, random: Random, *, largest: int = 40) -> list[Item]:
    """Items with UIDLs `<name>-<n>` and up to `largest` lines."""
    return [_item(f"{name}-{number}", random, largest) for number in range(count)]


def _item(name: str, random: Random, largest: int) -> Item:
    second = random.randrange(86_400)
    clock = f"{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}"
    head = (
        f"Received: from mx.example.org by pop.example.org; Mon, 2 Nov 2026 {clock} +0000\r\n"
        f"From: Somebody <{name}@example.org>\r\nTo: me@example.org\r\nSubject: mail {name}\r\n"
        f"Date: Mon, 2 Nov 2026 {clock} +0000\r\nMessage-ID: <{name}@example.org>\r\n\r\n"
    )
    lines = random.choices(_LINES, k=random.randint(0, largest))
    return Item(name.encode(), head.encode() + b"".join(line + b"\r\n" for line in lines))


def digests(items: list[Item]) -> set[bytes]:
    return {hashlib.sha256(item.octets).digest() for item in items}
