"""Dependencies are few: each one that is declared is imported, and nothing else is."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# The name of a distribution where its module has another one.
MODULES = {
    "argon2-cffi": "argon2",
    "dnspython": "dns",
    "prometheus-client": "prometheus_client",
    "pyyaml": "yaml",
}
# Part of one that is declared, which asks for it itself.
PARTS = {"h11": "uvicorn", "pydantic_core": "pydantic"}


def declared() -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = [re.split(r"[^\w-]", each)[0].lower() for each in project["dependencies"]]
    return {MODULES.get(name, name) for name in names}


def imported(source: str) -> set[str]:
    """The first names of all modules that a source imports, wherever in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {each.name.partition(".")[0] for each in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.partition(".")[0])
    return found


def test_bridge_imports_what_is_declared_and_nothing_else() -> None:
    used: set[str] = set()
    for path in (ROOT / "bridge").rglob("*.py"):
        used |= imported(path.read_text("utf-8"))
    assert used - set(sys.stdlib_module_names) - {"bridge"} - PARTS.keys() == declared()
    for part, whole in PARTS.items():
        wanted = importlib.metadata.requires(whole) or []
        assert any(each.replace("-", "_").startswith(part) for each in wanted)


@pytest.mark.parametrize(
    "source", ["import evil.part", "def f():\n    from evil import x", "import os, evil as e"]
)
def test_the_check_sees_what_is_not_declared(source: str) -> None:
    assert imported(source) - {"os"} == {"evil"}


def test_each_dependency_has_a_lower_bound() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    every = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    assert [each for each in every if ">=" not in each] == []
