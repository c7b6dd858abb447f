"""Where an arriving message is scanned: what takes long must not hold up the event loop."""

from __future__ import annotations

import threading

import pytest

from bridge.mime.parser import scan
from bridge.model import Octets, Structure
from bridge.sync import collect
from tests.support.pop3_server import Item, Pop3Server
from tests.sync.house import House, octets

_HEAD = b"Subject: s\r\nMessage-ID: <1@a.example>\r\n"
_PLAIN = {
    "a short text": _HEAD + b"\r\nhello\r\n",
    "a long text": _HEAD + b"\r\n" + b"hello --\r\n" * 20_000,
    "two parts": _HEAD
    + b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nx\r\n--b--\r\n",
}
_SLOW = {
    "a longer text": _HEAD + b"\r\n" + b"hello --\r\n" * 30_000,
    "many parts": _HEAD
    + b"Content-Type: Multipart/mixed; boundary=b\r\n\r\n"
    + b"--b\r\n\r\nx\r\n" * 1_000,
    "large parts": _HEAD
    + b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n"
    + b"hello\r\n" * 10_000,
    "parts of a message in it": _HEAD
    + b"Content-Type: message/rfc822\r\n\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
    + b"--b\r\n\r\nx\r\n" * 1_000,
    "many comments": b"To: " + b"(a) " * 2_000 + b"\r\n\r\nhello\r\n",
    "a large header": _HEAD + b"X-Long: y\r\n" * 2_000 + b"\r\nhello\r\n",
    "no end of the header": _HEAD,
}


@pytest.mark.parametrize(
    ("message", "on_loop"),
    [pytest.param(each, True, id=name) for name, each in _PLAIN.items()]
    + [pytest.param(each, False, id=name) for name, each in _SLOW.items()],
)
async def test_only_what_is_quick_is_scanned_on_the_event_loop(
    house: House, message: bytes, on_loop: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[int] = []

    def noted(raw: Octets) -> Structure:
        threads.append(threading.get_ident())
        return scan(raw)

    monkeypatch.setattr(collect, "scan", noted)
    async with Pop3Server([Item(b"u1", message)]) as server:
        assert (await house.poll(server)).new == 1
        assert await house.shown() == octets(server.items)
    assert [each == threading.get_ident() for each in threads] == [on_loop]
