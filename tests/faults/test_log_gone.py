"""The log cannot be written any more: its disk is full, or whoever read it is gone."""

from __future__ import annotations

import asyncio
import contextlib
import imaplib
import os
import signal
import socket
from asyncio.subprocess import DEVNULL
from pathlib import Path

import pytest

from bridge.cli import control
from tests.pcases.home import maildrop
from tests.support.pop3_server import Pop3Server
from tests.support.process import PASSWORD, PROGRAM, ROOT, pop3_account, write_config

ME = "me@example.org"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as there:
        return int(there.getsockname()[1])


def messages(port: int) -> int:
    with imaplib.IMAP4("127.0.0.1", port, timeout=20) as client:
        client.login(ME, PASSWORD)
        return int(client.select("INBOX", readonly=True)[1][0] or b"0")


def ask(config: Path, target: str) -> object:
    return control.ask(config, "POST", target, seconds=60.0)


@pytest.mark.case("L002")
@pytest.mark.parametrize("gone", ["full", "closed"])
async def test_the_daemon_goes_on_without_its_log(tmp_path: Path, gone: str) -> None:
    """It polls and serves as before, and stops in order. Its port is a free one, not learnt from
    the log: on a full disk there is none from the start."""
    port = free_port()
    async with Pop3Server(maildrop(3)) as server:
        config = write_config(
            tmp_path,
            [pop3_account(ME, server.port)],
            imap={"listen": [f"127.0.0.1:{port}"], "listen_tls": []},
        )
        read, write = os.pipe()
        log = os.open("/dev/full", os.O_WRONLY) if gone == "full" else os.dup(write)
        os.close(write)
        daemon = await asyncio.create_subprocess_exec(
            *PROGRAM, str(config), cwd=ROOT, stdin=DEVNULL, stdout=log, stderr=log
        )
        os.close(log)
        try:
            if gone == "closed":
                os.read(read, 1)  # it began to write
            os.close(read)
            await server.seen(b"QUIT")
            await asyncio.to_thread(ask, config, "/poll")  # the first one, if it still runs
            for number in range(3):
                server.items += maildrop(1, b"v", 100 + number)
                await asyncio.to_thread(ask, config, "/poll")
                assert await asyncio.to_thread(messages, port) == 4 + number
            daemon.send_signal(signal.SIGTERM)
            assert await asyncio.wait_for(daemon.wait(), 30) == 0
        finally:
            with contextlib.suppress(ProcessLookupError):
                daemon.kill()
            await daemon.wait()
