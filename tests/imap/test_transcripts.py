"""Every dialogue of tests/transcripts, played against our endpoint."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
import trustme

from bridge import limits
from bridge.imap import server as imap_server
from bridge.model import Quota
from tests.support.endpoint import PASSWORD, Endpoint
from tests.support.transcript import Player, Server, parse

FILES = sorted((Path(__file__).parent.parent / "transcripts").glob("*.txt"))


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(autouse=True)
def nobody_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong password costs a second, which is another test's matter."""
    monkeypatch.setattr(limits, "IMAP_FAILED_LOGIN_DELAY", 0.0)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
async def test_transcript(
    path: Path, tmp_path: Path, authority: trustme.CA, monkeypatch: pytest.MonkeyPatch
) -> None:
    transcript = parse(path)
    for name, value in transcript.limits.items():
        assert hasattr(limits, name), name
        monkeypatch.setattr(limits, name, value)
    if transcript.remote:
        monkeypatch.setattr(imap_server, "is_loopback", lambda peer: False)
    ours = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(ours)
    theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(theirs)
    quota = Quota(*transcript.quota) if transcript.quota else None
    async with Endpoint(tmp_path, tls=ours, quota=quota, hidden=transcript.hidden) as endpoint:
        users = {name: (name, PASSWORD) for name in ("alice", "bob")}
        server = Server("127.0.0.1", endpoint.port, users, theirs)
        await Player(transcript, server).play()
