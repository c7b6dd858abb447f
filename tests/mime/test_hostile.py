"""Mail that breaks parsers, through the whole daemon, and what no mail can make us do.

`python -m tests.mime.hostile` prints the times of each message; here they are hang guards.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import bridge
from bridge.mime.parser import scan
from tests.mime.hostile import MESSAGES, Row, measure
from tests.support import figures

SOURCES = Path(bridge.__file__).parent
LONGEST = 8_000_000  # octets of what comes in every run of the suite
GUARD_MS = 60_000.0  # against hanging; the bar is 500 on a quiet machine, see docs/guarantees.md


@pytest.mark.case("I073", "I074", "I075", "I076", "I077", "I078", "I079", "I080", "I081", "I082")
@pytest.mark.case("I083", "I084", "I085", "I086", "I087", "I088", "I091", "I092")
@pytest.mark.timeout(240)
async def test_each_is_collected_stored_listed_and_fetched(tmp_path: Path) -> None:
    """Every response is read by a second parser, the octets come back as they were, and others are
    answered meanwhile."""
    made = {name: make() for name, make in MESSAGES.items()}
    rows = await measure(tmp_path, {n: each for n, each in made.items() if len(each) < LONGEST})
    assert max(row.worst for row in rows) < GUARD_MS
    assert max(row.other for row in rows) < GUARD_MS
    note(rows)


def note(rows: list[Row]) -> None:
    figures.note(
        "hostile mail",
        tried=len(rows) - 1,
        worst_ms=max(row.worst for row in rows),
        lag_p99_ms=max(row.lag for row in rows),
        other_session_worst_ms=max(row.other for row in rows),
    )


@pytest.mark.case("I085")
@pytest.mark.parametrize("name", [name for name in MESSAGES if name.startswith("I085")])
def test_odd_boundaries_mean_the_same_every_time(name: str) -> None:
    octets = MESSAGES[name]()
    assert scan(octets) == scan(bytes(octets))


# --- what mail has no part in ---------------------------------------------------------------


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
        elif isinstance(node, ast.Import):
            yield from (each.name for each in node.names)


@pytest.mark.case("I091")
def test_nobody_is_let_in_by_what_a_mail_says() -> None:
    """CVE-2023-27043: what signs in knows nothing of parsed mail, so no From can decide there."""
    doors = [
        *(SOURCES / "auth").glob("*.py"),
        *(SOURCES / "imap" / "commands" / f"{name}.py" for name in ("login", "authenticate")),
        SOURCES / "imap" / "commands" / "acl.py",
        *(SOURCES / "web" / f"{name}.py" for name in ("sessions", "guard")),
    ]
    assert len(doors) > 10
    for door in doors:
        assert [each for each in imports(door) if each.startswith("bridge.mime")] == [], door


@pytest.mark.case("I092")
def test_no_mail_is_taken_apart_and_written_anew() -> None:
    """CVE-2024-6923: Python's e-mail package, which does, is used for letters of our own and for
    dates alone."""
    users = {
        str(path.relative_to(SOURCES))
        for path in SOURCES.rglob("*.py")
        if any(each.split(".")[0] == "email" for each in imports(path))
    }
    assert users == {"cli/demo_messages.py", "discovery/sources.py", "sync/notices.py"}
