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
from functools import lru_cache, partial

from bridge import limits
from bridge.model import (
    Copied,
    EntryState,
    LoginId,
    MailboxId,
    MessageId,
    NewEntry,
    Stored,
)
from bridge.store.api import NoSuchMailbox, StoreError, StoreOp, TooManyKeywords, UidRanges
from bridge.store.sqlite import blocks
from bridge.store.sqlite.blocks import Block, both, but
from bridge.store.sqlite.keywords import folded
from bridge.store.sqlite.read import Row, among
from bridge.store.sqlite.write_base import Counts, WriteBase, counted

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
        for (box,) in self._all("SELECT id FROM mailbox WHERE login_id = ?", (login,)):
            for number in set(self.entry_states(box).keyword_sets):
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
        return self.add_entries(mailbox, [NewEntry(message, internaldate, flags, tuple(keywords))])[
            0
        ]

    def add_entries(self, mailbox: MailboxId, entries: Sequence[NewEntry]) -> Sequence[EntryState]:
        if not entries:
            return ()
        sizes = [self._size_of(entry.message) for entry in entries]
        flags = bytes(entry.flags & _EVERY_FLAG for entry in entries)
        numbers = [self._keyword_set(mailbox, entry.keywords) for entry in entries]
        modseq, first = self._advance(mailbox, counted(flags, sum(sizes)), uids=len(entries))
        now = int(self._now())
        self._many(
            """INSERT INTO entry (mailbox_id, uid, message_id, size, internaldate, savedate)
            VALUES (?, ?, ?, ?, ?, ?)""",
            [
                (mailbox, uid, entry.message, size, entry.internaldate, now)
                for uid, (entry, size) in enumerate(zip(entries, sizes, strict=True), first)
            ],
        )
        self._put_entries(mailbox, first, flags, numbers, modseq)
        for entry in entries:
            if self._homeless.pop(entry.message, None) is None:
                self._all("DELETE FROM orphan WHERE message_id = ?", (entry.message,))
        return [
            EntryState(uid, each, number, modseq)
            for uid, (each, number) in enumerate(zip(flags, numbers, strict=True), first)
        ]

    def _size_of(self, message: MessageId) -> int:
        """Octets. Raises StoreError."""
        if (known := self._homeless.get(message)) is not None:
            return known
        row = self._one("SELECT size FROM message WHERE id = ?", (message,))
        if row is None:
            raise StoreError("The message is gone.")
        return int(row[0])

    def _keyword_set(self, mailbox: MailboxId, keywords: Iterable[str]) -> int:
        """The number of the set, which is made when new. Raises NoSuchMailbox, TooMany."""
        given = folded(keywords)
        if not given:
            return 0
        self._admit_keywords(self._login_of(mailbox), given)
        return self._interned(frozenset(given), given)

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
        chosen = list(blocks.select(self._blocks(mailbox, uids), uids))
        modified: Sequence[int] = ()
        if unchanged_since is not None:
            # RFC 7162 3.1.3: what changed since is left alone, and told.
            newer = [both(mask, block.newer(unchanged_since)) for block, mask in chosen]
            named = [block for block, _ in chosen]
            modified = list(blocks.states(zip(named, newer, strict=True)).uids)
            chosen = [
                (block, older)
                for (block, mask), spared in zip(chosen, newer, strict=True)
                if 255 in (older := but(mask, spared))
            ]
        if not chosen:
            return Stored((), modified)
        if op != "remove" and given:
            self._admit_keywords(login, given)
        sets = None
        if given or op == "replace":
            sets = lru_cache(maxsize=None)(partial(self._combined, op, given=given))
        unseen = deleted = 0
        changing: list[tuple[Block, bytes]] = []
        for block, mask in chosen:
            new, changed = block.changed(mask, op, flags, sets)
            if 255 in changed:
                changing.append((new, changed))
                _, unseen_before, deleted_before = block.counts()
                _, unseen_after, deleted_after = new.counts()
                unseen += unseen_after - unseen_before
                deleted += deleted_after - deleted_before
        if not changing:
            return Stored((), modified)
        modseq, _ = self._advance(mailbox, Counts(unseen=unseen, deleted=deleted))
        changing = [(block.stamped(changed, modseq), changed) for block, changed in changing]
        for block, _ in changing:
            self._keep(mailbox, block, modseq)
        return Stored(blocks.states(changing), modified)

    def _combined(self, op: StoreOp, old: int, *, given: dict[str, str]) -> int:
        """The keyword set that `old` becomes."""
        members, operand = self._members(old), frozenset(given)
        if op == "add":
            return self._interned(members | operand, given)
        return self._interned(operand if op == "replace" else members - operand, given)

    def copy(self, source: MailboxId, uids: UidRanges, target: MailboxId) -> Copied:
        self.mailbox_by_id(source)
        uidvalidity = self.mailbox_by_id(target).uidvalidity
        copied = blocks.states(blocks.select(self._blocks(source, uids), uids))
        if not copied:
            return Copied(uidvalidity, (), ())
        count = len(copied)
        modseq, first = self._advance(
            target,
            counted(copied.flags, self._octets_of(source, uids)),
            uids=count,
        )
        # UIDs without a gap keep their distance, which is sooner known than their places.
        dense = copied.uids[-1] - copied.uids[0] + 1 == count
        place, base = "uid", first - copied.uids[0]
        if not dense:
            place, base = "row_number() OVER (ORDER BY uid)", first - 1
        condition, parameters = among(source, uids)
        self._all(
            f"""INSERT INTO entry (mailbox_id, uid, message_id, size, internaldate, savedate)
            SELECT ?, ? + {place}, message_id, size, internaldate, ? FROM entry
            WHERE {condition}""",
            (target, base, int(self._now()), *parameters),
        )
        self._put_entries(target, first, copied.flags, copied.keyword_sets, modseq)
        return Copied(uidvalidity, copied.uids.tolist(), range(first, first + count))

    def move(self, source: MailboxId, uids: UidRanges, target: MailboxId) -> Copied:
        copied = self.copy(source, uids, target)
        if copied.source_uids:
            # Inside one mailbox the copies have UIDs above all others, and stay.
            last = copied.source_uids[-1]
            moved = [(low, min(high, last)) for low, high in uids if low <= last]
            self._expunge(
                source, list(blocks.select(self._blocks(source, moved), moved)), moved=True
            )
        return copied

    def expunge(
        self, mailbox: MailboxId, uids: UidRanges | None = None, *, only_deleted: bool = True
    ) -> Sequence[int]:
        if only_deleted:
            row = self._one("SELECT deleted FROM mailbox WHERE id = ?", (mailbox,))
            if row is None:
                raise NoSuchMailbox("The mailbox was deleted.")
            if row[0] == 0:
                return ()
            found = self._deleted_blocks(mailbox)
        elif uids is None:
            raise ValueError("expunge without \\Deleted wants UIDs")
        else:
            found = self._blocks(mailbox, uids)
        chosen = list(blocks.select(found, ALL if uids is None else uids))
        if only_deleted:
            marked = ((block, both(mask, block.deleted)) for block, mask in chosen)
            chosen = [(block, mask) for block, mask in marked if 255 in mask]
        return self._expunge(mailbox, chosen)

    def _expunge(
        self, mailbox: MailboxId, chosen: Sequence[tuple[Block, bytes]], *, moved: bool = False
    ) -> Sequence[int]:
        """Removes the entries of the masks; their messages may be without one then, unless they
        were `moved`."""
        if not chosen:
            return ()
        gone, kept = blocks.states(chosen), [block.without(mask) for block, mask in chosen]
        ranges = blocks.ranges(chosen)
        modseq, _ = self._advance(
            mailbox,
            counted(gone.flags, self._octets_of(mailbox, ranges)).negative(),
            tombstones=len(gone),
        )
        self._many(
            "INSERT INTO expunged (mailbox_id, modseq, first, last) VALUES (?, ?, ?, ?)",
            ((mailbox, modseq, first, last) for first, last in ranges),
        )
        self._remove(*among(mailbox, ranges), moved=moved)
        for block in kept:
            self._keep(mailbox, block, modseq)
        self._trim_tombstones(mailbox)
        return gone.uids.tolist()

    def claim_recent(self, mailbox: MailboxId) -> int:
        found = self.mailbox_by_id(mailbox)
        if found.first_recent != found.uidnext:
            self._all("UPDATE mailbox SET first_recent = uidnext WHERE id = ?", (mailbox,))
        return found.first_recent

    # --- shared -------------------------------------------------------------------------

    def _remove(self, condition: str, parameters: Row, *, moved: bool = False) -> None:
        """Deletes entries, but for their blocks; messages that lose their last one are noted for
        purge."""
        if not moved:
            self._all(
                f"""INSERT OR IGNORE INTO orphan (message_id, since)
                SELECT message_id, ? FROM (SELECT message_id, count(*) AS here FROM entry
                    WHERE {condition} GROUP BY message_id) AS g
                WHERE here = (SELECT count(*) FROM entry AS e INDEXED BY entry_message
                    WHERE e.message_id = g.message_id)""",
                (int(self._now()), *parameters),
            )
        self._all(f"DELETE FROM entry WHERE {condition}", parameters)

    def _trim_tombstones(self, mailbox: MailboxId) -> None:
        """Keeps the newest; those of the newest MODSEQ in any case, for sessions that listen."""
        row = self._one("SELECT tombstones, highestmodseq FROM mailbox WHERE id = ?", (mailbox,))
        if row is None or row[0] <= limits.TOMBSTONES:
            return
        ((oldest_over,),) = self._all(
            """SELECT modseq FROM (SELECT modseq, sum(last - first + 1)
                OVER (ORDER BY modseq DESC, first DESC) AS newer FROM expunged
                WHERE mailbox_id = ?) WHERE newer > ? ORDER BY modseq DESC LIMIT 1""",
            (mailbox, limits.TOMBSTONES),
        )
        forgotten_to = min(oldest_over, row[1] - 1)
        self._all(
            "DELETE FROM expunged WHERE mailbox_id = ? AND modseq <= ?", (mailbox, forgotten_to)
        )
        self._all(
            """UPDATE mailbox SET tombstones_from = ?,
                tombstones = (SELECT ifnull(sum(last - first + 1), 0) FROM expunged
                    WHERE mailbox_id = mailbox.id)
            WHERE id = ?""",
            (forgotten_to, mailbox),
        )
