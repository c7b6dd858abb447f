"""Curves as a picture: both axes logarithmic, readable on light and on dark, no library.

One colour a curve; ours is drawn through, a peer's is dashed. Names stand at the right end of our
lines, moved apart where they would cover each other.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from html import escape

from bench.curves.curve import Curve
from bench.imap.workload import OURS

_WIDTH, _HEIGHT = 860, 460
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 250, 50, 60
_COLOURS = (
    "#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#e67e00", "#17a2b8", "#c2185b", "#8c6d31",
    "#607d8b",
)  # fmt: skip
LEAST = 1e-3  # drawn for less
_STYLE = """
  .paper { fill: #ffffff } .grid { stroke: #e3e3e3 } text { fill: #24292f }
  @media (prefers-color-scheme: dark) {
    .paper { fill: #0d1117 } .grid { stroke: #30363d } text { fill: #e6edf3 }
  }
  text { font: 12px system-ui, sans-serif } .title { font-size: 15px; font-weight: 600 }
  polyline { fill: none; stroke-width: 2 } .peer { stroke-dasharray: 5 4; stroke-width: 1.5 }
"""


class Axis:
    """From values to pixels; whole decades."""

    def __init__(self, values: Iterable[float], start: float, end: float) -> None:
        known = list(values)
        self.low = math.floor(math.log10(min(known)))
        self.high = max(math.ceil(math.log10(max(known))), self.low + 1)
        self._start, self._end = start, end

    def at(self, value: float) -> float:
        part = (math.log10(value) - self.low) / (self.high - self.low)
        return self._start + part * (self._end - self._start)

    @property
    def decades(self) -> Sequence[float]:
        return [10.0**power for power in range(self.low, self.high + 1)]


def picture(title: str, sizes: str, curves: Sequence[Curve]) -> str:
    """An SVG file; `sizes` names the lower axis. All curves have one unit."""
    lines = [line for each in curves for line in each.lines.values()]
    points = [(size, max(cost, LEAST)) for line in lines for size, cost in line]
    across = Axis((size for size, _ in points), _LEFT, _WIDTH - _RIGHT)
    up = Axis((cost for _, cost in points), _HEIGHT - _BOTTOM, _TOP)
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img">',
        f"<title>{escape(title)}</title><style>{_STYLE}</style>",
        f'<rect class="paper" width="{_WIDTH}" height="{_HEIGHT}"/>',
        _text(_LEFT, 26, title, "start", "title"),
        *_grid(across, up),
        _text((_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 14, sizes, "middle"),
        _text(_LEFT - 8, _TOP - 10, curves[0].unit, "end"),
    ]
    names: list[tuple[float, str, str]] = []
    for each, colour in zip(curves, _COLOURS, strict=False):
        for server, line in each.lines.items():
            places = [(across.at(size), up.at(max(cost, LEAST))) for size, cost in line]
            kind = "ours" if server == OURS else "peer"
            path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
            out.append(f'<polyline class="{kind}" stroke="{colour}" points="{path}"/>')
            out += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in places]
            if server == OURS or OURS not in each.lines:
                names.append((up.at(max(line[-1][1], LEAST)), colour, each.name))
    out += _names(names)
    if any(server != OURS for each in curves for server in each.lines):
        peers = sorted({server for each in curves for server in each.lines if server != OURS})
        out.append(
            _text(_WIDTH - 12, 26, f"{OURS}: drawn through; {', '.join(peers)}: dashed", "end")
        )
    return "\n".join([*out, "</svg>"]) + "\n"


def _grid(across: Axis, up: Axis) -> Iterable[str]:
    for value in across.decades:
        x = across.at(value)
        yield _line(x, _TOP, x, _HEIGHT - _BOTTOM)
        yield _text(x, _HEIGHT - _BOTTOM + 18, f"{value:,.0f}", "middle")
    for value in up.decades:
        y = up.at(value)
        yield _line(_LEFT, y, _WIDTH - _RIGHT, y)
        yield _text(_LEFT - 8, y + 4, f"{value:,.10g}", "end")


def _names(names: Sequence[tuple[float, str, str]]) -> Iterable[str]:
    lowest = 0.0
    for y, colour, name in sorted(names):
        lowest = max(y, lowest + 15)
        x = _WIDTH - _RIGHT + 12
        yield f'<rect x="{x}" y="{lowest - 4:.1f}" width="8" height="8" fill="{colour}"/>'
        yield _text(x + 14, lowest + 4, name, "start")


def _line(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line class="grid" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _text(x: float, y: float, text: str, anchor: str, kind: str = "") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" class="{kind}">{escape(text)}</text>'
    )
