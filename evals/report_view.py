"""What the report shows: the numbers of a run as tables of text and charts, ready for the template."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from evals import charts, findings

if TYPE_CHECKING:
    from evals.report import Run

ARMS = ("base", "layer", "full")
PAIRS = {"layer_vs_base": "layer minus base", "full_vs_base": "full minus base", "layer_vs_full": "layer minus full"}

ABSENT = "\N{EN DASH}"


class Table(NamedTuple):
    """A table of text.

    Attributes:
        columns: headings, that of the row names included.
        rows: the row's name and its cells.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


def view(run: Run) -> dict[str, Any]:
    """Turns a run into the template's variables.

    Args:
        run: the content of a run folder.

    Returns:
        The variables by name.
    """
    summary = run.summary
    folder = shlex.quote(run.name)
    curves, smoothed_over = _curves(run.metrics)
    return {
        "title": f"{summary['env']}, {summary['algorithm']}, seed {summary['seed']}",
        "run": run.name,
        "headline": findings.headline(summary),
        "against_full": findings.against_full(summary),
        "contribution": findings.contribution(summary),
        "went_wrong": findings.went_wrong(summary),
        "intervals": _interval_chart(summary["arms"]),
        "facts": _facts(summary),
        "arms": _arm_table(summary["arms"]),
        "pairs": _pair_table(summary.get("paired", {})),
        "curves": charts.learning_curves(curves, smoothed_over) if curves else None,
        "curve_names": [curve.name for curve in curves],
        "smoothed_over": smoothed_over,
        "layers": _layers(run.layers),
        "budgets": _budget_table(summary),
        "costs": _cost_table(summary.get("cost", {})),
        "cost_facts": _cost_facts(summary.get("cost", {})),
        "config": run.config,
        "command": f"python -m training.run config={folder}/config.yaml out={folder}-again",
    }


def _interval_chart(arms: Mapping[str, Any]) -> str:
    rows = [charts.Estimate(name, arms[name]["success"], *arms[name]["interval"]) for name in ARMS if name in arms]
    return charts.intervals(rows)


def _facts(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What was run, as pairs of name and value."""
    layer = summary["layer"]
    facts = [
        ("World", summary["env"]),
        *((f"Data for {use}", line) for use, line in summary["data"].items()),
        ("Model", summary["model"]),
        ("Algorithm", summary["algorithm"]),
        ("Seed", summary["seed"]),
        ("Trained", f"{findings.target(layer)}, chosen by {layer['selector']}"),
        ("Panel", _panel(summary["panel"])),
    ]
    if summary.get("tuning_panel"):
        facts.append(("Tuning tasks", _panel(summary["tuning_panel"])))
    return [(name, str(value)) for name, value in facts]


def _panel(panel: Mapping[str, Any]) -> str:
    return f"{panel['name']}: {panel['tasks']} tasks, SHA-256 {panel['sha256'][:12]}…"


def _arm_table(arms: Mapping[str, Any]) -> Table:
    """One column an arm, so that the table fits a phone."""
    measures: dict[str, Callable[[Mapping[str, Any]], str]] = {
        "success": lambda arm: findings.percent(arm["success"]),
        "95 % interval, %": lambda arm: _range(arm["interval"]),
        "episodes": lambda arm: _count(arm["episodes"]),
        "turns an episode": lambda arm: _number(arm["mean_turns"]),
        "temperature": lambda arm: _number(arm["temperature"]),
        "trained parameters": lambda arm: _count(arm["trained_parameters"]),
        "iterations": lambda arm: _count(arm["iterations"]),
        "sampled tokens": lambda arm: _count(arm["sampled_tokens"]),
    }
    present = [name for name in ARMS if name in arms]
    rows = [[name, *(write(arms[arm]) for arm in present)] for name, write in measures.items()]
    return Table(["", *present], rows)


def _pair_table(pairs: Mapping[str, Any]) -> Table:
    rows = []
    for name, title in PAIRS.items():
        if name in pairs:
            pair = pairs[name]
            verdict = "yes" if findings.is_resolved(pair) else "no"
            difference = findings.in_points(pair["difference"])
            rows.append([title, difference, findings.range_of_points(pair["interval"]), _p(pair["p"]), verdict])
    return Table(["", "points", "95 % interval", "p", "told from zero"], rows)


def _budget_table(summary: Mapping[str, Any]) -> Table:
    """Success at equal budgets other than iterations."""
    budgets = {
        "equal sampled tokens": summary.get("equal_tokens") or {},
        "equal wall clock": summary.get("cost", {}).get("equal_wall_clock") or {},
    }
    rows = [
        [f"{budget}: {arm}", _count(at["iteration"]), findings.percent(at["success"]), _range(at["interval"])]
        for budget, arms in budgets.items()
        for arm in ARMS
        if (at := arms.get(arm))
    ]
    return Table(["", "iteration", "success", "95 % interval, %"], rows)


def _cost_table(cost: Mapping[str, Any]) -> Table:
    measures = {
        "whole arm": ("seconds", _seconds),
        "rollouts": ("rollout_seconds", _seconds),
        "updates": ("update_seconds", _seconds),
        "peak memory": ("peak_bytes", _bytes),
        "optimizer state": ("optimizer_bytes", _bytes),
        "weights to send": ("sync_bytes", _bytes),
    }
    present = [arm for arm in ARMS if arm in cost]
    rows = [
        [title, *(write(cost[arm].get(measure)) for arm in present)]
        for title, (measure, write) in measures.items()
        if present
    ]
    return Table(["", *present], rows)


def _cost_facts(cost: Mapping[str, Any]) -> list[str]:
    """Sentences on what the layer's updates cost beside full ones."""
    sentences = []
    if cost.get("update_ratio") is not None:
        floor = cost.get("update_floor")
        against = f"; the floor of that ratio, by operations alone, is {floor:.2f}" if floor is not None else ""
        sentences.append(f"An update of the layer took {cost['update_ratio']:.2f} of the time of a full one{against}.")
    if cost.get("selection_seconds") is not None:
        sentences.append(f"Choosing the layer took {_seconds(cost['selection_seconds'])}.")
    return sentences


def _curves(metrics: Sequence[Mapping[str, Any]]) -> tuple[list[charts.Curve], int]:
    """Training success of each arm, and over how many iterations to smooth it."""
    curves = []
    for arm in ("layer", "full"):
        rows = [row for row in metrics if row["arm"] == arm and row.get("success") is not None]
        rows.sort(key=lambda row: int(row["iteration"]))
        if rows:
            curves.append(charts.Curve(arm, [row["iteration"] for row in rows], [row["success"] for row in rows]))
    return curves, charts.smoothing_width(max((len(curve.x) for curve in curves), default=0))


def _layers(layers: Mapping[str, Any]) -> dict[str, Any] | None:
    """The choice of the layer: chart, reason, and all scores."""
    if not layers:
        return None
    chosen = {int(index) for index in layers.get("chosen", [])}
    blocks = layers.get("blocks") or []
    scored = [block for block in blocks if block.get("score") is not None]
    bars = [
        charts.Bar(str(block["index"]), block["score"], block["index"] in chosen, _standard_error(block))
        for block in scored
    ]
    details = list(dict.fromkeys(name for block in blocks for name in block.get("details") or {}))
    rows = [
        [
            f"{block['index']} (chosen)" if block["index"] in chosen else str(block["index"]),
            _number(block.get("score")),
            *(_number((block.get("details") or {}).get(name)) for name in details),
        ]
        for block in blocks
    ]
    return {
        "selector": layers.get("selector", ""),
        "why": layers.get("why", ""),
        "chart": charts.layer_scores(bars) if bars else None,
        "has_errors": any(bar.error for bar in bars),
        "table": Table(["block", "score", *(name.replace("_", " ") for name in details)], rows),
    }


def _standard_error(block: Mapping[str, Any]) -> float:
    return float((block.get("details") or {}).get("standard_error") or 0.0)


def _range(interval: Sequence[float]) -> str:
    low, high = interval
    return f"{100 * low:.1f} to {100 * high:.1f}"


def _p(p: float) -> str:
    return "< 0.0001" if p < 0.0001 else f"{p:.2g}" if p < 0.1 else f"{p:.2f}"


def _count(number: int | None) -> str:
    return ABSENT if number is None else f"{number:,}"


def _number(value: Any) -> str:  # noqa: ANN401
    if value is None:
        return ABSENT
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _seconds(seconds: float | None) -> str:
    if seconds is None:
        return ABSENT
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def _bytes(number: float | None) -> str:
    if number is None:
        return ABSENT
    for unit in ("B", "KiB", "MiB", "GiB"):
        if number < 1024 or unit == "GiB":
            break
        number /= 1024
    return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
