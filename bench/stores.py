"""Large stores, made once and kept: `numbered` messages in the INBOX of `user0`.

    python -m bench.stores 1000 10000 100000 1000000

The first ten thousand messages and the last hundred go through the store's own API, and so do the
entries of all. The messages between are copies of the former, made by SQL with another number in
them, as a million would take a quarter of an hour otherwise: their bytes, digests and text index
are what the API had made of them; `links` and `fingerprint`, of which nothing here is measured, are
hashes of nothing.

Kept in `~/.cache/popbridge-bench` (or `$POPBRIDGE_BENCH`) by what they are made of. Flags, and the
words that searches look for, are on as many messages at every size, so that a curve shows the cost
of finding and not that of telling. A newer program upgrades what an older one has made.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hashlib
import os
import shutil
import sqlite3
import sys
import time
from pathlib import Path

from bench import corpus
from bridge import indexing
from bridge.mime.parser import scan
from bridge.mime.text import fold
from bridge.model import Flag, MailboxId, MessageId, NewMessage
from bridge.store.api import WriteTx
from bridge.store.opening import DATABASE, open_store

USER = "user0"
BLOCK = 10_000  # messages that go through the API before copies are made
AT_ONCE = 2_000  # of them in one transaction
DATE = 1_700_000_000  # INTERNALDATE of the first message; each is a minute after the one before
FORM = b"3"  # to be raised when the same messages are stored in another way


def cache() -> Path:
    """The folder of what is kept from run to run."""
    given = os.environ.get("POPBRIDGE_BENCH")
    return Path(given) if given else Path.home() / ".cache" / "popbridge-bench"


def kept(count: int) -> Path:
    """The data_dir of a store with so many messages, made if it is not there."""
    folder = cache() / f"{count}-{_made_of()}"
    if not folder.exists():
        cache().mkdir(parents=True, exist_ok=True)
        for old in cache().glob(f"{count}-*"):
            shutil.rmtree(old)
        start = time.monotonic()
        new = folder.with_suffix(".new")
        _build(new, count)
        new.rename(folder)
        print(f"{count:,} messages stored in {time.monotonic() - start:.0f} s", file=sys.stderr)
    return folder


def _made_of() -> str:
    octets = b"".join(map(corpus.numbered, range(corpus.SPECIAL)))
    return hashlib.sha256(octets + FORM).hexdigest()[:12]


def _build(folder: Path, count: int) -> None:
    last = min(corpus.UNSEEN, count)
    first = min(count - last, BLOCK)
    asyncio.run(_add(folder, range(first), Flag.SEEN))
    copies = count - last - first
    if copies:
        with contextlib.closing(sqlite3.connect(folder / DATABASE)) as db:
            _multiply(db, copies)
        asyncio.run(_enter(folder, range(first, count - last)))
    asyncio.run(_add(folder, range(count - last, count), Flag(0)))


async def _add(folder: Path, numbers: range, flags: Flag) -> None:
    store = await open_store(folder, "sqlite")
    in_a_step, indexing.MESSAGES = indexing.MESSAGES, AT_ONCE

    def work(tx: WriteTx) -> None:
        for number in batch:
            octets = corpus.numbered(number)
            new = NewMessage(octets, hashlib.sha256(octets).digest(), scan(octets))
            date = DATE + 60 * number
            tx.add_entry(box, tx.add_message(new), flags=flags, internaldate=date)

    try:
        login = await store.write(lambda tx: tx.ensure_login(USER))
        box: MailboxId = (await store.read(lambda tx: tx.mailbox(login.id, "INBOX"))).id
        for start in range(0, len(numbers), AT_ONCE):
            batch = numbers[start : start + AT_ONCE]
            await store.write(work)
        indexer = indexing.TextIndexer(store)
        while await indexer.step() is not None:
            pass
    finally:
        indexing.MESSAGES = in_a_step
        await store.close()


_COPIES = (
    """INSERT INTO message_chunk SELECT message_id + :by, start, renumbered(octets, message_id)
        FROM message_chunk WHERE message_id BETWEEN :low AND :high""",
    """INSERT INTO message SELECT id + :by, hash((SELECT octets FROM message_chunk
            WHERE message_id = id + :by)), size, header_size, hash(id + :by), sent_day,
        sent_at, received_at, renumbered(base_subject, id), renumbered(message_id, id),
        renumbered(preview, id) FROM message WHERE id BETWEEN :low AND :high""",
    """INSERT INTO message_structure SELECT message_id + :by, renumbered(envelope, message_id),
        bodystructure, body, parts FROM message_structure
        WHERE message_id BETWEEN :low AND :high""",
    """INSERT INTO message_header SELECT message_id + :by, renumbered(header, message_id)
        FROM message_header WHERE message_id BETWEEN :low AND :high""",
    """INSERT INTO message_sort SELECT message_id + :by, renumbered(subject, message_id), is_reply,
        sender, "to", cc, display_from, display_to,
        substr(hash(message_id + :by), 1, length(links))
        FROM message_sort WHERE message_id BETWEEN :low AND :high""",
)


def _multiply(db: sqlite3.Connection, copies: int) -> None:
    """Message `number` has the id `number` + 1: copies continue the row."""
    texts = _texts(db)
    low, by = corpus.SPECIAL + 1, 0

    def renumbered(value: str | bytes, message: int) -> str | bytes:
        old, new = f"{message - 1:07}", f"{message - 1 + by:07}"
        if isinstance(value, str):
            return value.replace(old, new)
        return value.replace(old.encode(), new.encode())

    def hashed(value: bytes | int) -> bytes:
        return hashlib.sha256(value if isinstance(value, bytes) else b"%d" % value).digest()

    db.create_function("renumbered", 2, renumbered)
    db.create_function("hash", 1, hashed)
    for setting in ("synchronous = OFF", "cache_size = -262144", "temp_store = MEMORY"):
        db.execute(f"PRAGMA {setting}").fetchall()
    while copies:
        by += BLOCK - corpus.SPECIAL
        high = min(BLOCK, low + copies - 1)
        for statement in _COPIES:
            db.execute(statement, {"by": by, "low": low, "high": high})
        db.executemany(
            "INSERT INTO message_text (rowid, text) VALUES (?, ?)",
            ((number + by, renumbered(texts[number], number)) for number in range(low, high + 1)),
        )
        copies -= high - low + 1
        db.commit()
    db.execute("UPDATE meta SET value = (SELECT max(id) FROM message) WHERE key = 'text_to'")
    db.commit()
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def _texts(db: sqlite3.Connection) -> dict[int, str]:
    """What the text index has of the messages that are copied, by id."""
    return {
        number: "\x01".join(map(fold, indexing.searched(octets, header, parts)))
        for number, octets, header, parts in db.execute(
            """SELECT c.message_id, c.octets, h.header, s.parts FROM message_chunk AS c
            JOIN message_header AS h USING (message_id) JOIN message_structure AS s
            USING (message_id) WHERE c.message_id > ?""",
            (corpus.SPECIAL,),
        )
    }


async def _enter(folder: Path, numbers: range) -> None:
    """Shows these messages in INBOX."""
    store = await open_store(folder, "sqlite")

    def work(tx: WriteTx) -> None:
        for number in batch:
            date = DATE + 60 * number
            tx.add_entry(box, MessageId(number + 1), flags=Flag.SEEN, internaldate=date)

    try:
        login = await store.write(lambda tx: tx.ensure_login(USER))
        box: MailboxId = (await store.read(lambda tx: tx.mailbox(login.id, "INBOX"))).id
        for start in range(0, len(numbers), AT_ONCE):
            batch = numbers[start : start + AT_ONCE]
            await store.write(work)
    finally:
        await store.close()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.stores")
    parser.add_argument("counts", type=int, nargs="+")
    for count in parser.parse_args().counts:
        print(kept(count))


if __name__ == "__main__":
    main()
