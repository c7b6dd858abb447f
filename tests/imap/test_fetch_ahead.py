"""FETCH of whole messages: the next are read while the first are sent, and no more than that."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest

from bridge import limits
from bridge.imap.commands import fetch
from bridge.imap.server import Link
from bridge.imap.session import PIECE, _gathered
from bridge.store.api import ReadTx, WriteTx
from tests.support.endpoint import PASSWORD, Endpoint
from tests.support.imap_client import Client, Server
from tests.support.messages import new_message

T = TypeVar("T")
LINES = b"0123456789abcdef\r\n"


class Traffic:
    """What happens, in order: the store is asked ("read"), octets of a large piece leave."""

    def __init__(self, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
        self.events: list[str | int] = []
        events, read = self.events, endpoint.store.read

        async def noted_read(work: Callable[[ReadTx], T]) -> T:
            events.append("read")
            return await read(work)

        class Noted(Link):
            def write(self, *pieces: bytes) -> None:
                events.extend(size for size in map(len, pieces) if size > 1000)
                super().write(*pieces)

        monkeypatch.setattr(endpoint.store, "read", noted_read)
        (link,) = endpoint.server._links
        link.__class__ = Noted


async def selected(endpoint: Endpoint, messages: list[bytes]) -> Client:
    def work(tx: WriteTx) -> None:
        box = tx.mailbox(tx.ensure_login("alice").id, "INBOX")
        for octets in messages:
            tx.add_entry(box.id, tx.add_message(new_message(octets)), internaldate=0)

    await endpoint.store.write(work)
    client = await Client.connect(Server("127.0.0.1", endpoint.port, {}))
    await client.response()
    await client.command(f'a LOGIN alice "{PASSWORD}"')
    await client.command("b EXAMINE INBOX")
    return client


async def test_the_next_messages_are_read_while_the_first_are_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    messages = [b"Subject: %d\r\n\r\n" % n + LINES * 6000 for n in range(30)]
    at_once = fetch.OCTETS // len(messages[0]) + 1
    async with Endpoint(tmp_path) as endpoint:
        client = await selected(endpoint, messages)
        traffic = Traffic(endpoint, monkeypatch)
        heard = await client.command("c FETCH 1:* (BODY.PEEK[])")
        assert [response[1] for response in heard[:-1]] == messages
        client.close()
    slices = len(messages) / at_once
    sent = 0
    for at, event in enumerate(traffic.events):
        if event != "read":
            done, sent = sent // at_once, sent + 1
            assert traffic.events[:at].count("read") == min(done + 2, slices.__ceil__())
    assert sent == len(messages)


async def test_the_next_chunk_is_read_while_one_is_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    message = b"Subject: long\r\n\r\n" + LINES * (4 * limits.CHUNK // len(LINES))
    async with Endpoint(tmp_path) as endpoint:
        client = await selected(endpoint, [message])
        traffic = Traffic(endpoint, monkeypatch)
        heard = await client.command("c FETCH 1 (BODY.PEEK[])")
        assert heard[0][1] == message
        client.close()
    # The row; then the first chunk, and always one more than was sent.
    chunk = limits.CHUNK
    ahead = ["read", chunk]
    last = len(message) - 4 * chunk
    assert traffic.events == [
        "read",
        "read",
        *ahead * 3,
        "read",
        chunk,
        *([last] if last > 1000 else []),
    ]


async def test_pieces_of_a_message_one_after_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    message = b"Subject: long\r\n\r\n" + LINES * (3 * limits.CHUNK // len(LINES))
    async with Endpoint(tmp_path) as endpoint:
        client = await selected(endpoint, [message])
        found = b""
        for start in range(0, len(message), 40_000):
            heard = await client.command(f"c FETCH 1 (BODY.PEEK[]<{start}.40000>)")
            part = heard[0][1]
            assert isinstance(part, bytes)
            found += part
        assert found == message
        client.close()


def test_what_is_large_is_not_copied() -> None:
    large = bytes(PIECE)
    handed = list(_gathered([b"* 1 FETCH (", b"BODY[] {9}\r\n", large, b")\r\n", large]))
    assert handed == [b"* 1 FETCH (BODY[] {9}\r\n", large, b")\r\n", large]
    assert handed[1] is large
    assert list(_gathered([])) == []


async def test_messages_behind_many_that_are_gone_are_sent(tmp_path: Path) -> None:
    """The first of a slice were all expunged, and the client was not told yet: those behind them
    are there."""
    gone = 2 * fetch.FIRST_ROWS
    messages = [b"Subject: %d\r\n\r\nhi\r\n" % number for number in range(gone + 3)]
    async with Endpoint(tmp_path) as endpoint:
        client = await selected(endpoint, messages)
        other = await Client.connect(Server("127.0.0.1", endpoint.port, {}))
        await other.response()
        await other.command(f'a LOGIN alice "{PASSWORD}"')
        await other.command("b SELECT INBOX")
        await other.command(f"c STORE 1:{gone} +FLAGS.SILENT (\\Deleted)")
        await other.command("d EXPUNGE")
        other.close()
        heard = await client.command("c UID FETCH 1:* (BODY.PEEK[])")
        assert [each[1] for each in heard if len(each) > 1] == messages[gone:]
        client.close()
