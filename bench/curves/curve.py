"""A curve: a cost at rising sizes, for each server, and the order that the design gives it.

The exponent is the slope between the last two sizes, on logarithmic axes: 0 where the cost stays as
it is, 1 where it grows with the size. What is small beside a fixed cost has a small exponent, too:
it is what a user sees.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from bench.imap.workload import OURS

TOLERANCE = 0.25  # above the order of the design, before we say that a curve is worse


@dataclass
class Curve:
    """`order` is that of the design; `lines` has (size, cost) by server. `file` names the picture
    that it is drawn in, with others of the same unit."""

    name: str
    file: str
    unit: str
    order: float
    lines: dict[str, list[tuple[float, float]]] = field(default_factory=dict)

    def add(self, server: str, size: float, cost: float) -> None:
        self.lines.setdefault(server, []).append((size, cost))

    def exponent(self, server: str = OURS) -> float | None:
        """None with fewer than two sizes."""
        points = self.lines.get(server, ())
        if len(points) < 2:
            return None
        (before, cheap), (size, dear) = points[-2:]
        return math.log(max(dear, 1e-9) / max(cheap, 1e-9)) / math.log(size / before)

    @property
    def is_worse(self) -> bool:
        """Whether it grows faster than the design says."""
        exponent = self.exponent()
        return exponent is not None and exponent > self.order + TOLERANCE


def table(curves: list[Curve], sizes: str) -> str:
    """As Markdown: a row for each curve and server, a column for each size; `sizes`: of what."""
    columns = sorted({size for each in curves for line in each.lines.values() for size, _ in line})
    head = " | ".join(f"{size:,.0f}" for size in columns)
    lines = [
        f"| {sizes} | | {head} | exponent | by design | |",
        "|---|---|" + "---:|" * len(columns) + "---:|---:|---|",
    ]
    for each in curves:
        for server, points in each.lines.items():
            costs = dict(points)
            cells = " | ".join(figure(costs[size]) if size in costs else "" for size in columns)
            exponent = each.exponent(server)
            shown = "" if exponent is None else f"{exponent:.2f}"
            ours = server == OURS
            verdict = "worse" if each.is_worse else "as designed"
            lines.append(
                f"| {each.name}, {each.unit} | {server} | {cells} | {shown} | "
                f"{f'{each.order:g}' if ours else ''} | {verdict if ours else ''} |"
            )
    return "\n".join(lines)


def figure(cost: float) -> str:
    return f"{cost:.2f}" if cost < 10 else f"{cost:,.0f}" if cost >= 100 else f"{cost:.1f}"
