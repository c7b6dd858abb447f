"""What the store cannot do is a NO with the response code of RFC 5530 that fits."""

from __future__ import annotations

from pathlib import Path

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
