"""Charts draw what they are given, inside their frame."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evals import charts
from evals.charts import Bar, Curve, Estimate


def numbers(drawing: str, attribute: str) -> list[float]:
    return [float(found) for found in re.findall(rf' {attribute}="(-?[\d.]+)"', drawing)]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=60), st.integers(0, 5))
def test_learning_curves_stay_in_the_frame(success: list[float], start: int) -> None:
    iterations = list(range(start, start + len(success)))
    drawing = charts.learning_curves([Curve("layer", iterations, success)], 5)
    assert drawing.count("<circle") == len(success)
    assert all(charts.LEFT <= x <= charts.WIDTH - charts.RIGHT for x in numbers(drawing, "cx"))
    assert all(charts.TOP <= y <= charts.HEIGHT - charts.BOTTOM for y in numbers(drawing, "cy"))


def test_higher_success_is_drawn_higher() -> None:
    drawing = charts.learning_curves([Curve("layer", [0, 1, 2], [0.1, 0.3, 0.2])], 3)
    low, high, middle = numbers(drawing, "cy")
    assert low > middle > high


def test_smoothing_by_hand() -> None:
    assert charts.smooth([0, 3, 6, 0], 3) == [1.5, 3.0, 3.0, 3.0]
    assert [charts.smoothing_width(number) for number in (1, 12, 30, 40, 150)] == [3, 3, 5, 7, 25]


# A third of the smallest floats is no longer told from zero, so neither is their error line.
scores = st.one_of(st.just(0.0), st.floats(1e-300, 1e6), st.floats(-1e6, -1e-300))


@given(st.lists(scores, min_size=1, max_size=40))
def test_bars_start_at_zero_and_mark_the_chosen(values: list[float]) -> None:
    bars = [Bar(str(i), value, i == 0, abs(value) / 3) for i, value in enumerate(values)]
    drawing = charts.layer_scores(bars)
    assert drawing.count("<rect") == len(values)
    assert drawing.count('class="bar chosen"') == drawing.count("<polygon") == 1
    assert drawing.count('class="error"') == sum(value != 0 for value in values)
    assert all(charts.TOP <= y <= charts.HEIGHT - charts.BOTTOM + 1 for y in numbers(drawing, "y2"))
    for top, height in zip(numbers(drawing, "y")[-len(values) :], numbers(drawing, "height"), strict=True):
        assert charts.TOP <= top <= top + height <= charts.HEIGHT - charts.BOTTOM + 1


def test_intervals_say_their_numbers() -> None:
    drawing = charts.intervals([Estimate("base", 0.33, 0.28, 0.39), Estimate("layer", 0.46, 0.4, 0.52)])
    assert "base 33.0 percent, 28.0 to 39.0; layer 46.0 percent, 40.0 to 52.0" in drawing
    base, layer = numbers(drawing, "cx")
    assert base < layer


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0, 60, [0, 20, 40, 60]), (0, 100, [0, 20, 40, 60, 80, 100]), (0, 0, [0, 0.2, 0.4, 0.6, 0.8, 1.0])],
)
def test_ticks_are_round(low: float, high: float, expected: list[float]) -> None:
    assert charts.nice_ticks(low, high) == pytest.approx(expected)


@given(st.floats(-100, 100), st.floats(1e-9, 1e9))
def test_ticks_span_the_range(start: float, width: float) -> None:
    low = start * width
    ticks = charts.nice_ticks(low, low + width)
    assert 2 <= len(ticks) <= 9
    unit = ticks[1] - ticks[0]
    assert ticks[0] <= low + 1e-6 * unit
    assert ticks[-1] >= low + width - 1e-6 * unit


def test_labels_are_escaped() -> None:
    assert "&lt;b&gt;" in charts.layer_scores([Bar("<b>", 1.0, True)])
