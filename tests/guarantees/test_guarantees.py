"""The page shows what was counted, and says what is wrong with it; README names what it shows."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cases import table
from tests.guarantees.figures import Run, read
from tests.guarantees.page import command, faults, ids, page
from tests.guarantees.promises import ELSEWHERE, GUARANTEES, Guarantee
from tests.pcases.cases import CASES as POP3_CASES

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")


def noted(**changed: object) -> Run:
    """All that is expected, in order; `changed` is put into the notes of `kills`."""
    lines = []
    for one in GUARANTEES:
        lines += [{"proof": each, "tried": 3, "lost": 0} for each in one.proofs]
        lines += [{"proof": each, "tried": 3, "caught": 1} for each in one.controls]
        apart = {*table.reasons(), *table.not_yet()}
        lines += [{"case": each, "passed": True} for each in ids(one) if each not in apart]
    lines += [{"proof": each, "tried": 3} for each in ELSEWHERE]
    lines.append({"proof": "kills", "tried": 4, **changed})
    return read(json.dumps(line) for line in lines)


def test_what_is_whole_has_no_fault() -> None:
    assert faults(noted()) == []


@pytest.mark.parametrize("figure", ["lost", "doubled", "corrupt", "leaks"])
def test_anything_lost_is_a_fault(figure: str) -> None:
    assert faults(noted(**{figure: 1})) == [f"kills: {figure} is 1"]


def test_a_proof_that_did_not_run_or_tried_nothing_is_a_fault() -> None:
    run = noted()
    del run.proofs["power cuts"]
    run.proofs["kills"].figures["tried"] = 0
    assert faults(run) == ["power cuts: no figures", "kills: nothing was tried"]


def test_a_figure_that_nobody_expects_is_a_fault() -> None:
    run = read(['{"proof": "something", "tried": 1}'])
    assert "something: belongs to no guarantee" in faults(run)


def test_a_control_that_was_not_caught_is_a_fault() -> None:
    run = noted()
    run.proofs["control: synchronous=NORMAL"].figures["caught"] = 0
    assert faults(run) == ["control: synchronous=NORMAL: was not caught"]


def test_a_case_that_failed_once_or_never_ran_is_a_fault() -> None:
    run = noted()
    del run.cases["P001"]
    run.cases |= read(
        ['{"case": "P002", "passed": false}', '{"case": "P002", "passed": true}']
    ).cases
    assert faults(run) == ["P002: its tests failed", "P001: no test of it ran"]


def test_notes_of_one_proof_are_added_up_and_the_worst_is_kept() -> None:
    run = read(
        [
            '{"proof": "kills", "tried": 3, "worst_ms": 7.5}',
            '{"proof": "kills", "tried": 4, "worst_ms": 3.5}',
        ]
    )
    assert run.proofs["kills"].figures == {"tried": 7, "worst_ms": 7.5}
    text = page(run, ["said"], {})
    assert "| kills | 7 |  |  |  |  | worst ms 7.5 |" in text


def test_every_case_belongs_to_a_guarantee() -> None:
    every = {case.id for case in POP3_CASES} | {case.id for case in table.cases()}
    assert {each for one in GUARANTEES for each in ids(one)} == every


@pytest.mark.parametrize("guarantee", GUARANTEES, ids=lambda one: str(one.number))
def test_a_guarantee_names_tests_that_exist_and_stands_in_readme(guarantee: Guarantee) -> None:
    for path in guarantee.tests.split():
        assert (ROOT / path).exists(), path
    assert f"| {guarantee.number} | **{guarantee.title}.**" in README
    assert f"`{command(guarantee)}`" in README
