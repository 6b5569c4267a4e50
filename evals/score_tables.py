"""What an evaluation prints: all tasks at each temperature, each kind of task, what it took, and what it can show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich import box
from rich.table import Table

from agents.types import Episode
from evals.figures import ABSENT, range_of_percent
from evals.findings import percent
from evals.power import deviation_of_one, power_line
from evals.scoring import Score, mean_seconds, score, score_by_type, task_wins


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
        "model's; errors: episodes that the environment broke. The last two count as not won. Where tasks were played "
        "with several seeds, intervals are clustered by task."
    )
    for column in ("tasks", "success", "95 % interval", "turns", "invalid", "context", "errors"):
        table.add_column(column, justify="right")
    for temperature, episodes in played.items():
        found = score(episodes)
        table.add_row(
            _heading(temperature),
            _tasks(found),
            percent(found.success),
            range_of_percent(found.interval),
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
        The table; a dash where no task of a kind was played.
    """
    table = _table("kind of task", gap=0)
    table.add_column("tasks", justify="right")
    scores = {temperature: score_by_type(episodes) for temperature, episodes in played.items()}
    for temperature in scores:
        table.add_column("success" if temperature is None else _heading(temperature), justify="right")
    for kind in sorted({kind for found in scores.values() for kind in found}):
        # A task that broke at its reset has no kind, and it need not break at every temperature.
        found = [scores[temperature].get(kind) for temperature in scores]
        cells = [ABSENT if each is None else _with_interval(each) for each in found]
        table.add_row(kind or "unknown", next(_tasks(each) for each in found if each is not None), *cells)
    return table


def costs(played: Mapping[float | None, Sequence[Episode]]) -> Table:
    """One row a temperature: sampled tokens and wall time. Below, what differences so many tasks can show.

    Args:
        played: the episodes of each temperature.

    Returns:
        The table; a dash where the number of tokens is not known.
    """
    table = _table("what it took")
    table.caption = _power(played)
    for column in ("tokens a turn", "tokens an episode", "seconds an episode"):
        table.add_column(column, justify="right")
    for temperature, episodes in played.items():
        found = score(episodes)
        tokens = found.mean_tokens
        cells = [ABSENT, ABSENT] if tokens is None else [f"{tokens / found.mean_turns:.1f}", f"{tokens:,.1f}"]
        table.add_row(_heading(temperature), *cells, f"{mean_seconds(episodes):.2f}")
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


def _power(played: Mapping[float | None, Sequence[Episode]]) -> str:
    """Takes the temperature at which success varies most."""
    counts = [task_wins(episodes) for episodes in played.values()]
    most = max(deviation_of_one(won, plays) for won, plays in counts)
    line = power_line(len(counts[0][0]), most, plays=max(counts[0][1]), as_good=True)
    return (
        f"power: {line} (4 times in 5, paired, if another policy wins independently of this one). "
        "Episodes that are played together wait for each other, which their seconds hold."
    )


def _tasks(found: Score) -> str:
    """The number of tasks, and of plays of each where there are several."""
    plays = found.episodes / found.tasks
    return str(found.tasks) if plays == 1 else f"{found.tasks} x {plays:g}"


def _with_interval(found: Score) -> str:
    return f"{percent(found.success)} ({range_of_percent(found.interval, ABSENT)})"
