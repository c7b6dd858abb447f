"""One snapshot of the database: `ReadTx` in SQL.

Rules:
- Runs on the thread that owns the connection, inside a transaction that the engine opened.
- Few rows and one statement a question; sets of UIDs travel as one JSON parameter.
- After an SQL error the transaction may be gone, and SQLite would then commit each further
  statement by itself: so the first error is remembered and every later question fails too.

Over 500 lines because one class answers all questions of `ReadTx`; there is no logic between them.
"""

# ruff: noqa: S608  only texts fixed in this room are put together; every value is bound

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import starmap
from operator import itemgetter
from typing import Any

from bridge.model import (
    Account,
    AccountId,
    AccountState,
    Device,
    DeviceProof,
    EntryRow,
    EntryStates,
    KnownItem,
    Login,
    LoginId,
    Mailbox,
    MailboxId,
    MessageId,
    Poison,
    Retained,
    ServerDelete,
    SpecialUse,
    ThreadRow,
    Unindexed,
    Usage,
)
from bridge.store.api import (
    Columns,
    NoSuchMailbox,
    SortColumn,
    StoreDamaged,
    StoreError,
    UidRanges,
)
from bridge.store.sqlite import blocks, text_index
from bridge.store.sqlite.blocks import Block
from bridge.store.sqlite.errors import SQL_ERRORS, SqlError, store_error
from bridge.store.sqlite.proofs import Proofs

Row = tuple[Any, ...]
Parameters = Sequence[object] | Mapping[str, object]

_MAILBOX = """SELECT id, login_id, name, uidvalidity, uidnext, highestmodseq, messages, unseen,
    deleted, octets, first_recent, special_use FROM mailbox """
_ROW_COLUMNS: Mapping[Columns, str] = {
    "envelope": "s.envelope",
    "bodystructure": "s.bodystructure",
    "body": "s.body",
    "header": "h.header",
    "parts": "s.parts",
    "sent_day": "m.sent_day",
    "savedate": "entry.savedate",
    "digest": "m.digest",
    "preview": "m.preview",
    "links": "substr(k.links, 1, 16)",
}
_BLOCK = "SELECT id, flags, keywords, modseqs FROM entry_block"
BLOCKS = 1 << 24  # of a mailbox, by their ids
_UNASKED: Mapping[Columns, str] = {"sent_day": "NULL", "savedate": "0", "preview": "''"}
_SENT_AT = "coalesce(m.sent_at, entry.internaldate)"
_SORT_COLUMNS: Mapping[SortColumn, str] = {
    "arrival": "entry.internaldate",
    "cc": "k.cc",
    "sent_at": _SENT_AT,
    "sender": "k.sender",
    "size": "m.size",
    "subject": "k.subject",
    "to": 'k."to"',
    "display_from": "k.display_from",
    "display_to": "k.display_to",
}


def among(mailbox: MailboxId, uids: UidRanges) -> tuple[str, Row]:
    """A condition on `entry` and its parameters: of this mailbox, and in one of the ranges."""
    if len(uids) == 1:
        return "mailbox_id = ? AND uid BETWEEN ? AND ?", (mailbox, *uids[0])
    # CROSS JOIN fixes the order of the loops: a seek for each range, never a range test for
    # each entry.
    condition = """mailbox_id = ? AND uid IN (
        SELECT e.uid FROM json_each(?) AS r CROSS JOIN entry AS e ON e.mailbox_id = ?
        AND e.uid BETWEEN json_extract(r.value, '$[0]') AND json_extract(r.value, '$[1]'))"""
    return condition, (mailbox, json.dumps(list(uids)), mailbox)


def _as_block(row: Row) -> Block:
    """A row of _BLOCK as a value."""
    return Block(row[0] % BLOCKS, *row[1:])


def as_mailbox(row: Row) -> Mailbox:
    """A row of _MAILBOX as a value."""
    values = (*row[:-1], SpecialUse(row[-1]) if row[-1] else None)
    return Mailbox(*values)


def canonical(name: str) -> str:
    """RFC 3501 5.1: INBOX is one mailbox in any case; so is the first level of INBOX/lists."""
    first, slash, rest = name.partition("/")
    return "INBOX" + slash + rest if first.upper() == "INBOX" else name


@lru_cache(maxsize=128)
def _rows_query(columns: frozenset[Columns]) -> tuple[str, Row]:
    """The SELECT of `rows` up to its condition, and what is the same in every row: EntryRow's
    columns up to the last one that was asked for, and those after it."""
    names = list(_ROW_COLUMNS)
    past = max((names.index(name) + 1 for name in columns), default=0)
    chosen = ["entry.uid", "m.id", "m.size", "entry.internaldate", "m.header_size"]
    chosen += [
        _ROW_COLUMNS[name] if name in columns else _UNASKED.get(name, "x''")
        for name in names[:past]
    ]
    query = "SELECT " + ", ".join(chosen)
    query += " FROM entry CROSS JOIN message AS m ON m.id = entry.message_id"
    if columns & {"envelope", "bodystructure", "body", "parts"}:
        query += " CROSS JOIN message_structure AS s ON s.message_id = m.id"
    if "header" in columns:
        query += " CROSS JOIN message_header AS h ON h.message_id = m.id"
    if "links" in columns:
        query += " CROSS JOIN message_sort AS k ON k.message_id = m.id"
    rest = tuple(EntryRow._field_defaults[name] for name in names[past:])
    return query + " WHERE ", rest


class SqliteRead:
    """`bridge.store.api.ReadTx`: see there for what each method promises."""

    def __init__(self, db: sqlite3.Connection, proofs: Proofs | None = None) -> None:
        self._db = db
        self._proofs = proofs
        self.failure: SqlError | None = None

    def _each(self, sql: str, parameters: Parameters = ()) -> Iterator[Row]:
        """As `_all`, for very many rows that become something else one by one."""
        if self.failure is not None:
            raise store_error(self.failure)
        try:
            yield from self._db.execute(sql, parameters)
        except SQL_ERRORS as error:
            self.failure = error
            raise store_error(error) from error

    def _all(self, sql: str, parameters: Parameters = ()) -> list[Row]:
        if self.failure is not None:
            raise store_error(self.failure)
        try:
            return self._db.execute(sql, parameters).fetchall()
        except SQL_ERRORS as error:
            self.failure = error
            raise store_error(error) from error

    def _one(self, sql: str, parameters: Parameters = ()) -> Row | None:
        rows = self._all(sql, parameters)
        return rows[0] if rows else None

    # --- logins and accounts ------------------------------------------------------------

    def login(self, name: str) -> Login | None:
        row = self._one("SELECT id, name FROM login WHERE name = ?", (name,))
        return Login(*row) if row else None

    def accounts(self) -> Sequence[Account]:
        return list(
            starmap(
                Account,
                self._all("SELECT id, address, login_id, mailbox FROM account ORDER BY id"),
            )
        )

    def account_states(self) -> Sequence[AccountState]:
        rows = self._all(
            """SELECT address, last_success, last_attempt, listed,
                (SELECT count(*) FROM maildrop_item WHERE account_id = account.id),
                failures, error, error_class, advice, notice, least_interval, paused
            FROM account ORDER BY id"""
        )
        return list(starmap(AccountState, ((*row[:-1], bool(row[-1])) for row in rows)))

    def devices(self) -> Sequence[Device]:
        rows = self._all(
            """SELECT d.id, l.name, d.name, d.created, d.last_seen, d.digest, d.stored_key,
                d.server_key FROM device AS d JOIN login AS l ON l.id = d.login_id ORDER BY d.id"""
        )
        return [
            Device(number, login, name, created, last_seen, DeviceProof(*proof))
            for number, login, name, created, last_seen, *proof in rows
        ]

    # --- mailboxes ----------------------------------------------------------------------

    def mailboxes(self, login: LoginId) -> Sequence[Mailbox]:
        return [
            as_mailbox(row)
            for row in self._all(_MAILBOX + "WHERE login_id = ? ORDER BY name", (login,))
        ]

    def mailbox(self, login: LoginId, name: str) -> Mailbox:
        row = self._one(_MAILBOX + "WHERE login_id = ? AND name = ?", (login, canonical(name)))
        if row is None:
            raise NoSuchMailbox("There is no mailbox of that name.")
        return as_mailbox(row)

    def mailbox_by_id(self, mailbox: MailboxId) -> Mailbox:
        row = self._one(_MAILBOX + "WHERE id = ?", (mailbox,))
        if row is None:
            raise NoSuchMailbox("The mailbox was deleted.")
        return as_mailbox(row)

    def has_children(self, login: LoginId, name: str) -> bool:
        # "0" follows "/": between the two are the names that begin with `name` and "/".
        query = "SELECT 1 FROM mailbox WHERE login_id = ? AND name > ? AND name < ? LIMIT 1"
        return self._one(query, (login, canonical(name) + "/", canonical(name) + "0")) is not None

    def is_subscribed(self, login: LoginId, name: str) -> bool:
        query = "SELECT 1 FROM subscription WHERE login_id = ? AND name = ?"
        return self._one(query, (login, canonical(name))) is not None

    def subscriptions(self, login: LoginId) -> Sequence[str]:
        rows = self._all("SELECT name FROM subscription WHERE login_id = ? ORDER BY name", (login,))
        return [name for (name,) in rows]

    def usage(self, login: LoginId) -> Usage:
        ((octets, messages),) = self._all(
            """SELECT ifnull(sum(octets), 0), ifnull(sum(messages), 0) FROM mailbox
            WHERE login_id = ?""",
            (login,),
        )
        return Usage(octets, messages)

    def deleted_octets(self, mailbox: MailboxId) -> int:
        ranges = blocks.ranges((block, block.deleted) for block in self._deleted_blocks(mailbox))
        return self._octets_of(mailbox, ranges) if ranges else 0

    def _deleted_blocks(self, mailbox: MailboxId) -> Iterator[Block]:
        """The blocks with an entry that has \\Deleted, rising."""
        rows = self._all(
            f"""{_BLOCK} INDEXED BY entry_block_deleted WHERE mailbox_id = ? AND deleted
            ORDER BY id""",
            (mailbox,),
        )
        return map(_as_block, rows)

    def _octets_of(self, mailbox: MailboxId, uids: UidRanges) -> int:
        condition, parameters = among(mailbox, uids)
        query = f"SELECT ifnull(sum(size), 0) FROM entry WHERE {condition}"
        ((octets,),) = self._all(query, parameters)
        return int(octets)

    def metadata(self, login: LoginId, mailbox: MailboxId | None) -> Mapping[str, bytes]:
        rows = self._all(
            """SELECT name, value FROM metadata
            WHERE login_id = ? AND ifnull(mailbox_id, 0) = ? ORDER BY name""",
            (login, mailbox or 0),
        )
        return dict(rows)

    def annotation_hashes(self, login: LoginId) -> Mapping[tuple[MailboxId | None, str], bytes]:
        rows = self._all(
            "SELECT mailbox_id, name, value FROM metadata WHERE login_id = ?", (login,)
        )
        return {
            (box, name): hashlib.blake2b(value, digest_size=16).digest()
            for box, name, value in rows
        }

    # --- entries ------------------------------------------------------------------------

    def entry_states(self, mailbox: MailboxId, since: int = 0) -> EntryStates:
        rows = self._all(
            f"{_BLOCK} INDEXED BY entry_block_modseq WHERE mailbox_id = ? AND modseq > ? "
            "ORDER BY id",
            (mailbox, since),
        )
        return blocks.states((block, block.newer(since)) for block in map(_as_block, rows))

    def _blocks(self, mailbox: MailboxId, uids: UidRanges) -> Iterator[Block]:
        """The blocks of these UIDs, rising."""
        base = mailbox * BLOCKS
        spans = [(base + first, base + last) for first, last in blocks.spans(uids)]
        if len(spans) == 1:
            rows = self._all(f"{_BLOCK} WHERE id BETWEEN ? AND ? ORDER BY id", spans[0])
        else:
            rows = self._all(
                f"""{_BLOCK} WHERE id IN (SELECT b.id FROM json_each(?) AS r
                CROSS JOIN entry_block AS b ON b.id BETWEEN
                    json_extract(r.value, '$[0]') AND json_extract(r.value, '$[1]')) ORDER BY id""",
                (json.dumps(spans),),
            )
        return map(_as_block, rows)

    def _block(self, mailbox: MailboxId, number: int) -> Block | None:
        row = self._one(_BLOCK + " WHERE id = ?", (mailbox * BLOCKS + number,))
        return _as_block(row) if row else None

    def expunged(self, mailbox: MailboxId, since: int) -> Sequence[tuple[int, int]]:
        kept: list[tuple[int, int]] = [
            (uid, modseq)
            for first, last, modseq in self._all(
                """SELECT first, last, modseq FROM expunged WHERE mailbox_id = ? AND modseq > ?
                ORDER BY modseq, first""",
                (mailbox, since),
            )
            for uid in range(first, last + 1)
        ]
        row = self._one("SELECT uidnext, tombstones_from FROM mailbox WHERE id = ?", (mailbox,))
        if row is None or since >= row[1]:
            return kept
        # RFC 7162 3.2.5.1 lets a server that does not remember tell every UID that is gone.
        uidnext, forgotten_at = row
        there = {uid for uid, _ in kept}
        there.update(self.entry_states(mailbox).uids)
        return [(uid, forgotten_at) for uid in range(1, uidnext) if uid not in there] + kept

    def keyword_sets(self, known: int = 0) -> Mapping[int, tuple[str, ...]]:
        rows = self._all("SELECT id, names FROM keyword_set WHERE id > ? ORDER BY id", (known,))
        return {number: tuple(names.split()) for number, names in rows}

    def rows(
        self, mailbox: MailboxId, uids: UidRanges, columns: Iterable[Columns] = ()
    ) -> Sequence[EntryRow]:
        condition, parameters = among(mailbox, uids)
        query, rest = _rows_query(frozenset(columns))
        found = self._all(query + condition, parameters)
        found.sort(key=itemgetter(0))  # as a rule it is sorted; the sort is then one pass
        return [EntryRow._make(row + rest) for row in found]

    def sorted_uids(
        self, mailbox: MailboxId, uids: UidRanges, by: Sequence[tuple[SortColumn, bool]]
    ) -> Sequence[int]:
        columns = [_SORT_COLUMNS[name] + (" DESC" if reverse else "") for name, reverse in by]
        query = "SELECT entry.uid FROM entry"
        if any(column.startswith(("m.", _SENT_AT)) for column in columns):
            query += " CROSS JOIN message AS m ON m.id = entry.message_id"
        if any(column.startswith("k.") for column in columns):
            query += " CROSS JOIN message_sort AS k ON k.message_id = entry.message_id"
        condition, parameters = among(mailbox, uids)
        order = ", ".join([*columns, "entry.uid"])
        rows = self._all(f"{query} WHERE {condition} ORDER BY {order}", parameters)
        return [uid for (uid,) in rows]

    def thread_rows(self, mailbox: MailboxId, uids: UidRanges) -> Sequence[ThreadRow]:
        condition, parameters = among(mailbox, uids)
        rows = self._all(
            f"""SELECT entry.uid, {_SENT_AT}, k.subject, k.is_reply, k.links FROM entry
            CROSS JOIN message AS m ON m.id = entry.message_id
            CROSS JOIN message_sort AS k ON k.message_id = m.id
            WHERE {condition} ORDER BY entry.uid""",
            parameters,
        )
        return list(map(ThreadRow._make, rows))

    # --- the text index -----------------------------------------------------------------

    def _text_index(self) -> tuple[bool, int, str]:
        """(there is one, messages up to this id are in it, its version)."""
        there = self._one("SELECT 1 FROM sqlite_master WHERE name = 'message_text'")
        known: dict[str, Any] = dict(
            self._all("SELECT key, value FROM meta WHERE key IN ('text_to', 'text_version')")
        )
        return there is not None, int(known.get("text_to", 0)), str(known.get("text_version", ""))

    def unindexed(self, version: str, most: int) -> Sequence[Unindexed]:
        there, upto, made_by = self._text_index()
        if not there:
            return ()
        rows = self._all(
            """SELECT m.id, m.size, h.header, s.parts FROM message AS m
            CROSS JOIN message_header AS h ON h.message_id = m.id
            CROSS JOIN message_structure AS s ON s.message_id = m.id
            WHERE m.id > ? ORDER BY m.id LIMIT ?""",
            (upto if made_by == version else 0, most),
        )
        return list(map(Unindexed._make, rows))

    def may_hold(self, mailbox: MailboxId, needle: str, version: str) -> Sequence[int] | None:
        asked = text_index.query(needle)
        there, upto, made_by = self._text_index()
        if asked is None or not there or made_by != version:
            return None
        rows = self._all(
            """SELECT e.uid FROM message_text AS t CROSS JOIN entry AS e ON e.message_id = t.rowid
                WHERE t.message_text MATCH ? AND e.mailbox_id = ?
            UNION ALL SELECT e.uid FROM text_beyond AS t CROSS JOIN entry AS e
                ON e.message_id = t.message_id WHERE e.mailbox_id = ?
            UNION ALL SELECT uid FROM entry INDEXED BY entry_message
                WHERE message_id > ? AND mailbox_id = ?""",
            (asked, mailbox, mailbox, upto, mailbox),
        )
        return [uid for (uid,) in rows]

    # --- octets -------------------------------------------------------------------------

    def octets(self, message: MessageId, start: int = 0, end: int | None = None) -> bytes:
        if end is None or start >= end:
            end = self._size(message) if end is None else min(end, self._size(message))
            if start >= end:
                return b""
        if self._proofs is not None and message not in self._proofs:
            self._prove(message, self._proofs)
        found = self._stretch(message, start, end)
        if len(found) != end - start:
            # Past the end of the message, or damaged.
            end = min(end, self._size(message))
            if len(found) != max(end - start, 0):
                raise StoreDamaged("The message is damaged: some of its bytes are missing.")
        return found

    def _prove(self, message: MessageId, proofs: Proofs) -> None:
        """Reads the message whole. Raises StoreDamaged where its bytes are not those that came."""
        row = self._one("SELECT digest FROM message WHERE id = ?", (message,))
        if row is None:
            raise StoreError("The message is gone.")
        content = hashlib.sha256()
        for (octets,) in self._each(
            "SELECT octets FROM message_chunk WHERE message_id = ? ORDER BY start", (message,)
        ):
            content.update(octets)
        if content.digest() != row[0]:
            proofs.refute(message)
            raise StoreDamaged(
                "The message is damaged: its bytes are not those that came. The next poll fetches "
                "it again, where the provider still has it; `popbridge doctor --verify` says what "
                "else is damaged."
            )
        proofs.add(message)

    def _size(self, message: MessageId) -> int:
        row = self._one("SELECT size FROM message WHERE id = ?", (message,))
        if row is None:
            raise StoreError("The message is gone.")
        return int(row[0])

    def _stretch(self, message: MessageId, start: int, end: int) -> bytes:
        """`octets[start:end]` as far as it is there."""
        chunks = self._all(
            """SELECT start, octets FROM message_chunk WHERE message_id = ? AND start < ?
            AND start >= (SELECT max(start) FROM message_chunk
                          WHERE message_id = ? AND start <= ?) ORDER BY start""",
            (message, end, message, start),
        )
        return b"".join(
            octets[max(start - at, 0) : end - at]
            if at < start or end - at < len(octets)
            else octets
            for at, octets in chunks
        )

    # --- maildrops ----------------------------------------------------------------------

    def maildrop(self, account: AccountId, *, brief: bool = False) -> Sequence[KnownItem]:
        proofs = ("x''", "x''", "NULL") if brief else ("i.digest", "i.fingerprint", "i.headers")
        digest, fingerprint, headers = proofs
        rows = self._each(
            f"""SELECT i.id, i.uidl, i.size, {digest}, {fingerprint},
                CASE WHEN i.last_poll IS NULL THEN max(i.listed_at, a.listed_at)
                     ELSE i.listed_at END,
                CASE WHEN i.last_poll IS NULL THEN 0 ELSE a.polls - i.last_poll END,
                {headers}
            FROM account AS a CROSS JOIN maildrop_item AS i ON i.account_id = a.id
            WHERE a.id = ? ORDER BY i.id""",
            (account,),
        )
        return list(starmap(KnownItem, rows))

    def message_by_digest(self, digest: bytes) -> MessageId | None:
        row = self._one("SELECT id FROM message WHERE digest = ?", (digest,))
        return MessageId(row[0]) if row else None

    def damaged_items(self, account: AccountId) -> Sequence[tuple[int, bytes]]:
        if self._proofs is None or not self._proofs.damaged:
            return ()
        rows = self._all(
            """SELECT i.id, i.uidl FROM maildrop_item AS i JOIN message AS m ON m.digest = i.digest
            WHERE i.account_id = ? AND i.uidl IS NOT NULL
            AND m.id IN (SELECT value FROM json_each(?)) AND NOT EXISTS (
                SELECT 1 FROM maildrop_item AS later WHERE later.account_id = i.account_id
                AND later.uidl = i.uidl AND later.id > i.id)""",
            (account, json.dumps(sorted(self._proofs.damaged))),
        )
        return [(number, bytes(uidl)) for number, uidl in rows]

    def watched(self, account: AccountId) -> int:
        row = self._one("SELECT watched FROM account WHERE id = ?", (account,))
        return int(row[0]) if row else 0

    def retained(self, account: AccountId) -> Sequence[Retained]:
        rows = self._all(
            """SELECT i.id, i.uidl, i.size, i.digest, i.settled_at, i.settled_watched,
                i.deleted_at, i.deleted_watched,
                EXISTS (SELECT 1 FROM entry AS e CROSS JOIN mailbox AS b ON b.id = e.mailbox_id
                    WHERE e.message_id = m.id AND b.special_use IS NOT ?) AS kept_on_device, m.id
            FROM account AS a CROSS JOIN maildrop_item AS i ON i.account_id = a.id
            LEFT JOIN message AS m ON m.digest = i.digest
            WHERE a.id = ? AND i.last_poll IS NULL ORDER BY i.id""",
            (SpecialUse.TRASH, account),
        )
        return list(starmap(Retained, rows))

    def poisons(self, account: AccountId) -> Sequence[Poison]:
        rows = self._all(
            """SELECT id, uidl, size, failures, next_try, said, stub FROM poison
            WHERE account_id = ? ORDER BY id""",
            (account,),
        )
        return list(starmap(Poison, rows))

    def server_deletes(
        self, address: str | None = None, most: int = 1000
    ) -> Sequence[ServerDelete]:
        rows = self._all(
            """SELECT address, at, uidl, size, digest, reason, outcome FROM server_delete
            WHERE ? IS NULL OR address = ? ORDER BY id DESC LIMIT ?""",
            (address, address, most),
        )
        return list(starmap(ServerDelete, rows))

    def alert(self, account: AccountId) -> tuple[str, bytes] | None:
        row = self._one("SELECT cause, digest FROM alert WHERE account_id = ?", (account,))
        return (row[0], row[1]) if row else None

    def memory(self, account: AccountId) -> str:
        row = self._one("SELECT memory FROM account WHERE id = ?", (account,))
        return str(row[0]) if row else ""

    # --- imports ------------------------------------------------------------------------

    def shown(self, login: LoginId, message: MessageId) -> Sequence[tuple[MailboxId, int]]:
        return [
            (MailboxId(mailbox), uid)
            for mailbox, uid in self._all(
                """SELECT e.mailbox_id, e.uid FROM entry AS e INDEXED BY entry_message
                CROSS JOIN mailbox AS b ON b.id = e.mailbox_id
                WHERE e.message_id = ? AND b.login_id = ? ORDER BY e.mailbox_id, e.uid""",
                (message, login),
            )
        ]

    def deliveries(
        self, login: LoginId, digest: bytes, fingerprint: bytes
    ) -> Sequence[tuple[bytes, str]]:
        rows = self._all(
            """SELECT i.digest, a.mailbox FROM account AS a CROSS JOIN maildrop_item AS i
            ON i.account_id = a.id AND i.digest = ?2 WHERE a.login_id = ?1
            UNION SELECT i.digest, a.mailbox FROM account AS a CROSS JOIN maildrop_item AS i
            ON i.account_id = a.id AND i.fingerprint = ?3 WHERE a.login_id = ?1""",
            (login, digest, fingerprint),
        )
        return [(found, mailbox) for found, mailbox in rows]

    def imports(self, login: LoginId, digest: bytes) -> Sequence[str]:
        rows = self._all(
            "SELECT mailbox FROM imported WHERE login_id = ? AND digest = ?", (login, digest)
        )
        return [mailbox for (mailbox,) in rows]

    def awaited(self, login: LoginId, digest: bytes, fingerprint: bytes) -> Sequence[bytes]:
        rows = self._all(
            """SELECT digest FROM imported WHERE login_id = ?1 AND digest = ?2 AND awaited
            UNION SELECT digest FROM imported INDEXED BY imported_fingerprint
            WHERE login_id = ?1 AND fingerprint = ?3 AND awaited""",
            (login, digest, fingerprint),
        )
        there = []
        for (found,) in rows:
            message = self.message_by_digest(found)
            if message is not None and self.shown(login, message):
                there.append(found)
        return sorted(there, key=lambda found: found != digest)
