"""One transaction of the writer: `WriteTx` in SQL. Here: messages, accounts, devices, maildrops.

Mailboxes are in `write_mailboxes`, entries in `write_entries`, what they share in `write_base`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict

from bridge import limits
from bridge.model import (
    Account,
    AccountId,
    AccountState,
    Device,
    DeviceId,
    DeviceProof,
    ListedItem,
    LoginId,
    MessageId,
    NewMessage,
    Octets,
    Poison,
    ServerDelete,
    Structure,
)
from bridge.store.api import DeviceExists, StoreError, TooMany
from bridge.store.sqlite import text_index
from bridge.store.sqlite.read import canonical
from bridge.store.sqlite.write_mailboxes import MailboxWrites, checked

_DAY = 86_400
_PURGE_OCTETS = 64 * 1024 * 1024  # deleted in one transaction, after the first message


class SqliteWrite(MailboxWrites):
    """`bridge.store.api.WriteTx`: see there for what each method promises."""

    # --- messages -----------------------------------------------------------------------

    def add_message(self, message: NewMessage) -> MessageId:
        found = self.message_by_digest(message.digest)
        if found is not None:
            return found
        structure = message.structure
        ((number,),) = self._all(
            """INSERT INTO message (digest, size, header_size, fingerprint, sent_day, sent_at,
                received_at, base_subject, message_id, preview)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id""",
            (
                message.digest,
                len(message.octets),
                structure.header_size,
                structure.fingerprint,
                structure.sent_day,
                structure.sent_at,
                structure.received_at,
                _storable(structure.base_subject),
                _storable(structure.message_id),
                _storable(structure.preview),
            ),
        )
        self._describe(number, structure)
        self._put_octets(number, message.octets)
        self._homeless[MessageId(number)] = len(message.octets)
        return MessageId(number)

    def mend_message(self, message: NewMessage) -> bool:
        number = self.message_by_digest(message.digest) if self._found.damaged else None
        if number is None or number not in self._found.damaged:
            return False
        self._describe(number, message.structure)
        self._all("DELETE FROM message_chunk WHERE message_id = ?", (number,))
        self._put_octets(number, message.octets)
        self._found.forget(number)
        return True

    def _describe(self, number: int, structure: Structure) -> None:
        """What is derived from the octets."""
        self._all(
            """INSERT OR REPLACE INTO message_structure
                (message_id, envelope, bodystructure, body, parts) VALUES (?, ?, ?, ?, ?)""",
            (
                number,
                structure.envelope,
                structure.bodystructure,
                structure.body,
                structure.parts,
            ),
        )
        self._all(
            "INSERT OR REPLACE INTO message_header (message_id, header) VALUES (?, ?)",
            (number, structure.header),
        )
        keys = structure.sort_keys
        self._all(
            """INSERT OR REPLACE INTO message_sort (message_id, subject, is_reply, sender, "to", cc,
                display_from, display_to, links) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)""",
            (
                number,
                _storable(keys.subject),
                keys.is_reply,
                _storable(keys.sender),
                _storable(keys.to),
                _storable(keys.cc),
                _storable(keys.display_from),
                _storable(keys.display_to),
                keys.links,
            ),
        )

    def _put_octets(self, number: int, octets: Octets) -> None:
        self._many(
            "INSERT INTO message_chunk (message_id, start, octets) VALUES (?, ?, ?)",
            (
                (number, start, octets[start : start + limits.CHUNK])
                for start in range(0, len(octets), limits.CHUNK)
            ),
        )
        self.octets_added += len(octets)

    def index_texts(self, texts: Mapping[MessageId, str | None], version: str, stale: int) -> None:
        there, upto, made_by = self._text_index()
        row = self._one("SELECT value FROM meta WHERE key = 'text_stale'")
        if not there:
            return
        if made_by != version or (row and row[0] > max(stale, upto // 4)):
            self._all("INSERT INTO message_text (message_text) VALUES ('delete-all')")
            self._all("DELETE FROM text_beyond")
            self._set_meta(text_to=0, text_stale=0, text_version=version)
            return
        for message, text in texts.items():
            if text is None:
                self._all("INSERT INTO text_beyond (message_id) VALUES (?)", (message,))
            else:
                self._all(
                    "INSERT INTO message_text (rowid, text) VALUES (?, ?)",
                    (message, text_index.indexed(text)),
                )
        self._set_meta(text_to=max(texts, default=upto))

    def _set_meta(self, **values: int | str) -> None:
        for key, value in values.items():
            self._all(
                """INSERT INTO meta (key, value) VALUES (?, ?)
                ON CONFLICT (key) DO UPDATE SET value = excluded.value""",
                (key, value),
            )

    def purge(self, older_than: int, most: int = 1000) -> int:
        lost = self._all(
            """SELECT message.id, size FROM orphan JOIN message ON message.id = orphan.message_id
            WHERE since < ? AND digest NOT IN (SELECT digest FROM maildrop_item
                WHERE deleted_at IS NOT NULL AND last_poll IS NULL)
            ORDER BY since LIMIT ?""",
            (older_than, most),
        )
        doomed: list[int] = []
        octets = 0
        for number, size in lost:
            if doomed and octets + size > _PURGE_OCTETS:
                break
            doomed.append(number)
            octets += size
        # entry.message_id refers to message: were an orphan in use after all, this would fail.
        self._all(
            "DELETE FROM message WHERE id IN (SELECT value FROM json_each(?))",
            (json.dumps(doomed),),
        )
        self._all("UPDATE meta SET value = value + ? WHERE key = 'text_stale'", (len(doomed),))
        return len(doomed)

    # --- accounts -----------------------------------------------------------------------

    def ensure_account(self, address: str, login: LoginId, mailbox: str) -> Account:
        mailbox = checked(mailbox)
        if not self._exists(login, mailbox):
            self.create_mailbox(login, mailbox)
            self.subscribe(login, mailbox, True)  # or clients would not show where mail arrives
        ((number,),) = self._all(
            """INSERT INTO account (address, login_id, mailbox) VALUES (?, ?, ?)
            ON CONFLICT (address) DO UPDATE
            SET login_id = excluded.login_id, mailbox = excluded.mailbox RETURNING id""",
            (address, login, mailbox),
        )
        return Account(AccountId(number), address, login, mailbox)

    def record_poll(self, account: AccountId, state: AccountState) -> None:
        self._all(
            """UPDATE account SET watched = watched
                    + max(0, min(:day, ifnull(:last_success - last_success, 0))),
                last_success = :last_success, last_attempt = :last_attempt, notice = :notice,
                least_interval = :least_interval, listed = :listed, failures = :failures,
                error = :error, error_class = :error_class, advice = :advice
            WHERE id = :account""",
            {**asdict(state), "account": account, "day": _DAY},
        )

    def set_paused(self, account: AccountId, paused: bool) -> None:
        self._all("UPDATE account SET paused = ? WHERE id = ?", (paused, account))

    # --- devices ------------------------------------------------------------------------

    def add_device(self, login: LoginId, name: str, proof: DeviceProof, now: int) -> Device:
        ((said,),) = self._all("SELECT name FROM login WHERE id = ?", (login,))
        names = [
            row[0] for row in self._all("SELECT name FROM device WHERE login_id = ?", (login,))
        ]
        if name in names:
            raise DeviceExists(f"{said} has a device named {name} already; choose another name.")
        if len(names) >= limits.DEVICES_PER_LOGIN:
            raise TooMany(f"{said} has {len(names)} devices; revoke one that is not used any more.")
        ((number,),) = self._all(
            """INSERT INTO device (login_id, name, created, digest, stored_key, server_key)
            VALUES (?, ?, ?, ?, ?, ?) RETURNING id""",
            (login, name, now, proof.digest, proof.stored_key, proof.server_key),
        )
        return Device(DeviceId(number), said, name, now, None, proof)

    def revoke_device(self, device: DeviceId) -> None:
        self._all("DELETE FROM device WHERE id = ?", (device,))

    def see_devices(self, seen: Mapping[DeviceId, int]) -> None:
        self._many(
            "UPDATE device SET last_seen = ? WHERE id = ?",
            ((moment, device) for device, moment in seen.items()),
        )

    def ensure_secret(self, name: str, fresh: bytes) -> bytes:
        self._all(
            "INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT DO NOTHING",
            (f"secret {name}", fresh),
        )
        ((kept,),) = self._all("SELECT value FROM meta WHERE key = ?", (f"secret {name}",))
        return bytes(kept)

    # --- maildrops ----------------------------------------------------------------------

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
        ((number,),) = self._all(
            """INSERT INTO maildrop_item (account_id, uidl, size, digest, fingerprint, listed_at,
                headers, settled_at, settled_watched)
            SELECT :account, :uidl, :size, :digest, :fingerprint, :now, :headers,
                ifnull(min(settled_at), :now), ifnull(min(settled_watched),
                    (SELECT watched FROM account WHERE id = :account))
            FROM maildrop_item WHERE account_id = :account AND digest = :digest RETURNING id""",
            {
                "account": account,
                "uidl": item.uidl,
                "size": item.size,
                "digest": digest,
                "fingerprint": fingerprint,
                "now": now,
                "headers": headers,
            },
        )
        return int(number)

    def relink_item(self, item_id: int, item: ListedItem, now: int) -> None:
        rows = self._all(
            """UPDATE maildrop_item SET uidl = ?, size = ?, listed_at = ?, last_poll = NULL
            WHERE id = ? RETURNING id""",
            (item.uidl, item.size, now, item_id),
        )
        if not rows:
            raise StoreError("The maildrop item is not known any more.")

    def mark_listing(self, account: AccountId, listed: Iterable[int], now: int) -> None:
        # Only items that went missing or came back are written: see the schema.
        ids = json.dumps(list(listed))
        self._all(
            """UPDATE maildrop_item SET last_poll = a.polls,
                listed_at = max(maildrop_item.listed_at, a.listed_at)
            FROM account AS a WHERE a.id = account_id AND account_id = ? AND last_poll IS NULL
            AND maildrop_item.id NOT IN (SELECT value FROM json_each(?))""",
            (account, ids),
        )
        self._all(
            """UPDATE maildrop_item SET last_poll = NULL, listed_at = ?
            WHERE account_id = ? AND last_poll IS NOT NULL
            AND id IN (SELECT value FROM json_each(?))""",
            (now, account, ids),
        )
        self._all(
            "UPDATE account SET polls = polls + 1, listed_at = ? WHERE id = ?", (now, account)
        )

    def forget_items(self, items: Iterable[int]) -> None:
        self._all(
            "DELETE FROM maildrop_item WHERE id IN (SELECT value FROM json_each(?))",
            (json.dumps(list(items)),),
        )

    def mark_deleted(
        self, account: AccountId, deleted: Iterable[int], restored: Iterable[int], now: int
    ) -> None:
        self._all(
            """UPDATE maildrop_item SET deleted_at = ?, deleted_watched = a.watched
            FROM account AS a WHERE a.id = account_id AND account_id = ? AND deleted_at IS NULL
            AND maildrop_item.id IN (SELECT value FROM json_each(?))""",
            (now, account, json.dumps(list(deleted))),
        )
        self._all(
            """UPDATE maildrop_item SET deleted_at = NULL, deleted_watched = NULL
            WHERE account_id = ? AND id IN (SELECT value FROM json_each(?))""",
            (account, json.dumps(list(restored))),
        )

    def note_poison(self, account: AccountId, poison: Poison) -> None:
        self._all(
            """INSERT INTO poison (id, account_id, uidl, size, failures, next_try, said, stub)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET
                failures = excluded.failures, next_try = excluded.next_try,
                said = excluded.said, stub = excluded.stub, size = excluded.size""",
            (
                poison.id or None,
                account,
                poison.uidl,
                poison.size,
                poison.failures,
                poison.next_try,
                _storable(poison.said),
                poison.stub,
            ),
        )

    def forget_poison(self, poison: int) -> None:
        self._all("DELETE FROM poison WHERE id = ?", (poison,))

    def log_deletes(self, deletes: Sequence[ServerDelete]) -> Sequence[int]:
        ids = []
        for each in deletes:
            ((number,),) = self._all(
                """INSERT INTO server_delete (address, at, uidl, size, digest, reason, outcome)
                VALUES (:address, :at, :uidl, :size, :digest, :reason, :outcome) RETURNING id""",
                asdict(each),
            )
            ids.append(int(number))
        return ids

    def set_outcome(self, deletes: Iterable[int], outcome: str) -> None:
        self._all(
            "UPDATE server_delete SET outcome = ? WHERE id IN (SELECT value FROM json_each(?))",
            (outcome, json.dumps(list(deletes))),
        )

    def set_alert(self, account: AccountId, alert: tuple[str, bytes] | None) -> None:
        self._all("DELETE FROM alert WHERE account_id = ?", (account,))
        if alert is not None:
            self._all(
                "INSERT INTO alert (account_id, cause, digest) VALUES (?, ?, ?)",
                (account, *alert),
            )

    def remember(self, account: AccountId, memory: str) -> None:
        self._all("UPDATE account SET memory = ? WHERE id = ?", (memory, account))

    # --- imports ------------------------------------------------------------------------

    def note_import(
        self, login: LoginId, digest: bytes, mailbox: str, fingerprint: bytes, *, awaited: bool
    ) -> None:
        self._all(
            """INSERT OR IGNORE INTO imported (login_id, digest, mailbox, fingerprint, awaited)
            VALUES (?, ?, ?, ?, ?)""",
            (login, digest, canonical(mailbox), fingerprint, int(awaited)),
        )

    def claim_import(self, login: LoginId, digest: bytes) -> None:
        self._all(
            "UPDATE imported SET awaited = 0 WHERE login_id = ? AND digest = ?", (login, digest)
        )

    # --- messages from us -----------------------------------------------------------------

    def withdraw(self, login: LoginId, digest: bytes) -> int:
        shown = self._all(
            """SELECT e.mailbox_id, e.uid FROM message AS m
            CROSS JOIN entry AS e ON e.message_id = m.id
            CROSS JOIN mailbox AS b ON b.id = e.mailbox_id
            WHERE m.digest = ? AND b.login_id = ?""",
            (digest, login),
        )
        for mailbox, uid in shown:
            self.expunge(mailbox, ((uid, uid),), only_deleted=False)
        return len(shown)


def _storable(text: str) -> str:
    """SQLite keeps UTF-8: a lone surrogate, which has none, must not cost us the message."""
    return text.encode(errors="replace").decode()
