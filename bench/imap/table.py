"""A report as a Markdown table: ours beside each peer's, the ratio, the goal, reached or not."""

from __future__ import annotations

import os
import platform
import sqlite3
import time
from collections.abc import Sequence

from bench.imap.run import Report
from bench.imap.workload import DOVECOT, FAST, OURS, Row
from bench.processes import processor


def markdown(report: Report) -> str:
    """Goals and ratios are beside Dovecot, whoever else is there."""
    others = [name for name in report.versions if name not in (OURS, DOVECOT, FAST)]
    lines = [
        f"{time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores ({processor()}), {platform.system()} "
        f"{platform.release()}, Python {platform.python_version()}, SQLite "
        f"{sqlite3.sqlite_version}, "
        + ", ".join(f"{name} {version}" for name, version in report.versions.items()),
        "",
        f"Mailboxes: mixed {report.sizes.mixed:,}, large {report.sizes.large:,}, tiny "
        f"{report.sizes.tiny:,} messages; median of {report.sizes.rounds} rounds; devices "
        f"{report.sizes.devices[0]} and {report.sizes.devices[1]}.",
        "",
        " | ".join(["| | what", OURS, DOVECOT, *others, "ratio", "goal | |"]),
        "|---|---|---:|---:|---:|---:|" + "---:|" * len(others) + "---|",
    ]
    lines += [_line(report, name, row, others) for name, row in report.rows]
    names = list(report.versions)
    lines += ["", "| | " + " | ".join(names) + " |", "|---|" + "---:|" * len(names)]
    facts: dict[str, dict[str, float]] = {
        "loading, s": report.load,
        "memory at its worst, MB": {name: peak / 1e6 for name, peak in report.peak.items()},
    }
    for workload, server in report.cpu:
        facts.setdefault(f"CPU of {workload}, s", {})[server] = report.cpu[workload, server]
    for label, values in facts.items():
        cells = (f"{values[name]:.1f}" if name in values else "" for name in names)
        lines.append(f"| {label} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _line(report: Report, workload: str, row: Row, others: Sequence[str]) -> str:
    ours = report.costs.get((row.label, OURS))
    theirs = report.costs.get((row.label, row.against))
    ratio = ours / theirs if ours is not None and theirs else None
    reached = None
    if row.most is not None and ours is not None:
        reached = ours <= row.most
    elif row.ratio is not None and ratio is not None:
        reached = ratio <= row.ratio
    goal = f"≤ {row.ratio:g}" if row.ratio is not None else ""
    if row.most is not None:
        goal = f"≤ {row.most:g} {row.unit}"
    costs = [ours, theirs, *(report.costs.get((row.label, other)) for other in others)]
    shown = [f"{_figure(cost)} {row.unit}" if cost is not None else "" for cost in costs]
    return (
        f"| {workload} | {row.label} | {' | '.join(shown)} | "
        f"{f'{ratio:.3f}' if ratio is not None else ''} | {goal} | "
        f"{ {None: '', True: 'reached', False: 'missed'}[reached] } |"
    )


def _figure(cost: float) -> str:
    return f"{cost:.2f}" if cost < 10 else f"{cost:,.0f}" if cost >= 100 else f"{cost:.1f}"
