"""aerc, a reader with a screen: what it does others see, what others do it draws."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import quote

import pytest
from imapclient import IMAPClient

from bridge.daemon import Daemon
from tests.support.devices import Mbsync
from tests.support.dovecot import Dovecot
from tests.support.house import ADDRESS, MESSAGES, PASSWORD
from tests.support.require import require
from tests.support.samples import samples
from tests.support.terminal import Terminal
from tests.support.watch import shown
from tests.support.wire import Wire


@pytest.fixture
async def aerc(wire: Wire, tmp_path: Path) -> AsyncIterator[Terminal]:
    settings = tmp_path / "home" / ".config" / "aerc"
    settings.mkdir(parents=True)
    accounts = settings / "accounts.conf"
    accounts.touch(mode=0o600)
    accounts.write_text(
        f"""
[bridge]
source = imap+insecure://{quote(ADDRESS)}:{quote(PASSWORD)}@127.0.0.1:{wire.port}
default = INBOX
from = Me <{ADDRESS}>
"""
    )
    async with Terminal(require("aerc"), env={"HOME": str(tmp_path / "home")}) as terminal:
        yield terminal


def letter(number: int) -> str:
    """The Message-ID of a sample."""
    return f"<{number}.sample@example.org>"


async def test_reads_marks_and_moves(
    aerc: Terminal, dovecot: Dovecot, daemon: Daemon, wire: Wire, tmp_path: Path
) -> None:
    newest = MESSAGES - 1
    # The list of mailboxes, then the letters, the last of them in the bottom row.
    await aerc.shows("Archive")
    await aerc.shows("INBOX")
    await aerc.shows("Grüße aus Köln 1")
    await aerc.shows(f"its author long ago {newest}")

    port = daemon.imap_ports[0]
    aerc.press(":flag\r")
    await shown(port, "INBOX", lambda letters: letters[letter(newest)] == {"\\Flagged"})
    aerc.press("j")
    aerc.press(":read\r")
    await shown(port, "INBOX", lambda letters: letters[letter(newest - 1)] == {"\\Seen"})
    aerc.press(":move Archive\r")
    archived = await shown(port, "Archive", lambda letters: bool(letters))
    assert archived == {letter(newest - 1): {"\\Seen"}}

    dovecot.deliver(samples(1, first=MESSAGES))
    (report,) = await daemon.poll(None)
    assert report.new == 1
    await aerc.shows(f"Lunch on Thursday {MESSAGES}")

    phone = Mbsync(tmp_path / "phone", require("mbsync"), wire.port)
    await phone.sync()
    flags = {key: each for key, each in phone.messages("INBOX").items() if each}
    assert list(flags.values()) == ["F"]
    assert list(phone.messages("Archive").values()) == ["S"]

    await asyncio.to_thread(flag_all, port)
    await aerc.shows("!")
    aerc.press(":quit\r")
    assert await aerc.ended() == 0
    assert {"IDLE", "UID MOVE", "UID STORE"} <= set(wire.commands())


def flag_all(port: int) -> None:
    with IMAPClient("127.0.0.1", port, ssl=False, timeout=20) as client:
        client.login(ADDRESS, PASSWORD)
        client.select_folder("INBOX")
        client.add_flags(client.search("UNFLAGGED"), ["\\Flagged"])
