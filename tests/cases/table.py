"""Reads the table of the cases, and finds in the sources of the tests which of them have one."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

HERE = Path(__file__).parent
TESTS = HERE.parent
ID = re.compile(r"[A-Z]\d{3}")
NAME = re.compile(r"test_([A-OQ-Z]\d{3})(?!\d)")


@dataclass(frozen=True, slots=True)
class Case:
    id: str
    area: str
    comes: str
    must: str


def cases() -> list[Case]:
    return [Case(*fields) for fields in _rows("cases.txt", 4)]


def reasons() -> dict[str, str]:
    """Why a case has no test, by id."""
    return {row[0]: row[1] for row in _rows("reasons.txt", 2)}


def not_yet() -> set[str]:
    """Those that still want a test: what is missing is said, not forgotten."""
    return {each for (each,) in _rows("not_yet.txt", 1)}


@cache
def found() -> dict[str, list[str]]:
    """The tests of each case, as pytest names them: `imap/test_caps.py::test_the_cap`."""
    tests: dict[str, list[str]] = {}
    for file in sorted(TESTS.rglob("test_*.py")):
        text = file.read_text("utf-8")
        if "mark.case" not in text and not NAME.search(text):
            continue
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and _is_test(node.name):
                for each in _ids(node):
                    tests.setdefault(each, []).append(f"{file.relative_to(TESTS)}::{node.name}")
    return tests


def _is_test(name: str) -> bool:
    return name.startswith("test_")


def _ids(node: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[str]:
    """Those in the name of a test, and those of its markers."""
    yield from NAME.findall(node.name)
    for decorator in node.decorator_list:
        # Only literals count: what a run decides cannot be read here.
        if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == "pytest.mark.case":
            yield from (ast.literal_eval(argument) for argument in decorator.args)


def _rows(name: str, fields: int) -> Iterator[list[str]]:
    for line in (HERE / name).read_text("utf-8").splitlines():
        if line and not line.startswith("#"):
            row = [field.strip() for field in line.split("|", fields - 1)]
            assert len(row) == fields, f"{name}: {line}"
            assert ID.fullmatch(row[0]), f"{name}: {line}"
            yield row
