"""Each case has a test or a reason, or is named as lacking both; no test invents one."""

from __future__ import annotations

import pytest

from tests.cases import table

IDS = [case.id for case in table.cases()]


def test_no_case_stands_twice_in_the_table() -> None:
    assert IDS
    assert len(IDS) == len(set(IDS))


def test_markers_and_reasons_name_cases_of_the_table() -> None:
    assert sorted(set(table.found()) - set(IDS)) == []
    assert sorted((set(table.reasons()) | table.not_yet()) - set(IDS)) == []


@pytest.mark.parametrize("case", IDS)
def test_a_case_has_a_test_or_a_reason(case: str) -> None:
    assert (case in table.found()) + (case in table.reasons()) + (case in table.not_yet()) == 1
