"""METADATA with values that a transcript cannot hold."""

from __future__ import annotations

from pathlib import Path

from tests.support.endpoint import PASSWORD, Endpoint
from tests.support.imap_client import Client, Server


async def test_octets_of_any_kind_come_back_as_literal8(tmp_path: Path) -> None:
    async with Endpoint(tmp_path) as endpoint:
        client = await Client.connect(Server("127.0.0.1", endpoint.port, {}))
        await client.response()
        await client.command(f'l LOGIN alice "{PASSWORD}"')
        await client.send(b"a SETMETADATA INBOX (/private/x ~{6+}\r\na\0\xff\r\nb)\r\n")
        assert str((await client.response())[0]).startswith("a OK")
        shown, answer = await client.command("b GETMETADATA INBOX /private/x")
        assert shown == ["* METADATA INBOX (/private/x ~{6}", b"a\0\xff\r\nb", ")"]
        assert str(answer[0]).startswith("b OK")
        await client.send(b"c SETMETADATA INBOX (/private/x {1+}\r\n\0)\r\n")
        assert str((await client.response())[0]).startswith("c BAD")
        client.close()
