"""A connection with all the settings that the engine's rules ask for, and its schema up to date."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path

from bridge.store import migrate
from bridge.store.api import StoreError
from bridge.store.sqlite.blocks import Gathered
from bridge.store.sqlite.errors import SQL_ERRORS, store_error

Connect = Callable[..., sqlite3.Connection]

PAGE = 8192
BUSY_SECONDS = 5.0  # for a lock that only a stranger can hold, e.g. the sqlite3 command
_OLDEST_SQLITE = (3, 37, 0)  # STRICT tables


def connect(path: Path, *, writer: bool, factory: Connect = sqlite3.connect) -> sqlite3.Connection:
    """A connection for the thread that calls, with every setting that the rules above ask for."""
    if sqlite3.sqlite_version_info < _OLDEST_SQLITE:
        raise StoreError(
            f"SQLite {sqlite3.sqlite_version} is too old: version 3.37 or newer is needed. "
            "Use a Python that brings a newer one."
        )
    db = factory(
        f"{path.absolute().as_uri()}?mode={'rw' if writer else 'ro'}",
        uri=True,
        timeout=BUSY_SECONDS,
        isolation_level=None,  # BEGIN and COMMIT are ours
        cached_statements=256,
    )
    try:
        settings = ["mmap_size = 0", "temp_store = MEMORY", "trusted_schema = OFF"]
        if writer:
            settings += [
                f"page_size = {PAGE}",
                "journal_mode = WAL",
                "synchronous = FULL",
                "foreign_keys = ON",
                "wal_autocheckpoint = 0",
                "journal_size_limit = 67108864",
                "cache_size = -16384",
            ]
        else:
            settings += ["query_only = ON", "wal_autocheckpoint = 0", "cache_size = -4096"]
        for setting in settings:
            db.execute(f"PRAGMA {setting}").fetchall()
        if writer:
            ((mode,),) = db.execute("PRAGMA journal_mode")
            if mode != "wal":
                raise StoreError(
                    f"SQLite could not switch {path} to WAL (it stays {mode!r}). "
                    "Network file systems cannot hold the database: use a local disk."
                )
    except BaseException:
        db.close()
        raise
    return db


def upgrade(db: sqlite3.Connection, known: Sequence[migrate.Migration]) -> None:
    """Runs the migrations that are still missing. Raises SchemaTooNew, StoreError."""
    tables = {name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    version = 0
    if "meta" in tables:
        ((version,),) = db.execute("SELECT value FROM meta WHERE key = 'schema'")
    elif tables:
        raise StoreError("The database file is not one of this program.")
    # 0011 makes blocks out of rows, which SQL has no words for.
    db.create_aggregate("gathered", 3, Gathered)  # type: ignore[arg-type]  # typeshed: one int
    for script in migrate.pending(version, known):
        number = int(script.number)
        try:
            db.executescript(
                f"BEGIN IMMEDIATE;\n{script.sql}\n"
                f"INSERT INTO meta (key, value) VALUES ('schema', {number}) "
                "ON CONFLICT (key) DO UPDATE SET value = excluded.value;\nCOMMIT;"
            )
        except SQL_ERRORS as error:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise StoreError(
                f"The database could not be upgraded by {script.name}: {store_error(error)} "
                "It is as it was before that step."
            ) from error
