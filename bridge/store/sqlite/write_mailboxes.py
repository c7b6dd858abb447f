"""Logins and their mailboxes: made, renamed, deleted, subscribed.

UIDVALIDITY is a counter in `meta`, started once from the clock and from then on moved by one: two
mailboxes never share a value, whatever the clock does. A renamed mailbox keeps its value, unless
its new name has shown a higher one before (a mailbox of that name was deleted, or renamed away):
RFC 3501 2.3.1.1 wants the value of a name to rise when its UIDs no longer hold, so it then gets a
new one.
"""

# ruff: noqa: S608  only texts fixed in this room are put together; every value is bound

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from bridge import limits
from bridge.model import Login, LoginId, Mailbox, MailboxId, SpecialUse
from bridge.store.api import MailboxExists, NoSuchMailbox, StoreError, TooMany
from bridge.store.sqlite.read import canonical
from bridge.store.sqlite.write_base import UID_LIMIT
from bridge.store.sqlite.write_entries import ALL, EntryWrites

# What every new login finds. The names are those that clients use when they make them themselves.
_SPECIAL = (
    ("Drafts", SpecialUse.DRAFTS),
    ("Sent", SpecialUse.SENT),
    ("Junk", SpecialUse.JUNK),
    ("Trash", SpecialUse.TRASH),
    ("Archive", SpecialUse.ARCHIVE),
)
_BELOW = "name > ? || '/' AND name < ? || '0'"  # "0" follows "/": the names that begin with it
_FIRST_UIDVALIDITY_MOST = 2**32 - 2**28  # a clock in the far future leaves values to count


def checked(name: str) -> str:
    """The name as the store keeps it. Raises StoreError or TooMany for what is no name."""
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        raise StoreError("A mailbox name must be valid Unicode.") from None
    if size > limits.MAILBOX_NAME:
        raise TooMany(f"A mailbox name may have {limits.MAILBOX_NAME} octets.")
    levels = name.split("/")
    if len(levels) > limits.MAILBOX_DEPTH:
        raise TooMany(f"A mailbox may lie {limits.MAILBOX_DEPTH} levels deep.")
    if not all(levels):
        raise StoreError("A mailbox name has no empty level: it neither begins nor ends with '/'.")
    if any(ord(character) < 32 or ord(character) == 127 for character in name):
        raise StoreError("A mailbox name has no control characters.")
    return canonical(name)


class MailboxWrites(EntryWrites):
    """The part of `WriteTx` under "logins" and "mailboxes"."""

    def ensure_login(self, name: str) -> Login:
        found = self.login(name)
        if found is None:
            ((number,),) = self._all("INSERT INTO login (name) VALUES (?) RETURNING id", (name,))
            found = Login(LoginId(number), name)
            self._make(found.id, "INBOX", None)
            self.subscribe(found.id, "INBOX", True)
            for mailbox, use in _SPECIAL:
                self._make(found.id, mailbox, use)
                self.subscribe(found.id, mailbox, True)
        return found

    def create_mailbox(
        self, login: LoginId, name: str, special_use: SpecialUse | None = None
    ) -> Mailbox:
        name = checked(name)
        if self._exists(login, name):
            raise MailboxExists("There is a mailbox of that name already.")
        self._make_parents(login, name, beside=1)
        return self._make(login, name, special_use)

    def delete_mailbox(self, login: LoginId, name: str) -> None:
        mailbox = self.mailbox(login, name)
        if mailbox.name == "INBOX":  # RFC 3501 6.3.4
            raise StoreError("INBOX cannot be deleted.")
        self._remember_names(login, mailbox.name)
        self._remove("mailbox_id = ?", (mailbox.id,))
        self._all("DELETE FROM mailbox WHERE id = ?", (mailbox.id,))
        self._tell(login, mailbox.id, mailbox.highestmodseq + 1)
        self._tell(login, None)

    def rename_mailbox(self, login: LoginId, name: str, to: str) -> None:
        name, to = canonical(name), checked(to)
        if name == "INBOX":
            # RFC 3501 6.3.5: the messages move, INBOX and what lies below it stay.
            target, inbox = self.create_mailbox(login, to), self.mailbox(login, name)
            self.move(inbox.id, ALL, target.id)
            self.set_metadata(login, target.id, self.metadata(login, inbox.id))
            return
        tree = self._tree(login, name)
        if not tree:
            raise NoSuchMailbox("There is no mailbox of that name.")
        if to.startswith(name + "/"):
            raise StoreError("A mailbox cannot be moved below itself.")
        renamed = {old: checked(to + old[len(name) :]) for old in tree}
        taken = set(self._tree(login, to)) - set(tree)
        if self._exists(login, to) or taken.intersection(renamed.values()):
            raise MailboxExists("There is a mailbox of that name already.")
        self._make_parents(login, to, beside=0)
        self._remember_names(login, name)
        # In two steps, because a new name may be the old name of another of the tree.
        self._all(
            f"UPDATE mailbox SET name = '//' || ? || substr(name, ?) "
            f"WHERE login_id = ? AND (name = ? OR {_BELOW})",
            (to, len(name) + 1, login, name, name, name),
        )
        self._all(
            """UPDATE mailbox SET name = substr(name, 3), highestmodseq = highestmodseq + 1
            WHERE login_id = ? AND name >= '//' AND name < '/0'""",
            (login,),
        )
        self._raise_uidvalidity(login, to)
        self._move_subscriptions(login, name, to)
        for mailbox in self.mailboxes(login):
            if mailbox.name == to or mailbox.name.startswith(to + "/"):
                self._tell(login, mailbox.id, mailbox.highestmodseq)
        self._tell(login, None)

    def subscribe(self, login: LoginId, name: str, on: bool) -> None:
        if on:
            # RFC 3501 6.3.6: the name need not exist.
            query = "INSERT OR IGNORE INTO subscription (login_id, name) VALUES (?, ?)"
            name = checked(name)
            self._cap(login, "subscription", 0 if name in self.subscriptions(login) else 1)
        else:
            query = "DELETE FROM subscription WHERE login_id = ? AND name = ?"
            name = canonical(name)
        self._all(query, (login, name))
        self._tell(login, None)

    def set_special_use(self, mailbox: MailboxId, special_use: SpecialUse | None) -> None:
        login = self._login_of(mailbox)
        if special_use is not None:
            self._all(
                "UPDATE mailbox SET special_use = NULL WHERE login_id = ? AND special_use = ?",
                (login, special_use),
            )
        self._all("UPDATE mailbox SET special_use = ? WHERE id = ?", (special_use, mailbox))
        self._tell(login, None)

    def set_metadata(
        self, login: LoginId, mailbox: MailboxId | None, values: Mapping[str, bytes | None]
    ) -> None:
        if mailbox is not None and self._login_of(mailbox) != login:
            raise NoSuchMailbox("There is no mailbox of that name.")
        there = self.metadata(login, mailbox)
        names = {*there, *(n for n, value in values.items() if value is not None)}
        names -= {name for name, value in values.items() if value is None}
        if len(names) > max(limits.METADATA_ENTRIES, len(there)):
            raise TooMany(f"A mailbox may have {limits.METADATA_ENTRIES} annotations.")
        if any(len(value or b"") > limits.METADATA_VALUE for value in values.values()):
            raise TooMany(f"An annotation may have {limits.METADATA_VALUE} octets.")
        more = sum(len(v or b"") - len(there.get(name, b"")) for name, v in values.items())
        ((octets,),) = self._all(
            "SELECT ifnull(sum(length(value)), 0) FROM metadata WHERE login_id = ?", (login,)
        )
        if more > 0 and octets + more > limits.METADATA_OCTETS:
            raise TooMany(f"A login may have {limits.METADATA_OCTETS} octets of annotations.")
        for name, value in values.items():
            self._all(
                """DELETE FROM metadata
                WHERE login_id = ? AND ifnull(mailbox_id, 0) = ? AND name = ?""",
                (login, mailbox or 0, name),
            )
            if value is not None:
                self._all(
                    """INSERT INTO metadata (login_id, mailbox_id, name, value)
                    VALUES (?, ?, ?, ?)""",
                    (login, mailbox, name, value),
                )
        if values:
            self._tell(login, None)

    # --- renumbering --------------------------------------------------------------------

    def renumber(self, mailbox: MailboxId, first: int, order: Sequence[bytes]) -> Mailbox:
        old = self.mailbox_by_id(mailbox)
        rank = {digest: number for number, digest in enumerate(order)}
        entries = self._all(
            """SELECT e.uid, m.digest FROM entry AS e CROSS JOIN message AS m
            ON m.id = e.message_id WHERE e.mailbox_id = ? ORDER BY e.uid""",
            (mailbox,),
        )
        places = [at for at, (uid, found) in enumerate(entries) if uid >= first and found in rank]
        sequence = [uid for uid, _ in entries]
        for at, source in zip(
            places, sorted(places, key=lambda at: rank[entries[at][1]]), strict=True
        ):
            sequence[at] = entries[source][0]
        # A row of its own: sessions follow a mailbox by its id, and must hear that it is gone.
        self._all("UPDATE mailbox SET name = '//' WHERE id = ?", (mailbox,))
        use = old.special_use
        new = self._make(old.login_id, old.name, use)
        pairs = [[uid, number] for number, uid in enumerate(sequence, 1)]
        modseq = old.highestmodseq + 1
        self._all(
            """INSERT INTO entry (mailbox_id, uid, message_id, size, internaldate, savedate)
            SELECT ?, json_extract(p.value, '$[1]'), e.message_id, e.size, e.internaldate,
                e.savedate
            FROM json_each(?) AS p CROSS JOIN entry AS e
            ON e.mailbox_id = ? AND e.uid = json_extract(p.value, '$[0]')""",
            (new.id, json.dumps(pairs), mailbox),
        )
        states = self.entry_states(mailbox)
        place = {uid: at for at, uid in enumerate(states.uids)}
        moved = [place[uid] for uid in sequence]
        self._put_entries(
            new.id,
            1,
            bytes(states.flags[at] for at in moved),
            [states.keyword_sets[at] for at in moved],
            modseq,
        )
        self._all(
            """UPDATE mailbox SET uidnext = ?, highestmodseq = ?, messages = ?, unseen = ?,
                deleted = ?, octets = ?, first_recent = ? WHERE id = ?""",
            (
                len(pairs) + 1,
                modseq,
                old.messages,
                old.unseen,
                old.deleted,
                old.octets,
                len(pairs) + 1,
                new.id,
            ),
        )
        self._all("UPDATE metadata SET mailbox_id = ? WHERE mailbox_id = ?", (new.id, mailbox))
        self._all("DELETE FROM entry WHERE mailbox_id = ?", (mailbox,))
        self._all("DELETE FROM mailbox WHERE id = ?", (mailbox,))
        self._tell(old.login_id, mailbox, modseq)
        self._tell(old.login_id, None)
        return self.mailbox_by_id(new.id)

    # --- making -------------------------------------------------------------------------

    def _exists(self, login: LoginId, name: str) -> bool:
        return bool(
            self._all("SELECT 1 FROM mailbox WHERE login_id = ? AND name = ?", (login, name))
        )

    def _cap(self, login: LoginId, table: str, new: int) -> None:
        ((there,),) = self._all(f"SELECT count(*) FROM {table} WHERE login_id = ?", (login,))
        if there + new > limits.MAILBOXES_PER_LOGIN:
            raise TooMany(f"A login may have {limits.MAILBOXES_PER_LOGIN} mailboxes.")

    def _make_parents(self, login: LoginId, name: str, *, beside: int) -> None:
        """RFC 3501 6.3.3 and 6.3.5: superior names are made; `beside` more are to follow."""
        levels = name.split("/")
        parents = ["/".join(levels[:depth]) for depth in range(1, len(levels))]
        missing = [parent for parent in parents if not self._exists(login, parent)]
        self._cap(login, "mailbox", len(missing) + beside)
        for parent in missing:
            self._make(login, parent, None)

    def _make(self, login: LoginId, name: str, special_use: SpecialUse | None) -> Mailbox:
        ((number,),) = self._all(
            """INSERT INTO mailbox (login_id, name, uidvalidity, special_use)
            VALUES (?, ?, ?, ?) RETURNING id""",
            (login, name, self._next_uidvalidity(), special_use),
        )
        self._tell(login, None)
        return self.mailbox_by_id(MailboxId(number))

    def _next_uidvalidity(self) -> int:
        row = self._one("SELECT value FROM meta WHERE key = 'uidvalidity'")
        if row is None:
            value = max(1, min(int(self._now()), _FIRST_UIDVALIDITY_MOST))
        elif row[0] >= UID_LIMIT:
            raise TooMany("No mailbox can be made any more: UIDVALIDITY is at its end.")
        else:
            value = row[0] + 1
        self._all(
            """INSERT INTO meta (key, value) VALUES ('uidvalidity', ?)
            ON CONFLICT (key) DO UPDATE SET value = excluded.value""",
            (value,),
        )
        return value

    # --- renaming -----------------------------------------------------------------------

    def _tree(self, login: LoginId, name: str) -> Sequence[str]:
        """The names at and below `name` that exist."""
        rows = self._all(
            f"SELECT name FROM mailbox WHERE login_id = ? AND (name = ? OR {_BELOW})",
            (login, name, name, name),
        )
        return [found for (found,) in rows]

    def _remember_names(self, login: LoginId, name: str) -> None:
        """The names of the tree are about to go: notes what UIDVALIDITY they showed."""
        self._all(
            f"""INSERT INTO former_name (login_id, name, uidvalidity)
            SELECT login_id, name, uidvalidity FROM mailbox
            WHERE login_id = ? AND (name = ? OR {_BELOW})
            ON CONFLICT (login_id, name)
            DO UPDATE SET uidvalidity = max(uidvalidity, excluded.uidvalidity)""",
            (login, name, name, name),
        )

    def _raise_uidvalidity(self, login: LoginId, name: str) -> None:
        lower = self._all(
            f"""SELECT id FROM mailbox AS m WHERE login_id = ? AND (name = ? OR {_BELOW})
            AND uidvalidity < (SELECT f.uidvalidity FROM former_name AS f
                WHERE f.login_id = m.login_id AND f.name = m.name) ORDER BY id""",
            (login, name, name, name),
        )
        for (number,) in lower:
            self._all(
                "UPDATE mailbox SET uidvalidity = ? WHERE id = ?",
                (self._next_uidvalidity(), number),
            )

    def _move_subscriptions(self, login: LoginId, name: str, to: str) -> None:
        moving = [
            found
            for found in self.subscriptions(login)
            if found == name or found.startswith(name + "/")
        ]
        self._many(
            "DELETE FROM subscription WHERE login_id = ? AND name = ?",
            ((login, old) for old in moving),
        )
        self._many(
            "INSERT OR IGNORE INTO subscription (login_id, name) VALUES (?, ?)",
            ((login, to + old[len(name) :]) for old in moving),
        )
