"""docs/guarantees.md out of figures, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from tests.cases import table
from tests.guarantees.figures import ZERO, Run, Sum
from tests.guarantees.promises import ELSEWHERE, GUARANTEES, Guarantee
from tests.support.figures import Figure

COLUMNS = ("tried", "lost", "doubled", "corrupt", "leaks")


def faults(run: Run) -> list[str]:
    """Why these figures do not show the guarantees; empty when they do."""
    found = []
    expected = {each for one in GUARANTEES for each in (*one.proofs, *one.controls)} | {*ELSEWHERE}
    found += [f"{each}: no figures" for each in sorted(expected - run.proofs.keys())]
    found += [f"{each}: belongs to no guarantee" for each in sorted(run.proofs.keys() - expected)]
    for name, proof in run.proofs.items():
        found += [
            f"{name}: {figure} is {proof.figures[figure]}"
            for figure in ZERO
            if proof.figures.get(figure, 0) != 0
        ]
        if not proof.figures.get("tried"):
            found.append(f"{name}: nothing was tried")
        if name.startswith("control: ") and not proof.figures.get("caught"):
            found.append(f"{name}: was not caught")
    found += [f"{each}: its tests failed" for each, passed in run.cases.items() if not passed]
    apart = table.reasons().keys() | table.not_yet()  # the page names them
    wanted = {each for one in GUARANTEES for each in ids(one)} - apart
    found += [f"{each}: no test of it ran" for each in sorted(wanted - run.cases.keys())]
    return found


def ids(guarantee: Guarantee) -> list[str]:
    """ "P001-P003" as P001, P002, P003."""
    found = []
    for span in guarantee.cases:
        first, _, last = span.partition("-")
        numbers = range(int(first[1:]), int((last or first)[1:]) + 1)
        found += [f"{first[0]}{number:03}" for number in numbers]
    return found


def page(run: Run, said: Sequence[str], long: Mapping[str, tuple[str, Sum]]) -> str:
    """The whole file. `said`: lines on the run; `long`: kept runs, each with when and where."""
    lines = ["# The ten guarantees", "", *said, ""]
    for guarantee in GUARANTEES:
        lines += [*_guarantee(guarantee, run), ""]
    if ELSEWHERE:
        lines += ["## Figures beside them", "", *_proofs(ELSEWHERE, run), ""]
    if long:
        lines += ["## Longer runs", ""]
        lines += ["| proof | run | tried | lost | doubled | corrupt | also |"]
        lines += ["|---|---|---:|---:|---:|---:|---|"]
        for name, (when, proof) in long.items():
            cells = [_cell(proof.figures.get(each)) for each in COLUMNS[:4]]
            lines.append(f"| {name} | {when} | {' | '.join(cells)} | {_also(proof)} |")
        lines.append("")
    lines += [
        "## Cases that cannot be tested here",
        "",
        "| case | what comes | why |",
        "|---|---|---|",
    ]
    comes = {case.id: case.comes for case in table.cases()}
    lines += [f"| {each} | {comes[each]} | {why} |" for each, why in table.reasons().items()]
    if missing := sorted(table.not_yet()):
        lines += ["", f"Not tested yet: {', '.join(missing)}."]
    return "\n".join(lines) + "\n"


def _guarantee(guarantee: Guarantee, run: Run) -> Iterator[str]:
    yield f"## {guarantee.number}. {guarantee.title}"
    yield ""
    yield guarantee.promise
    yield ""
    yield f"`{command(guarantee)}`"
    yield ""
    if guarantee.proofs or guarantee.controls:
        yield from _proofs(guarantee.proofs, run)
        for name in guarantee.controls:
            control = run.proofs.get(name, Sum()).figures
            caught, tried = _cell(control.get("caught")), _cell(control.get("tried"))
            yield f"| {name} | {tried} |  |  |  |  | caught {caught} times |"
        yield ""
    if guarantee.cases:
        every = ids(guarantee)
        apart = [each for each in every if each in table.reasons()]
        passed = sum(run.cases.get(each, False) for each in every)
        line = f"Hostile cases {', '.join(guarantee.cases)}: {passed} of {len(every)} pass"
        yield line + (f"; not here: {', '.join(apart)}." if apart else ".")


def command(guarantee: Guarantee) -> str:
    return f".venv/bin/pytest {guarantee.tests}"


def _proofs(names: Sequence[str], run: Run) -> Iterator[str]:
    yield f"| proof | {' | '.join(COLUMNS)} | also |"
    yield "|---|---:|---:|---:|---:|---:|---|"
    for name in names:
        proof = run.proofs.get(name, Sum())
        cells = [_cell(proof.figures.get(each)) for each in COLUMNS]
        yield f"| {name} | {' | '.join(cells)} | {_also(proof)} |"


def _also(proof: Sum) -> str:
    rest = {name: value for name, value in proof.figures.items() if name not in COLUMNS}
    return ", ".join(f"{name.replace('_', ' ')} {_cell(value)}" for name, value in rest.items())


def _cell(value: Figure | None) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:,.1f}"
    return f"{value:,}" if isinstance(value, int) else value
