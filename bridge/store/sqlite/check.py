"""Counts everything again and says what does not fit. For tests and for a doctor: reads it all.

Each rule is a sentence and a query for what breaks it; a sound database gives no row.
"""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
from pathlib import Path

from bridge.model import Flag
from bridge.store.sqlite import blocks
from bridge.store.sqlite.blocks import Block
from bridge.store.sqlite.errors import SQL_ERRORS
from bridge.store.sqlite.read import BLOCKS

_RULES = (
    (
        "an entry is in a mailbox",
        "SELECT mailbox_id, uid FROM entry WHERE mailbox_id NOT IN (SELECT id FROM mailbox)",
    ),
    (
        "an entry has the size of its message",
        """SELECT mailbox_id, uid FROM entry JOIN message ON message.id = entry.message_id
        WHERE entry.size <> message.size""",
    ),
    (
        "UIDs are below UIDNEXT",
        """SELECT b.id, uid FROM entry JOIN mailbox AS b ON b.id = mailbox_id
        WHERE uid >= uidnext OR uid < 1""",
    ),
    (
        "a UID that was expunged is not there",
        """SELECT entry.mailbox_id, uid FROM entry JOIN expunged
        ON expunged.mailbox_id = entry.mailbox_id AND uid BETWEEN first AND last""",
    ),
    (
        "tombstones are below UIDNEXT, at most HIGHESTMODSEQ and newer than what was forgotten",
        """SELECT b.id, first FROM expunged JOIN mailbox AS b ON b.id = mailbox_id
        WHERE first > last OR last >= uidnext OR modseq > highestmodseq
            OR modseq <= tombstones_from""",
    ),
    (
        "tombstones are counted",
        """SELECT id FROM mailbox AS b WHERE tombstones <>
            (SELECT ifnull(sum(last - first + 1), 0) FROM expunged WHERE mailbox_id = b.id)""",
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
    found += _block_faults(db)
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


def _block_faults(db: sqlite3.Connection) -> list[str]:
    """What blocks and rows of entries do not agree about."""
    found = []
    sets = {number for (number,) in db.execute("SELECT id FROM keyword_set")}
    boxes = "SELECT id, highestmodseq, messages, unseen, deleted, octets FROM mailbox"
    for box, highest, *counts in db.execute(boxes).fetchall():
        uids = db.execute("SELECT uid, size FROM entry WHERE mailbox_id = ? ORDER BY uid", (box,))
        sizes = dict(uids.fetchall())
        there: list[int] = []
        uncertain, flags = [], b""
        for number, modseq, marked, *columns in db.execute(
            """SELECT id, modseq, deleted, flags, keywords, modseqs FROM entry_block
            WHERE mailbox_id = ? ORDER BY id""",
            (box,),
        ):
            block = Block(number - box * BLOCKS, *columns)
            states = blocks.states([(block, block.there)])
            there += states.uids
            flags += states.flags
            if (
                marked != (255 in block.deleted)
                or not all(1 <= each <= modseq <= highest for each in states.modseqs)
                or not sets.issuperset(states.keyword_sets)
                or not states
                or max(states.flags) > 31
            ):
                uncertain.append(block.number)
        counted = [
            len(sizes),
            sum(not each & Flag.SEEN for each in flags),
            sum(bool(each & Flag.DELETED) for each in flags),
            sum(sizes.values()),
        ]
        if there != list(sizes):
            found.append(f"an entry has its place in a block: not so in mailbox {box}")
        if uncertain:
            found.append(f"blocks say what their entries are: not so for {box}: {uncertain[:5]}")
        if counts != counted:
            found.append(f"the counts of a mailbox are those of its entries: not so for {box}")
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
    except SQL_ERRORS as error:
        return [f"it cannot be read: {error}"]
