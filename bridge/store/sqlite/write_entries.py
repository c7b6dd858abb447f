"""Entries: what shows a message in a mailbox.

Rules:
- UIDs rise and are never given twice (RFC 3501 2.3.1.1); MODSEQs rise with every change
  (RFC 7162 3.1); what leaves a mailbox leaves (UID, MODSEQ) behind.
- One statement changes many entries. Entries are changed in groups of equal flags and keywords,
  of which there are few, so that counts need no second look at the rows.
"""

# ruff: noqa: S608  only texts fixed in this room are put together; every value is bound

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import starmap

from bridge import limits
from bridge.model import Copied, EntryState, LoginId, MailboxId, MessageId, Stored
from bridge.store.api import NoSuchMailbox, StoreError, StoreOp, TooManyKeywords, UidRanges
from bridge.store.sqlite.keywords import folded
from bridge.store.sqlite.read import Row, among
from bridge.store.sqlite.write_base import Counts, WriteBase, counts_of

_EVERY_FLAG = 31
ALL: UidRanges = ((1, 2**32 - 1),)


class EntryWrites(WriteBase):
    """The part of `WriteTx` under "entries"."""

    # --- keywords -----------------------------------------------------------------------

    def _interned(self, members: frozenset[str], given: dict[str, str]) -> int:
        """The number of the set with these members (lower case), which is made when new."""
        if (number := self._keywords.number(members)) is not None:
            return number
        self._keywords.learn(self.keyword_sets(self._keywords.last))
        if (number := self._keywords.number(members)) is not None:
            return number
        names = self._keywords.spell(given, members)
        row = self._one(
            "INSERT INTO keyword_set (names) VALUES (?) RETURNING id", (" ".join(names),)
        )
        if row is None:
            raise StoreError("The keywords could not be stored.")
        self._keywords.learn({row[0]: names})
        return int(row[0])

    def _members(self, number: int) -> frozenset[str]:
        if number > self._keywords.last:
            self._keywords.learn(self.keyword_sets(self._keywords.last))
        return self._keywords.members(number)

    def _admit_keywords(self, login: LoginId, members: Iterable[str]) -> None:
        """Notes that the login uses these keywords. Raises TooMany."""
        new = [
            member
            for member in members
            if not self._all(
                "SELECT 1 FROM login_keyword WHERE login_id = ? AND keyword = ?", (login, member)
            )
        ]
        if not new:
            return
        if self._keyword_count(login) + len(new) > limits.KEYWORDS_PER_LOGIN:
            self._release_keywords(login)
            if self._keyword_count(login) + len(new) > limits.KEYWORDS_PER_LOGIN:
                raise TooManyKeywords(
                    f"{limits.KEYWORDS_PER_LOGIN} different keywords are in use; no more can be "
                    "made until some are removed from all messages."
                )
        self._many(
            "INSERT INTO login_keyword (login_id, keyword) VALUES (?, ?)",
            ((login, member) for member in new),
        )

    def _keyword_count(self, login: LoginId) -> int:
        rows = self._all("SELECT count(*) FROM login_keyword WHERE login_id = ?", (login,))
        return int(rows[0][0])

    def _release_keywords(self, login: LoginId) -> None:
        """Recounts, which reads all entries of the login: only done at the cap."""
        used: set[str] = set()
        for (number,) in self._all(
            """SELECT DISTINCT keywords FROM entry
            WHERE mailbox_id IN (SELECT id FROM mailbox WHERE login_id = ?)""",
            (login,),
        ):
            used |= self._members(number)
        known = self._all("SELECT keyword FROM login_keyword WHERE login_id = ?", (login,))
        self._many(
            "DELETE FROM login_keyword WHERE login_id = ? AND keyword = ?",
            ((login, keyword) for (keyword,) in known if keyword not in used),
        )

    # --- the contract -------------------------------------------------------------------

    def add_entry(
        self,
        mailbox: MailboxId,
        message: MessageId,
        *,
        flags: int = 0,
        keywords: Iterable[str] = (),
        internaldate: int,
    ) -> EntryState:
        flags &= _EVERY_FLAG
        given = folded(keywords)
        sizes = self._all("SELECT size FROM message WHERE id = ?", (message,))
        if not sizes:
            raise StoreError("The message is gone.")
        number = 0
        if given:
            self._admit_keywords(self._login_of(mailbox), given)
            number = self._interned(frozenset(given), given)
        one = counts_of(flags)
        modseq, uid = self._advance(
            mailbox, Counts(one.messages, one.unseen, one.deleted, sizes[0][0]), uids=1
        )
        self._all(
            """INSERT INTO entry (mailbox_id, uid, message_id, flags, keywords, modseq,
                internaldate, savedate) VALUES (?, ?, ?, ?, ?, ?, ?, ?)""",
            (mailbox, uid, message, flags, number, modseq, internaldate, int(self._now())),
        )
        self._log(mailbox, modseq, (uid,))
        if message in self._homeless:
            self._homeless.remove(message)
        else:
            self._all("DELETE FROM orphan WHERE message_id = ?", (message,))
        return EntryState(uid, flags, number, modseq)

    def store_flags(
        self,
        mailbox: MailboxId,
        uids: UidRanges,
        op: StoreOp,
        flags: int,
        keywords: Iterable[str] = (),
        unchanged_since: int | None = None,
    ) -> Stored:
        flags &= _EVERY_FLAG
        given = folded(keywords)
        login = self._login_of(mailbox)
        condition, parameters = among_named, named = among(mailbox, uids)
        modified: Sequence[int] = ()
        if unchanged_since is not None:
            # RFC 7162 3.1.3: what changed since is left alone, and told.
            modified = [
                uid
                for (uid,) in self._all(
                    f"SELECT uid FROM entry WHERE {condition} AND modseq > ? ORDER BY uid",
                    (*parameters, unchanged_since),
                )
            ]
            condition += " AND modseq <= ?"
            parameters += (unchanged_since,)
        groups = self._all(
            f"SELECT flags, keywords, count(*) FROM entry WHERE {condition} GROUP BY 1, 2",
            parameters,
        )
        if not groups:
            return Stored((), modified)
        if op != "remove" and given:
            self._admit_keywords(login, given)
        target = {old: self._combined(op, old, given) for _, old, _ in groups}
        unseen = deleted = 0
        changing: set[int] = set()
        for old_flags, old_keywords, times in groups:
            new_flags = _combine(op, old_flags, flags)
            if (new_flags, target[old_keywords]) != (old_flags, old_keywords):
                changing.add(old_keywords)
                before, after = counts_of(old_flags, times), counts_of(new_flags, times)
                unseen += after.unseen - before.unseen
                deleted += after.deleted - before.deleted
        if not changing:
            return Stored((), modified)
        modseq, _ = self._advance(mailbox, Counts(unseen=unseen, deleted=deleted))
        # An entry may come into a set whose turn is still to come; doing it twice changes nothing.
        new = {"add": "flags | ?", "remove": "flags & ~?", "replace": "?"}[op]
        for old in sorted(changing):
            self._all(
                f"""UPDATE entry SET flags = {new}, keywords = ?, modseq = ?
                WHERE {condition} AND keywords = ? AND (flags <> {new} OR keywords <> ?)""",
                (
                    *(flags, target[old], modseq),
                    *(*parameters, old),
                    *(flags, target[old]),
                ),
            )
        changed = self._all(
            f"""SELECT uid, flags, keywords, modseq FROM entry
            WHERE {among_named} AND modseq = ? ORDER BY uid""",
            (*named, modseq),
        )
        self._log(mailbox, modseq, (row[0] for row in changed))
        return Stored(list(starmap(EntryState, changed)), modified)

    def _combined(self, op: StoreOp, old: int, given: dict[str, str]) -> int:
        """The keyword set that `old` becomes."""
        if not given and op != "replace":
            return old
        members, operand = self._members(old), frozenset(given)
        if op == "add":
            return self._interned(members | operand, given)
        return self._interned(operand if op == "replace" else members - operand, given)

    def copy(self, source: MailboxId, uids: UidRanges, target: MailboxId) -> Copied:
        self.mailbox_by_id(source)
        uidvalidity = self.mailbox_by_id(target).uidvalidity
        condition, parameters = among(source, uids)
        source_uids, counts = self._measured(condition, parameters)
        if not source_uids:
            return Copied(uidvalidity, (), ())
        modseq, first = self._advance(target, counts, uids=len(source_uids))
        self._all(
            f"""INSERT INTO entry (mailbox_id, uid, message_id, flags, keywords, modseq,
                internaldate, savedate)
            SELECT ?, ? + row_number() OVER (ORDER BY uid), message_id, flags, keywords, ?,
                internaldate, ? FROM entry WHERE {condition}""",
            (target, first - 1, modseq, int(self._now()), *parameters),
        )
        copies = range(first, first + len(source_uids))
        self._log(target, modseq, copies)
        return Copied(uidvalidity, source_uids, copies)

    def move(self, source: MailboxId, uids: UidRanges, target: MailboxId) -> Copied:
        copied = self.copy(source, uids, target)
        if copied.source_uids:
            # Inside one mailbox the copies have UIDs above all others, and stay.
            last = copied.source_uids[-1]
            moved = [(low, min(high, last)) for low, high in uids if low <= last]
            self.expunge(source, moved, only_deleted=False)
        return copied

    def expunge(
        self, mailbox: MailboxId, uids: UidRanges | None = None, *, only_deleted: bool = True
    ) -> Sequence[int]:
        condition, parameters = among(mailbox, ALL if uids is None else uids)
        if only_deleted:
            row = self._one("SELECT deleted FROM mailbox WHERE id = ?", (mailbox,))
            if row is None:
                raise NoSuchMailbox("The mailbox was deleted.")
            if row[0] == 0:
                return ()
            condition += " AND flags & 4"
        elif uids is None:
            raise ValueError("expunge without \\Deleted wants UIDs")
        gone, counts = self._measured(condition, parameters)
        if not gone:
            return ()
        modseq, _ = self._advance(
            mailbox,
            Counts(-counts.messages, -counts.unseen, -counts.deleted, -counts.octets),
            tombstones=len(gone),
        )
        self._all(
            f"""INSERT INTO expunged (mailbox_id, modseq, uid)
            SELECT mailbox_id, ?, uid FROM entry WHERE {condition}""",
            (modseq, *parameters),
        )
        self._remove(condition, parameters)
        self._trim_tombstones(mailbox)
        return gone

    def claim_recent(self, mailbox: MailboxId) -> int:
        found = self.mailbox_by_id(mailbox)
        if found.first_recent != found.uidnext:
            self._all("UPDATE mailbox SET first_recent = uidnext WHERE id = ?", (mailbox,))
        return found.first_recent

    # --- shared -------------------------------------------------------------------------

    def _measured(self, condition: str, parameters: Row) -> tuple[Sequence[int], Counts]:
        """UIDs (rising) of the entries that a condition selects, and what they count for."""
        rows = self._all(
            f"""SELECT uid, NOT flags & 8, flags & 4, size
            FROM entry CROSS JOIN message ON message.id = entry.message_id
            WHERE {condition} ORDER BY uid""",
            parameters,
        )
        return [row[0] for row in rows], Counts(
            messages=len(rows),
            unseen=sum(1 for row in rows if row[1]),
            deleted=sum(1 for row in rows if row[2]),
            octets=sum(row[3] for row in rows),
        )

    def _remove(self, condition: str, parameters: Row) -> None:
        """Deletes entries; messages that lose their last one are noted for purge."""
        self._all("CREATE TEMP TABLE IF NOT EXISTS gone (message_id INTEGER PRIMARY KEY)")
        self._all(
            "INSERT OR IGNORE INTO temp.gone (message_id) "
            f"SELECT message_id FROM entry WHERE {condition}",
            parameters,
        )
        self._all(f"DELETE FROM entry WHERE {condition}", parameters)
        self._all(
            """INSERT OR IGNORE INTO orphan (message_id, since)
            SELECT message_id, ? FROM temp.gone WHERE NOT EXISTS
                (SELECT 1 FROM entry WHERE entry.message_id = gone.message_id)""",
            (int(self._now()),),
        )
        self._all("DELETE FROM temp.gone")

    def _trim_tombstones(self, mailbox: MailboxId) -> None:
        """Keeps the newest; those of the newest MODSEQ in any case, for sessions that listen."""
        row = self._one("SELECT tombstones, highestmodseq FROM mailbox WHERE id = ?", (mailbox,))
        if row is None or row[0] <= limits.TOMBSTONES:
            return
        ((oldest_over,),) = self._all(
            """SELECT modseq FROM expunged WHERE mailbox_id = ? ORDER BY modseq DESC
            LIMIT 1 OFFSET ?""",
            (mailbox, limits.TOMBSTONES),
        )
        forgotten_to = min(oldest_over, row[1] - 1)
        self._all(
            "DELETE FROM expunged WHERE mailbox_id = ? AND modseq <= ?", (mailbox, forgotten_to)
        )
        self._all(
            """UPDATE mailbox SET tombstones_from = ?,
                tombstones = (SELECT count(*) FROM expunged WHERE mailbox_id = mailbox.id)
            WHERE id = ?""",
            (forgotten_to, mailbox),
        )


def _combine(op: StoreOp, old: int, flags: int) -> int:
    if op == "add":
        return old | flags
    return old & ~flags if op == "remove" else flags
