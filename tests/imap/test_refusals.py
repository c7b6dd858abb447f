"""What the store cannot do is a NO with the response code of RFC 5530 that fits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bridge.store.api import (
    MailboxExists,
    NoSuchMailbox,
    StoreDamaged,
    StoreError,
    StoreFull,
    TooMany,
)
from tests.support.endpoint import PASSWORD, Endpoint
from tests.support.imap_client import Client, Server


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (NoSuchMailbox, "NONEXISTENT"),
        (MailboxExists, "ALREADYEXISTS"),
        (TooMany, "LIMIT"),
        (StoreFull, "UNAVAILABLE"),
        (StoreDamaged, "CORRUPTION"),
        (StoreError, "SERVERBUG"),
    ],
)
async def test_the_code_of_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[StoreError], code: str
) -> None:
    async with Endpoint(tmp_path) as endpoint:
        client = await Client.connect(Server("127.0.0.1", endpoint.port, {}))
        await client.response()
        await client.command(f'l LOGIN alice "{PASSWORD}"')

        async def refuse(work: object) -> None:
            raise error("It cannot be done.")

        with monkeypatch.context() as patch:
            patch.setattr(endpoint.store, "write", refuse)
            assert await client.command("a CREATE x") == [[f"a NO [{code}] It cannot be done."]]
        assert str((await client.command("b CREATE x"))[-1][0]).startswith("b OK")
        client.close()


async def test_what_was_done_is_answered_when_the_news_cannot_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that fails to read once: an APPEND that is committed is OK. Until the session knows
    of its message, a command that might name it is refused, not taken for none."""
    async with Endpoint(tmp_path) as endpoint:
        client = await Client.connect(Server("127.0.0.1", endpoint.port, {}))
        await client.response()
        await client.command(f'l LOGIN alice "{PASSWORD}"')
        await client.command("s SELECT INBOX")
        read, append = endpoint.store.read, "APPEND INBOX {2+}\r\na\n"

        async def refuse(work: object) -> None:
            raise StoreError("It cannot be read.")

        async def once(work: Any) -> Any:
            monkeypatch.setattr(endpoint.store, "read", refuse)
            return await write(work)

        write = endpoint.store.write
        monkeypatch.setattr(endpoint.store, "write", once)
        said = [str(line[0]) for line in await client.command(f"a {append}")]
        assert said[-1].startswith("a OK [APPENDUID "), said
        assert not [line for line in said if "EXISTS" in line]
        said = [str(line[0]) for line in await client.command("b UID FETCH 1 (UID)")]
        assert said == ["b NO [SERVERBUG] It cannot be read."]
        monkeypatch.setattr(endpoint.store, "read", read)
        said = [str(line[0]) for line in await client.command("c UID FETCH 1 (UID)")]
        assert said[0] == "* 1 EXISTS"
        assert "* 1 FETCH (UID 1)" in said
        assert said[-1].startswith("c OK ")
        client.close()
