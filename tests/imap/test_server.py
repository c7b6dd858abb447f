"""The socket of the endpoint: TLS, slow and greedy peers, caps, stopping; with real connections."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import select
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trustme

from bridge import limits
from bridge.imap.commands import idle
from bridge.imap.commands.append import prepare
from bridge.imap.server import Link, _listeners, is_loopback
from bridge.imap.table import TABLE
from bridge.model import Sink
from bridge.spool import Spool
from bridge.store.api import WriteTx
from tests.support.certificates import server_certificate
from tests.support.endpoint import PASSWORD, Endpoint
from tests.support.imap_client import Client, Server

MEGABYTE = 1024 * 1024


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def client_tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(context)
    return context


@pytest.fixture
async def endpoint(tmp_path: Path, authority: trustme.CA) -> AsyncIterator[Endpoint]:
    async with Endpoint(tmp_path, tls=server_certificate(tmp_path, authority).context) as endpoint:
        yield endpoint


async def connect(endpoint: Endpoint) -> Client:
    """Greeted, not logged in."""
    client = await Client.connect(Server("127.0.0.1", endpoint.port, {}))
    assert str((await client.response())[0]).startswith("* OK")
    return client


async def login(endpoint: Endpoint, name: str = "alice") -> Client:
    client = await connect(endpoint)
    heard = await client.command(f'l LOGIN {name} "{PASSWORD}"')
    assert str(heard[-1][0]).startswith("l OK")
    return client


async def is_well(other: Client) -> None:
    """Whoever stands by is answered at once."""
    async with asyncio.timeout(5):
        assert await other.command("w NOOP") == [["w OK NOOP completed"]]


@pytest.mark.parametrize("spoken", [True, False])
def test_an_address_family_that_this_machine_does_not_speak_is_left_out(
    monkeypatch: pytest.MonkeyPatch, spoken: bool
) -> None:
    made: list[socket.socket] = []
    create = socket.create_server

    def without_ipv6(address: tuple[str, int], *, family: int) -> socket.socket:
        if family == socket.AF_INET6 or not spoken:
            raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")
        made.append(create(address, family=family))
        return made[-1]

    monkeypatch.setattr(socket, "create_server", without_ipv6)
    places = [(socket.AF_INET6, "::1", 0), (socket.AF_INET, "127.0.0.1", 0)]
    if spoken:
        assert _listeners(places) == made
    else:
        with pytest.raises(OSError, match="not supported"):
            _listeners(places)
    for listener in made:
        listener.close()


def test_of_several_places_all_are_had_or_none() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match="in use"):
            _listeners([(socket.AF_INET, "127.0.0.2", port), (socket.AF_INET, "127.0.0.1", port)])
        socket.create_server(("127.0.0.2", port)).close()


@pytest.mark.parametrize("tls", [False, True])
async def test_a_house_full_of_devices_connects_at_once(endpoint: Endpoint, *, tls: bool) -> None:
    """The system takes them all before we accept one; who finds no place waits for a second."""
    where = ("127.0.0.1", endpoint.tls_port if tls else endpoint.port)
    with contextlib.ExitStack() as stack:
        devices = [stack.enter_context(socket.socket()) for _ in range(300)]
        for device in devices:
            device.setblocking(False)
            assert device.connect_ex(where) == errno.EINPROGRESS
        # Nothing of ours runs until here. A handshake on loopback is done when it was begun.
        _, connected, _ = select.select([], devices, [], 0)
        assert len(connected) == len(devices)
        loop = asyncio.get_running_loop()
        for device in devices:
            if not tls:
                assert (await loop.sock_recv(device, 1000)).startswith((b"* OK", b"* BYE"))
                continue
            with contextlib.suppress(ConnectionError):  # beyond the cap of one address
                await loop.sock_sendall(device, b"no handshake")
                await loop.sock_recv(device, 1000)
    await until_gone(endpoint)


async def until_gone(endpoint: Endpoint, sessions: int = 0) -> None:
    """Waits until no more than so many sessions are there."""
    async with asyncio.timeout(10):
        while endpoint.server.sessions > sessions:
            tasks = set(endpoint.server._links.values())
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)


async def store_message(endpoint: Endpoint, octets: bytes) -> None:
    """Puts it into alice's INBOX without IMAP."""
    message = prepare(octets)

    def work(tx: WriteTx) -> None:
        box = tx.mailbox(tx.ensure_login("alice").id, "INBOX")
        tx.add_entry(box.id, tx.add_message(message), internaldate=0)

    await endpoint.store.write(work)


async def test_tls_from_the_start(endpoint: Endpoint, client_tls: ssl.SSLContext) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", endpoint.tls_port, ssl=client_tls)
    client = Client(reader, writer)
    greeting = str((await client.response())[0])
    assert "STARTTLS" not in greeting
    assert "AUTH=PLAIN" in greeting
    heard = await client.command(f'a LOGIN alice "{PASSWORD}"')
    assert str(heard[-1][0]).startswith("a OK")
    client.close()
    await until_gone(endpoint)


async def test_clear_text_on_the_tls_port_is_no_session(endpoint: Endpoint) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", endpoint.tls_port)
    writer.write(b"a LOGIN alice x\r\n")
    async with asyncio.timeout(10):
        assert b"OK" not in await reader.read()
    writer.close()
    assert endpoint.server.sessions == 0


async def test_a_failed_handshake_after_starttls_ends_the_session(endpoint: Endpoint) -> None:
    client = await connect(endpoint)
    heard = await client.command("a STARTTLS")
    assert str(heard[-1][0]).startswith("a OK")
    await client.send(b"b LOGIN alice x\r\n" * 100)
    async with asyncio.timeout(10):
        assert b"OK" not in await client.reader.read()
    client.close()
    await until_gone(endpoint)


@pytest.mark.case("I031")
async def test_a_slow_reader_of_a_large_message_costs_bounded_memory(endpoint: Endpoint) -> None:
    octets = b"Subject: large\r\n\r\n" + b"0123456789" * 2 * MEGABYTE
    await store_message(endpoint, octets)
    server = Server("127.0.0.1", endpoint.port, {})
    client = await Client.connect(server, limit=64 * 1024)  # that it holds unread
    await client.command(f'a LOGIN alice "{PASSWORD}"')
    await client.command("b SELECT INBOX")
    (link,) = endpoint.server._links
    other = await login(endpoint, "bob")
    paused = asyncio.Event()
    largest = 0

    class Watched(Link):
        """What the link is from now on."""

        def write(self, *pieces: bytes) -> None:
            nonlocal largest
            super().write(*pieces)
            if self._transport is not None:
                largest = max(largest, self._transport.get_write_buffer_size())

        def pause_writing(self) -> None:
            super().pause_writing()
            paused.set()

    link.__class__ = Watched
    await client.send(b"c FETCH 1 (BODY[] BODY[]<0.9000000>)\r\n")
    async with asyncio.timeout(30):
        await paused.wait()
        await is_well(other)
        assert await client.reader.readline() == b"* 1 FETCH (BODY[] {%d}\r\n" % len(octets)
        assert await client.reader.readexactly(len(octets)) == octets
    # The bound, and the one chunk that came on top of it.
    assert 0 < largest <= limits.IMAP_WRITE_BUFFER + 2 * limits.CHUNK
    client.close()
    other.close()
    await until_gone(endpoint)


async def test_many_sections_of_one_message_cost_bounded_memory(endpoint: Endpoint) -> None:
    await store_message(endpoint, b"Subject: x\r\n\r\n" + b"0123456789" * 30_000)
    client = await login(endpoint)
    await client.command("b SELECT INBOX")
    (link,) = endpoint.server._links
    other = await login(endpoint, "bob")
    pieces: list[int] = []

    class Watched(Link):
        """What the link is from now on."""

        def write(self, *several: bytes) -> None:
            super().write(*several)
            pieces.extend(map(len, several))

    link.__class__ = Watched
    sections = " ".join(f"BODY.PEEK[]<{at}.250000>" for at in range(limits.IMAP_FETCH_SECTIONS))
    await client.send(f"c FETCH 1 ({sections})\r\n".encode())
    await is_well(other)
    async with asyncio.timeout(60):
        literals = [part for part in await client.response() if isinstance(part, bytes)]
        assert [len(literal) for literal in literals] == [250_000] * limits.IMAP_FETCH_SECTIONS
        assert str((await client.response())[0]).startswith("c OK")
    assert max(pieces) <= 2 * limits.CHUNK
    refused = await client.command(f"d FETCH 1 ({sections} BODY.PEEK[TEXT])")
    assert str(refused[0][0]).startswith("d BAD")
    client.close()
    other.close()


@pytest.mark.case("I031")
async def test_a_reader_that_takes_nothing_is_dropped(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "IMAP_WRITE_SECONDS", 0.2)
    await store_message(endpoint, b"Subject: large\r\n\r\n" + b"0123456789" * 2 * MEGABYTE)
    client, other = await login(endpoint), await login(endpoint, "bob")
    await client.command("b SELECT INBOX")
    client.writer.transport.pause_reading()  # type: ignore[attr-defined]  # a ReadTransport too
    await client.send(b"c FETCH 1 BODY.PEEK[]\r\n")
    await is_well(other)
    await until_gone(endpoint, 1)
    await is_well(other)
    client.close()
    other.close()


async def test_the_cap_of_connections_from_one_address(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "IMAP_CONNECTIONS_PER_ADDRESS", 3)
    clients = [await connect(endpoint) for _ in range(3)]
    refused = await Client.connect(Server("127.0.0.1", endpoint.port, {}))
    assert str((await refused.response())[0]).startswith("* BYE Too many connections")
    with pytest.raises(EOFError):
        await refused.response()
    refused.close()
    for client in clients:
        await is_well(client)
    clients.pop().close()
    await until_gone(endpoint, 2)
    clients.append(await connect(endpoint))
    for client in clients:
        client.close()
    await until_gone(endpoint)


async def test_the_cap_of_connections_in_all(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "IMAP_CONNECTIONS", 1)
    client = await connect(endpoint)
    refused = await Client.connect(Server("127.0.0.1", endpoint.port, {}))
    assert str((await refused.response())[0]).startswith("* BYE Too many connections")
    refused.close()
    await is_well(client)
    client.close()
    await until_gone(endpoint)


async def test_the_cap_of_sessions_of_one_login(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "IMAP_CONNECTIONS_PER_LOGIN", 2)
    first, second, third = await login(endpoint), await login(endpoint), await connect(endpoint)
    heard = await third.command(f'a LOGIN alice "{PASSWORD}"')
    assert str(heard[-1][0]).startswith("a NO [LIMIT]")
    bob = await login(endpoint, "bob")
    for client in (first, second, bob):
        await is_well(client)
    await first.command("b LOGOUT")
    await until_gone(endpoint, 3)
    heard = await third.command(f'c LOGIN alice "{PASSWORD}"')
    assert str(heard[-1][0]).startswith("c OK")
    for client in (first, second, third, bob):
        client.close()
    await until_gone(endpoint)
    assert set(endpoint.server.services.logins.values()) <= {0}


async def test_who_does_not_sign_in_is_sent_away(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "IMAP_LOGIN_SECONDS", 0.2)
    other = await login(endpoint)
    client = await connect(endpoint)
    asking = await connect(endpoint)
    await asking.send(b"a AUTHENTICATE PLAIN\r\n")
    assert await asking.response() == ["+ "]
    for each in (client, asking):
        assert str((await each.response())[0]).startswith("* BYE")
        each.close()
    await is_well(other)
    other.close()
    await until_gone(endpoint)


@pytest.mark.case("I037")
async def test_silence_ends_a_session(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "IMAP_AUTOLOGOUT_SECONDS", 0.2)
    client, other = await login(endpoint), await login(endpoint)
    farewell = asyncio.create_task(client.response())
    while not farewell.done():  # who says something now and then stays
        await is_well(other)
    assert str((await farewell)[0]).startswith("* BYE")
    await is_well(other)
    client.close()
    other.close()
    await until_gone(endpoint)


async def test_stop_says_bye_to_everybody(endpoint: Endpoint) -> None:
    strangers, idler, reader = await connect(endpoint), await login(endpoint), await login(endpoint)
    await idler.command("a SELECT INBOX")
    await idler.send(b"b IDLE\r\n")
    assert await idler.response() == ["+ idling"]
    await reader.send(b"c NOOP\r\n" * 1000)
    await reader.response()
    async with asyncio.timeout(4):
        await endpoint.server.stop()
        for client in (strangers, idler, reader):
            said = ""
            while not said.startswith("* BYE"):
                said = str((await client.response())[0])
            with pytest.raises(EOFError):
                await client.response()
            client.close()
    assert endpoint.server.sessions == 0
    with pytest.raises(OSError, match=r"refused|Connect"):
        await Client.connect(Server("127.0.0.1", endpoint.port, {}))


async def test_hanging_up_in_IDLE_leaves_nothing_behind(endpoint: Endpoint) -> None:
    client, other = await login(endpoint), await login(endpoint)
    await client.command("a SELECT INBOX")
    await client.send(b"b IDLE\r\n")
    assert await client.response() == ["+ idling"]
    services = endpoint.server.services
    ((box, _),) = services.mailboxes._held.values()
    assert len(box.listeners) == 1
    assert services.logins["alice"] == 2
    client.close()
    await until_gone(endpoint, sessions=1)
    assert not box.listeners
    assert services.logins["alice"] == 1
    # Nobody is told any more, and nothing is in the way of who is still there.
    assert (await other.command("c APPEND INBOX {2+}\r\nhi"))[-1][0][:4] == "c OK"
    other.close()


@pytest.mark.case("I037")
async def test_IDLE_says_now_and_then_that_it_lives(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(idle, "KEEPALIVE_SECONDS", 0.01)
    client = await login(endpoint)
    await client.send(b"a IDLE\r\n")
    assert await client.response() == ["+ idling"]
    for _ in range(2):
        assert await client.response() == ["* OK Still here"]
    await client.send(b"DONE\r\n")
    while (heard := await client.response()) == ["* OK Still here"]:
        pass
    assert heard == ["a OK IDLE completed"]
    client.close()


async def test_hanging_up_in_a_literal_leaves_nothing_behind(
    endpoint: Endpoint, tmp_path: Path
) -> None:
    services = endpoint.server.services
    sinks: list[Sink] = []
    closed: list[Sink] = []
    arriving = asyncio.Event()

    class Watched(Spool):
        def write(self, data: bytes, /) -> None:
            super().write(data)
            if len(self) > MEGABYTE:
                arriving.set()

        def close(self) -> None:
            super().close()
            closed.append(self)

    def new_sink(memory: int) -> Sink:
        sinks.append(Watched(tmp_path, memory))
        return sinks[-1]

    services.new_sink = new_sink
    client = await login(endpoint)
    await client.command("a SELECT INBOX")
    await client.send(b"b APPEND INBOX {3000000+}\r\n" + b"x" * 2_000_000)
    link = next(iter(endpoint.server._links))
    async with asyncio.timeout(10):
        await arriving.wait()
    client.close()
    await until_gone(endpoint)
    assert len(sinks) == 1
    assert closed == sinks
    assert [box for box, _ in services.mailboxes._held.values() if box.listeners] == []
    assert set(services.logins.values()) == {0}
    assert link.session.view is None
    other = await login(endpoint)
    assert await other.command("c STATUS INBOX (MESSAGES)") == [
        ["* STATUS INBOX (MESSAGES 0)"],
        ["c OK STATUS completed"],
    ]
    other.close()


@pytest.mark.case("I018")
async def test_ten_thousand_pipelined_commands(endpoint: Endpoint) -> None:
    """Answered in order, others have their turn meanwhile, and the queue is bounded."""
    client, other = await login(endpoint), await login(endpoint)
    largest = 0
    receive = Link.data_received

    def measured(link: Link, data: bytes) -> None:
        nonlocal largest
        receive(link, data)
        largest = max(largest, link.session.connection.buffered)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Link, "data_received", measured)
        commands = b"".join(b"t%d NOOP\r\n" % number for number in range(10_000))
        client.writer.write(commands * 5)
        first = await client.response()
        assert first == ["t0 OK NOOP completed"]
        heard = await other.command("o NOOP")
        assert heard == [["o OK NOOP completed"]]
        for number in range(1, 50_000):
            assert await client.response() == [f"t{number % 10_000} OK NOOP completed"]
    assert largest <= limits.IMAP_PIPELINED_INPUT + 256 * 1024
    for each in (client, other):
        each.close()
    await until_gone(endpoint)


async def test_a_session_that_fails_harms_no_other(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, other = await login(endpoint), await login(endpoint)

    async def broken(*_: object) -> None:
        raise ZeroDivisionError

    row = next(iter(endpoint.server._links)).session.table["NAMESPACE"]
    monkeypatch.setitem(TABLE, "NAMESPACE", type(row)(row.name, broken, row.states, row.rfc))
    await client.send(b"a NAMESPACE\r\n")
    assert str((await client.response())[0]).startswith("* BYE Internal error")
    with pytest.raises(EOFError):
        await client.response()
    assert await other.command("b NOOP") == [["b OK NOOP completed"]]
    client.close()
    other.close()
    await until_gone(endpoint)


@pytest.mark.parametrize(
    ("peer", "local"),
    [
        ("127.0.0.1", True),
        ("127.8.0.1", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("192.0.2.1", False),
        ("::ffff:192.0.2.1", False),
        ("fe80::1%eth0", False),
        ("", False),
    ],
)
def test_is_loopback(peer: str, local: bool) -> None:
    assert is_loopback(peer) is local
