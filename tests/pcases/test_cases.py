"""Every case of the table has exactly one test, in the file of its area; no test invents one."""

from __future__ import annotations

import ast
import re
from collections import Counter
from pathlib import Path

import pytest

from tests.pcases.cases import CASES, Case

TESTS = Path(__file__).parent.parent
NAME = re.compile(r"test_(P\d{3})(?!\d)")


def found() -> dict[Path, list[str]]:
    """The ids in the names of test functions, by file."""
    ids: dict[Path, list[str]] = {}
    for file in TESTS.rglob("test_*.py"):
        text = file.read_text("utf-8")
        if "def test_P" not in text:
            continue
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                ids.setdefault(file.relative_to(TESTS), []).extend(NAME.findall(node.name))
    return ids


def test_the_table_has_P001_to_P108() -> None:
    assert [case.id for case in CASES] == [f"P{number:03}" for number in range(1, 109)]


def test_no_case_is_tested_twice_or_elsewhere() -> None:
    counted = Counter(each for ids in found().values() for each in ids)
    assert {each: count for each, count in counted.items() if count != 1} == {}
    assert counted.keys() == {case.id for case in CASES}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_the_case_is_in_the_file_of_its_area(case: Case) -> None:
    assert case.id in found().get(Path("pcases") / f"test_{case.area}.py", [])
