"""What all writing shares: the next MODSEQ, the changes to tell, the messages left alone.

Rules:
- Every change of a mailbox goes through `_advance`, which takes its next MODSEQ and notes the
  Change; counts move in the same statement, so they are never counted again.
- A method checks first and writes then: whoever catches its error has changed nothing.
- Nothing that a job learns outlives it here: what may (keyword sets) is in `KeywordSets`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from bridge.model import Change, Flag, LoginId, MailboxId, MessageId
from bridge.store.api import NoSuchMailbox, TooMany
from bridge.store.sqlite.blocks import NOBODY, SPAN, Block, empty
from bridge.store.sqlite.errors import SQL_ERRORS, store_error
from bridge.store.sqlite.keywords import KeywordSets
from bridge.store.sqlite.proofs import Proofs
from bridge.store.sqlite.read import BLOCKS, SqliteRead

UID_LIMIT = 2**32 - 1  # RFC 3501 9: nz-number. UIDNEXT may show it, no entry may take it

_UNSEEN = bytes(not flags & Flag.SEEN for flags in range(256))
_DELETED = bytes(bool(flags & Flag.DELETED) for flags in range(256))


@dataclass(frozen=True, slots=True)
class Counts:
    """By how much an operation moves the counts of a mailbox."""

    messages: int = 0
    unseen: int = 0
    deleted: int = 0
    octets: int = 0

    def negative(self) -> Counts:
        return Counts(-self.messages, -self.unseen, -self.deleted, -self.octets)


class WriteBase(SqliteRead):
    """The tools of the writing hands; no method of the contract is here."""

    def __init__(
        self,
        db: sqlite3.Connection,
        keywords: KeywordSets,
        now: Callable[[], float],
        found: Proofs,
    ) -> None:
        super().__init__(db)
        self._keywords = keywords
        self._found = found  # by those that read
        self._now = now
        # Added in this job, no entry yet: octets of each.
        self._homeless: dict[MessageId, int] = {}
        self.octets_added = 0
        self.changes: dict[tuple[LoginId, MailboxId | None], Change] = {}

    def finish(self) -> None:
        """Called by the engine when the job has returned, still inside its savepoint."""
        if self._homeless:
            self._note_orphans(self._homeless)

    def _many(self, sql: str, parameters: Iterable[tuple[object, ...]]) -> None:
        if self.failure is not None:
            raise store_error(self.failure)
        try:
            self._db.executemany(sql, parameters)
        except SQL_ERRORS as error:
            self.failure = error
            raise store_error(error) from error

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

    def _keep(self, mailbox: MailboxId, block: Block, modseq: int) -> None:
        """Writes a block of which no entry has a higher MODSEQ; without entries it goes."""
        number = mailbox * BLOCKS + block.number
        if block.flags == NOBODY:
            self._all("DELETE FROM entry_block WHERE id = ?", (number,))
            return
        self._all(
            """INSERT INTO entry_block (id, mailbox_id, modseq, deleted, flags, keywords, modseqs)
            VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET modseq = excluded.modseq,
                deleted = excluded.deleted, flags = excluded.flags,
                keywords = excluded.keywords, modseqs = excluded.modseqs""",
            (number, mailbox, modseq, 255 in block.deleted, *block[1:]),
        )

    def _put_entries(
        self, mailbox: MailboxId, uid: int, flags: bytes, keywords: Sequence[int], modseq: int
    ) -> None:
        """What changes about new entries, from this UID on without a gap."""
        done = 0
        while done < len(flags):
            number, at = divmod(uid + done, SPAN)
            upto = min(len(flags), done + SPAN - at)
            block = self._block(mailbox, number) or empty(number)
            new = block.with_entries(at, flags[done:upto], keywords[done:upto], modseq)
            self._keep(mailbox, new, modseq)
            done = upto

    def _note_orphans(self, messages: Iterable[MessageId]) -> None:
        now = int(self._now())
        self._many(
            """INSERT OR IGNORE INTO orphan (message_id, since)
            SELECT id, ? FROM message WHERE id = ?
            AND NOT EXISTS (SELECT 1 FROM entry WHERE entry.message_id = message.id)""",
            ((now, message) for message in messages),
        )


def counted(flags: bytes, octets: int) -> Counts:
    """What entries with these flags, an octet each, count for."""
    return Counts(
        messages=len(flags),
        unseen=flags.translate(_UNSEEN).count(1),
        deleted=flags.translate(_DELETED).count(1),
        octets=octets,
    )
