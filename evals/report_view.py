"""What the report shows: the numbers of a run as tables of text and charts, ready for the template."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from evals import charts, figures, findings
from evals.clusters import clustered
from evals.figures import Table
from evals.site.pages import picture
from evals.study_chart import chart, numbers
from evals.viewer import ARMS

if TYPE_CHECKING:
    from evals.report import Run

PAIRS = {"layer_vs_base": "layer minus base", "full_vs_base": "full minus base", "layer_vs_full": "layer minus full"}


def view(run: Run) -> dict[str, Any]:
    """Turns a run into the template's variables.

    Args:
        run: the content of a run folder.

    Returns:
        The variables by name.
    """
    headline, compared = findings.headline(run.summary), findings.compared(run.summary)
    if findings.trains_everything(run.summary):
        run = _as_full(run)
    summary = run.summary
    folder = shlex.quote(run.place or run.name)
    curves, smoothed_over = _curves(run.metrics)
    return {
        "title": f"{summary['env']}, {summary['algorithm']}, seed {summary['seed']}",
        "run": run.name,
        "headline": headline,
        "compared": compared,
        "went_wrong": findings.went_wrong(summary),
        "intervals": _interval_chart(summary["arms"]),
        "facts": _facts(summary),
        "arms": _arm_table(summary["arms"]),
        "pairs": _pair_table(summary.get("paired", {})),
        "curves": charts.learning_curves(curves, smoothed_over) if curves else None,
        "curve_names": [curve.name for curve in curves],
        "curve_numbers": _curve_table(curves),
        "smoothed_over": smoothed_over,
        "curves_have_intervals": any(interval for curve in curves for interval in curve.spread),
        "layers": _layers(run.layers) if _was_chosen(summary) else None,
        "budgets": _budget_table(summary),
        "costs": _cost_table(summary.get("cost", {})),
        "cost_facts": _cost_facts(summary.get("cost", {}), _was_chosen(summary)),
        "config": run.config,
        "study": _study(run.study),
        "has_episodes": run.has_episodes,
        "place_is_known": run.place != "",
        "command": f"python -m training.run config={folder}/config.yaml out={folder}-again",
    }


def _as_full(run: Run) -> Run:
    """A run that trained everything alone, with its arm under the name that this arm has beside a layer."""

    def named(arms: Mapping[str, Any]) -> dict[str, Any]:
        return {"full" if arm == "layer" else arm: content for arm, content in arms.items()}

    summary = run.summary
    pair = summary.get("paired", {}).get("layer_vs_base")
    pairs = {} if pair is None else {"full_vs_base": pair}
    changed = {"arms": named(summary["arms"]), "paired": pairs, "cost": named(summary.get("cost", {}))}
    metrics = [{**row, "arm": "full"} if row["arm"] == "layer" else row for row in run.metrics]
    return replace(run, summary={**summary, **changed}, metrics=metrics)


def _was_chosen(summary: Mapping[str, Any]) -> bool:
    """Whether a selector chose what was trained, rather than the user."""
    return summary["layer"]["selector"] not in ("fixed", "full")


def _study(study: Mapping[str, Any]) -> dict[str, Any] | None:
    """The plot of a study on its first panel, and its numbers."""
    if not study.get("panels"):
        return None
    panel = next(iter(study["panels"]))
    return {"picture": picture(chart(study, panel)), "numbers": numbers(study, panel)}


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
        ("Trained", findings.target(layer) + (f", chosen by {layer['selector']}" if _was_chosen(summary) else "")),
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
        "95 % interval, %": lambda arm: figures.range_of_percent(arm["interval"]),
        "episodes": lambda arm: figures.count(arm["episodes"]),
        "turns an episode": lambda arm: figures.number(arm["mean_turns"]),
        "temperature": lambda arm: figures.number(arm["temperature"]),
        "trained parameters": lambda arm: figures.count(arm["trained_parameters"]),
        "iterations": lambda arm: figures.count(arm["iterations"]),
        "sampled tokens": lambda arm: figures.count(arm["sampled_tokens"]),
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
            rows.append(
                [title, difference, findings.range_of_points(pair["interval"]), figures.p_value(pair["p"]), verdict]
            )
    return Table(["", "points", "95 % interval", "p", "told from zero"], rows)


def _budget_table(summary: Mapping[str, Any]) -> Table:
    """Success at equal budgets other than iterations."""
    budgets = {
        "equal sampled tokens": summary.get("equal_tokens") or {},
        "equal wall clock": summary.get("cost", {}).get("equal_wall_clock") or {},
    }
    rows = [
        [
            f"{budget}: {arm}",
            figures.count(at["iteration"]),
            *(
                (figures.ABSENT, at["why_null"])
                if at["success"] is None
                else (findings.percent(at["success"]), figures.range_of_percent(at["interval"]))
            ),
        ]
        for budget, arms in budgets.items()
        for arm in ARMS
        if (at := arms.get(arm))
    ]
    return Table(["", "iteration", "success", "95 % interval, %"], rows)


def _cost_table(cost: Mapping[str, Any]) -> Table:
    measures = {
        "whole arm": ("seconds", figures.seconds),
        "rollouts": ("rollout_seconds", figures.seconds),
        "updates": ("update_seconds", figures.seconds),
        "peak memory": ("peak_bytes", figures.size),
        "optimizer state": ("optimizer_bytes", figures.size),
        "weights to send": ("sync_bytes", figures.size),
    }
    present = [arm for arm in ARMS if arm in cost]
    rows = [
        [title, *(write(cost[arm].get(measure)) for arm in present)]
        for title, (measure, write) in measures.items()
        if present
    ]
    return Table(["", *present], rows)


def _cost_facts(cost: Mapping[str, Any], was_chosen: bool) -> list[str]:
    """Sentences on what the layer's updates cost beside full ones."""
    sentences = []
    if cost.get("update_ratio") is not None:
        floor = cost.get("update_floor")
        against = f"; the floor of that ratio, by operations alone, is {floor:.2f}" if floor is not None else ""
        sentences.append(f"An update of the layer took {cost['update_ratio']:.2f} of the time of a full one{against}.")
    if was_chosen and cost.get("selection_seconds") is not None:
        sentences.append(f"Choosing the layer took {figures.seconds(cost['selection_seconds'])}.")
    return sentences


def _curves(metrics: Sequence[Mapping[str, Any]]) -> tuple[list[charts.Curve], int]:
    """Training success of each arm, and over how many iterations to smooth it."""
    curves = []
    for arm in ("layer", "full"):
        rows = [row for row in metrics if row["arm"] == arm and row.get("success") is not None]
        rows.sort(key=lambda row: int(row["iteration"]))
        if rows:
            spread = [_spread(row) for row in rows]
            curves.append(
                charts.Curve(arm, [row["iteration"] + 1 for row in rows], [row["success"] for row in rows], spread)
            )
    return curves, charts.smoothing_width(max((len(curve.x) for curve in curves), default=0))


def _curve_table(curves: Sequence[charts.Curve]) -> Table:
    """The numbers of the curves, a row an iteration."""
    said = [
        {x: _with_interval(y, spread) for x, y, spread in zip(curve.x, curve.y, curve.spread, strict=True)}
        for curve in curves
    ]
    iterations = sorted({x for curve in curves for x in curve.x})
    rows = [[figures.count(int(x)), *(points.get(x, figures.ABSENT) for points in said)] for x in iterations]
    return Table(["iteration", *(curve.name for curve in curves)], rows)


def _with_interval(share: float, interval: tuple[float, float] | None) -> str:
    return f"{100 * share:.1f}" + ("" if interval is None else f" ({figures.range_of_percent(interval)})")


def _spread(row: Mapping[str, Any]) -> tuple[float, float] | None:
    """The interval of an iteration's success, clustered by task; None for rows without the success of each task.

    Episodes of one task resemble each other: an interval that takes them for independent would be too narrow.
    """
    shares, count = row.get("task_success"), row.get("episodes")
    if not shares or not count:
        return None
    plays = count // len(shares)
    return clustered([round(share * plays) for share in shares], [plays] * len(shares))


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
            figures.number(block.get("score")),
            *(figures.number((block.get("details") or {}).get(name)) for name in details),
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
