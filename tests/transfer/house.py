"""A store with one login, and the door that a transfer reaches it by."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bridge.model import Account, Flag, LoginId
from bridge.store.api import Store, WriteTx
from bridge.store.opening import open_store
from bridge.transfer.door import Kept, LocalDoor, Offer, all_entries
from bridge.transfer.importing import import_files
from bridge.transfer.marks import Marks
from bridge.transfer.sources import Format, Source
from bridge.transfer.tally import Tally

LOGIN = "me@example.org"
Shown = tuple[bytes, int, tuple[str, ...], int]
"""(digest, flags, keywords, INTERNALDATE) of an entry."""


@dataclass
class House:
    store: Store
    login: LoginId
    account: Account
    door: LocalDoor
    folder: Path

    @classmethod
    async def open(cls, folder: Path, login: str = LOGIN) -> House:
        store = await open_store(folder)

        def begin(tx: WriteTx) -> Account:
            return tx.ensure_account(login, tx.ensure_login(login).id, "INBOX")

        return cls.of(store, await store.write(begin), folder)

    @classmethod
    def of(cls, store: Store, account: Account, folder: Path) -> House:
        door = LocalDoor(store, account.login_id, folder)
        return cls(store, account.login_id, account, door, folder)

    async def fill(self, mailbox: str, *messages: tuple[bytes, Marks]) -> None:
        outcomes = await self.door.take([Offer(mailbox, raw, marks) for raw, marks in messages])
        assert [each.word for each in outcomes] == ["done"] * len(messages)

    async def entries(self, mailbox: str) -> list[Kept]:
        return [each async for each in all_entries(self.door, mailbox)]

    async def shown(self) -> dict[str, Counter[Shown]]:
        """Everything that the login has, by mailbox; special mailboxes that are empty are not."""
        found = {}
        for folder in await self.door.folders():
            entries = await self.entries(folder.name)
            if entries or folder.special_use is None:
                found[folder.name] = Counter(
                    (each.digest, each.marks.flags, each.marks.keywords, each.marks.date or 0)
                    for each in entries
                )
        return found

    async def octets(self, mailbox: str) -> list[bytes]:
        uids = [each.uid for each in await self.entries(mailbox)]
        return [found[0 : len(found)] async for _, found in self.door.fetch(mailbox, uids)]

    async def import_(
        self,
        kind: Format,
        path: Path,
        mailbox: str | None = None,
        *,
        dry: bool = False,
        seen: bool = False,
    ) -> Tally:
        tally = Tally()
        source = Source(path, kind, mailbox)
        await import_files(self.door, source, tally, self.folder, dry=dry, seen=seen)
        return tally


def flags(entries: Sequence[Kept]) -> list[tuple[Flag, tuple[str, ...]]]:
    return [(Flag(each.marks.flags), each.marks.keywords) for each in entries]
