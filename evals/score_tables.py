"""The tables that an evaluation prints: all tasks at each temperature, then each kind of task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich import box
from rich.table import Table

from agents.types import Episode
from evals.findings import percent
from evals.scoring import Score, score, score_by_type

_DASH = "\N{EN DASH}"


def overall(played: Mapping[float | None, Sequence[Episode]]) -> Table:
    """One row a temperature.

    Args:
        played: the episodes of each temperature; None for a scripted player.

    Returns:
        The table.
    """
    table = _table("all tasks")
    table.caption = (
        "turns: mean of an episode; invalid: share of turns whose action was; context: episodes that outgrew the "
        "model's; errors: episodes that the environment broke. The last two count as not won."
    )
    for column in ("tasks", "success", "95 % interval", "turns", "invalid", "context", "errors"):
        table.add_column(column, justify="right")
    for temperature, episodes in played.items():
        found = score(episodes)
        table.add_row(
            _heading(temperature),
            str(found.episodes),
            percent(found.success),
            _interval(found),
            f"{found.mean_turns:.1f}",
            percent(found.invalid_actions),
            str(found.context_stops),
            str(found.errors),
        )
    return table


def by_type(played: Mapping[float | None, Sequence[Episode]]) -> Table:
    """One row a kind of task: success and its interval at each temperature.

    Args:
        played: the episodes of each temperature, of the same tasks.

    Returns:
        The table.
    """
    table = _table("kind of task", gap=0)
    table.add_column("tasks", justify="right")
    scores = {temperature: score_by_type(episodes) for temperature, episodes in played.items()}
    for temperature in scores:
        table.add_column("success" if temperature is None else _heading(temperature), justify="right")
    for kind in sorted({kind for found in scores.values() for kind in found}):
        found = [scores[temperature][kind] for temperature in scores]
        cells = [f"{percent(each.success)} ({_interval(each, _DASH)})" for each in found]
        table.add_row(kind or "unknown", str(found[0].episodes), *cells)
    return table


def _table(first: str, gap: int = 1) -> Table:
    """An empty table whose first column says what the rows are; two temperatures fit a terminal of 80 columns."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, gap, 0, 0), caption_justify="left")
    table.add_column(first)
    return table


def _heading(temperature: float | None) -> str:
    if temperature is None:
        return "as scripted"
    return "greedy" if temperature == 0 else f"temperature {temperature:g}"


def _interval(found: Score, between: str = " to ") -> str:
    low, high = found.interval
    return f"{100 * low:.1f}{between}{100 * high:.1f}"
