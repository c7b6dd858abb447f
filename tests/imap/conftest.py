"""A dialogue in a test: played over sockets against the server, in the language of transcripts.

async def test_x(play: Play) -> None:
    await play('''
        @ login 1 alice
        1 C: a1 NOOP
        1 S: a1 OK ~
    ''')
"""

from __future__ import annotations

import textwrap
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from bridge import limits
from bridge.imap import server as imap_server
from tests.support.endpoint import PASSWORD, Endpoint
from tests.support.imap_client import Server
from tests.support.transcript import Player, parse

Play = Callable[[str], Awaitable[None]]


@pytest.fixture
def play(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Play:
    # A wrong password costs a second, which is another test's matter.
    monkeypatch.setattr(limits, "IMAP_FAILED_LOGIN_DELAY", 0.0)

    async def play(text: str) -> None:
        path = tmp_path / "dialogue.txt"
        path.write_text(textwrap.dedent(text), "utf-8")
        transcript = parse(path)
        for name, value in transcript.limits.items():
            monkeypatch.setattr(limits, name, value)
        if transcript.remote:
            monkeypatch.setattr(imap_server, "is_loopback", lambda peer: False)
        async with Endpoint(tmp_path, rev2=transcript.rev2) as endpoint:
            users = {name: (name, PASSWORD) for name in ("alice", "bob")}
            await Player(transcript, Server("127.0.0.1", endpoint.port, users)).play()

    return play
