"""Counts everything again and says what does not fit. For tests and for a doctor: reads it all.

Each rule is a sentence and a query for what breaks it; a sound database gives no row.
"""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
from pathlib import Path

_RULES = (
    (
        "the counts of a mailbox are those of its entries",
        """SELECT b.id FROM mailbox AS b LEFT JOIN
            (SELECT mailbox_id, count(*) AS messages, sum(NOT flags & 8) AS unseen,
                sum(flags & 4 <> 0) AS deleted, sum(size) AS octets
             FROM entry JOIN message ON message.id = entry.message_id GROUP BY mailbox_id) AS e
            ON e.mailbox_id = b.id
        WHERE (b.messages, b.unseen, b.deleted, b.octets) IS NOT
            (ifnull(e.messages, 0), ifnull(e.unseen, 0), ifnull(e.deleted, 0), ifnull(e.octets, 0))
        """,
    ),
    (
        "UIDs are below UIDNEXT, MODSEQs at most HIGHESTMODSEQ",
        """SELECT b.id, uid FROM entry JOIN mailbox AS b ON b.id = mailbox_id
        WHERE uid >= uidnext OR modseq > highestmodseq OR modseq < 1 OR uid < 1""",
    ),
    (
        "a UID that was expunged is not there",
        "SELECT mailbox_id, uid FROM entry JOIN expunged USING (mailbox_id, uid)",
    ),
    (
        "tombstones are below UIDNEXT, at most HIGHESTMODSEQ and newer than what was forgotten",
        """SELECT b.id, uid FROM expunged JOIN mailbox AS b ON b.id = mailbox_id
        WHERE uid >= uidnext OR modseq > highestmodseq OR modseq <= tombstones_from""",
    ),
    (
        "tombstones are counted",
        """SELECT id FROM mailbox AS b WHERE tombstones <>
            (SELECT count(*) FROM expunged WHERE mailbox_id = b.id)""",
    ),
    (
        "what changed since `changed_from` is logged",
        """SELECT e.mailbox_id, e.uid FROM mailbox AS b
        JOIN entry AS e ON e.mailbox_id = b.id AND e.modseq > b.changed_from
        WHERE NOT EXISTS (SELECT 1 FROM changed AS c, json_each(c.uids) AS r
            WHERE c.mailbox_id = b.id AND c.modseq = e.modseq AND e.uid BETWEEN
                json_extract(r.value, '$[0]') AND json_extract(r.value, '$[1]'))""",
    ),
    (
        "first_recent is at most UIDNEXT",
        "SELECT id FROM mailbox WHERE first_recent > uidnext OR first_recent < 1",
    ),
    (
        "a message has an entry or is noted as orphan, never both",
        """SELECT id FROM message WHERE
            EXISTS (SELECT 1 FROM entry WHERE entry.message_id = message.id) =
            EXISTS (SELECT 1 FROM orphan WHERE orphan.message_id = message.id)""",
    ),
    (
        "a message has its structure, its header and its sort keys",
        """SELECT id FROM message WHERE id NOT IN (SELECT message_id FROM message_structure)
        OR id NOT IN (SELECT message_id FROM message_header)
        OR id NOT IN (SELECT message_id FROM message_sort)""",
    ),
    (
        "an entry's keyword set exists",
        "SELECT mailbox_id, uid FROM entry WHERE keywords NOT IN (SELECT id FROM keyword_set)",
    ),
    (
        "UIDVALIDITY is at most the counter",
        """SELECT id FROM mailbox WHERE uidvalidity >
            (SELECT value FROM meta WHERE key = 'uidvalidity')""",
    ),
    ("references hold", "PRAGMA foreign_key_check"),
    ("pages and indexes are sound", "PRAGMA integrity_check"),
)


def faults(db: sqlite3.Connection) -> list[str]:
    """What is wrong, one line each: the rule and the rows; empty when all is well."""
    found = []
    for rule, query in _RULES:
        rows = [row for row in db.execute(query).fetchall() if row != ("ok",)]
        if rows:
            found.append(f"{rule}: not so for {rows[:5]}")
    for number, size, digest in db.execute("SELECT id, size, digest FROM message").fetchall():
        content = hashlib.sha256()
        end = 0
        for start, octets in db.execute(
            "SELECT start, octets FROM message_chunk WHERE message_id = ? ORDER BY start", (number,)
        ):
            content.update(octets)
            end = end + len(octets) if start == end else -1
        if end != size or content.digest() != digest:
            found.append(f"the bytes of a message are those of its digest: not so for {number}")
    return found


def version() -> tuple[int, ...]:
    """Of the SQLite under Python."""
    return sqlite3.sqlite_version_info


def examine(path: Path) -> list[str]:
    """What is wrong with a database on disk: SQLite's own check, then `faults`. It is opened to be
    read, also beside a daemon that writes."""
    try:
        with contextlib.closing(sqlite3.connect(path.as_uri() + "?mode=ro", uri=True)) as db:
            said = [str(row[0]) for row in db.execute("PRAGMA integrity_check(20)")]
            return [each for each in said if each != "ok"] or faults(db)
    except sqlite3.Error as error:
        return [f"it cannot be read: {error}"]
