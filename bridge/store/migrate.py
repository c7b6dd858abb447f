"""Which numbered scripts a database still needs; the engines run them.

Rules: scripts are `schema/NNNN_what.sql` of an engine's package, numbered from 1 without a gap,
and never edited once released. A database remembers the number of the last one that it took. Each
runs in one transaction together with that number, so that a kill leaves the old schema or the new.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources

from bridge.store.api import SchemaTooNew


@dataclass(frozen=True, slots=True)
class Migration:
    """One script: its number, its file name, its SQL without BEGIN and COMMIT."""

    number: int
    name: str
    sql: str


def load(package: str) -> Sequence[Migration]:
    """The scripts of an engine, e.g. of "bridge.store.sqlite", by number."""
    found = sorted(
        (file.name, file.read_text(encoding="utf-8"))
        for file in resources.files(package).joinpath("schema").iterdir()
        if file.name.endswith(".sql")
    )
    scripts = [Migration(int(name.partition("_")[0]), name, sql) for name, sql in found]
    if [script.number for script in scripts] != list(range(1, len(scripts) + 1)):
        raise ValueError(f"{package}: migrations are not numbered 1, 2, 3: {found}")
    return scripts


def pending(version: int, known: Sequence[Migration]) -> Sequence[Migration]:
    """Those that a database at `version` (0: empty) still needs. Raises SchemaTooNew."""
    if version > len(known):
        raise SchemaTooNew(
            f"The database has schema {version}, this program knows schemas up to {len(known)}: "
            "it was written by a newer version. Install that version again; nothing was changed."
        )
    return known[version:]
