"""What all writing shares: the next MODSEQ, the changes to tell, the messages left alone.

Rules:
- Every change of a mailbox goes through `_advance`, which takes its next MODSEQ and notes the
  Change; counts move in the same statement, so they are never counted again.
- A method checks first and writes then: whoever catches its error has changed nothing.
- Nothing that a job learns outlives it here: what may (keyword sets) is in `KeywordSets`.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from bridge import limits
from bridge.model import Change, Flag, LoginId, MailboxId, MessageId
from bridge.store.api import NoSuchMailbox, TooMany
from bridge.store.sqlite.keywords import KeywordSets
from bridge.store.sqlite.read import SqliteRead

UID_LIMIT = 2**32 - 1  # RFC 3501 9: nz-number. UIDNEXT may show it, no entry may take it


@dataclass(frozen=True, slots=True)
class Counts:
    """By how much an operation moves the counts of a mailbox."""

    messages: int = 0
    unseen: int = 0
    deleted: int = 0
    octets: int = 0


class WriteBase(SqliteRead):
    """The tools of the writing hands; no method of the contract is here."""

    def __init__(
        self, db: sqlite3.Connection, keywords: KeywordSets, now: Callable[[], float]
    ) -> None:
        super().__init__(db)
        self._keywords = keywords
        self._now = now
        self._homeless: set[MessageId] = set()  # added in this job, no entry yet
        self.octets_added = 0
        self.changes: dict[tuple[LoginId, MailboxId | None], Change] = {}

    def finish(self) -> None:
        """Called by the engine when the job has returned, still inside its savepoint."""
        if self._homeless:
            self._note_orphans(self._homeless)

    def _many(self, sql: str, parameters: Iterable[tuple[object, ...]]) -> None:
        for row in parameters:
            self._all(sql, row)

    def _tell(self, login: LoginId, mailbox: MailboxId | None, modseq: int = 0) -> None:
        self.changes[login, mailbox] = Change(login, mailbox, modseq)

    def _advance(
        self, mailbox: MailboxId, counts: Counts, *, uids: int = 0, tombstones: int = 0
    ) -> tuple[int, int]:
        """Takes the mailbox's next MODSEQ and `uids` UIDs: (that MODSEQ, the first UID)."""
        row = self._one(
            """UPDATE mailbox SET highestmodseq = highestmodseq + 1, uidnext = uidnext + ?,
                messages = messages + ?, unseen = unseen + ?, deleted = deleted + ?,
                octets = octets + ?, tombstones = tombstones + ?
            WHERE id = ? AND uidnext + ? <= ? RETURNING login_id, highestmodseq, uidnext""",
            (
                uids,
                counts.messages,
                counts.unseen,
                counts.deleted,
                counts.octets,
                tombstones,
                mailbox,
                uids,
                UID_LIMIT,
            ),
        )
        if row is None:
            name = self.mailbox_by_id(mailbox).name
            raise TooMany(
                f"The mailbox {name!r} has no UIDs left. Create a new mailbox, move its messages "
                "there, and delete it."
            )
        login, modseq, uidnext = row
        self._tell(login, mailbox, modseq)
        return modseq, uidnext - uids

    def _login_of(self, mailbox: MailboxId) -> LoginId:
        row = self._one("SELECT login_id FROM mailbox WHERE id = ?", (mailbox,))
        if row is None:
            raise NoSuchMailbox("The mailbox was deleted.")
        return LoginId(row[0])

    def _log(self, mailbox: MailboxId, modseq: int, uids: Iterable[int]) -> None:
        """Notes the (rising) UIDs of the entries that have this MODSEQ now, for `entry_states`."""
        self._all(
            "INSERT INTO changed (mailbox_id, modseq, uids) VALUES (?, ?, ?)",
            (mailbox, modseq, json.dumps(list(intervals(uids)))),
        )
        forgotten = modseq - limits.CHANGES
        if forgotten > 0 and modseq % (limits.CHANGES // 4) == 0:
            self._all(
                "DELETE FROM changed WHERE mailbox_id = ? AND modseq <= ?", (mailbox, forgotten)
            )
            self._all(
                "UPDATE mailbox SET changed_from = max(changed_from, ?) WHERE id = ?",
                (forgotten, mailbox),
            )

    def _note_orphans(self, messages: Iterable[MessageId]) -> None:
        now = int(self._now())
        self._many(
            """INSERT OR IGNORE INTO orphan (message_id, since)
            SELECT id, ? FROM message WHERE id = ?
            AND NOT EXISTS (SELECT 1 FROM entry WHERE entry.message_id = message.id)""",
            ((now, message) for message in messages),
        )


def intervals(uids: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Rising UIDs as closed intervals: 1, 2, 3, 7 -> (1, 3), (7, 7)."""
    first = last = 0
    for uid in uids:
        if uid != last + 1 or not last:
            if last:
                yield first, last
            first = uid
        last = uid
    if last:
        yield first, last


def counts_of(flags: int, times: int = 1) -> Counts:
    """What `times` entries with these flags add to the counts, but for their octets."""
    return Counts(
        messages=times,
        unseen=0 if flags & Flag.SEEN else times,
        deleted=times if flags & Flag.DELETED else 0,
    )
