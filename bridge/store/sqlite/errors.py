"""What SQLite says, in words for a person; and what it means for the connection."""

from __future__ import annotations

import sqlite3
from typing import TypeAlias

from bridge.store.api import StoreDamaged, StoreError, StoreFull

# What is raised for an SQL error. Python cannot decode what SQLite says of a name in the schema
# that a disk damaged, and raises that instead.
SqlError: TypeAlias = sqlite3.Error | UnicodeDecodeError
SQL_ERRORS = (sqlite3.Error, UnicodeDecodeError)
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def primary_code(error: SqlError) -> int:
    """SQLite's primary result code; 0 where Python's own layer complained (wrong use)."""
    if isinstance(error, UnicodeDecodeError):
        return sqlite3.SQLITE_CORRUPT
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def store_error(error: SqlError) -> StoreError:
    """The error that callers see. Never shows SQL or values, which may be another login's."""
    code = primary_code(error)
    name = getattr(error, "sqlite_errorname", type(error).__name__)
    if code == sqlite3.SQLITE_FULL:
        return StoreFull(
            "The disk is full: nothing was changed. What is stored stays readable; "
            "free some space and it goes on by itself."
        )
    if code in _DAMAGED:
        return StoreDamaged(
            f"The database was not readable ({name}): its file may be damaged. `popbridge doctor "
            "--verify` says what is; then stop the program, keep a copy of the data directory, and "
            "restore the latest backup."
        )
    if code == sqlite3.SQLITE_IOERR:
        return StoreError(
            f"The disk did not read or write as asked ({name}): the change counts as not made. "
            "Look at the system's log for disk errors."
        )
    if code == sqlite3.SQLITE_READONLY:
        return StoreError(
            f"The database cannot be written ({name}): is the disk mounted read-only?"
        )
    return StoreError(f"The database refused the operation ({name}): nothing was changed.")


def poisons_connection(error: SqlError) -> bool:
    """True when the connection must not be used again.

    After a failed fsync the kernel may have dropped the pages and call the next fsync a success
    (PostgreSQL's "fsyncgate", 2018): only a fresh handle that reads back from disk is trusted.
    """
    return primary_code(error) not in (
        0,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_CONSTRAINT,
        sqlite3.SQLITE_TOOBIG,
        sqlite3.SQLITE_ERROR,
        sqlite3.SQLITE_MISMATCH,
        sqlite3.SQLITE_RANGE,
    )
