"""The IMAP class of Debian's Roundcube: folder list, sorted and threaded lists, flags, folders."""

from __future__ import annotations

import asyncio
import hashlib
import json
from pathlib import Path

import pytest

from bridge.daemon import Daemon
from tests.support.dovecot import Dovecot
from tests.support.house import ADDRESS, MESSAGES, PASSWORD
from tests.support.require import require, require_file
from tests.support.samples import sample
from tests.support.watch import shown
from tests.support.wire import Wire

SCRIPT = Path(__file__).with_name("roundcube.php")
SPECIAL = {"Archive", "Drafts", "Junk", "Sent", "Trash"}
REPLY = (
    b"From: Aaron <aaron@example.org>\r\nDate: Mon, 30 Nov 2026 10:00:00 +0000\r\n"
    b"Subject: Re: something else\r\nMessage-ID: <reply>\r\n"
    b"References: <0.sample@example.org>\r\n\r\nyes\r\n"
)


@pytest.fixture
async def said(dovecot: Dovecot, daemon: Daemon, wire: Wire) -> dict[str, object]:
    """What the script got: one message more than MESSAGES is there, a reply to the first."""
    require_file("/usr/share/roundcube/program/lib/Roundcube/bootstrap.php")
    php = require("php")
    dovecot.deliver([REPLY])
    (report,) = await daemon.poll(None)
    assert report.new == 1
    process = await asyncio.create_subprocess_exec(
        *(php, str(SCRIPT), "127.0.0.1", str(wire.port), ADDRESS, PASSWORD),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    assert err == b""
    answers = json.loads(out)
    assert isinstance(answers, dict)
    return answers


async def test_roundcube(said: dict[str, object], daemon: Daemon, wire: Wire) -> None:
    uids = list(range(1, MESSAGES + 2))
    octets = [*(sample(n) for n in range(MESSAGES)), REPLY]

    def size(uid: int) -> int:
        return len(octets[uid - 1])

    mailboxes = said["mailboxes"]
    assert isinstance(mailboxes, dict)
    assert mailboxes.keys() == {"INBOX", *SPECIAL}
    assert all("lrswi" in each["MYRIGHTS"] for each in mailboxes.values())
    status = said["status"]
    assert isinstance(status, dict)
    counts = (len(uids), len(uids), len(uids) + 1)
    assert status["INBOX"] == dict(
        zip(("MESSAGES", "UNSEEN", "UIDNEXT"), map(str, counts), strict=True)
    )
    assert status["Junk"] == {"MESSAGES": "0", "UNSEEN": "0", "UIDNEXT": "1"}
    assert said["special"] == sorted(SPECIAL)
    assert said["quota"] == []  # none is set

    sort = said["sort"]
    assert isinstance(sort, dict)
    assert sort["DATE"] == uids
    assert sort["ARRIVAL"] == uids
    assert sort["SIZE"] == sorted(uids, key=size)
    # sender0 to sender6 by turns, and Aaron before them all.
    assert sort["FROM"] == [uids[-1], *sorted(uids[:-1], key=lambda uid: (uid - 1) % 7)]
    # "a long subject that was folded by its author long ago 11" comes before "... 5".
    subjects = sort["SUBJECT"]
    assert sorted(subjects) == uids
    assert subjects[:2] == [12, 6]
    threads = said["threads"]
    assert isinstance(threads, dict)
    alone: dict[str, object] = {str(uid): [] for uid in uids[1:-1]}
    assert threads["REFERENCES"] == {"1": {str(uids[-1]): []}, **alone}
    assert threads["ORDEREDSUBJECT"] == {str(uid): [] for uid in uids}
    assert said["sizes"] == {str(uid): size(uid) for uid in uids}

    assert said["octets"] == hashlib.md5(octets[2]).hexdigest()
    assert said["parts"] == ["mixed", "text/html", "application/octet-stream"]
    assert said["flagged"] is True
    assert said["found"] == [1, 2]
    assert said["unseen"] == len(uids) - 1
    assert (said["create"], said["move"], said["copy"]) == (True, True, True)
    assert (said["append"], said["delete"]) == (1, True)

    port = daemon.imap_ports[0]
    inbox = await shown(port, "INBOX", lambda _: True)
    assert len(inbox) == len(uids) - 2
    assert inbox["<0.sample@example.org>"] == {"\\Flagged"}
    assert inbox["<1.sample@example.org>"] == {"\\Flagged", "\\Seen"}
    moved = await shown(port, "&ZeVnLIqe-", lambda _: True)
    assert moved == {"<2.sample@example.org>": set()}
    drafts = await shown(port, "Drafts", lambda _: True)
    assert drafts == {"<draft>": {"\\Draft", "\\Seen"}}
    assert {"UID SORT", "UID THREAD", "UID MOVE", "UID EXPUNGE", "LIST"} <= set(wire.commands())
