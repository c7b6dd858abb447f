"""The words of the house as values: what travels between the rooms.

Rules: imports nothing of ours; every value is frozen; octets stay octets (a `bytes` here
is exactly what was on the wire), text is text, times are seconds since the epoch in UTC.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NewType, Protocol, SupportsIndex

AccountId = NewType("AccountId", int)
LoginId = NewType("LoginId", int)
MailboxId = NewType("MailboxId", int)
MessageId = NewType("MessageId", int)


class Octets(Protocol):
    """The bytes of a message, in memory (`bytes`) or on disk (`mmap.mmap`): slicing copies."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: slice, /) -> bytes: ...
    def find(self, sub: bytes, start: SupportsIndex = ..., end: SupportsIndex = ..., /) -> int: ...


class Sink(Protocol):
    """Where incoming message bytes go before the store has them; see `bridge.spool`."""

    def write(self, data: bytes, /) -> None: ...
    def finish(self) -> Octets:
        """All that was written. Valid until `close`."""
        ...

    def close(self) -> None:
        """Frees memory and disk, finished or not; may be called twice."""
        ...


class Flag(enum.IntFlag):
    """The system flags of RFC 3501 2.3.2 but \\Recent, which belongs to a session."""

    ANSWERED = 1
    FLAGGED = 2
    DELETED = 4
    SEEN = 8
    DRAFT = 16


class SpecialUse(enum.StrEnum):
    """What a mailbox is for (RFC 6154 2)."""

    DRAFTS = "\\Drafts"
    SENT = "\\Sent"
    JUNK = "\\Junk"
    TRASH = "\\Trash"
    ARCHIVE = "\\Archive"


@dataclass(frozen=True, slots=True)
class Login:
    """Who signs in at our IMAP endpoint; what proves it comes from the config."""

    id: LoginId
    name: str


@dataclass(frozen=True, slots=True)
class Mailbox:
    """An IMAP folder of a login, with the counts that STATUS asks for (kept, not counted).

    `name` is Unicode with "/" between levels; INBOX is spelt so. `octets` is the sum of the
    sizes of all entries. UIDs from `first_recent` on are \\Recent to the next session that
    selects the mailbox read-write.
    """

    id: MailboxId
    login_id: LoginId
    name: str
    uidvalidity: int
    uidnext: int
    highestmodseq: int
    messages: int
    unseen: int
    deleted: int
    octets: int
    first_recent: int
    special_use: SpecialUse | None


@dataclass(frozen=True, slots=True)
class Structure:
    """All that clients ask of a message at first sync, computed once, at ingest.

    `envelope`, `bodystructure` and `body` are wire bytes, parentheses included (RFC 3501 7.4.2).
    `header` is the header block with its closing blank line, cut at the limit; `header_size`
    is its true length, so that `octets[header_size:]` is the text. `parts` is the packed offset
    table that `bridge.mime.section` reads. `fingerprint` is the second identity (32 octets).
    """

    envelope: bytes
    bodystructure: bytes
    body: bytes
    header: bytes
    header_size: int
    parts: bytes
    fingerprint: bytes
    sent_day: int | None  # day of the Date header as its author wrote it, date.toordinal()
    sent_at: int | None  # the same instant in seconds
    received_at: int | None  # date of the topmost trustworthy Received field
    base_subject: str
    message_id: str
    preview: str


@dataclass(frozen=True, slots=True)
class NewMessage:
    """A message on its way into the store: exact octets, their SHA-256, their structure."""

    octets: Octets
    digest: bytes
    structure: Structure


@dataclass(frozen=True, slots=True)
class EntryState:
    """The part of an entry that changes: what an open mailbox keeps in memory.

    `keywords` names an interned set; `ReadTx.keyword_sets` says which keywords it holds.
    """

    uid: int
    flags: int
    keywords: int
    modseq: int


@dataclass(frozen=True, slots=True)
class EntryRow:
    """An entry joined with what never changes about its message, for FETCH and SEARCH.

    Only the columns that were asked for are filled, the others are empty: see `ReadTx.rows`.
    """

    uid: int
    message_id: MessageId
    size: int
    internaldate: int
    header_size: int
    envelope: bytes = b""
    bodystructure: bytes = b""
    body: bytes = b""
    header: bytes = b""
    parts: bytes = b""
    sent_day: int | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """What the bus tells after a commit: mailbox 7 changed, it is at MODSEQ 42 now.

    `mailbox_id` is None when the set of mailboxes (or a name, or a subscription) changed.
    """

    login_id: LoginId
    mailbox_id: MailboxId | None
    modseq: int


# --- POP3 -------------------------------------------------------------------------------


class Security(enum.StrEnum):
    """How a POP3 session is protected."""

    TLS = "tls"
    STARTTLS = "starttls"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where an account's maildrop is. `ca_file` is a PEM file for a private CA."""

    host: str
    port: int
    security: Security
    username: str
    ca_file: str | None = None


class Secret:
    """A password that does not show itself: str() and repr() print stars."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The password itself; call it where it goes on the wire and nowhere else."""
        return self._value

    def __repr__(self) -> str:
        return "Secret('***')"

    __str__ = __repr__


@dataclass(frozen=True, slots=True)
class ListedItem:
    """One line of the maildrop as this session lists it (RFC 1939 5 and 7).

    `number` holds for this session only. `uidl` is None where the server gave none, `size` is
    None where it gave nonsense; a size is a hint, never a buffer length.
    """

    number: int
    uidl: bytes | None
    size: int | None


@dataclass(frozen=True, slots=True)
class KnownItem:
    """A maildrop item that we settled: its bytes are stored (or were, and were expunged here).

    `digest` stays when the message is gone, so that a tombstone covers every UIDL of its entry.
    """

    id: int
    uidl: bytes | None
    size: int | None
    digest: bytes
    fingerprint: bytes
    listed_at: int  # when it was last seen in a listing
    missed_polls: int  # listings since then that lacked it


@dataclass(frozen=True, slots=True)
class Account:
    """One POP3 mailbox at a provider, as the store knows it."""

    id: AccountId
    address: str
    login_id: LoginId
    mailbox: str


@dataclass(frozen=True, slots=True)
class PollReport:
    """What one poll of one account did. `octets` counts message bytes, `seconds` is wall time.

    `error` is empty after a success, else one sentence: what happened; `advice` says what to do.
    `error_class` is a word for machines: auth, busy, connect, tls, protocol, store, internal.
    """

    address: str
    listed: int = 0
    new: int = 0
    relinked: int = 0
    deleted: int = 0
    failed: int = 0
    octets: int = 0
    seconds: float = 0.0
    error: str = ""
    error_class: str = ""
    advice: str = ""


@dataclass(frozen=True, slots=True)
class AccountState:
    """The state of an account that a person can read; kept over restarts."""

    address: str
    last_success: int | None = None
    last_attempt: int | None = None
    listed: int = 0
    stored: int = 0
    failures: int = 0  # in a row
    error: str = ""
    error_class: str = ""
    advice: str = ""


# --- what commands bring back -----------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Stored:
    """The outcome of a STORE. `modified` failed UNCHANGEDSINCE (RFC 7162 3.1.3)."""

    changed: Sequence[EntryState]
    modified: Sequence[int] = field(default=())


@dataclass(frozen=True, slots=True)
class Copied:
    """The outcome of COPY or MOVE (RFC 4315 3): UIDs pair up by position."""

    uidvalidity: int
    source_uids: Sequence[int]
    target_uids: Sequence[int]
