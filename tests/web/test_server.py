"""Health, status and control over real sockets."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import signal
import socket
import stat
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import uvloop

from bridge import limits
from bridge.model import Secret
from bridge.web import control_socket
from bridge.web.server import PublicSide, WebServer
from bridge.web.sessions import Sessions
from tests.support.page import PASSWORD, FakeControl, FakeDesk, served


@pytest.fixture
def daemon() -> FakeControl:
    return FakeControl()


@pytest.fixture
def desk() -> FakeDesk:
    return FakeDesk()


@pytest.fixture
async def server(desk: FakeDesk) -> AsyncIterator[WebServer]:
    async with served(desk) as started:
        yield started


def public(desk: FakeDesk, port: int = 0) -> PublicSide:
    return PublicSide(("127.0.0.1", port), desk, Sessions(Secret(PASSWORD), time.monotonic))


async def ask(port: int, request: str) -> tuple[int, str]:
    """Sends raw octets, reads to the end: (status code, body)."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request.replace("\n", "\r\n").encode())
    answer = (await reader.read()).decode()
    writer.close()
    await writer.wait_closed()
    head, _, body = answer.partition("\r\n\r\n")
    return int(head.split(" ", 2)[1]), body


async def get(server: WebServer, path: str, host: str = "localhost") -> tuple[int, str]:
    assert server.port
    return await ask(server.port, f"GET {path} HTTP/1.1\nHost: {host}\nConnection: close\n\n")


async def control(path: Path, method: str, target: str) -> tuple[int, str]:
    client = await asyncio.to_thread(control_socket.connected, path, 5.0)
    reader, writer = await asyncio.open_unix_connection(sock=client)
    writer.write(
        f"{method} {target} HTTP/1.1\r\nHost: daemon\r\nConnection: close\r\n\r\n".encode()
    )
    answer = (await reader.read()).decode()
    writer.close()
    await writer.wait_closed()
    head, _, body = answer.partition("\r\n\r\n")
    return int(head.split(" ", 2)[1]), body


async def test_live_and_ready(server: WebServer, desk: FakeDesk) -> None:
    assert await get(server, "/livez") == (200, "ok\n")
    assert await get(server, "/readyz") == (200, "ready\n")
    desk.database_ok = False
    assert await get(server, "/livez") == (200, "ok\n")
    assert await get(server, "/readyz") == (503, "not ready\n")


async def test_status_wants_the_password(server: WebServer) -> None:
    assert server.port
    assert (await get(server, "/status.json"))[0] == 401
    for password, code in (("wrong", 401), (PASSWORD, 200)):
        basic = base64.b64encode(f"anybody:{password}".encode()).decode()
        answered, body = await ask(
            server.port,
            "GET /status.json HTTP/1.1\nHost: localhost\nConnection: close\n"
            f"Authorization: Basic {basic}\n\n",
        )
        assert answered == code
    assert json.loads(body)["accounts"][0]["state"] == "up to date"
    for odd in ("Basic", "Basic \xff", "Bearer x", "Basic " + "A" * 5):
        answered, _ = await ask(
            server.port,
            "GET /status.json HTTP/1.1\nHost: localhost\nConnection: close\n"
            f"Authorization: {odd}\n\n",
        )
        assert answered == 401


@pytest.mark.parametrize(
    "path", ["/poll", "/status", "/deletes", "/devices", "/..%2f..%2fetc/passwd", "/livez%00"]
)
async def test_nothing_else_is_there(server: WebServer, path: str) -> None:
    code, _ = await get(server, path)
    assert code == 404


async def test_nothing_is_changed_over_tcp(server: WebServer, desk: FakeDesk) -> None:
    assert server.port
    for path in ("/poll", "/livez", "/status.json"):
        code, _ = await ask(
            server.port,
            f"POST {path} HTTP/1.1\nHost: localhost\nOrigin: http://localhost\n"
            "Connection: close\nContent-Length: 0\n\n",
        )
        assert code in (404, 405)
    assert desk.asked == []


@pytest.mark.parametrize(
    "host",
    ["localhost", "localhost:8025", "LOCALHOST.", "127.0.0.1:1", "[::1]:8025", "192.168.1.20"],
)
async def test_own_names_are_heard(server: WebServer, host: str) -> None:
    assert await get(server, "/livez", host) == (200, "ok\n")


@pytest.mark.parametrize(
    "host", ["attacker.example", "localhost.attacker.example", "127.0.0.1.nip.io", "", "[", ":80"]
)
@pytest.mark.parametrize("path", ["/livez", "/status.json", "/nothing"])
async def test_other_names_are_refused_before_routing(
    server: WebServer, host: str, path: str
) -> None:
    # W003, DNS rebinding
    assert await get(server, path, host) == (403, "This name is not mine.\n")


async def test_two_hosts_are_refused(server: WebServer) -> None:
    assert server.port
    code, _ = await ask(
        server.port,
        "GET /livez HTTP/1.1\nHost: localhost\nHost: attacker.example\nConnection: close\n\n",
    )
    assert code in (400, 403)


async def test_a_header_without_end_is_cut(server: WebServer) -> None:
    assert server.port
    code, _ = await ask(
        server.port, "GET /livez HTTP/1.1\nHost: localhost\nX: " + "x" * 4 * limits.WEB_HEADER
    )
    assert code == 400


@pytest.mark.case("W006")
async def test_more_connections_than_that_are_refused(
    daemon: FakeControl, desk: FakeDesk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "WEB_CONNECTIONS", 3)
    started = WebServer(daemon, public=public(desk), control=tmp_path / "control.sock")
    await started.start()
    assert started.port
    held = []
    try:
        for _ in range(limits.WEB_CONNECTIONS - 1):
            reader, writer = await asyncio.open_connection("127.0.0.1", started.port)
            held.append(writer)
            writer.write(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert b" 200 " in await reader.readline()
        code, _ = await get(started, "/livez")
        assert code == 503
    finally:
        for writer in held:
            writer.close()
            await writer.wait_closed()
        await started.stop()


async def test_control_needs_no_tcp(daemon: FakeControl, tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    started = WebServer(daemon, public=None, control=path)
    await started.start()
    try:
        assert started.port is None
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        code, body = await control(path, "GET", "/status")
        assert (code, json.loads(body)["pid"]) == (200, 1)
        code, body = await control(path, "POST", "/poll")
        assert (code, json.loads(body)[0]["bytes"]) == (200, 99)
        code, body = await control(path, "POST", "/poll?address=me%40gmx.de")
        assert code == 200
        assert daemon.polled == [None, "me@gmx.de"]
        code, body = await control(path, "POST", "/poll?address=x")
        assert (code, json.loads(body)) == (404, {"error": "there is no account x"})
        code, _ = await control(path, "GET", "/poll")
        assert code == 405
    finally:
        await started.stop()
    assert not path.exists()


async def test_a_socket_that_was_left_behind_is_replaced(
    daemon: FakeControl, tmp_path: Path
) -> None:
    path = tmp_path / "control.sock"
    control_socket.listening(path).close()
    assert path.exists()
    with pytest.raises(ConnectionRefusedError):
        control_socket.connected(path, 1.0)
    started = WebServer(daemon, public=None, control=path)
    await started.start()
    assert (await control(path, "GET", "/status"))[0] == 200
    await started.stop()


async def test_a_path_that_is_too_long_for_the_kernel(daemon: FakeControl, tmp_path: Path) -> None:
    folder = tmp_path / ("x" * 120)
    folder.mkdir()
    path = folder / "control.sock"
    started = WebServer(daemon, public=None, control=path)
    await started.start()
    assert (await control(path, "GET", "/status"))[0] == 200
    await started.stop()
    assert not path.exists()


async def test_a_port_that_is_taken(daemon: FakeControl, desk: FakeDesk, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        started = WebServer(daemon, public=public(desk, port), control=tmp_path / "c")
        with pytest.raises(OSError, match=rf"web\.listen 127\.0\.0\.1:{port}"):
            await started.start()
    assert not (tmp_path / "c").exists()


async def test_signals_stay_the_daemons(server: WebServer) -> None:
    heard = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, heard.set)
    try:
        os.kill(os.getpid(), signal.SIGTERM)
        async with asyncio.timeout(5):
            await heard.wait()
    finally:
        loop.remove_signal_handler(signal.SIGTERM)
    assert await get(server, "/livez") == (200, "ok\n")


def test_on_uvloop(daemon: FakeControl, desk: FakeDesk, tmp_path: Path) -> None:
    async def once() -> None:
        path = tmp_path / "control.sock"
        started = WebServer(daemon, public=public(desk), control=path)
        await started.start()
        assert await get(started, "/livez") == (200, "ok\n")
        assert (await control(path, "GET", "/status"))[0] == 200
        await started.stop()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(once())


async def test_an_account_is_paused_over_the_control_socket(
    daemon: FakeControl, tmp_path: Path
) -> None:
    path = tmp_path / "control.sock"
    started = WebServer(daemon, public=None, control=path)
    await started.start()
    code, body = await control(path, "POST", "/accounts/pause?address=me@gmx.de")
    assert (code, json.loads(body)) == (200, {"address": "me@gmx.de", "paused": True})
    assert daemon.paused == {"me@gmx.de"}
    assert (await control(path, "POST", "/accounts/resume?address=me@gmx.de"))[0] == 200
    assert daemon.paused == set()
    assert (await control(path, "POST", "/accounts/pause?address=nobody"))[0] == 404
    await started.stop()
