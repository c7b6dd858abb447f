"""Who may import whom: arrows point down only, and each door has its keepers.

The rules are checked on the syntax tree of every module of `bridge/`, imports inside functions
and under TYPE_CHECKING included. Each rule is also broken on purpose, in a copy, and must say so.
"""

from __future__ import annotations

import ast
import functools
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

BRIDGE = Path(__file__).parent.parent / "bridge"

# The row of a module is that of its longest prefix here. A package that has rooms in several
# rows has an `__init__` that imports nothing of ours: PACKAGES.
ROWS = {
    "bridge.model": 0,
    "bridge.limits": 0,
    "bridge.imap.protocol": 1,
    "bridge.pop3.protocol": 1,
    "bridge.mime": 1,
    "bridge.sync.plan": 1,
    "bridge.sync.headers": 1,
    "bridge.sync.identity": 1,
    "bridge.sync.retention": 1,
    "bridge.profiles": 1,
    "bridge.web.page": 1,
    "bridge.web.status": 1,
    "bridge.web.words": 1,
    "bridge.allocator": 2,
    "bridge.store": 2,
    "bridge.bus": 2,
    "bridge.events": 2,
    "bridge.logs": 2,
    "bridge.messenger": 2,
    "bridge.notify": 2,
    "bridge.spool": 2,
    "bridge.tls": 2,
    "bridge.pop3": 2,
    "bridge.discovery": 2,
    "bridge.auth": 2,
    "bridge.imap": 3,
    "bridge.sync": 3,
    "bridge.config": 3,
    "bridge.imap.server": 4,
    "bridge.web": 4,
    "bridge.sync.schedule": 4,
    "bridge.indexing": 3,
    "bridge.transfer": 4,
    "bridge.arrival": 4,
    "bridge.desk": 4,
    "bridge.trials": 4,
    "bridge.daemon": 5,
    "bridge.cli": 5,
    "bridge.__main__": 5,
}
PACKAGES = {"bridge", "bridge.imap", "bridge.pop3", "bridge.sync", "bridge.web"}
OPEN_IN_CONFIG = {"bridge.config", "bridge.cli", "bridge.daemon", "bridge.desk"} | {
    "bridge.arrival",
    "bridge.trials",
}
NOT_PURE = {
    "asyncio", "socket", "ssl", "threading", "time", "os", "logging", "structlog", "subprocess",
    "concurrent", "multiprocessing", "select", "selectors", "signal", "uvloop",
}  # fmt: skip
SQL_DRIVERS = {"sqlite3", "aiosqlite", "apsw", "asyncpg", "psycopg", "psycopg_pool"}
SQL_ROOMS = {"bridge.store.sqlite", "bridge.store.postgres"}
SOCKET_LIBRARIES = {
    "socket", "socketserver", "http", "urllib", "uvicorn", "poplib", "imaplib", "httpx2",
    "dns",
}  # fmt: skip
NO_SOCKETS = {"urllib.parse"}  # but text alone
SOCKET_CALLS = {
    "create_server", "create_connection", "create_unix_server", "create_unix_connection",
    "start_server", "open_connection", "start_unix_server", "open_unix_connection",
}  # fmt: skip
SOCKET_ROOMS = {
    "bridge.auth.oauth",
    "bridge.auth.redirect",
    "bridge.discovery.sources",
    "bridge.imap.server",
    "bridge.messenger",
    "bridge.notify",
    "bridge.pop3.wire",
    "bridge.tls",  # asks which addresses this machine has
    "bridge.web.listener",
    "bridge.web.server",
    "bridge.web.control_socket",
    "bridge.transfer.imap_client",
    "bridge.cli.control",
    "bridge.cli.ports",
    "bridge.cli.door",
    "bridge.cli.demo_maildrop",
}


@dataclass(frozen=True)
class Module:
    name: str
    tree: ast.Module
    is_package: bool


@functools.cache  # the copies that are broken on purpose differ in one file each
def parsed(source: bytes) -> ast.Module:
    return ast.parse(source)


def modules(root: Path) -> dict[str, Module]:
    """All modules below `root`, which is a folder named bridge."""
    found = {}
    for path in sorted(root.rglob("*.py")):
        parts = ("bridge", *path.relative_to(root).with_suffix("").parts)
        is_package = parts[-1] == "__init__"
        name = ".".join(parts[:-1] if is_package else parts)
        found[name] = Module(name, parsed(path.read_bytes()), is_package)
    return found


def imports(module: Module, known: dict[str, Module]) -> Iterator[tuple[int, str]]:
    """(line, what) for each import: a module of ours in full, else the name as written."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, each.name) for each in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                package = module.name.split(".")
                up = node.level - (1 if module.is_package else 0)
                base = ".".join([*package[: len(package) - up], *([base] if base else [])])
            for each in node.names:
                full = f"{base}.{each.name}"
                yield node.lineno, full if full in known else base


def within(name: str, rooms: set[str]) -> bool:
    return any(name == room or name.startswith(f"{room}.") for room in rooms)


def row(name: str) -> int | None:
    """None for a module that nobody gave a row."""
    if name in PACKAGES:
        return 0
    parts = name.split(".")
    prefixes = (".".join(parts[:length]) for length in range(len(parts), 1, -1))
    return next((ROWS[prefix] for prefix in prefixes if prefix in ROWS), None)


def violations(root: Path) -> list[str]:
    """Every broken rule, as `module:line: what`."""
    known = modules(root)
    return [
        f"{module.name}:{line}: {what}"
        for module in known.values()
        for line, what in (*broken_imports(module, known), *broken_calls(module))
    ]


def broken_imports(module: Module, known: dict[str, Module]) -> Iterator[tuple[int, str]]:
    own = row(module.name)
    if own is None:
        yield 1, "has no row; give it one in tests/test_architecture.py"
        return
    for line, name in imports(module, known):
        top = name.partition(".")[0]
        if top == "bridge":
            for what in broken_import_of_ours(module.name, own, name):
                yield line, what
            continue
        if own <= 1 and top in NOT_PURE | SQL_DRIVERS:
            yield line, f"is pure (row {own}) and imports {name}"
        if top in SQL_DRIVERS and not within(module.name, SQL_ROOMS):
            yield line, f"imports the SQL driver {name}"
        opens = top in SOCKET_LIBRARIES and name not in NO_SOCKETS
        if opens and not within(module.name, SOCKET_ROOMS):
            yield line, f"imports {name}, but is no keeper of sockets"


def broken_import_of_ours(module: str, own: int, name: str) -> Iterator[str]:
    other = row(name)
    if other is None:
        yield f"imports {name}, which has no row"
    elif other > own:
        yield f"(row {own}) imports {name} (row {other}): arrows point down"
    for one, two in (("imap", "sync"), ("imap", "pop3"), ("sync", "imap"), ("pop3", "imap")):
        if within(module, {f"bridge.{one}"}) and within(name, {f"bridge.{two}"}):
            yield f"imports {name}: {one} and {two} meet in the store and on the bus"
    store_may = {"bridge.store", "bridge.model", "bridge.limits"}
    if within(module, {"bridge.store"}) and not within(name, store_may):
        yield f"imports {name}: the store imports model and limits only"
    if within(name, {"bridge.config"}) and not within(module, OPEN_IN_CONFIG):
        yield f"imports {name}: only cli and daemon read the config"
    if within(name, {"bridge.cli"}) and not within(module, {"bridge.cli", "bridge.__main__"}):
        yield f"imports {name}: nothing imports the commands"
    if within(name, {"bridge.daemon"}) and not within(module, {"bridge.cli"}):
        yield f"imports {name}: only the commands start the daemon"


def broken_calls(module: Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(module.tree):
        if not isinstance(node, ast.Call):
            continue
        called = node.func
        name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
        if name in SOCKET_CALLS and not within(module.name, SOCKET_ROOMS):
            yield node.lineno, f"calls {name}, but is no keeper of sockets"
        if name in ("import_module", "__import__"):
            yield node.lineno, f"calls {name}: imports are written as imports"


def test_the_rules_hold() -> None:
    assert violations(BRIDGE) == []


def test_every_package_says_what_it_is_for() -> None:
    silent = [name for name, each in modules(BRIDGE).items() if not ast.get_docstring(each.tree)]
    assert silent == []


BREAKS = {
    "an arrow up": (
        "mime/rogue.py",
        "from bridge.bus import Bus",
        "bridge.mime.rogue:1: (row 1) imports bridge.bus (row 2): arrows point down",
    ),
    "an arrow up inside a function": (
        "auth/rogue.py",
        "def f():\n    import bridge.web.server",
        "bridge.auth.rogue:2: (row 2) imports bridge.web.server (row 4): arrows point down",
    ),
    "a relative arrow up": (
        "web/status.py",
        "from . import server",
        "bridge.web.status:1: (row 1) imports bridge.web.server (row 4): arrows point down",
    ),
    "an arrow up for types only": (
        "limits.py",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from bridge.mime import x",
        "bridge.limits:3: (row 0) imports bridge.mime (row 1): arrows point down",
    ),
    "a package of several rows that imports": (
        "sync/__init__.py",
        "from bridge.bus import Bus",
        "bridge.sync:1: (row 0) imports bridge.bus (row 2): arrows point down",
    ),
    "imap that sees pop3": (
        "imap/rogue.py",
        "from bridge.pop3 import protocol",
        "bridge.imap.rogue:1: imports bridge.pop3.protocol: imap and pop3 meet in the store "
        "and on the bus",
    ),
    "imap that sees sync": (
        "imap/server.py",
        "import bridge.sync.plan",
        "bridge.imap.server:1: imports bridge.sync.plan: imap and sync meet in the store and on "
        "the bus",
    ),
    "sync that sees imap": (
        "sync/rogue.py",
        "import bridge.imap.protocol",
        "bridge.sync.rogue:1: imports bridge.imap.protocol: sync and imap meet in the store "
        "and on the bus",
    ),
    "pop3 that sees imap": (
        "pop3/rogue.py",
        "import bridge.imap.protocol",
        "bridge.pop3.rogue:1: imports bridge.imap.protocol: pop3 and imap meet in the store "
        "and on the bus",
    ),
    "a store that sees MIME": (
        "store/rogue.py",
        "from bridge.mime import scan",
        "bridge.store.rogue:1: imports bridge.mime: the store imports model and limits only",
    ),
    "a pure room that asks the clock": (
        "mime/rogue.py",
        "import time",
        "bridge.mime.rogue:1: is pure (row 1) and imports time",
    ),
    "a pure room that asks the machine": (
        "imap/protocol/rogue.py",
        "from os.path import join",
        "bridge.imap.protocol.rogue:1: is pure (row 1) and imports os.path",
    ),
    "a pure room that logs": (
        "sync/identity.py",
        "import structlog",
        "bridge.sync.identity:1: is pure (row 1) and imports structlog",
    ),
    "a pure room that is async": (
        "pop3/protocol.py",
        "import asyncio",
        "bridge.pop3.protocol:1: is pure (row 1) and imports asyncio",
    ),
    "somebody who reads the config": (
        "sync/schedule.py",
        "from bridge.config import Config",
        "bridge.sync.schedule:1: imports bridge.config: only cli and daemon read the config",
    ),
    "somebody who imports a command": (
        "daemon.py",
        "import bridge.cli.main",
        "bridge.daemon:1: imports bridge.cli.main: nothing imports the commands",
    ),
    "somebody who imports the daemon": (
        "__main__.py",
        "import bridge.daemon",
        "bridge.__main__:1: imports bridge.daemon: only the commands start the daemon",
    ),
    "a socket in the wrong room": (
        "sync/rogue.py",
        "import socket",
        "bridge.sync.rogue:1: imports socket, but is no keeper of sockets",
    ),
    "a connection in the wrong room": (
        "imap/session.py",
        "import asyncio\nasync def f():\n    await asyncio.open_connection('h', 1)",
        "bridge.imap.session:3: calls open_connection, but is no keeper of sockets",
    ),
    "a server in the wrong room": (
        "daemon.py",
        "def f(loop):\n    return loop.create_server(None)",
        "bridge.daemon:2: calls create_server, but is no keeper of sockets",
    ),
    "a web server in the wrong room": (
        "daemon.py",
        "import uvicorn",
        "bridge.daemon:1: imports uvicorn, but is no keeper of sockets",
    ),
    "SQL in the wrong room": (
        "store/opening.py",
        "import sqlite3",
        "bridge.store.opening:1: imports the SQL driver sqlite3",
    ),
    "SQL in the daemon": (
        "daemon.py",
        "from aiosqlite import connect",
        "bridge.daemon:1: imports the SQL driver aiosqlite",
    ),
    "a hidden import": (
        "bus.py",
        "import importlib\nimportlib.import_module('bridge.cli.main')",
        "bridge.bus:2: calls import_module: imports are written as imports",
    ),
    "a new room without a row": (
        "rogue.py",
        "",
        "bridge.rogue:1: has no row; give it one in tests/test_architecture.py",
    ),
}


@pytest.mark.parametrize("name", BREAKS)
def test_a_broken_rule_is_seen(tmp_path: Path, name: str) -> None:
    """One module of a copy is replaced by one that breaks the rule."""
    file, code, expected = BREAKS[name]
    copy = tmp_path / "bridge"
    shutil.copytree(BRIDGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    before = set(violations(copy))
    target = copy / file
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(code)
    assert expected in set(violations(copy)) - before
