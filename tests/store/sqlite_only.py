"""What a test can only do to one engine: reach behind the contract into SQLite."""

from __future__ import annotations

from bridge.model import MailboxId
from bridge.store.api import Store, WriteTx
from bridge.store.sqlite.write import SqliteWrite


async def execute(store: Store, sql: str, *parameters: object) -> list[tuple[object, ...]]:
    """One statement on the writer's connection, in a transaction of its own."""

    def work(tx: WriteTx) -> list[tuple[object, ...]]:
        assert isinstance(tx, SqliteWrite)
        return tx._all(sql, parameters)

    return await store.write(work)


async def set_uidnext(store: Store, mailbox: MailboxId, uidnext: int) -> None:
    await execute(store, "UPDATE mailbox SET uidnext = ? WHERE id = ?", uidnext, mailbox)
