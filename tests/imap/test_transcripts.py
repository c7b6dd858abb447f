"""Every dialogue of tests/transcripts, played twice: against sessions over a store, without socket
or TLS, and against the whole daemon over TCP. Those of IMAP4rev1 once more where IMAP4rev2 is on
offer and nobody takes it.

(Dovecot plays most of them too, which checks the files: tests/peers/test_transcripts_dovecot.py.)
"""

from __future__ import annotations

import asyncio
import json
import re
import ssl
from pathlib import Path

import pytest
import trustme

from bridge import config, limits
from bridge.daemon import Daemon, loop_factory
from bridge.imap import server as imap_server
from bridge.imap.table import ROWS
from bridge.model import Quota
from tests.support import certificates
from tests.support.endpoint import PASSWORD, Core
from tests.support.imap_client import Server
from tests.support.transcript import Player, Transcript, parse

FILES = sorted((Path(__file__).parent.parent / "transcripts").glob("*.txt"))
EVERY_FILE = pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
LOGINS = ("alice", "bob")


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def transcript(path: Path, monkeypatch: pytest.MonkeyPatch) -> Transcript:
    """The file, with the limits that it asks for."""
    return prepared(path, monkeypatch)


def prepared(path: Path, monkeypatch: pytest.MonkeyPatch) -> Transcript:
    # A wrong password costs a second, which is another test's matter.
    monkeypatch.setattr(limits, "IMAP_FAILED_LOGIN_DELAY", 0.0)
    transcript = parse(path)
    for name, value in transcript.limits.items():
        assert hasattr(limits, name), name
        monkeypatch.setattr(limits, name, value)
    if transcript.remote:
        monkeypatch.setattr(imap_server, "is_loopback", lambda peer: False)
    return transcript


@EVERY_FILE
async def test_the_core_plays_it(path: Path, transcript: Transcript, tmp_path: Path) -> None:
    await play_in_core(transcript, tmp_path, rev2=transcript.rev2)


@pytest.fixture
def offered(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Transcript:
    """The file, as it is where IMAP4rev2 is announced."""
    text = path.read_text("utf-8").replace("IMAP4rev1 LITERAL+", "IMAP4rev1 IMAP4rev2 LITERAL+")
    copy = tmp_path / path.name
    copy.write_text(text, "utf-8")
    return prepared(copy, monkeypatch)


@pytest.mark.parametrize(
    "path", [path for path in FILES if not path.stem.startswith("rev2")], ids=lambda path: path.stem
)
async def test_who_does_not_enable_IMAP4rev2_sees_no_difference(
    offered: Transcript, tmp_path: Path
) -> None:
    """But for CAPABILITY."""
    await play_in_core(offered, tmp_path, rev2=True)


async def play_in_core(transcript: Transcript, folder: Path, *, rev2: bool) -> None:
    quota = None
    if transcript.quota:
        storage, messages = transcript.quota
        quota = Quota(int(storage.removesuffix("KB")) * 1024, messages)
    remote, hidden = transcript.remote, transcript.hidden
    async with Core(folder, remote=remote, quota=quota, hidden=hidden, rev2=rev2) as core:
        await Player(transcript, core).play()


@EVERY_FILE
def test_the_daemon_plays_it(
    path: Path, transcript: Transcript, tmp_path: Path, authority: trustme.CA
) -> None:
    """On the event loop that the daemon has in production."""
    settings = write_config(tmp_path, transcript, authority)
    device = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(device)

    async def play() -> None:
        async with Daemon(config.load(settings)) as daemon:
            users = {name: (name, PASSWORD) for name in LOGINS}
            server = Server("127.0.0.1", daemon.imap_ports[0], users, device)
            await Player(transcript, server).play()

    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(play())


def write_config(folder: Path, transcript: Transcript, authority: trustme.CA) -> Path:
    """What a user would write for it. JSON is YAML."""
    cert, key = certificates.write(folder / "tls", authority)
    imap: dict[str, object] = {
        "listen": ["127.0.0.1:0"],
        "listen_tls": [],
        "certificate": {"cert": str(cert), "key": str(key)},
    }
    if transcript.rev2:
        imap["rev2"] = True
    if transcript.quota:
        storage, messages = transcript.quota
        imap["quota"] = {"storage": storage, "messages": messages}
    logins = [
        {
            "name": name,
            "password": PASSWORD,
            "hide_capabilities": sorted(transcript.hidden.get(name, ())),
        }
        for name in LOGINS
    ]
    path = folder / "config.yaml"
    path.touch(mode=0o600)
    content = {
        "data_dir": "./data",
        "imap": imap,
        "web": {"listen": None},
        "accounts": [],
        "logins": logins,
    }
    path.write_text(json.dumps(content))
    return path


# Commands whose dialogue has another name than theirs.
TOGETHER = {
    "CANCELUPDATE": "context",
    "EXAMINE": "select",
    "UNSUBSCRIBE": "subscribe",
    **dict.fromkeys(("GETQUOTA", "GETQUOTAROOT", "SETQUOTA"), "quota"),
    **dict.fromkeys(("GETMETADATA", "SETMETADATA"), "metadata"),
    **dict.fromkeys(("MYRIGHTS", "GETACL", "SETACL", "DELETEACL", "LISTRIGHTS"), "acl"),
}


@pytest.mark.parametrize("name", [row.name for row in ROWS])
def test_each_command_has_its_dialogue(name: str) -> None:
    plain = name.removeprefix("UID ")
    stem = TOGETHER.get(plain, plain.lower())
    said = re.compile(rf"^\w+ (?:C:|C>|select|examine) .*{re.escape(name)}\b", re.M | re.I)
    files = [path for path in FILES if path.stem in (stem, f"uid-{stem}")]
    assert any(said.search(path.read_text("utf-8")) for path in files), files
