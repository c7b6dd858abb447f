"""The results as Markdown and as JSON."""

from __future__ import annotations

import json
import os
import platform
import sqlite3
import subprocess
import time
from collections.abc import Sequence
from dataclasses import asdict

from bench.pop3.cases import STARTED, Case, Measured, Results, Sizes, ratio
from bench.pop3.collectors import BARE, COLLECTORS, OURS, PEERS
from bench.processes import processor
from bridge import __version__

_TITLES = {
    "mixed": "first sync, mixed",
    "small": "first sync, small",
    "quiet": "poll, nothing new",
    "news": "poll, 10 new",
    "accounts": "many accounts",
}
_COLUMNS = (OURS, *PEERS, BARE)


def markdown(results: Results, cases: Sequence[Case], sizes: Sizes) -> str:
    lines = [
        f"{time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores ({processor()}), {platform.system()} "
        f"{platform.release()}, Python {platform.python_version()}, SQLite "
        f"{sqlite3.sqlite_version}, popbridge {__version__}, " + ", ".join(versions()),
        "",
        f"First syncs: {sizes.sync:,} messages, mixed 27 kB and small 2 kB on average, in messages "
        f"a second. Polls: {sizes.kept:,} kept messages, in seconds. Many accounts: "
        f"{sizes.accounts} with {sizes.each} small messages each, spread over 50 addresses, in "
        f"seconds. Median of {sizes.rounds} rounds; ~ is a sample of fewer messages or accounts "
        "in one round, as it were for all.",
        "",
        "| what | RTT, ms | " + " | ".join(_COLUMNS) + " | ratio | goal | |",
        "|---|---:|" + "---:|" * len(_COLUMNS) + "---:|---:|---|",
    ]
    for case in cases:
        took = results.get((case.what, case.rtt), {})
        lines.append(_line(case, _TITLES[case.what], took, case.goal))
        if case.slow is not None:
            lines.append(_line(case, "the same, beside those without a window", took, case.slow))
        if STARTED in took:
            mine = {**took, OURS: took[STARTED]}
            lines.append(_line(case, "the same, popbridge started for it", mine, None))
    lines += [
        "",
        "What it took, in seconds of the processor and MB at the worst moment:",
        "",
        "| what | RTT, ms | | seconds | its CPU | Dovecot's CPU | the line's CPU | peak, MB |",
        "|---|---:|---|---:|---:|---:|---:|---:|",
    ]
    for case in cases:
        for name in (OURS, "mpop", BARE):
            one = results.get((case.what, case.rtt), {}).get(name)
            if one is not None:
                lines.append(
                    f"| {_TITLES[case.what]} | {case.rtt:g} | {name} | {one.seconds:.2f} | "
                    f"{one.cpu:.2f} | {one.server_cpu:.2f} | {one.line_cpu:.2f} | "
                    f"{one.peak / 1e6:.0f} |"
                )
    return "\n".join(lines)


def _line(case: Case, title: str, took: dict[str, Measured], goal: float | None) -> str:
    slow = goal is not None and goal == case.slow
    cells = [_cell(case, took.get(name)) for name in _COLUMNS]
    found = ratio(case, took, slow=slow)
    shown = "" if found is None else f"{found:.2f}"
    wanted = verdict = ""
    if goal is not None:
        wanted = f"{'≤' if case.poll else '≥'} {goal:g}"
        if found is not None:
            verdict = "reached" if (found <= goal if case.poll else found >= goal) else "missed"
    return (
        f"| {title} | {case.rtt:g} | " + " | ".join(cells) + f" | {shown} | {wanted} | {verdict} |"
    )


def _cell(case: Case, one: Measured | None) -> str:
    if one is None:
        return ""
    about = "~" if one.messages < one.of else ""
    if case.what in ("mixed", "small"):
        return f"{about}{one.rate:,.0f}" if one.rate >= 10 else f"{about}{one.rate:.1f}"
    return f"{about}{one.whole:.2f}"


def document(results: Results, sizes: Sizes) -> str:
    """Everything that was measured, as JSON."""
    rows = [
        {"what": what, "rtt": rtt, "collector": name, **asdict(one)}
        for (what, rtt), took in results.items()
        for name, one in took.items()
    ]
    return json.dumps({"versions": versions(), "sizes": asdict(sizes), "rows": rows}, indent=1)


def versions() -> list[str]:
    commands = [each.version for each in COLLECTORS.values() if each.version]
    found = []
    for command in (*commands, ("dovecot", "--version")):
        try:
            said = subprocess.run(command, capture_output=True, text=True, check=False).stdout
        except OSError:
            continue
        first = said.partition("\n")[0].removeprefix("This is ").rstrip(".")
        words = first.replace(" release", "").replace(" version", "").split()
        name = command[0] if command[0] == "dovecot" else ""
        found.append(" ".join([name, *words[: 2 - bool(name)]]).strip().partition("+GSS")[0])
    return found
