"""TLS in the hands of strangers: half handshakes, odd bytes, and what is slipped in before it."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trustme

from bridge import limits
from bridge.daemon import loop_factory
from tests.support import figures
from tests.support.certificates import server_certificate
from tests.support.endpoint import PASSWORD, Endpoint
from tests.support.imap_client import Client, Server
from tests.support.memory import Sampled
from tests.support.require import require


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def device(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(context)
    return context


@pytest.fixture
def tls(tmp_path: Path, authority: trustme.CA) -> ssl.SSLContext:
    return server_certificate(tmp_path, authority).context


@pytest.fixture
async def endpoint(tmp_path: Path, tls: ssl.SSLContext) -> AsyncIterator[Endpoint]:
    async with Endpoint(tmp_path, tls=tls) as endpoint:
        yield endpoint


async def signed_in(endpoint: Endpoint, name: str = "alice") -> Client:
    client = await Client.connect(Server("127.0.0.1", endpoint.port, {}))
    await client.response()
    assert str((await client.command(f'l LOGIN {name} "{PASSWORD}"'))[-1][0]).startswith("l OK")
    return client


async def is_well(client: Client) -> None:
    async with asyncio.timeout(5):
        assert await client.command("w NOOP") == [["w OK NOOP completed"]]


async def until_alone(endpoint: Endpoint, sessions: int) -> None:
    async with asyncio.timeout(20):
        while endpoint.server.sessions > sessions:
            tasks = set(endpoint.server._links.values())
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)


async def opened(endpoint: Endpoint, octets: bytes, source: int) -> asyncio.StreamWriter:
    """A connection to the TLS port from 127.0.1.`source` that says this and then nothing."""
    _, writer = await asyncio.open_connection(
        "127.0.0.1", endpoint.tls_port, local_addr=(f"127.0.1.{source}", 0)
    )
    writer.write(octets)
    return writer


def client_hello(device: ssl.SSLContext, name: str = "127.0.0.1") -> bytes:
    into, out = ssl.MemoryBIO(), ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        device.wrap_bio(into, out, server_hostname=name).do_handshake()
    return out.read()


@pytest.mark.case("I056")
async def test_half_a_handshake_is_given_up(
    endpoint: Endpoint, device: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut at each octet of what a client says first, all of them at once."""
    monkeypatch.setattr(limits, "IMAP_HANDSHAKE_SECONDS", 1.0)
    other = await signed_in(endpoint)
    hello = client_hello(device)
    with Sampled() as memory:
        writers = [
            await opened(endpoint, hello[:size], 1 + size % 200) for size in range(len(hello) + 1)
        ]
        await is_well(other)
        assert 1 < endpoint.server.sessions <= len(writers) + 1
        await until_alone(endpoint, 1)
    await is_well(other)
    assert endpoint.server._slots._addresses == {"127.0.0.1": 1}
    # Both sides of each are in this process.
    assert memory.grown / len(writers) < 2 * 300 * 1024
    for writer in writers:
        writer.close()
    other.close()
    figures.note("half handshakes", tried=len(writers), leaks=0)


@pytest.mark.case("I056", "I029")
async def test_a_thousand_half_handshakes_from_one_address(
    endpoint: Endpoint, device: ssl.SSLContext
) -> None:
    """They hold what one address may hold, and nobody else waits for them."""
    other = await signed_in(endpoint)
    readers = []
    for _ in range(1_000):
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", endpoint.tls_port, local_addr=("127.0.1.1", 0)
        )
        writer.write(b"\x16\x03\x01")
        readers.append((reader, writer))
    await is_well(other)
    turned_away = 0
    async with asyncio.timeout(10):
        for reader, _ in readers[limits.IMAP_CONNECTIONS_PER_ADDRESS :]:
            with contextlib.suppress(ConnectionError):
                assert await reader.read() == b""
            turned_away += 1
    assert endpoint.server.sessions == limits.IMAP_CONNECTIONS_PER_ADDRESS + 1
    streams = await asyncio.open_connection("127.0.0.1", endpoint.tls_port, ssl=device)
    assert str((await Client(*streams).response())[0]).startswith("* OK")
    streams[1].close()
    for _, writer in readers:
        writer.transport.abort()
    await until_alone(endpoint, 1)
    other.close()
    figures.note("half handshakes", tried=len(readers), turned_away=turned_away)


@pytest.mark.case("I056")
async def test_nobody_negotiates_anew(endpoint: Endpoint) -> None:
    """OpenSSL's own client asks for it (R) over TLS 1.2: it costs that client its connection."""
    other = await signed_in(endpoint)
    process = await asyncio.create_subprocess_exec(
        *(require("openssl"), "s_client", "-connect", f"127.0.0.1:{endpoint.tls_port}", "-tls1_2"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    async with asyncio.timeout(20):
        said = await process.stdout.readuntil(b"popbridge is ready")
        process.stdin.write(b"R\n")
        said = await process.stdout.read()
        await process.wait()
    assert b"RENEGOTIATING" in said
    assert b"no renegotiation" in said
    await until_alone(endpoint, 1)
    await is_well(other)
    other.close()


async def test_what_waits_for_a_handshake_does_not_hold_up_the_end(
    tmp_path: Path, tls: ssl.SSLContext
) -> None:
    async with asyncio.timeout(4):
        async with Endpoint(tmp_path, tls=tls) as endpoint:
            reader, writer = await asyncio.open_connection("127.0.0.1", endpoint.tls_port)
            other = await signed_in(endpoint)
            assert endpoint.server.sessions == 2
        assert await reader.read() == b""
    writer.close()
    other.close()


async def _injected(endpoint: Endpoint, device: ssl.SSLContext, together: bool) -> bytes:
    """What comes back of a command behind STARTTLS: in the same segment, or in the next one,
    before our handshake begins."""
    reader, writer = await asyncio.open_connection("127.0.0.1", endpoint.port)
    await reader.readline()
    injected = f'b LOGIN alice "{PASSWORD}"\r\n'.encode()
    writer.write(b"a STARTTLS\r\n" + (injected if together else b""))
    if not together:
        assert (await reader.readline()).startswith(b"a OK")
        writer.write(injected)
    heard = b""
    with contextlib.suppress(OSError, ssl.SSLError):
        if not together:
            await writer.start_tls(device, server_hostname="127.0.0.1")
        heard = await reader.read()
    writer.close()
    return heard


@pytest.mark.case("I053")
@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("production", [False, True], ids=["asyncio", "uvloop"])
def test_what_follows_STARTTLS_in_clear_is_never_run(
    tmp_path: Path, tls: ssl.SSLContext, device: ssl.SSLContext, production: bool, together: bool
) -> None:
    async def run() -> None:
        async with Endpoint(tmp_path, tls=tls) as endpoint:
            async with asyncio.timeout(10):
                heard = await _injected(endpoint, device, together)
            assert b"b " not in heard
            assert heard.startswith(b"* BYE") is together
            await until_alone(endpoint, 0)
            assert not any(endpoint.services.logins.values())

    factory = loop_factory() if production else None
    assert (factory is not None) is production
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(run())


@pytest.mark.case("I054")
async def test_STARTTLS_where_it_has_no_place(endpoint: Endpoint, device: ssl.SSLContext) -> None:
    """Twice and after login: see also tests/transcripts/starttls.txt."""
    client = await Client.connect(Server("127.0.0.1", endpoint.port, {}, device))
    await client.response()
    assert str((await client.command("a STARTTLS"))[-1][0]).startswith("a OK")
    await client.start_tls()
    assert str((await client.command("b STARTTLS"))[-1][0]).startswith("b BAD")
    assert str((await client.command(f'c LOGIN alice "{PASSWORD}"'))[-1][0]).startswith("c OK")
    assert str((await client.command("d STARTTLS"))[-1][0]).startswith("d BAD")
    client.close()
    clear = await signed_in(endpoint)
    assert str((await clear.command("e STARTTLS"))[-1][0]).startswith("e BAD")
    clear.close()
    streams = await asyncio.open_connection("127.0.0.1", endpoint.tls_port, ssl=device)
    implicit = Client(*streams)
    assert "STARTTLS" not in str((await implicit.response())[0])
    assert str((await implicit.command("f STARTTLS"))[-1][0]).startswith("f BAD")
    implicit.close()


@pytest.mark.case("I055")
async def test_what_was_said_before_STARTTLS_is_forgotten(
    endpoint: Endpoint, device: ssl.SSLContext
) -> None:
    """Capabilities are others behind it; nonsense from before does not count behind it, and half
    a command does not become a whole one."""
    client = await Client.connect(Server("127.0.0.1", endpoint.port, {}, device))
    assert "STARTTLS" in str((await client.response())[0])
    assert str((await client.command('n ID ("name" "x")'))[-1][0]).startswith("n OK")
    assert str((await client.command("a STARTTLS"))[-1][0]).startswith("a OK")
    await client.start_tls()
    heard = await client.command("b CAPABILITY")
    assert "STARTTLS" not in str(heard[0][0])
    assert "AUTH=SCRAM-SHA-256-PLUS" in str(heard[0][0])
    (link,) = endpoint.server._links
    assert link.session.connection.buffered == 0
    assert link.session.login is None
    client.close()


@pytest.mark.case("I057")
@pytest.mark.parametrize(
    "octets",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"USER alice\r\nPASS x\r\n",
        b"a LOGIN alice x\r\n",
        bytes(2000),
        b"\x16\x03\x01\xff\xff" + b"\x00" * 2000,
    ],
)
async def test_what_is_no_TLS_on_the_TLS_port(endpoint: Endpoint, octets: bytes) -> None:
    other = await signed_in(endpoint)
    reader, writer = await asyncio.open_connection("127.0.0.1", endpoint.tls_port)
    writer.write(octets)
    writer.write_eof()
    async with asyncio.timeout(10):
        with contextlib.suppress(ConnectionError):
            assert b"OK" not in await reader.read()
    writer.close()
    await until_alone(endpoint, 1)
    await is_well(other)
    other.close()


@pytest.mark.case("I057")
async def test_TLS_on_the_port_in_clear(endpoint: Endpoint, device: ssl.SSLContext) -> None:
    """It is no command, and what answers it is no TLS."""
    other = await signed_in(endpoint)
    with pytest.raises(ssl.SSLError):
        async with asyncio.timeout(10):
            await asyncio.open_connection("127.0.0.1", endpoint.port, ssl=device)
    await until_alone(endpoint, 1)
    await is_well(other)
    other.close()


@pytest.mark.case("I058")
def test_no_name_that_a_client_asks_for_is_kept(
    tls: ssl.SSLContext, device: ssl.SSLContext
) -> None:
    """There is one certificate, whatever the name: no callback, no table, no memory."""
    device.check_hostname = False

    def shake_hands(name: str) -> None:
        to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
        theirs = device.wrap_bio(to_client, to_server, server_hostname=name)
        ours = tls.wrap_bio(to_server, to_client, server_side=True)
        for _ in range(3):
            for side in (theirs, ours):
                with contextlib.suppress(ssl.SSLWantReadError):
                    side.do_handshake()
        theirs.write(b"x")
        assert ours.read() == b"x"

    assert tls.sni_callback is None
    for _ in range(50):
        shake_hands("mail.example.org")
    with Sampled() as memory:
        for _ in range(300):
            shake_hands(f"{secrets.token_hex(30)}.{secrets.token_hex(30)}.example")
    assert memory.grown < 1024 * 1024
    figures.note("names in handshakes", tried=300, peak_mb=memory.grown / 1024 / 1024)


async def test_a_port_that_is_taken_is_told(endpoint: Endpoint) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError, match="in use"):
        await endpoint.server.listen("127.0.0.1", taken.getsockname()[1], tls=True)
