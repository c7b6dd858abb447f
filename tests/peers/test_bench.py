"""The benchmark runs: every workload against popbridge, a few beside Dovecot. Nothing is timed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bench.imap import table
from bench.imap.run import WORKLOADS, measure_all
from bench.imap.workload import SMALL
from tests.support.require import require

TINY = replace(
    SMALL, mixed=30, large=4, tiny=20, rounds=1, devices=(2, 3), idle=2, mailboxes=3, moved=5
)


@pytest.mark.parametrize("peers", [False, True])
def test_every_row_of_the_table_is_measured(tmp_path: Path, peers: bool) -> None:
    require("dovecot")
    chosen = [each for each in WORKLOADS if not peers or each.name in ("W1", "W2", "W6")]
    report = measure_all(tmp_path, TINY, chosen, peers=peers)
    shown = table.markdown(report)
    for workload in chosen:
        for row in workload.rows:
            assert f"| {workload.name} | {row.label} | " in shown
            assert (row.label, "popbridge") in report.costs
            assert not peers or (row.label, row.against) in report.costs
