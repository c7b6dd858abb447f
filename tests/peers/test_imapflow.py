"""ImapFlow, a client for Node, speaks IMAP4rev2 wherever it is announced: the one foreign program
that reads every answer of ours as RFC 9051 has it. Beside it works a device with IMAP4rev1."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from tests.support.endpoint import PASSWORD, Endpoint
from tests.support.imap_client import Client, Server
from tests.support.pop3_peers import packages
from tests.support.require import require, require_file

SCRIPT = Path(__file__).with_name("imapflow.cjs")


@pytest.mark.parametrize("rev2", [True, False], ids=["IMAP4rev2", "IMAP4rev1"])
async def test_a_day(tmp_path: Path, rev2: bool) -> None:
    node, modules = require("node"), packages() / "imapflow-1.7.8"
    require_file(str(modules / "node_modules/imapflow"))
    async with Endpoint(tmp_path, rev2=rev2) as endpoint:
        process = await asyncio.create_subprocess_exec(
            *(node, str(SCRIPT), str(modules), str(endpoint.port), "alice", PASSWORD),
            stdout=asyncio.subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(60):
                assert process.stdout is not None
                line = await process.stdout.readline()
                if line == b"idle\n":
                    await disturb(endpoint)
                    line = await process.stdout.readline()
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()
    saw = json.loads(line)
    assert saw["complaints"] == []
    also = ["IMAP4REV2"] if rev2 else []
    assert saw["enabled"] == ["CONDSTORE", *also, "UTF8=ACCEPT"]
    assert saw["boxes"]["Entwürfe"] == [True, "", 0] if rev2 else saw["boxes"]["Entwürfe"][0]
    assert saw["boxes"]["Drafts"][:2] == [True, "\\Drafts"]
    assert saw["opened"] == [0, True]
    assert (saw["unseen"], saw["subject"]) == ([2], [1])
    recent = set() if rev2 else {"\\Recent"}
    assert [(uid, set(flags), *rest) for uid, flags, *rest in saw["messages"]] == [
        (1, {"\\Seen", *recent}, "hören", "text/plain"),
        (2, {"$Forwarded", *recent}, "two", "text/plain"),
    ]
    # RFC 9051 has no LSUB, and SEARCH is answered by ESEARCH.
    sent = {command.split()[0] for command in saw["sent"]}
    assert {"ENABLE", "LIST", "IDLE", "FETCH"} <= sent
    assert not rev2 or not sent & {"LSUB", "CHECK"}
    assert saw["text"] == "hello"
    assert (saw["copied"], saw["moved"]) == ([[1, 1]], [[2, 1]])
    assert ["expunge", 2, 0] in saw["events"]
    # What the other device did, heard in IDLE; IMAP4rev2 tells the UID.
    assert ["exists", 2, 0] in saw["events"]
    assert ["flags", 2, 3] in saw["events"]
    assert saw["left"] == [3]
    assert saw["status"] == 1


async def disturb(endpoint: Endpoint) -> None:
    """Adds a message to alice's INBOX, and stars it; this device knows \\Recent."""
    other = await Client.connect(Server("127.0.0.1", endpoint.port, {}))
    await other.response()
    await other.command(f'l LOGIN alice "{PASSWORD}"')
    opened = await other.command("s SELECT INBOX")
    assert ["* 0 RECENT"] in opened
    await other.command("a APPEND INBOX {2+}\r\nhi")
    (answer, _) = await other.command("b STORE 2 +FLAGS (\\Answered)")
    assert str(answer[0]).startswith("* 2 FETCH (FLAGS (\\Answered")
    other.close()
