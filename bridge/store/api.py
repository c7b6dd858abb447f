"""The door to the store: `Store`, and the two hands that reach through it, `ReadTx`, `WriteTx`.

Rules:
- `await store.read(work)` runs `work(tx)` on a reader's thread inside one snapshot;
  `await store.write(work)` runs it on the writer's thread inside one transaction and returns
  after the commit is on disk. One hop a transaction, whatever it does: `work` is a plain
  function, it never awaits, never touches a socket, and hands back values only.
- A reader cannot write, by type.
- Writers that wait share one commit (one fsync); each has a savepoint of its own, so that one
  that raises undoes only itself.
- `work` may be run again after a lost connection; it must have no effect outside `tx`.
- A cancelled `write` means "unknown": the commit may have happened.
- Every query that names a mailbox by name takes the login, so that one login never sees
  another's mail.
- Changes are told (`Store.on_change`) after the commit, on the event loop, once a commit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal, Protocol, TypeVar

from bridge.model import (
    Account,
    AccountId,
    AccountState,
    Change,
    Copied,
    Device,
    DeviceId,
    DeviceProof,
    EntryRow,
    EntryState,
    KnownItem,
    ListedItem,
    Login,
    LoginId,
    Mailbox,
    MailboxId,
    MessageId,
    NewEntry,
    NewMessage,
    Poison,
    Retained,
    ServerDelete,
    SpecialUse,
    Stored,
    ThreadRow,
    Unindexed,
    Usage,
)

T = TypeVar("T")
Columns = Literal[
    "envelope", "bodystructure", "body", "header", "parts", "sent_day", "savedate", "digest",
    "preview", "links",
]  # fmt: skip
SortColumn = Literal[
    "arrival", "cc", "sent_at", "sender", "size", "subject", "to", "display_from", "display_to"
]
StoreOp = Literal["add", "remove", "replace"]
UidRanges = Sequence[tuple[int, int]]
"""Closed intervals of UIDs, rising and disjoint: ((1, 3), (7, 7)). UIDs that are not there do
not matter."""


class StoreError(Exception):
    """The store could not do it; nothing was changed. The text is fit for a person."""


class StoreBusy(StoreError):
    """Another daemon has this store open."""


class StoreFull(StoreError):
    """The disk (or the quota) is full; reads go on."""


class StoreDamaged(StoreError):
    """What is on disk is not what was written."""


class SchemaTooNew(StoreError):
    """The database was written by a newer version of the program."""


class NoSuchMailbox(StoreError):
    """The login has no mailbox of that name (or it was deleted meanwhile)."""


class MailboxExists(StoreError):
    """The login has a mailbox of that name already."""


class DeviceExists(StoreError):
    """The login has a device of that name already."""


class TooMany(StoreError):
    """A cap of `limits.py` was reached: mailboxes, keywords, UIDs, devices."""


class TooManyKeywords(TooMany):
    """The login uses as many different keywords as it may."""


class ReadTx(Protocol):
    """One consistent snapshot."""

    # logins and accounts
    def login(self, name: str) -> Login | None: ...
    def accounts(self) -> Sequence[Account]: ...
    def account_states(self) -> Sequence[AccountState]: ...
    def devices(self) -> Sequence[Device]:
        """Those of all logins, in the order in which they were added."""
        ...

    # mailboxes
    def mailboxes(self, login: LoginId) -> Sequence[Mailbox]: ...
    def mailbox(self, login: LoginId, name: str) -> Mailbox:
        """Raises NoSuchMailbox. INBOX is found in any case."""
        ...

    def mailbox_by_id(self, mailbox: MailboxId) -> Mailbox:
        """Raises NoSuchMailbox when it was deleted."""
        ...

    def has_children(self, login: LoginId, name: str) -> bool:
        """Whether there are mailboxes below that name, which need not be one itself."""
        ...

    def subscriptions(self, login: LoginId) -> Sequence[str]: ...
    def is_subscribed(self, login: LoginId, name: str) -> bool: ...
    def usage(self, login: LoginId) -> Usage: ...
    def deleted_octets(self, mailbox: MailboxId) -> int:
        """The sum of the sizes of entries with \\Deleted; looks at no others."""
        ...

    def metadata(self, login: LoginId, mailbox: MailboxId | None) -> Mapping[str, bytes]:
        """Annotations (RFC 5464) of a mailbox of this login, or of the login, by name."""
        ...

    def annotation_hashes(self, login: LoginId) -> Mapping[tuple[MailboxId | None, str], bytes]:
        """All annotations of a login by mailbox (None: the login's own) and name, hashed."""
        ...

    # entries
    def entry_states(self, mailbox: MailboxId, since: int = 0) -> Sequence[EntryState]:
        """Entries whose MODSEQ is greater than `since`, by UID."""
        ...

    def expunged(self, mailbox: MailboxId, since: int) -> Sequence[tuple[int, int]]:
        """(UID, MODSEQ) of entries expunged after `since`, by MODSEQ."""
        ...

    def keyword_sets(self, known: int = 0) -> Mapping[int, tuple[str, ...]]:
        """The interned keyword sets with an id greater than `known`; set 0 is the empty one."""
        ...

    def rows(
        self, mailbox: MailboxId, uids: UidRanges, columns: Iterable[Columns] = ()
    ) -> Sequence[EntryRow]:
        """Entries by UID, with the columns asked for. Bound the ranges: all rows are in memory."""
        ...

    def sorted_uids(
        self, mailbox: MailboxId, uids: UidRanges, by: Sequence[tuple[SortColumn, bool]]
    ) -> Sequence[int]:
        """The entries that are there, in the order of the columns (True: descending), then of
        UIDs. Texts compare by their UTF-8 octets, `sent_at` is INTERNALDATE where it is not
        known. One query, whatever the size: only UIDs come back."""
        ...

    def thread_rows(self, mailbox: MailboxId, uids: UidRanges) -> Sequence[ThreadRow]:
        """What THREAD needs of the entries that are there, by UID."""
        ...

    # the text index
    def unindexed(self, version: str, most: int) -> Sequence[Unindexed]:
        """The next messages whose texts are not in the index, by id: all of them where it
        was made by another version, none where the engine has no index."""
        ...

    def may_hold(self, mailbox: MailboxId, needle: str, version: str) -> Sequence[int] | None:
        """UIDs of the entries whose message may hold the (folded) needle in its texts, in any
        order: all others do not. None where the index cannot say."""
        ...

    def octets(self, message: MessageId, start: int = 0, end: int | None = None) -> bytes:
        """The message's bytes from `start` to before `end`, cut at its size; reads only the
        chunks touched. Raises StoreError when the message is gone, StoreDamaged when a part is."""
        ...

    # maildrops
    def maildrop(self, account: AccountId, *, brief: bool = False) -> Sequence[KnownItem]:
        """The settled items by id. `brief` leaves digest, fingerprint and headers empty: enough
        to compare a listing with, in half of the memory."""
        ...

    def message_by_digest(self, digest: bytes) -> MessageId | None: ...
    def damaged_items(self, account: AccountId) -> Sequence[tuple[int, bytes]]:
        """(id, UIDL) of items whose stored bytes were found to be others since the start, and whose
        UIDL nothing else has taken."""
        ...

    def watched(self, account: AccountId) -> int:
        """The account's own clock: seconds between successful polls, a day at most for each, so
        that a wall clock that jumps moves it little."""
        ...

    def retained(self, account: AccountId) -> Sequence[Retained]:
        """The items that the last listing had, by id; one query, whatever their number."""
        ...

    def poisons(self, account: AccountId) -> Sequence[Poison]: ...
    def server_deletes(
        self, address: str | None = None, most: int = 1000
    ) -> Sequence[ServerDelete]:
        """What was deleted at providers, the newest first."""
        ...

    def alert(self, account: AccountId) -> tuple[str, bytes] | None:
        """(cause, digest) of the message from us that is shown for this account."""
        ...

    def memory(self, account: AccountId) -> str:
        """What `remember` kept; empty before."""
        ...

    # imports
    def shown(self, login: LoginId, message: MessageId) -> Sequence[tuple[MailboxId, int]]:
        """(mailbox, UID) of every entry of this login that shows the message."""
        ...

    def deliveries(
        self, login: LoginId, digest: bytes, fingerprint: bytes
    ) -> Sequence[tuple[bytes, str]]:
        """(digest, name of the mailbox where its account's mail arrives) of what the accounts of
        this login brought with this digest or this fingerprint."""
        ...

    def imports(self, login: LoginId, digest: bytes) -> Sequence[str]:
        """The names of the mailboxes into which this login imported the message."""
        ...

    def awaited(self, login: LoginId, digest: bytes, fingerprint: bytes) -> Sequence[bytes]:
        """Digests of imported messages that this login shows and that no poll has brought yet,
        with this digest (first) or this fingerprint."""
        ...


class WriteTx(ReadTx, Protocol):
    """One transaction."""

    # logins and accounts
    def ensure_login(self, name: str) -> Login:
        """Finds or makes the login, with INBOX and one mailbox a special use, all subscribed."""
        ...

    def ensure_account(self, address: str, login: LoginId, mailbox: str) -> Account:
        """Finds or makes the account; the mailbox is made when missing. A changed login or
        mailbox counts for the mail to come: what is stored stays where it is."""
        ...

    def record_poll(self, account: AccountId, state: AccountState) -> None: ...
    def set_paused(self, account: AccountId, paused: bool) -> None:
        """Whether the account is left alone until a person says otherwise."""
        ...

    def add_device(self, login: LoginId, name: str, proof: DeviceProof, now: int) -> Device:
        """Raises DeviceExists, TooMany."""
        ...

    def revoke_device(self, device: DeviceId) -> None: ...
    def see_devices(self, seen: Mapping[DeviceId, int]) -> None:
        """When each of these was last seen; a device that is gone is passed over."""
        ...

    def ensure_secret(self, name: str, fresh: bytes) -> bytes:
        """A secret of this store's own: what was kept under the name first, ever."""
        ...

    # mailboxes
    def create_mailbox(
        self, login: LoginId, name: str, special_use: SpecialUse | None = None
    ) -> Mailbox:
        """Makes missing parents too. Raises MailboxExists, TooMany."""
        ...

    def delete_mailbox(self, login: LoginId, name: str) -> None:
        """Raises NoSuchMailbox. Children stay; the subscription stays (RFC 3501 6.3.9)."""
        ...

    def rename_mailbox(self, login: LoginId, name: str, to: str) -> None:
        """Renames the tree below too, and moves subscriptions. Renaming INBOX moves its entries
        into the new mailbox and leaves INBOX empty (RFC 3501 6.3.5). Raises NoSuchMailbox,
        MailboxExists, TooMany."""
        ...

    def subscribe(self, login: LoginId, name: str, on: bool) -> None: ...
    def set_special_use(self, mailbox: MailboxId, special_use: SpecialUse | None) -> None:
        """Gives the mailbox this use alone; the one that had it before loses it."""
        ...

    def set_metadata(
        self, login: LoginId, mailbox: MailboxId | None, values: Mapping[str, bytes | None]
    ) -> None:
        """Sets annotations by name (lower case), removes those that are None; all or none.
        They follow the mailbox when it is renamed and go when it is deleted; renaming INBOX
        copies them (RFC 5464 4.1). Told as a change of the login. Raises TooMany,
        NoSuchMailbox."""
        ...

    # entries
    def add_message(self, message: NewMessage) -> MessageId:
        """Stores the bytes once: a message with this digest is found, not stored again."""
        ...

    def mend_message(self, message: NewMessage) -> bool:
        """Writes bytes and structure anew where what is stored under this digest was found to be
        damaged: the same message, with all its entries. False where there is nothing to mend."""
        ...

    def add_entry(
        self,
        mailbox: MailboxId,
        message: MessageId,
        *,
        flags: int = 0,
        keywords: Iterable[str] = (),
        internaldate: int,
    ) -> EntryState:
        """Takes the mailbox's next UID and next MODSEQ; `savedate` is now, as it is of what `copy`
        and `move` make. Raises NoSuchMailbox, TooMany."""
        ...

    def add_entries(self, mailbox: MailboxId, entries: Sequence[NewEntry]) -> Sequence[EntryState]:
        """`add_entry` for several, in their order, which share a MODSEQ; no more writing than for
        one but for the rows themselves. None of them, where one is not to be had."""
        ...

    def store_flags(
        self,
        mailbox: MailboxId,
        uids: UidRanges,
        op: StoreOp,
        flags: int,
        keywords: Iterable[str] = (),
        unchanged_since: int | None = None,
    ) -> Stored:
        """One MODSEQ for all that really change; an entry that stays the same keeps its own."""
        ...

    def copy(self, source: MailboxId, uids: UidRanges, target: MailboxId) -> Copied:
        """Flags, keywords and INTERNALDATE go along; works inside one mailbox too."""
        ...

    def move(self, source: MailboxId, uids: UidRanges, target: MailboxId) -> Copied:
        """copy() and expunge() in one; the entry of a maildrop item follows it."""
        ...

    def expunge(
        self, mailbox: MailboxId, uids: UidRanges | None = None, *, only_deleted: bool = True
    ) -> Sequence[int]:
        """Removes entries that carry \\Deleted (of `uids`, or all), or with `only_deleted`
        False all of `uids`; leaves (UID, MODSEQ) for QRESYNC. Returns the UIDs, rising."""
        ...

    def claim_recent(self, mailbox: MailboxId) -> int:
        """The first UID that no read-write session was shown yet; moves it to UIDNEXT."""
        ...

    # maildrops
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
        """Records that this UIDL's bytes are ours. Returns the item's id. Its age is that of the
        account's oldest item with this digest."""
        ...

    def relink_item(self, item_id: int, item: ListedItem, now: int) -> None:
        """The provider gave a settled item another UIDL or size."""
        ...

    def mark_listing(self, account: AccountId, listed: Iterable[int], now: int) -> None:
        """After a poll: these item ids were listed, all others of the account were missed."""
        ...

    def forget_items(self, items: Iterable[int]) -> None: ...
    def mark_deleted(
        self, account: AccountId, deleted: Iterable[int], restored: Iterable[int], now: int
    ) -> None:
        """No device keeps these items any more, one keeps those again. While an item counts as
        deleted and was in the last listing, `purge` leaves its bytes alone."""
        ...

    def note_poison(self, account: AccountId, poison: Poison) -> None:
        """Adds it (`id` 0), or replaces the row of its id."""
        ...

    def forget_poison(self, poison: int) -> None: ...
    def log_deletes(self, deletes: Sequence[ServerDelete]) -> Sequence[int]:
        """Adds to the audit of deletes; returns the rows' ids."""
        ...

    def set_outcome(self, deletes: Iterable[int], outcome: str) -> None: ...
    def set_alert(self, account: AccountId, alert: tuple[str, bytes] | None) -> None: ...
    def remember(self, account: AccountId, memory: str) -> None:
        """Keeps a text for the poller of this account."""
        ...

    # imports
    def note_import(
        self, login: LoginId, digest: bytes, mailbox: str, fingerprint: bytes, *, awaited: bool
    ) -> None:
        """The message was imported into the mailbox of this name; `awaited` says that a poll may
        yet bring it."""
        ...

    def claim_import(self, login: LoginId, digest: bytes) -> None:
        """A poll brought it: it is awaited no more."""
        ...

    # messages from us
    def withdraw(self, login: LoginId, digest: bytes) -> int:
        """Expunges every entry of this login that shows the message. Returns how many."""
        ...

    def renumber(self, mailbox: MailboxId, first: int, order: Sequence[bytes]) -> Mailbox:
        """Gives the mailbox new UIDs and a new UIDVALIDITY: the entries from UID `first` on whose
        digests are in `order` come in that order, in the places that they take now; all others
        stay where they are. Flags, keywords, INTERNALDATE and annotations stay. To sessions the
        mailbox was deleted and another one has its name. Raises NoSuchMailbox."""
        ...

    # housekeeping
    def index_texts(self, texts: Mapping[MessageId, str | None], version: str, stale: int) -> None:
        """Puts the (folded) texts of the next `unindexed` messages into the index, in their order;
        None is one with too much text, which may hold anything. Where the index was made by
        another version, or more than `stale` rows and a quarter of it are of purged messages, it
        is emptied instead, to be made anew."""
        ...

    def purge(self, older_than: int, most: int = 1000) -> int:
        """Deletes bytes of messages that lost their last entry before `older_than`."""
        ...


class Store(Protocol):
    """The store of one daemon. Made by `bridge.store.opening.open_store`."""

    on_change: Callable[[Sequence[Change]], None] | None

    async def read(self, work: Callable[[ReadTx], T]) -> T: ...
    async def write(self, work: Callable[[WriteTx], T]) -> T: ...
    async def backup(self, path: Path) -> int:
        """Writes a consistent copy into a new file (mode 0600) and returns its octets; reads and
        writes go on meanwhile. Raises StoreError; then there is no file."""
        ...

    async def close(self) -> None:
        """Finishes what is committed, checkpoints, lets go of the lock."""
        ...
