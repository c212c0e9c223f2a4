"""The charts of a report as SVG: colours and sizes of text come from the page's style, so they follow light and dark."""

from __future__ import annotations

import dataclasses
import html
import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from sweeper.analysis.pareto import non_dominated
from sweeper.plots import _quantities
from sweeper.plots._style import COLOURS, MARKERS
from sweeper.report.parts import Intervals, Lines, Scatter, name

WIDTH, HEIGHT = 720, 400
LEFT, RIGHT, TOP, BOTTOM = 92, 18, 14, 58
"""Margins of a chart, in its own units; the page scales it to its width."""

ROW = 54
"""Height of a row of an interval chart."""

SHAPES = {
    "o": "M-1 0A1 1 0 1 1 1 0A1 1 0 1 1-1 0Z",
    "s": "M-.9-.9H.9V.9H-.9Z",
    "^": "M0-1.1L1.05.8H-1.05Z",
    "D": "M0-1.25L1.25 0 0 1.25-1.25 0Z",
    "v": "M0 1.1L1.05-.8H-1.05Z",
    "P": "M-.4-1.1H.4V-.4H1.1V.4H.4V1.1H-.4V.4H-1.1V-.4H-.4Z",
    "X": "M-.6-1.1L0-.5.6-1.1 1.1-.6.5 0 1.1.6.6 1.1 0 .5-.6 1.1-1.1.6-.5 0-1.1-.6Z",
    "p": "M0-1.1L1.05-.34.65.89H-.65L-1.05-.34Z",
}
"""The markers of all figures, as paths of radius 1."""


def colour(place: int) -> int:
    """Number of the colour of the arm at a place; the page has it as ``--c0``, ``--c1``, ..."""
    return place % len(COLOURS)


def shape(place: int) -> str:
    """The path of the marker of the arm at a place."""
    return SHAPES[MARKERS[(place + place // len(COLOURS)) % len(MARKERS)]]


@dataclasses.dataclass(frozen=True)
class Axis:
    """Where the values of a column lie between two ends.

    Args:
        column: The column.
        low: Value at the first end.
        high: Value at the second end.
        start: Where the first end is drawn.
        stop: Where the second end is drawn.
        is_log: Whether it is logarithmic.
    """

    column: str
    low: float
    high: float
    start: float
    stop: float
    is_log: bool

    def at(self, value: float) -> float:
        """Where a value is drawn; one beyond an end, at that end."""
        low, high, value = (math.log(one) if self.is_log else one for one in (self.low, self.high, max(value, 1e-12)))
        share = min(max((value - low) / (high - low), 0.0), 1.0)
        return round(self.start + share * (self.stop - self.start), 1)

    def ticks(self) -> list[float]:
        """Round values between the ends, at most seven."""
        if self.is_log:
            powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            for steps in ((1, 2, 5), (1,)):
                inside = [step * 10.0**power for power in powers for step in steps]
                inside = [value for value in inside if self.low <= value <= self.high]
                if len(inside) <= 7:
                    break
            if len(inside) >= 2:
                return inside
        rough = (self.high - self.low) / 6
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough)
        return [number * step for number in range(math.ceil(self.low / step), math.floor(self.high / step) + 1)]

    def text(self, value: float) -> str:
        """What a tick says."""
        if self.column.endswith("_accuracy"):
            return f"{100 * value:.4g}"
        return _quantities.short(value) if self.is_log or abs(value) >= 1000 else f"{value:.3g}"


def axis(column: str, values: Sequence[float], start: float, stop: float) -> Axis:
    """An axis with room around the values; counts that span a wide range are on a logarithmic one."""
    low, high = float(min(values)), float(max(values))
    is_log = (column in _quantities.LOG_COLUMNS or column.endswith("_s")) and low > 0 and high / low > 3
    if is_log:
        factor = (high / low) ** _quantities.MARGIN
        return Axis(column, low / factor, high * factor, start, stop, is_log=True)
    margin = _quantities.MARGIN * (high - low) or 0.05 * abs(high) or 1.0
    return Axis(column, low - margin, high + margin, start, stop, is_log=False)


def label(column: str) -> str:
    """What stands at an axis: the column with its unit."""
    unit = "%" if column.endswith("_accuracy") else "nats" if column.endswith("_loss") else ""
    unit = unit or ("s" if column.endswith("_s") else "ms" if column.startswith("latency") else "")
    return name(column) + (f" ({unit})" if unit else "")


def scatter(chart: Scatter, arms: Mapping[str, str], title: str) -> tuple[str, list[tuple[float, float]]]:
    """A scatter chart as SVG, and where each of its points is drawn."""
    places = {arm: place for place, arm in enumerate(arms)}
    across = axis(chart.x, [point.x for point in chart.points], LEFT, WIDTH - RIGHT)
    up = axis(chart.y, _shown(chart), HEIGHT - BOTTOM, TOP)
    spots = [(across.at(point.x), up.at(point.y)) for point in chart.points]
    drawn = [_frame(across, up, HEIGHT), f'<path class="front" d="{stairs(chart, spots)}"/>']
    rank = {"stopped": 0, "completed": 1, "front": 2}
    order = sorted(range(len(spots)), key=lambda number: (chart.points[number].is_confirmed, rank[chart.points[number].kind]))
    drawn.append('<g class="points">')
    for number in order:
        point = chart.points[number]
        place, is_large = places[point.arm], point.kind == "front" or point.is_confirmed
        size = 6.5 if is_large else 4.5 if chart.is_interactive else 6.0
        ring = f'<circle class="ring" r="{size + 4.5}"/>' if point.is_confirmed else ""
        drawn.append(_point(place, spots[number], size, point.kind, inside=ring, number=number))
    drawn.append("</g>")
    role = "group" if chart.is_interactive else "img"
    return _svg(drawn, HEIGHT, title, role), spots


def _shown(chart: Scatter) -> list[float]:
    """The ends of the vertical axis: what lies far below everything else is drawn at the edge."""
    values = pd.Series([point.y for point in chart.points])
    is_main = pd.Series([point.kind != "stopped" for point in chart.points])
    must = pd.Series([point.is_confirmed for point in chart.points])
    return list(_quantities.window(values, values[is_main], values[must], chart.goals[1]))


def num_outside(chart: Scatter) -> int:
    """How many points lie beyond the vertical axis."""
    low, high = _shown(chart)
    return sum(not low <= point.y <= high for point in chart.points)


def stairs(chart: Scatter, spots: Sequence[tuple[float, float]]) -> str:
    """The line that joins the front: level until something better comes."""
    rows = np.asarray([[point.x, point.y] for point in chart.points if point.kind != "stopped"])
    if not len(rows):
        return ""
    own = [spot for point, spot in zip(chart.points, spots, strict=True) if point.kind != "stopped"]
    front = sorted(spot for spot, is_on in zip(own, non_dominated(rows, chart.goals), strict=True) if is_on)
    steps = [f"M{front[0][0]:g} {front[0][1]:g}"]
    for x, y in front[1:]:
        steps.append(f"H{x:g}V{y:g}" if chart.goals[0] == "min" else f"V{y:g}H{x:g}")
    return "".join(steps)


def lines(chart: Lines, arms: Mapping[str, str], title: str) -> str:
    """Learning curves as SVG."""
    places = {arm: place for place, arm in enumerate(arms)}
    epochs = [epoch for line in chart.lines for epoch in line.epochs]
    values = [value for line in chart.lines for value in line.values]
    across = axis("epoch", epochs, LEFT, WIDTH - RIGHT)
    up = axis(chart.y, values, HEIGHT - BOTTOM, TOP)
    drawn = [_frame(across, up, HEIGHT, across_label="epoch", up_label="accuracy (%)")]
    for line in sorted(chart.lines, key=lambda line: not line.is_dashed):
        place = places[line.arm]
        spots = [(across.at(epoch), up.at(value)) for epoch, value in zip(line.epochs, line.values, strict=True)]
        dashed = " dashed" if line.is_dashed else ""
        path = "M" + "L".join(f"{x} {y}" for x, y in spots)
        drawn.append(f'<path class="line c{colour(place)}{dashed}" d="{path}"/>')
        if not line.is_dashed:
            drawn.append(_point(place, spots[-1], 5, "front"))
    return _svg(drawn, HEIGHT, title, "img")


def intervals(chart: Intervals, arms: Mapping[str, str], title: str) -> str:
    """Means, intervals and single values as SVG, a row each."""
    places = {arm: place for place, arm in enumerate(arms)}
    height = TOP + ROW * len(chart.rows) + BOTTOM
    values = [value for row in chart.rows for value in row.values]
    span = (max(values) - min(values)) or 0.05 * abs(max(values)) or 1.0
    # An interval over two seeds may be huge; the axis shows at most one more range of the values on each side.
    ends = [end for row in chart.rows for end in (row.low, row.high) if math.isfinite(end)]
    ends = [min(max(end, min(values) - span), max(values) + span) for end in ends]
    across = axis(chart.x, [*values, *ends], LEFT, WIDTH - RIGHT)
    drawn = [_frame(across, None, height)]
    for number, row in enumerate(chart.rows):
        y, place = TOP + ROW * (number + 0.62), places[row.arm]
        drawn.append(f'<text class="row" x="{LEFT}" y="{y - 16:.0f}">{html.escape(row.label)}</text>')
        if math.isfinite(row.low) and math.isfinite(row.high):
            drawn.append(f'<path class="bar c{colour(place)}" d="M{across.at(row.low)} {y:.0f}H{across.at(row.high)}"/>')
        drawn += [_point(place, (across.at(value), y), 4, "completed") for value in row.values]
        drawn.append(f'<path class="mean" d="M{across.at(row.mean)} {y - 9:.0f}V{y + 9:.0f}"/>')
    return _svg(drawn, height, title, "img")


def _point(place: int, spot: tuple[float, float], size: float, kind: str, *, inside: str = "", number: int | None = None) -> str:
    """The marker of an arm at a spot."""
    known = "" if number is None else f' data-i="{number}"'
    marked = f'<path transform="scale({size})" d="{shape(place)}"/>'
    return f'<g class="p c{colour(place)} {kind}"{known} transform="translate({spot[0]} {spot[1]:.1f})">{inside}{marked}</g>'


def _svg(drawn: Sequence[str], height: float, title: str, role: str) -> str:
    focus = ' tabindex="0"' if role == "group" else ""
    return f'<svg viewBox="0 0 {WIDTH} {height}" role="{role}"{focus} aria-label="{html.escape(title)}">{"".join(drawn)}</svg>'


def _frame(across: Axis, up: Axis | None, height: float, across_label: str = "", up_label: str = "") -> str:
    """Grid, ticks and labels."""
    bottom = height - BOTTOM
    drawn = []
    for value in across.ticks():
        x, text = across.at(value), across.text(value)
        drawn.append(f'<path class="grid" d="M{x} {TOP}V{bottom}"/>')
        drawn.append(f'<text class="tick" x="{x}" y="{bottom + 20}" text-anchor="middle">{text}</text>')
    for value in up.ticks() if up else []:
        assert up is not None
        y, text = up.at(value), up.text(value)
        drawn.append(f'<path class="grid" d="M{LEFT} {y}H{WIDTH - RIGHT}"/>')
        drawn.append(f'<text class="tick" x="{LEFT - 8}" y="{y + 4.5}" text-anchor="end">{text}</text>')
    middle = (LEFT + WIDTH - RIGHT) / 2
    named = html.escape(across_label or label(across.column))
    drawn.append(f'<text class="label" x="{middle}" y="{height - 8}" text-anchor="middle">{named}</text>')
    if up is not None:
        named, at = html.escape(up_label or label(up.column)), (TOP + bottom) / 2
        drawn.append(f'<text class="label" transform="translate(16 {at}) rotate(-90)" text-anchor="middle">{named}</text>')
    return f'<g class="axis">{"".join(drawn)}</g>'


def marker(place: int) -> str:
    """The marker of an arm, for a legend."""
    return f'<svg class="marker c{colour(place)}" viewBox="-1.4 -1.4 2.8 2.8" aria-hidden="true"><path d="{shape(place)}"/></svg>'
