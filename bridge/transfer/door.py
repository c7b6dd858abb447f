"""What a transfer asks of the store: `Door`, and the one that has the store in its own process.

A command uses `LocalDoor` where no daemon runs; else the daemon has one, and the command reaches it
over the control socket (`bridge.cli.door`, `bridge.web.transfer`). Both do the same.

Rules: one login a door. What is taken is committed when `take` returns. Messages come out in
batches of bounded size, a large one on disk.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

from bridge import limits
from bridge.imap.protocol.numbers import NumberSet, format_ranges
from bridge.mime.parser import scan
from bridge.model import LoginId, MessageId, NewMessage, Octets
from bridge.spool import Spool
from bridge.store.api import NoSuchMailbox, ReadTx, Store, StoreError, StoreFull, WriteTx
from bridge.transfer import forms
from bridge.transfer.marks import Marks
from bridge.transfer.placing import decide, made, place

ENTRIES = 20_000  # that come in one answer
_STEP = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Folder:
    """A mailbox as a transfer sees it."""

    name: str
    special_use: str | None = None
    subscribed: bool = True
    messages: int = 0


@dataclass(frozen=True, slots=True)
class Offer:
    """A message that is to be imported into a mailbox, which is made when missing. With
    `if_absent` it counts as there when any mailbox of the login shows it."""

    mailbox: str
    octets: Octets
    marks: Marks
    if_absent: bool = False


class Outcome(NamedTuple):
    """What became of an offer; `why` is a sentence where it failed."""

    word: Literal["done", "already", "failed"]
    why: str = ""


class Kept(NamedTuple):
    """An entry of the store."""

    uid: int
    digest: bytes
    size: int
    marks: Marks


class Door(Protocol):
    """See the module. Every method may raise StoreError."""

    async def folders(self) -> Sequence[Folder]: ...
    async def make(self, folders: Iterable[Folder]) -> None:
        """Makes those that are missing."""
        ...

    async def take(self, offers: Sequence[Offer], *, dry: bool = False) -> Sequence[Outcome]:
        """Imports; with `dry` says only what would become of each."""
        ...

    async def entries(self, mailbox: str, after: int = 0) -> Sequence[Kept]:
        """The next `ENTRIES` entries with a greater UID, by UID. Raises NoSuchMailbox."""
        ...

    def fetch(self, mailbox: str, uids: Sequence[int]) -> AsyncIterator[tuple[int, Octets]]:
        """(UID, octets) of those that are there, by UID; the octets last until the next one."""
        ...

    async def close(self) -> None: ...


class LocalDoor:
    """The door of a store that is open here. `spool_dir` holds a large message meanwhile."""

    def __init__(self, store: Store, login: LoginId, spool_dir: Path) -> None:
        self._store = store
        self._login = login
        self._spool_dir = spool_dir

    async def folders(self) -> Sequence[Folder]:
        def work(tx: ReadTx) -> list[Folder]:
            subscribed = set(tx.subscriptions(self._login))
            return [
                Folder(box.name, box.special_use, box.name in subscribed, box.messages)
                for box in tx.mailboxes(self._login)
            ]

        return await self._store.read(work)

    async def make(self, folders: Iterable[Folder]) -> None:
        wanted = list(folders)

        def work(tx: WriteTx) -> None:
            for each in wanted:
                made(tx, self._login, each.name, each.special_use, subscribed=each.subscribed)

        await self._store.write(work)

    async def take(self, offers: Sequence[Offer], *, dry: bool = False) -> Sequence[Outcome]:
        ready = await asyncio.to_thread(lambda: [_prepared(each.octets) for each in offers])
        if dry:
            return await self._store.read(lambda tx: self._dry(tx, offers, ready))
        try:
            return await self._store.write(lambda tx: self._place(tx, offers, ready))
        except StoreFull:
            raise
        except StoreError as error:
            if len(offers) == 1:
                return [Outcome("failed", str(error))]
        outcomes: list[Outcome] = []
        for offer in offers:  # one of them cannot be stored: find it
            outcomes += await self.take([offer])
        return outcomes

    def _place(
        self, tx: WriteTx, offers: Sequence[Offer], ready: Sequence[NewMessage]
    ) -> list[Outcome]:
        now = int(time.time())
        outcomes = []
        for offer, message in zip(offers, ready, strict=True):
            decision = decide(tx, self._login, message, offer.mailbox, offer.if_absent)
            place(tx, self._login, message, offer.mailbox, offer.marks, decision, now)
            outcomes.append(Outcome("done" if decision.kind == "new" else "already"))
        return outcomes

    def _dry(
        self, tx: ReadTx, offers: Sequence[Offer], ready: Sequence[NewMessage]
    ) -> list[Outcome]:
        return [
            Outcome(
                "done"
                if decide(tx, self._login, message, offer.mailbox, offer.if_absent).kind == "new"
                else "already"
            )
            for offer, message in zip(offers, ready, strict=True)
        ]

    async def entries(self, mailbox: str, after: int = 0) -> Sequence[Kept]:
        def work(tx: ReadTx) -> list[Kept]:
            box = tx.mailbox(self._login, mailbox)
            states = [each for each in tx.entry_states(box.id) if each.uid > after][:ENTRIES]
            if not states:
                return []
            words = {0: (), **tx.keyword_sets()}
            rows = tx.rows(box.id, ((states[0].uid, states[-1].uid),), ("digest",))
            return [
                Kept(
                    row.uid,
                    row.digest,
                    row.size,
                    Marks(state.flags, words[state.keywords], row.internaldate),
                )
                for state, row in zip(states, rows, strict=True)
            ]

        return await self._store.read(work)

    async def fetch(self, mailbox: str, uids: Sequence[int]) -> AsyncIterator[tuple[int, Octets]]:
        ranges = NumberSet.parse(format_ranges(sorted(uids))).ranges(0) if uids else ()
        for start in range(0, len(ranges), limits.BATCH_MESSAGES):
            part = ranges[start : start + limits.BATCH_MESSAGES]

            def work(tx: ReadTx, part: Sequence[tuple[int, int]] = part) -> list[_Row]:
                box = tx.mailbox(self._login, mailbox)
                return [(row.uid, row.message_id, row.size) for row in tx.rows(box.id, part)]

            for batch in _batches(await self._store.read(work)):
                if batch[0][2] > _STEP:
                    with _Large(self, batch[0]) as large:
                        yield batch[0][0], await large.octets()
                    continue
                for uid, octets in await self._store.read(partial(_read, batch)):
                    yield uid, octets

    async def close(self) -> None:
        """Leaves the store open: whoever opened it closes it."""


_Row = tuple[int, MessageId, int]


class _Large:
    """A message of some size, brought out of the store piece by piece."""

    def __init__(self, door: LocalDoor, row: _Row) -> None:
        self._store = door._store
        self._row = row
        self._spool = Spool(door._spool_dir)

    def __enter__(self) -> _Large:
        return self

    def __exit__(self, *_: object) -> None:
        self._spool.close()

    async def octets(self) -> Octets:
        _, number, size = self._row
        for at in range(0, size, _STEP):
            piece = await self._store.read(partial(_piece, number, at))
            await asyncio.to_thread(self._spool.write, piece)
        return self._spool.finish()


def _read(batch: Sequence[_Row], tx: ReadTx) -> list[tuple[int, Octets]]:
    return [(uid, tx.octets(number)) for uid, number, _ in batch]


def _piece(number: MessageId, at: int, tx: ReadTx) -> bytes:
    return tx.octets(number, at, at + _STEP)


def _batches(rows: Sequence[_Row]) -> Iterable[Sequence[_Row]]:
    """Rows whose messages are read together: some, or a large one alone."""
    waiting: list[_Row] = []
    octets = 0
    for row in rows:
        if waiting and (octets + row[2] > _STEP or len(waiting) == limits.BATCH_MESSAGES):
            yield waiting
            waiting, octets = [], 0
        waiting.append(row)
        octets += row[2]
    if waiting:
        yield waiting


def _prepared(octets: Octets) -> NewMessage:
    """Digest and structure of the bytes."""
    whole = hashlib.sha256()
    for start in range(0, len(octets), forms.STEP):
        whole.update(octets[start : start + forms.STEP])
    return NewMessage(octets, whole.digest(), scan(octets))


async def all_entries(door: Door, mailbox: str) -> AsyncIterator[Kept]:
    """Every entry of a mailbox, by UID; nothing where the mailbox is gone."""
    after = 0
    while True:
        try:
            some = await door.entries(mailbox, after)
        except NoSuchMailbox:
            return
        for each in some:
            yield each
        if len(some) < ENTRIES:
            return
        after = some[-1].uid
