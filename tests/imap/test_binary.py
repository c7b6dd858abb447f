"""BINARY of parts that are larger than what is held at once: decoded in pieces, all of it right."""

from __future__ import annotations

import base64
import random
from pathlib import Path

from bridge import limits
from bridge.imap.commands.append import prepare
from bridge.store.api import WriteTx
from tests.support.endpoint import PASSWORD, Endpoint
from tests.support.imap_client import Client, Server

SIZE = 5 * limits.CHUNK + 4711


async def test_a_large_part_comes_whole_and_in_partials(tmp_path: Path) -> None:
    content = random.Random(3516).randbytes(SIZE)
    message = prepare(
        b"MIME-Version: 1.0\r\nContent-Type: image/png\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        + base64.encodebytes(content).replace(b"\n", b"\r\n")
    )

    def work(tx: WriteTx) -> None:
        box = tx.mailbox(tx.ensure_login("alice").id, "INBOX")
        tx.add_entry(box.id, tx.add_message(message), internaldate=0)

    async with Endpoint(tmp_path) as endpoint:
        await endpoint.store.write(work)
        client = await Client.connect(Server("127.0.0.1", endpoint.port, {}))
        await client.response()
        await client.command(f'a LOGIN alice "{PASSWORD}"')
        await client.command("b EXAMINE INBOX")
        (sizes, _) = await client.command("c FETCH 1 BINARY.SIZE[1]")
        assert sizes == [f"* 1 FETCH (BINARY.SIZE[1] {SIZE})"]
        (whole, _) = await client.command("d FETCH 1 BINARY.PEEK[1]")
        assert whole == [f"* 1 FETCH (BINARY[1] ~{{{SIZE}}}", content, ")"]
        start, length = SIZE // 3, 2 * limits.CHUNK
        (part, _) = await client.command(f"e FETCH 1 BINARY.PEEK[1]<{start}.{length}>")
        assert part[1] == content[start : start + length]
        (end, done) = await client.command(f"f FETCH 1 (BINARY.PEEK[1]<{SIZE - 5}.{length}> FLAGS)")
        assert end[1:] == [content[-5:], " FLAGS (\\Recent))"]
        assert str(done[0]).startswith("f OK")
        client.close()
