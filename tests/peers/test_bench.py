"""The benchmark runs: every workload against popbridge, a few beside Dovecot and Cyrus; curves and
loads in small. Nothing is timed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from bench import corpus, stores
from bench.curves import accounts, devices, sizes
from bench.curves import run as curves
from bench.curves.curve import Curve
from bench.curves.curve import table as table_of_curves
from bench.imap import table
from bench.imap.run import WORKLOADS, measure_all
from bench.imap.workload import FAST, OURS, SMALL
from tests.store.conftest import recount
from tests.support.require import require

TINY = replace(
    SMALL, mixed=30, large=4, tiny=20, rounds=1, devices=(2, 3), idle=2, mailboxes=3, moved=5
)


@pytest.mark.parametrize("peers", [(), ("dovecot", "cyrus")])
def test_every_row_of_the_table_is_measured(tmp_path: Path, peers: tuple[str, ...]) -> None:
    require("dovecot")
    chosen = [each for each in WORKLOADS if not peers or each.name in ("W1", "W2", "W6")]
    report = measure_all(tmp_path, TINY, chosen, peers=peers)
    shown = table.markdown(report)
    for workload in chosen:
        for row in workload.rows:
            assert f"| {workload.name} | {row.label} | " in shown
            assert (row.label, "popbridge") in report.costs
            assert not peers or (row.label, row.against) in report.costs
            assert not peers or row.against == FAST or (row.label, "Cyrus") in report.costs


def test_curves_are_measured_and_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POPBRIDGE_BENCH", str(tmp_path / "kept"))
    monkeypatch.setattr(sizes, "SIZES", (100,))
    monkeypatch.setattr(devices, "DEVICES", (3,))
    monkeypatch.setattr(accounts, "ACCOUNTS", (3,))
    text = curves.run(tmp_path, curves.KINDS, 200, tmp_path / "curves", peers=False)
    for name in (*sizes.ORDERS, "push until the last device has it", "a round with nothing new"):
        assert name in text
    drawn = list((tmp_path / "curves").iterdir())
    assert len(drawn) == 8
    for picture in drawn:
        assert ElementTree.parse(picture).getroot().tag.endswith("svg")
        assert f"](curves/{picture.name})" in text


def test_a_curve_that_grows_faster_than_by_design_shows() -> None:
    linear = Curve("a", "a", "ms", 1, {OURS: [(10, 1.0), (100, 10.0)]})
    square = Curve("a", "a", "ms", 1, {OURS: [(10, 1.0), (100, 100.0)]})
    assert linear.exponent() == pytest.approx(1)
    assert square.exponent() == pytest.approx(2)
    assert "| 1 | as designed |" in table_of_curves([linear], "sizes")
    assert "| 1 | worse |" in table_of_curves([square], "sizes")


def test_kept_stores_are_sound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where most of it is copies."""
    monkeypatch.setenv("POPBRIDGE_BENCH", str(tmp_path))
    monkeypatch.setattr(stores, "BLOCK", corpus.SPECIAL + 100)
    folder = stores.kept(corpus.SPECIAL + 500)
    assert recount(folder) == []
    assert stores.kept(corpus.SPECIAL + 500) == folder
