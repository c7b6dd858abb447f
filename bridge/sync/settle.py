"""The transactions of a poll: what fetched messages become in the store.

Rules:
- Identity is decided inside the transaction, against what the store has then, so that neither a
  crash nor a second poll can double a message.
- Nothing has an effect outside the transaction: it may be run again.
- No query per item of the maildrop: only for messages that were fetched.
- A line that was answered with as many octets as LIST told of another one is settled with that
  size, so that the next listing disagrees and it is fetched once more: a wrong answer must not
  hide a message for ever, not even when the provider removed the one that was sent instead.
- A message that was found damaged is written anew where its very bytes come once more.
- What a person imported before the account brought it is that message, with its place, flags and
  bytes: no second entry.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from bridge.model import (
    Account,
    KnownItem,
    ListedItem,
    Mailbox,
    NewEntry,
    NewMessage,
    Octets,
    Poison,
    Structure,
)
from bridge.spool import Spool
from bridge.store.api import NoSuchMailbox, ReadTx, WriteTx
from bridge.sync.headers import header_fingerprint
from bridge.sync.identity import (
    Deliveries,
    Doubtful,
    Mistaken,
    New,
    Ours,
    Rewritten,
    same_copy,
    same_transport,
)
from bridge.sync.plan import DAY

_HEADER_READ = 64 * 1024  # octets of a stored message that are read for its Received fields
_PIECE = 1024 * 1024  # octets of two messages that are compared at once
_FORGET_LOOKS = 1_000  # items a poll

Line = tuple[bytes | None, int | None]
"""(UIDL, size): what a line is called from one session to the next."""

Doubts = frozenset[tuple[bytes | None, bytes]]
"""(UIDL, digest) of lines whose bytes were those of another line of the listing."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """A message between the provider and the store."""

    item: ListedItem
    spool: Spool
    octets: Octets
    digest: bytes
    structure: Structure


@dataclass(frozen=True, slots=True)
class Settled:
    """What a transaction did with a batch."""

    known: Deliveries
    new: int
    relinked: int
    doubted_items: frozenset[int]
    doubted_bytes: Doubts
    unchanged: frozenset[int] = frozenset()  # numbers of lines that are what their UIDL was
    others: frozenset[int] = frozenset()  # numbers of lines that are something else
    mistaken: tuple[ListedItem, ...] = ()  # lines for which the server sent another message
    mended: int = 0  # messages that were damaged, and are whole again

    @property
    def doubts(self) -> int:
        return len(self.doubted_bytes)


def settle(
    tx: WriteTx,
    account: Account,
    batch: Sequence[Fetched],
    known: Deliveries,
    seen: Doubts,
    now: int,
    poisons: Mapping[Line, Poison] = MappingProxyType({}),
    shorts: Mapping[Line, bytes] = MappingProxyType({}),
    sizes: Collection[int] = (),
) -> Settled:
    """The transaction of a batch. Leaves `known` alone, so that it may run again. `poisons` are
    those that could not be had before, `shorts` the digests of what came shorter than LIST said:
    what is shown for them goes when they come whole; `sizes` are those of the listing."""
    draft = known.draft()
    fresh = False
    mailbox: Mailbox | None = None
    arrived: list[NewEntry] = []  # whose entries are not made yet
    new = relinked = mended = 0
    doubted_items: set[int] = set()
    doubted_bytes: set[tuple[bytes | None, bytes]] = set()
    unchanged: set[int] = set()
    others: set[int] = set()
    mistaken: list[ListedItem] = []

    def place() -> None:
        if mailbox is not None and arrived:
            tx.add_entries(mailbox.id, tuple(arrived))
            arrived.clear()

    for fetched in batch:
        item, digest, structure = fetched.item, fetched.digest, fetched.structure
        pair = (item.uidl, digest)
        verdict = draft.recognise(
            item,
            digest,
            structure.fingerprint,
            octets=len(fetched.octets),
            confirmed=pair in seen,
        )
        if isinstance(verdict, New | Rewritten):
            verdict = _imported(tx, account, digest, structure) or verdict
        if not fresh and isinstance(verdict, New | Rewritten) and tx.message_by_digest(digest):
            # Another account has these bytes, or this one does since the poll began.
            draft = Deliveries(tx.maildrop(account.id), draft.speaking())
            fresh = True
            verdict = draft.recognise(
                item,
                digest,
                structure.fingerprint,
                octets=len(fetched.octets),
                confirmed=pair in seen,
            )
        if isinstance(verdict, Rewritten):
            verdict = next(
                (ours for ours in verdict.candidates if _rewritten(tx, ours.digest, structure)),
                New(),
            )
        if isinstance(verdict, Doubtful):
            doubted_items.update(verdict.items)
            doubted_bytes.add(pair)
            continue
        if isinstance(verdict, Mistaken):
            mistaken.append(item)
            doubted_bytes.add(pair)
            continue
        if isinstance(verdict, Ours):
            delivery, item_id = verdict.digest, verdict.item_id
            if delivery == digest and tx.mend_message(
                NewMessage(fetched.octets, digest, structure)
            ):
                mended += 1
            if verdict.mistaken:
                tx.forget_items(verdict.mistaken)
        else:
            delivery, item_id = digest, None
            if mailbox is None:
                mailbox = arrivals(tx, account)
            message = tx.add_message(NewMessage(fetched.octets, digest, structure))
            arrived.append(NewEntry(message, internaldate(structure, now)))
            new += 1
        for (_, size), before in shorts.items():  # its UIDL may be another by now
            if size == item.size and _completes(tx, before, fetched.octets):
                place()
                tx.withdraw(account.login_id, before)
        if item_id is None:
            came = len(fetched.octets)
            # The size of another line: perhaps its message. So this line is looked at again.
            listed = replace(item, size=came) if came in sizes and item.size else item
            item_id = tx.settle_item(
                account.id,
                listed,
                delivery,
                structure.fingerprint,
                now,
                headers=header_fingerprint(structure.header),
            )
            relinked += isinstance(verdict, Ours)
            others.add(item.number)
        else:
            tx.relink_item(item_id, item, now)
            unchanged.add(item.number)
        poison = poisons.get((item.uidl, item.size))
        if poison is not None:
            tx.forget_poison(poison.id)
            if poison.stub is not None:
                place()
                tx.withdraw(account.login_id, poison.stub)
        draft.settle(item, item_id, delivery, structure.fingerprint, came=digest)
    place()
    return Settled(
        draft,
        new,
        relinked,
        frozenset(doubted_items),
        frozenset(doubted_bytes),
        frozenset(unchanged),
        frozenset(others),
        tuple(mistaken),
        mended,
    )


def forgettable(tx: ReadTx, due: Sequence[KnownItem], now: int) -> Sequence[int]:
    """The ids of those items whose messages are gone from the store: what is stored would be
    doubled if its UIDL came back (Gmail lists everything again on a switch in its settings).

    Looks at some in a poll, and at others in another one.
    """
    if not due:
        return ()
    start = now // 60 * _FORGET_LOOKS % len(due)
    some = (*due[start:], *due[:start])[:_FORGET_LOOKS]
    return [item.id for item in some if tx.message_by_digest(item.digest) is None]


def arrivals(tx: WriteTx, account: Account) -> Mailbox:
    """Where the account's mail arrives; made again when a device deleted it."""
    try:
        return tx.mailbox(account.login_id, account.mailbox)
    except NoSuchMailbox:
        return tx.create_mailbox(account.login_id, account.mailbox)


def _imported(tx: WriteTx, account: Account, digest: bytes, structure: Structure) -> Ours | None:
    """The message that was imported and is this one, claimed by this account; None: none is."""
    for found in tx.awaited(account.login_id, digest, structure.fingerprint):
        message = tx.message_by_digest(found)
        if message is None:
            continue
        header = structure.header[:_HEADER_READ]
        if found == digest or same_copy(tx.octets(message, 0, _HEADER_READ), header):
            tx.claim_import(account.login_id, found)
            return Ours(found, None)
    return None


def _completes(tx: ReadTx, digest: bytes, octets: Octets) -> bool:
    """Whether the message is the stored one and more: it begins with all of it, but for the line
    end that the server put at its end."""
    message = tx.message_by_digest(digest)
    start = 0
    while message is not None:
        piece = tx.octets(message, start, start + _PIECE)
        if not piece:
            return start < len(octets)
        last = not tx.octets(message, start + len(piece), start + len(piece) + 1)
        expected = piece.removesuffix(b"\r\n") if last else piece
        if octets[start : start + len(expected)] != expected:
            return False
        start += len(piece)
    return False


def _rewritten(tx: ReadTx, digest: bytes, structure: Structure) -> bool:
    message = tx.message_by_digest(digest)
    if message is None:
        return True  # a tombstone without its bytes: what was expunged stays expunged
    return same_transport(tx.octets(message, 0, _HEADER_READ), structure.header[:_HEADER_READ])


def internaldate(structure: Structure, now: int) -> int:
    """When the message arrived (RFC 3501 2.3.3): Received, else Date, else now; never before
    1970 and never later than tomorrow."""
    for instant in (structure.received_at, structure.sent_at):
        if instant is not None and 0 < instant <= now + DAY:
            return instant
    return now
