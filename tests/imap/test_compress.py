"""COMPRESS over real connections: bombs, damage, plaintext behind it, and how it ends."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bridge import limits
from bridge.imap.server import INFLATED
from tests.support.endpoint import PASSWORD, Endpoint
from tests.support.imap_client import Client, Server


@pytest.fixture
async def endpoint(tmp_path: Path) -> AsyncIterator[Endpoint]:
    async with Endpoint(tmp_path) as endpoint:
        yield endpoint


class Peer:
    """A client that deflates with zlib alone, without our code."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.out = zlib.compressobj(9, zlib.DEFLATED, -15)
        self.into = zlib.decompressobj(-15)
        self.heard = b""

    async def send(self, octets: bytes, flush: int = zlib.Z_SYNC_FLUSH) -> None:
        await self.client.send(self.out.compress(octets) + self.out.flush(flush))

    async def until(self, end: bytes) -> bytes:
        """All inflated octets up to where `end` has come."""
        async with asyncio.timeout(10):
            while end not in self.heard:
                octets = await self.client.reader.read(65536)
                assert octets, self.heard[-1000:]
                self.heard += self.into.decompress(octets)
        heard, self.heard = self.heard, b""
        return heard


async def compressed(endpoint: Endpoint) -> Peer:
    client = await Client.connect(Server("127.0.0.1", endpoint.port, {}))
    await client.response()
    assert str((await client.command(f'l LOGIN alice "{PASSWORD}"'))[-1][0]).startswith("l OK")
    assert str((await client.command("c COMPRESS DEFLATE"))[-1][0]).startswith("c OK")
    return Peer(client)


@pytest.mark.case("I038")
async def test_a_bomb_is_held_back_while_the_session_works(endpoint: Endpoint) -> None:
    peer = await compressed(endpoint)
    (link,) = endpoint.server._links
    held = []
    receive = link.session.receive

    def watched(octets: bytes) -> None:
        receive(octets)
        held.append(link.session.connection.buffered)

    link.session.receive = watched  # type: ignore[method-assign]  # to look at every piece
    size = 16 * 1024 * 1024
    bomb = b"a APPEND INBOX {%d+}\r\n" % size + bytes(size) + b"\r\nb NOOP\r\n"
    await peer.send(bomb)
    heard = await peer.until(b"b OK")
    assert heard.startswith(b"a OK [APPENDUID")
    assert sum(1 for _ in held) > size // INFLATED
    assert max(held) <= limits.IMAP_PIPELINED_INPUT + INFLATED
    peer.client.close()


@pytest.mark.case("I038")
async def test_the_cap_of_a_line_counts_inflated_octets(endpoint: Endpoint) -> None:
    peer = await compressed(endpoint)
    await peer.send(b"a NOOP" + b"A" * 8 * 1024 * 1024)
    heard = await peer.until(b"* BYE")
    assert heard.startswith(b"a BAD The line is too long\r\n")
    assert await peer.client.reader.read() == b""
    peer.client.close()


async def test_damaged_input_ends_the_session(endpoint: Endpoint) -> None:
    peer = await compressed(endpoint)
    await peer.send(b"a NOOP\r\n")
    await peer.until(b"a OK")
    await peer.client.send(b"\xff" * 100)
    assert b"not compressed" in await peer.until(b"* BYE")
    peer.client.close()


@pytest.mark.case("I039")
async def test_plaintext_behind_compress_is_refused(endpoint: Endpoint) -> None:
    client = await Client.connect(Server("127.0.0.1", endpoint.port, {}))
    await client.response()
    await client.send(
        f'l LOGIN alice "{PASSWORD}"\r\nc COMPRESS DEFLATE\r\nd DELETE Sent\r\n'.encode()
    )
    assert str((await client.response())[0]).startswith("l OK")
    assert (await client.response()) == ["* BYE Nothing may follow COMPRESS before its answer"]
    client.close()
    login = await endpoint.store.read(lambda tx: tx.login("alice"))
    assert login is not None
    names = await endpoint.store.read(lambda tx: [box.name for box in tx.mailboxes(login.id)])
    assert "Sent" in names


@pytest.mark.parametrize("pipelined", [True, False])
async def test_unauthenticate_ends_compression(endpoint: Endpoint, pipelined: bool) -> None:
    peer = await compressed(endpoint)
    await peer.send(b"a UNAUTHENTICATE\r\n", zlib.Z_FINISH)
    plain = f'b LOGIN bob "{PASSWORD}"\r\nc COMPRESS DEFLATE\r\n'.encode()
    if pipelined:
        await peer.client.send(plain)
    assert await peer.until(b"\r\n") == b"a OK Nobody is signed in\r\n"
    assert peer.into.eof
    if not pipelined:
        await peer.client.send(plain)
    rest = peer.into.unused_data
    async with asyncio.timeout(10):
        while rest.count(b"\r\n") < 2:
            rest += await peer.client.reader.read(65536)
    first, second = rest.decode().splitlines()
    assert first.startswith("b OK [CAPABILITY IMAP4rev1")
    assert second.startswith("c OK")
    again = Peer(peer.client)
    await again.send(b'd LIST "" INBOX\r\n')
    assert (await again.until(b"d OK")).startswith(b"* LIST")
    peer.client.close()
