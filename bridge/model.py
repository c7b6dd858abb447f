"""The words of the house as values: what travels between the rooms.

Rules: imports nothing of ours; every value is frozen; octets stay octets (a `bytes` here
is exactly what was on the wire), text is text, times are seconds since the epoch in UTC.

Over 500 lines because every word of the house stands here, once, and nothing else does.
"""

from __future__ import annotations

import enum
from array import array
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, NewType, Protocol, SupportsIndex, overload

AccountId = NewType("AccountId", int)
LoginId = NewType("LoginId", int)
MailboxId = NewType("MailboxId", int)
MessageId = NewType("MessageId", int)
DeviceId = NewType("DeviceId", int)


class Octets(Protocol):
    """The bytes of a message, in memory (`bytes`) or on disk: slicing copies."""

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
class DeviceProof:
    """What proves a device password without holding it: its SHA-256, for LOGIN and PLAIN, and
    the StoredKey and ServerKey of SCRAM-SHA-256 (RFC 5802 3). A fast hash is enough, for the
    password is 128 bits from the machine's own random source."""

    digest: bytes = field(repr=False)
    stored_key: bytes = field(repr=False)
    server_key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Device:
    """One device that may sign in at a login, by a password of its own. Times in seconds since
    the epoch; `last_seen` is None until it came first, and up to some minutes old."""

    id: DeviceId
    login: str
    name: str
    created: int
    last_seen: int | None
    proof: DeviceProof


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
class Usage:
    """What all mailboxes of a login hold: `octets` is the sum of the sizes of all entries."""

    octets: int
    messages: int


@dataclass(frozen=True, slots=True)
class Quota:
    """Up to where a device may fill its login's mailboxes; None is no limit."""

    octets: int | None = None
    messages: int | None = None


@dataclass(frozen=True, slots=True)
class SortKeys:
    """What SORT and THREAD compare (RFC 5256), ready to be compared: texts stand in the order
    of their UTF-8 octets (i;unicode-casemap, RFC 5051).

    `sender`, `to` and `cc` are the mailbox ("ann" of ann@example.org) of the first address,
    the display keys its name (RFC 5957). `links` are message IDs, 8 octets of hash each: the
    message's own (zeros where it has none), then those that it refers to, the oldest first.
    """

    subject: str = ""  # the base subject
    is_reply: bool = False  # or a forward, as its subject says
    sender: str = ""
    to: str = ""
    cc: str = ""
    display_from: str = ""
    display_to: str = ""
    links: bytes = bytes(8)


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
    sort_keys: SortKeys = SortKeys()


@dataclass(frozen=True, slots=True)
class NewMessage:
    """A message on its way into the store: exact octets, their SHA-256, their structure."""

    octets: Octets
    digest: bytes
    structure: Structure


class EntryState(NamedTuple):
    """The part of an entry that changes: what an open mailbox keeps in memory.

    `keywords` names an interned set; `ReadTx.keyword_sets` says which keywords it holds.
    """

    uid: int
    flags: int
    keywords: int
    modseq: int


class NewEntry(NamedTuple):
    """What shows a message in a mailbox from now on; `internaldate` in seconds since the epoch."""

    message: MessageId
    internaldate: int
    flags: int = 0
    keywords: Collection[str] = ()


class EntryStates(Sequence[EntryState]):
    """Entries by UID, a column each: as they are kept on disk and in memory, where ten thousand
    objects would cost more than the query. Equal to any sequence of the same `EntryState`s."""

    __slots__ = ("flags", "keyword_sets", "modseqs", "uids")

    def __init__(
        self, uids: array[int], flags: bytes, keyword_sets: array[int], modseqs: array[int]
    ) -> None:
        self.uids = uids
        self.flags = flags
        self.keyword_sets = keyword_sets
        self.modseqs = modseqs

    @classmethod
    def of(cls, states: Sequence[EntryState]) -> EntryStates:
        """The same entries as columns."""
        if isinstance(states, EntryStates):
            return states
        uids, flags, keyword_sets, modseqs = zip(*states, strict=True) if states else ((),) * 4
        return cls(array("I", uids), bytes(flags), array("I", keyword_sets), array("Q", modseqs))

    def first(self, count: int) -> EntryStates:
        return EntryStates(
            self.uids[:count], self.flags[:count], self.keyword_sets[:count], self.modseqs[:count]
        )

    def __len__(self) -> int:
        return len(self.uids)

    @overload
    def __getitem__(self, index: int) -> EntryState: ...
    @overload
    def __getitem__(self, index: slice) -> list[EntryState]: ...
    def __getitem__(self, index: int | slice) -> EntryState | list[EntryState]:
        if isinstance(index, slice):
            return list(self)[index]
        return EntryState(
            self.uids[index], self.flags[index], self.keyword_sets[index], self.modseqs[index]
        )

    def __iter__(self) -> Iterator[EntryState]:
        return map(EntryState, self.uids, self.flags, self.keyword_sets, self.modseqs)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]  # as of a list

    def __repr__(self) -> str:
        return repr(list(self))


class EntryRow(NamedTuple):
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
    savedate: int = 0  # when the entry came into its mailbox
    digest: bytes = b""
    preview: str = ""
    links: bytes = b""  # the first two of `SortKeys.links`


class Unindexed(NamedTuple):
    """A message whose text is not in the text index yet."""

    message_id: MessageId
    size: int
    header: bytes
    parts: bytes


class ThreadRow(NamedTuple):
    """What THREAD needs of an entry; a tuple, for there is one a message. `sent_at` is
    INTERNALDATE where the message has no date (RFC 5256 2.2); the others are of `SortKeys`."""

    uid: int
    sent_at: int
    subject: str
    is_reply: bool
    links: bytes


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


class Auth(enum.StrEnum):
    """How to log in: what suits the server, or one way and no other."""

    AUTO = "auto"
    PLAIN = "plain"
    LOGIN = "login"
    CRAM_MD5 = "cram-md5"
    SCRAM_SHA_256 = "scram-sha-256"
    APOP = "apop"
    USER = "user"
    XOAUTH2 = "xoauth2"
    OAUTHBEARER = "oauthbearer"


@dataclass(frozen=True, slots=True)
class Proxy:
    """A SOCKS5 proxy (RFC 1928); with a user name it is asked for by RFC 1929."""

    host: str
    port: int
    username: str = ""
    # Secrets are not compared: a proxy whose password alone is new is no other endpoint.
    password: Secret | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where an account's maildrop is, and how it is reached.

    `ca_file` is a PEM file for a private CA. `fingerprint` is the pinned certificate, the SHA-256
    of the leaf as "4F:1C:...:A2": it counts instead of CA and name. `client_cert` and `client_key`
    are PEM files (the key may be in the first). `bearer` says that the secret is an OAuth access
    token. `private_network` allows a public name to lead into a private network.
    """

    host: str
    port: int
    security: Security
    username: str
    ca_file: str | None = None
    fingerprint: str | None = None
    client_cert: str | None = None
    client_key: str | None = None
    auth: Auth = Auth.AUTO
    bearer: bool = False
    proxy: Proxy | None = None
    private_network: bool = False


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
    headers: bytes | None = None  # fingerprint of its header block, where that proves something


@dataclass(frozen=True, slots=True)
class Retained:
    """What retention asks of a settled item that the last listing had.

    `settled_at` and `deleted_at` (since when no login keeps it outside its Trash; None: one does)
    are seconds since the epoch. `settled_watched` and `deleted_watched` are the same moments on
    the account's own clock, which polls move: see `ReadTx.watched`. `message_id` is None where the
    store has its bytes no more.
    """

    id: int
    uidl: bytes | None
    size: int | None
    digest: bytes
    settled_at: int
    settled_watched: int
    deleted_at: int | None
    deleted_watched: int | None
    kept_on_device: bool
    message_id: MessageId | None


@dataclass(frozen=True, slots=True)
class Poison:
    """A message that the provider lists and that could not be had `failures` times in a row.

    `said` is why, `next_try` when it is asked for again (seconds since the epoch), `stub` the
    digest of the message that is shown in its place.
    """

    id: int
    uidl: bytes | None
    size: int | None
    failures: int
    next_try: int
    said: str
    stub: bytes | None = None


@dataclass(frozen=True, slots=True)
class ServerDelete:
    """One message that was deleted at the provider, or would be. `outcome` is one of planned,
    asked (told, and nobody confirmed it), done, refused."""

    address: str
    at: int
    uidl: bytes
    size: int | None
    digest: bytes
    reason: str
    outcome: str


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
    least_interval: int = 0  # seconds between logins, as far as this poll learnt
    left: int = 0  # messages for which there was no time; the next session goes on with them
    more: bool = False  # the provider may list more the next time: Gmail gives 250 a session


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a poll is: `done` of `todo` messages were fetched, `octets` of `todo_octets` (as
    LIST says), in `seconds`. `doing` is what it is at, for a person."""

    doing: str
    done: int = 0
    todo: int = 0
    octets: int = 0
    todo_octets: int = 0
    seconds: float = 0.0

    @property
    def rate(self) -> float:
        """Octets a second."""
        return self.octets / self.seconds if self.seconds > 0 else 0.0

    @property
    def seconds_left(self) -> float | None:
        """None while nobody can say."""
        if not self.done or not self.octets:
            return None
        return max(0.0, (self.todo_octets - self.octets) / self.rate)


@dataclass(frozen=True, slots=True)
class MaildropFacts:
    """What a provider lists for an account: messages, their octets as LIST has them, and whether
    each has an id of its own (UIDL, RFC 1939 7) by which it is known again."""

    messages: int
    octets: int
    stable_ids: bool


@dataclass(frozen=True, slots=True)
class AccountState:
    """The state of an account that a person can read; kept over restarts.

    `notice` is one sentence about something that went well and is worth knowing, or empty.
    `least_interval` are the seconds between logins that the provider taught us. `paused`: a person
    wants it left alone.
    """

    address: str
    last_success: int | None = None
    last_attempt: int | None = None
    listed: int = 0
    stored: int = 0
    failures: int = 0  # in a row, of one class
    error: str = ""
    error_class: str = ""
    advice: str = ""
    notice: str = ""
    least_interval: int = 0
    paused: bool = False


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
