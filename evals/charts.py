"""Charts as inline SVG: no plotting library, no script, no network; colours come from the page's style sheet.

Every chart carries a title and a description for screen readers. Series differ in dash as well as in colour.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np
from markupsafe import Markup, escape

WIDTH, HEIGHT = 480, 250
LEFT, RIGHT, TOP, BOTTOM = 56, 8, 10, 40


class Curve(NamedTuple):
    """One line of a chart.

    Attributes:
        name: style class of the line, "layer" or "full".
        x: (N,), rising.
        y: (N,).
        spread: (N,), an interval of each y, or None where it is not known; empty if of none.
    """

    name: str
    x: Sequence[float]
    y: Sequence[float]
    spread: Sequence[tuple[float, float] | None] = ()


class Bar(NamedTuple):
    """One bar of a chart.

    Attributes:
        label: what stands below it.
        value: its height.
        chosen: whether to mark it.
        error: its standard error, 0 if unknown.
    """

    label: str
    value: float
    chosen: bool
    error: float = 0.0


class Estimate(NamedTuple):
    """A rate and its interval.

    Attributes:
        name: style class and label, "base", "layer" or "full".
        value: the rate, between 0 and 1.
        low: lower end of its interval.
        high: upper end of its interval.
    """

    name: str
    value: float
    low: float
    high: float


class _Axis(NamedTuple):
    """Maps numbers to a line of the drawing."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return round(self.start + share * (self.end - self.start), 1)


def smooth(values: Sequence[float], width: int) -> list[float]:
    """Averages each value with its neighbours; at the ends with fewer of them.

    Args:
        values: (N,).
        width: number of values averaged, odd.

    Returns:
        The means, (N,).
    """
    half = width // 2
    return [float(np.mean(values[max(0, i - half) : i + half + 1])) for i in range(len(values))]


def smoothing_width(number: int) -> int:
    """Chooses how many iterations to average: about a sixth of them, odd, at least 3."""
    return max(3, number // 6 // 2 * 2 + 1)


def learning_curves(curves: Sequence[Curve], width: int) -> Markup:
    """Draws success over iterations: for each curve a dot an iteration, its interval where known, and a smoothed line.

    Args:
        curves: the arms, y between 0 and 1.
        width: number of iterations the line averages.

    Returns:
        An `<svg>` element.
    """
    ends = [high for curve in curves for _, high in filter(None, curve.spread)]
    top = max((*(max(curve.y) for curve in curves), *ends), default=1.0)
    ticks = nice_ticks(0.0, 100 * max(top, 0.01))
    last = max((curve.x[-1] for curve in curves), default=1)
    first = min((curve.x[0] for curve in curves), default=0)
    x_axis = _Axis(first, max(last, first + 1), LEFT + 6, WIDTH - RIGHT - 6)
    y_axis = _Axis(0.0, ticks[-1], HEIGHT - BOTTOM, TOP)
    parts = [*_grid(ticks, y_axis, lambda tick: f"{tick:g} %")]
    parts += _x_labels(((tick, f"{tick:g}") for tick in nice_ticks(first, x_axis.high, whole=True)), x_axis)
    parts.append(_x_title("iteration"))
    for number, curve in enumerate(curves):
        # Beside each other rather than upon each other.
        shift = 1.5 * (number - (len(curves) - 1) / 2)
        for x, interval in zip(curve.x, curve.spread, strict=False):
            if interval is not None:
                place, (low, high) = round(x_axis(x) + shift, 1), (y_axis(100 * end) for end in interval)
                parts.append(_tag("line", f"whisker {curve.name}", x1=place, x2=place, y1=low, y2=high))
    for curve in curves:
        for x, y in zip(curve.x, curve.y, strict=True):
            parts.append(_tag("circle", f"dot {curve.name}", cx=x_axis(x), cy=y_axis(100 * y), r=2.2))
        smoothed = zip(curve.x, smooth(curve.y, width), strict=True)
        corners = " ".join(f"{x_axis(x)},{y_axis(100 * y)}" for x, y in smoothed)
        parts.append(_tag("polyline", f"line {curve.name}", points=corners))
    said = [f"{curve.name} from {_said(curve, 0)} to {_said(curve, -1)} percent" for curve in curves]
    return _svg("Success in training, by iteration", "; ".join(said), parts)


def _said(curve: Curve, index: int) -> str:
    """A point of a curve in words, with its interval where it is known."""
    interval = curve.spread[index] if curve.spread else None
    bounds = "" if interval is None else f" ({100 * interval[0]:.0f} to {100 * interval[1]:.0f})"
    return f"{100 * curve.y[index]:.0f}{bounds}"


def intervals(estimates: Sequence[Estimate]) -> Markup:
    """Draws success rates with their intervals, one a line.

    Args:
        estimates: at least one.

    Returns:
        An `<svg>` element.
    """
    row, bottom = 30, 24
    height = row * len(estimates) + bottom
    ticks = nice_ticks(0.0, 100 * max(estimate.high for estimate in estimates))
    axis = _Axis(0.0, ticks[-1], LEFT, WIDTH - 24)
    parts = [
        *(_tag("line", "grid", x1=axis(tick), x2=axis(tick), y1=0, y2=height - bottom) for tick in ticks),
        *(_text(axis(tick), height - 7, f"{tick:g} %", "middle") for tick in ticks),
    ]
    for i, estimate in enumerate(estimates):
        y = row * i + row / 2
        low, high, value = (axis(100 * share) for share in (estimate.low, estimate.high, estimate.value))
        parts.append(_text(LEFT - 8, y + 4, estimate.name, "end"))
        parts.append(_tag("line", f"line {estimate.name}", x1=low, x2=high, y1=y, y2=y))
        parts += [_tag("line", f"line {estimate.name}", x1=end, x2=end, y1=y - 5, y2=y + 5) for end in (low, high)]
        parts.append(_tag("circle", f"point {estimate.name}", cx=value, cy=y, r=5))
    said = (f"{e.name} {100 * e.value:.1f} percent, {100 * e.low:.1f} to {100 * e.high:.1f}" for e in estimates)
    return _svg("Success with 95 % intervals", "; ".join(said), parts, height)


def interval_mark(low: float, value: float, high: float) -> Markup:
    """Draws a rate and its interval on a line from 0 to 1, small enough for a table's cell, which says the numbers."""
    start, end = (round(2 + 96 * share, 1) for share in (low, high))
    parts = Markup("").join(
        (
            _tag("line", "grid", x1=2, x2=98, y1=5, y2=5),
            _tag("line", "line", x1=start, x2=end, y1=5, y2=5),
            _tag("circle", "point", cx=round(2 + 96 * value, 1), cy=5, r=3),
        )
    )
    return Markup('<svg viewBox="0 0 100 10" class="mark" aria-hidden="true" focusable="false">{}</svg>').format(parts)


def layer_scores(bars: Sequence[Bar]) -> Markup:
    """Draws the score of every block and its standard error, the chosen ones marked by colour and by a triangle.

    Args:
        bars: one a block, from the input to the output of the model.

    Returns:
        An `<svg>` element.
    """
    ends = [bar.value + sign * bar.error for bar in bars for sign in (-1, 1)]
    ticks = nice_ticks(min(0.0, *ends), max(0.0, *ends))
    y_axis = _Axis(ticks[0], ticks[-1], HEIGHT - BOTTOM, TOP + 12)
    x_axis = _Axis(-0.5, len(bars) - 0.5, LEFT, WIDTH - RIGHT)
    thickness = round(0.7 * (WIDTH - RIGHT - LEFT) / len(bars), 1)
    parts = [*_grid(ticks, y_axis, lambda tick: f"{tick:g}")]
    every = math.ceil(len(bars) / 16)
    parts += _x_labels(((i, bar.label) for i, bar in enumerate(bars) if i % every == 0), x_axis)
    parts.append(_x_title("block, from input to output"))
    for i, bar in enumerate(bars):
        upper, lower = sorted((y_axis(bar.value), y_axis(0.0)))
        left = round(x_axis(i) - thickness / 2, 1)
        style = "bar chosen" if bar.chosen else "bar"
        height = round(max(lower - upper, 0.5), 1)
        parts.append(_tag("rect", style, x=left, y=upper, width=thickness, height=height))
        x, top = x_axis(i), y_axis(bar.value + bar.error)
        if bar.error:
            parts.append(_tag("line", "error", x1=x, x2=x, y1=y_axis(bar.value - bar.error), y2=top))
        if bar.chosen:
            y = min(upper, top) - 4
            parts.append(_tag("polygon", "mark", points=f"{x},{y} {x - 5},{y - 8} {x + 5},{y - 8}"))
    chosen = ", ".join(bar.label for bar in bars if bar.chosen)
    return _svg("Score of every block", f"{len(bars)} blocks; chosen: {chosen or 'none'}", parts)


def nice_ticks(low: float, high: float, whole: bool = False) -> list[float]:
    """Chooses 3 to 7 round numbers that span a range.

    Args:
        low: smallest value to show.
        high: largest value to show.
        whole: whether only whole numbers within the range make sense.

    Returns:
        Rising numbers; unless `whole`, the first at most `low` and the last at least `high`.
    """
    if high - low < 1e-200:
        high = low + 1.0
    rough = (high - low) / 5
    magnitude = 10.0 ** math.floor(math.log10(rough))
    unit = next(step * magnitude for step in (1, 2, 2.5, 5, 10) if step * magnitude >= rough * 0.999)
    if whole:
        unit = max(1.0, math.ceil(unit))
        start, stop = math.ceil(low / unit), math.floor(high / unit)
    else:
        start, stop = math.floor(low / unit + 1e-9), math.ceil(high / unit - 1e-9)
    return [float(f"{k * unit:.12g}") for k in range(start, stop + 1)]


def _grid(ticks: Sequence[float], y_axis: _Axis, write: Callable[[float], str]) -> Iterable[Markup]:
    """Draws a line and a number for each tick of the vertical axis."""
    for tick in ticks:
        y = y_axis(tick)
        yield _tag("line", "zero" if tick == 0 else "grid", x1=LEFT, x2=WIDTH - RIGHT, y1=y, y2=y)
        yield _text(LEFT - 6, y + 4, write(tick), "end")


def _x_labels(labels: Iterable[tuple[float, str]], x_axis: _Axis) -> list[Markup]:
    return [_text(x_axis(x), HEIGHT - BOTTOM + 17, label, "middle") for x, label in labels]


def _x_title(title: str) -> Markup:
    return _text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 4, title, "middle")


def _text(x: float, y: float, text: str, anchor: str) -> Markup:
    return Markup('<text x="{}" y="{}" text-anchor="{}">{}</text>').format(round(x, 1), round(y, 1), anchor, text)


def _tag(name: str, style: str, **attributes: str | float) -> Markup:
    """Writes an empty element; attribute values are escaped."""
    rest = Markup("").join(Markup(' {}="{}"').format(key, value) for key, value in attributes.items())
    return Markup('<{} class="{}"{}/>').format(name, style, rest)


def _svg(title: str, description: str, parts: Iterable[Markup], height: int = HEIGHT) -> Markup:
    head = f'<svg viewBox="0 0 {WIDTH} {height}" role="img" class="chart">'
    labels = Markup("<title>{}</title><desc>{}</desc>").format(title, description)
    return Markup(head) + labels + Markup("").join(escape(part) for part in parts) + Markup("</svg>")
