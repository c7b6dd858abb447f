"""The maildrop half of a store in memory, so that thousands of histories run in a second."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import cast

from bridge.model import (
    Account,
    AccountId,
    EntryState,
    KnownItem,
    ListedItem,
    LoginId,
    Mailbox,
    MailboxId,
    MessageId,
    NewEntry,
    NewMessage,
)
from bridge.store.api import WriteTx

ACCOUNT = Account(AccountId(1), "me@example.org", LoginId(1), "INBOX")
INBOX = Mailbox(MailboxId(1), LoginId(1), "INBOX", 1, 1, 1, 0, 0, 0, 0, 1, None)


@dataclass
class FakeTx:
    """What `bridge.sync.settle.settle` and a poll's marks use of a `WriteTx`, for one account."""

    messages: dict[bytes, bytes] = field(default_factory=dict)  # digest -> octets
    entries: list[bytes] = field(default_factory=list)  # digests in UID order
    items: dict[int, KnownItem] = field(default_factory=dict)

    def hand(self) -> WriteTx:
        return cast(WriteTx, self)

    def expunge(self, digest: bytes) -> None:
        """A device deletes the message; its bytes are not purged yet."""
        self.entries = [each for each in self.entries if each != digest]

    def mailbox(self, login: LoginId, name: str) -> Mailbox:
        assert (login, name) == (ACCOUNT.login_id, ACCOUNT.mailbox)
        return INBOX

    def maildrop(self, account: AccountId) -> Sequence[KnownItem]:
        return list(self.items.values())

    def message_by_digest(self, digest: bytes) -> MessageId | None:
        stored = list(self.messages)
        return MessageId(stored.index(digest)) if digest in self.messages else None

    def octets(self, message: MessageId, start: int = 0, end: int | None = None) -> bytes:
        return list(self.messages.values())[message][start:end]

    def awaited(self, login: LoginId, digest: bytes, fingerprint: bytes) -> Sequence[bytes]:
        return ()  # nothing was imported

    def add_message(self, message: NewMessage) -> MessageId:
        self.messages.setdefault(message.digest, message.octets[:])
        return MessageId(list(self.messages).index(message.digest))

    def mend_message(self, message: NewMessage) -> bool:
        return False

    def add_entries(self, mailbox: MailboxId, entries: Sequence[NewEntry]) -> Sequence[EntryState]:
        first = len(self.entries) + 1
        self.entries += [list(self.messages)[entry.message] for entry in entries]
        return [EntryState(uid, 0, 0, first) for uid in range(first, len(self.entries) + 1)]

    def settle_item(
        self,
        account: AccountId,
        item: ListedItem,
        digest: bytes,
        fingerprint: bytes,
        now: int,
        *,
        headers: bytes | None = None,
    ) -> int:
        number = max(self.items, default=0) + 1
        self.items[number] = KnownItem(
            number, item.uidl, item.size, digest, fingerprint, now, 0, headers
        )
        return number

    def forget_items(self, items: Iterable[int]) -> None:
        for number in items:
            del self.items[number]

    def relink_item(self, item_id: int, item: ListedItem, now: int) -> None:
        self.items[item_id] = replace(
            self.items[item_id], uidl=item.uidl, size=item.size, listed_at=now, missed_polls=0
        )

    def mark_listing(self, account: AccountId, listed: Iterable[int], now: int) -> None:
        here = set(listed)
        self.items = {
            number: replace(item, listed_at=now, missed_polls=0)
            if number in here
            else replace(item, missed_polls=item.missed_polls + 1)
            for number, item in self.items.items()
        }
