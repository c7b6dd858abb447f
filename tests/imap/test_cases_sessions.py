"""Many sessions, slow ones, and those that end in the middle of a word."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bridge import limits
from bridge.imap.commands.append import prepare
from bridge.store.api import WriteTx
from tests.imap.test_cases_sizes import anonymous
from tests.support import figures
from tests.support.endpoint import PASSWORD, Endpoint
from tests.support.imap_client import Client, Server
from tests.support.lag import Lag
from tests.support.process import DaemonProcess, pop3_account, write_config

MEGABYTE = 1024 * 1024
STEPS = (
    "NOOP", "CAPABILITY", 'ID ("name" "x")', "NAMESPACE", "ENABLE CONDSTORE", "SELECT INBOX",
    "EXAMINE INBOX", "CREATE a/b", "DELETE Trash", "RENAME Sent Gone", "SUBSCRIBE x",
    "UNSUBSCRIBE x", 'LIST "" "*" RETURN (STATUS (MESSAGES))', 'LSUB "" "*"',
    "STATUS INBOX (MESSAGES SIZE)", "APPEND INBOX (\\Seen) {30+}\r\nSubject: a message that is cut",
    "GETQUOTAROOT INBOX", 'SETMETADATA INBOX (/private/comment "x")',
    "GETMETADATA INBOX /private/comment", "MYRIGHTS INBOX", "COMPRESS DEFLATE", "UNAUTHENTICATE",
    "IDLE\r\nDONE", "NOTIFY SET (personal (MessageNew MessageExpunge))", "CHECK", "CLOSE",
    "UNSELECT", "EXPUNGE", "UID EXPUNGE 1:*", "SEARCH RETURN (SAVE UPDATE) ALL",
    "UID SEARCH TEXT {5+}\r\nhello SEEN", "SORT (SUBJECT) UTF-8 ALL",
    "UID THREAD REFERENCES UTF-8 ALL", "FETCH 1:* (FLAGS ENVELOPE BODY.PEEK[])",
    "UID FETCH 1:* BODYSTRUCTURE", "STORE 1:* +FLAGS (cut)", "UID STORE 1 -FLAGS.SILENT (cut)",
    "COPY 1 Archive", "UID MOVE 1 Archive", "REPLACE 1 INBOX {2+}\r\nhi", "AUTHENTICATE PLAIN",
    "LOGIN alice {3+}\r\nabc", "LOGOUT",
)  # fmt: skip


@pytest.fixture
async def endpoint(tmp_path: Path) -> AsyncIterator[Endpoint]:
    async with Endpoint(tmp_path) as endpoint:
        yield endpoint


async def signed_in(port: int, name: str = "alice") -> Client:
    client = await Client.connect(Server("127.0.0.1", port, {}))
    await client.response()
    assert str((await client.command(f'l LOGIN {name} "{PASSWORD}"'))[-1][0]).startswith("l OK")
    assert str((await client.command("s SELECT INBOX"))[-1][0]).startswith("s OK")
    return client


async def is_well(client: Client) -> None:
    async with asyncio.timeout(10):
        await client.send(b"w NOOP\r\n")
        while not str((await client.response())[0]).startswith("w OK"):
            pass


async def until_gone(endpoint: Endpoint, sessions: int) -> None:
    async with asyncio.timeout(60):
        while endpoint.server.sessions > sessions:
            tasks = set(endpoint.server._links.values())
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)


async def fill(endpoint: Endpoint, octets: bytes, times: int) -> None:
    message = prepare(octets)

    def work(tx: WriteTx) -> None:
        box = tx.mailbox(tx.ensure_login("alice").id, "INBOX")
        found = tx.add_message(message)
        for number in range(times):
            tx.add_entry(box.id, found, internaldate=number)

    await endpoint.store.write(work)


@pytest.mark.case("I035")
async def test_hanging_up_at_each_octet(endpoint: Endpoint, tmp_path: Path) -> None:
    """Of each command: no task, file, lock, session or temporary file is left of any of them."""
    await fill(endpoint, b"Subject: hello\r\n\r\nhello\r\n", 3)
    other = await signed_in(endpoint.port, "bob")
    await until_gone(endpoint, 1)
    tasks, files = len(asyncio.all_tasks()), len(os.listdir("/proc/self/fd"))
    cuts = 0
    for step in STEPS:
        octets = f"x {step}\r\n".encode()
        for size in range(1, len(octets) + 1):
            client = await Client.connect(Server("127.0.0.1", endpoint.port, {}))
            await client.send(f'l LOGIN alice "{PASSWORD}"\r\ns SELECT INBOX\r\n'.encode())
            while not str((await client.response())[0]).startswith("s OK"):
                pass
            await client.send(octets[:size])
            client.close()
            cuts += 1
    await until_gone(endpoint, 1)
    await is_well(other)
    assert await endpoint.store.write(lambda tx: tx.ensure_login("alice").name) == "alice"
    services = endpoint.services
    assert {name: count for name, count in services.logins.items() if count} == {"bob": 1}
    assert sum(len(box.listeners) for box, _ in services.mailboxes._held.values()) == 1
    assert len(asyncio.all_tasks()) <= tasks
    # Reading connections of the store come and go with the work, up to their number.
    assert len(os.listdir("/proc/self/fd")) <= files + 16
    assert os.listdir(tmp_path) == ["data"]
    other.close()
    figures.note("connections cut", tried=cuts, leaks=0)


@pytest.mark.case("I036")
async def test_coming_and_going_costs_nothing(tmp_path: Path) -> None:
    async with DaemonProcess(write_config(tmp_path, [pop3_account("alice", 9)])) as daemon:
        port = await daemon.listening()

        async def come_and_go(times: int) -> tuple[int, int]:
            for _ in range(times):
                (await Client.connect(Server("127.0.0.1", port, {}))).close()
            client = await signed_in(port)  # everybody before it was let in, and is gone
            files = len(os.listdir(f"/proc/{daemon.pid}/fd"))
            client.close()
            return anonymous(daemon.pid), files

        before, open_before = await come_and_go(500)
        after, open_after = await come_and_go(1_500)
    assert after <= before * 1.05
    assert open_after <= open_before + 5
    figures.note("come and gone", tried=1_500, grown_percent=100 * (after / before - 1))


@pytest.mark.case("I030")
async def test_as_many_sessions_as_one_login_may_have(tmp_path: Path) -> None:
    """All of them in IDLE; one more is told why not, and another login is served."""
    accounts = [pop3_account("alice", 9), pop3_account("bob", 9)]
    async with DaemonProcess(write_config(tmp_path, accounts)) as daemon:
        port = await daemon.listening()
        other = await signed_in(port, "bob")
        before = anonymous(daemon.pid)
        loop = asyncio.get_running_loop()
        devices = []
        said = f'l LOGIN alice "{PASSWORD}"\r\ns SELECT INBOX\r\ni IDLE\r\n'.encode()
        for number in range(limits.IMAP_CONNECTIONS_PER_LOGIN):
            device = socket.socket()
            device.bind((f"127.0.2.{1 + number % 20}", 0))
            device.connect(("127.0.0.1", port))
            device.setblocking(False)
            device.send(said)
            devices.append(device)
            if number % 50 == 49:
                for each in devices[-50:]:
                    heard = b""
                    async with asyncio.timeout(60):
                        while b"+ idling" not in heard:
                            heard += await loop.sock_recv(each, 65536)
        each_kib = (anonymous(daemon.pid) - before) / len(devices) / 1024
        late = await Client.connect(Server("127.0.0.1", port, {}))
        await late.response()
        refused = await late.command(f'l LOGIN alice "{PASSWORD}"')
        assert str(refused[-1][0]).startswith("l NO [LIMIT] Too many devices")
        await is_well(other)
        for device in devices:
            device.close()
        for client in (late, other):
            client.close()
    assert each_kib < 85
    figures.note("sessions in IDLE", tried=len(devices), kib_each=each_kib)


@pytest.mark.case("I032")
async def test_who_reads_a_trickle_holds_up_nobody(tmp_path: Path) -> None:
    """Neither memory, nor others, nor the log of the database, which goes on being emptied."""
    async with DaemonProcess(write_config(tmp_path, [pop3_account("alice", 9)])) as daemon:
        port = await daemon.listening()
        writer = await signed_in(port)
        large = b"Subject: large\r\n\r\n" + b"0123456789" * (MEGABYTE // 10)

        async def append(times: int) -> None:
            for _ in range(times):
                await writer.send(b"a APPEND INBOX {%d+}\r\n%b\r\n" % (len(large), large))
                while not str((await writer.response())[0]).startswith("a OK"):
                    pass

        await append(20)
        reader = socket.socket()
        reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        reader.connect(("127.0.0.1", port))
        reader.setblocking(False)
        loop = asyncio.get_running_loop()
        reader.send(f'l LOGIN alice "{PASSWORD}"\r\ns SELECT INBOX\r\n'.encode())
        heard = b""
        while b"s OK" not in heard:
            heard += await loop.sock_recv(reader, 4096)
        await append(5)
        await writer.command("r FETCH 1 BODY.PEEK[]")
        before = anonymous(daemon.pid)
        reader.send(b"f FETCH 1:* BODY.PEEK[]\r\n")
        for number in range(100):
            assert len(await loop.sock_recv(reader, 1)) == 1
            if number % 10 == 0:
                await is_well(writer)
        grown = anonymous(daemon.pid) - before
        await append(40)
        log = sum(
            each.stat().st_size for each in os.scandir(tmp_path / "data") if "-wal" in each.name
        )
        reader.close()
        await is_well(writer)
        writer.close()
    assert grown < 2 * MEGABYTE
    assert log < 20 * MEGABYTE
    figures.note("readers of a trickle", tried=1, peak_mb=grown / MEGABYTE, log_mb=log / MEGABYTE)


@pytest.mark.case("I033")
async def test_in_IDLE_without_reading(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    """What changes meanwhile is told in one, at most what the buffer may hold; then it is gone."""
    monkeypatch.setattr(limits, "IMAP_WRITE_SECONDS", 1.0)
    await fill(endpoint, b"Subject: x\r\n\r\nhi\r\n", 1_000)
    idle, writer = await signed_in(endpoint.port), await signed_in(endpoint.port)
    link = next(iter(endpoint.server._links))
    await idle.send(b"i IDLE\r\n")
    while await idle.response() != ["+ idling"]:
        pass
    idle.writer.transport.pause_reading()  # type: ignore[attr-defined]  # a ReadTransport too
    largest = updates = 0
    async with asyncio.timeout(120):
        while endpoint.server.sessions > 1:
            sign = "+-"[updates % 2]
            await writer.command(f"c{updates} STORE 1:* {sign}FLAGS.SILENT (\\Flagged)")
            updates += 1
            if link._transport is not None:
                largest = max(largest, link._transport.get_write_buffer_size())
    assert 0 < largest <= limits.IMAP_WRITE_BUFFER + 256 * 1024
    await is_well(writer)
    for client in (idle, writer):
        client.close()
    figures.note("updates to who does not read", tried=updates * 1_000, peak_kib=largest / 1024)


@pytest.mark.case("I040")
async def test_twenty_that_search_all_bodies(endpoint: Endpoint) -> None:
    """For what no index knows. One hangs up in the middle, one stands by."""
    for number in range(100):
        body = b"%d " % number + b"some words of a letter\r\n" * 400
        await fill(endpoint, b"Subject: x\r\n\r\n" + body, 1)
    other = await signed_in(endpoint.port, "bob")
    clients = [await signed_in(endpoint.port) for _ in range(20)]
    async with Lag() as lag:
        for client in clients:
            await client.send(b'a SEARCH BODY "zq"\r\n')
        clients.pop().close()
        await is_well(other)
        async with asyncio.timeout(60):
            for client in clients:
                heard = await client.response()
                while str(heard[0]).startswith("* OK [INPROGRESS"):
                    heard = await client.response()
                assert heard == ["* SEARCH"]
                assert str((await client.response())[0]).startswith("a OK")
                client.close()
    await until_gone(endpoint, 1)
    other.close()
    figures.note("searches of all bodies", tried=20, lag_p99_ms=lag.percentile(99))


@pytest.mark.case("I089")
async def test_what_never_changes_never_changes(endpoint: Endpoint) -> None:
    """A thousand FETCHes by fifty clients, some of which change flags meanwhile."""
    octets = (
        b"Subject: =?utf-8?q?=C3=A4?=\r\nFrom: a <a@example.org>\r\nContent-Type: multipart/mixed;"
        b" boundary=b\r\n\r\n--b\r\n\r\none\r\n--b\r\nContent-Type: message/rfc822\r\n\r\n"
        b"Subject: inner\r\n\r\ntwo\r\n--b--\r\n"
    )
    await fill(endpoint, octets, 3)
    clients = [await signed_in(endpoint.port) for _ in range(50)]
    wanted = "(UID RFC822.SIZE INTERNALDATE ENVELOPE BODYSTRUCTURE BODY.PEEK[])"

    async def ask(number: int, client: Client) -> set[str]:
        heard = set()
        for count in range(20):
            if number % 10 == 0:
                await client.command(f"s{count} STORE 2 +FLAGS.SILENT (k{count})")
            for response in await client.command(f"f{count} FETCH 2 {wanted}"):
                text = repr(response)
                if "ENVELOPE" in text:
                    heard.add(text)
        return heard

    answers = await asyncio.gather(*(ask(n, client) for n, client in enumerate(clients)))
    assert len(set().union(*answers)) == 1
    for client in clients:
        client.close()
    figures.note("the same message fetched", tried=1_000, corrupt=0)
