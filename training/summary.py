"""From the outcomes of a run's stages to `summary.json` and the table on the terminal.

Everything that may differ between equal runs stands under `cost`.
"""

from __future__ import annotations

import statistics as averages
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from rich.table import Table

from evals import findings
from evals.statistics import contribution, paired
from training.watch import watched

COMPARISONS = {"layer_vs_base": ("layer", "base"), "layer_vs_full": ("layer", "full"), "full_vs_base": ("full", "base")}


def summarize(facts: Mapping[str, Any], stages: Mapping[str, Any]) -> dict[str, Any]:
    """Builds `summary.json`.

    Args:
        facts: env, model, algorithm, seed, data, panel, tuning_panel of the run, and under "update_floor" the floor.
        stages: outcomes by stage: "base", "choice", "layer", "full", "equal"; those of arms as `running.evaluate`
            and `arms.train` return them, under "evaluation" and "training".

    Returns:
        The summary, ready for JSON.
    """
    arms = {arm: stages[arm] for arm in ("base", "layer", "full") if arm in stages}
    wins = {arm: np.array(content["evaluation"]["wins"], dtype=bool) for arm, content in arms.items()}
    summary = {key: value for key, value in facts.items() if key != "update_floor"}
    summary["layer"] = {
        "selector": stages["choice"]["selector"],
        "target": stages["choice"]["target"],
        "indices": stages["choice"]["chosen"],
        "count": len(stages["choice"]["chosen"]),
    }
    summary["arms"] = {arm: _arm(content) for arm, content in arms.items()}
    summary["paired"] = {
        name: _paired(wins[first], wins[second])
        for name, (first, second) in COMPARISONS.items()
        if first in wins and second in wins
    }
    summary["contribution"] = _contribution(wins)
    summary["watch"] = {arm: watched(arms[arm]["training"]["history"]) for arm in ("layer", "full") if arm in arms}
    summary["equal_tokens"] = stages.get("equal", {}).get("tokens", {})
    summary["cost"] = {arm: _cost(arms[arm]["training"]) for arm in ("layer", "full") if arm in arms}
    summary["cost"]["selection_seconds"] = stages["choice"]["cost"].get("seconds", 0.0)
    summary["cost"]["update_ratio"] = _update_ratio(arms)
    summary["cost"]["update_floor"] = facts["update_floor"]
    summary["cost"]["equal_wall_clock"] = stages.get("equal", {}).get("wall_clock", {})
    return summary


def _arm(content: Mapping[str, Any]) -> dict[str, Any]:
    evaluation, training = content["evaluation"], content.get("training")
    history = training["history"] if training else []
    return {
        "success": evaluation["success"],
        "episodes": len(evaluation["wins"]),
        "interval": evaluation["interval"],
        "mean_turns": evaluation["mean_turns"],
        "invalid_actions": evaluation["invalid_actions"],
        "temperature": evaluation["temperature"],
        "tuning": evaluation["tuning"],
        "trained_parameters": training["trained_parameters"] if training else 0,
        "learning_rate": training["learning_rate"] if training else None,
        "iterations": len(history),
        "sampled_tokens": sum(row["sampled_tokens"] for row in history),
    }


def _paired(first: np.ndarray[Any, Any], second: np.ndarray[Any, Any]) -> dict[str, Any]:
    result = paired(first, second)
    return {
        "difference": result.difference,
        "interval": result.interval.to_json(),
        "p": result.p,
        "only_first": result.only_a,
        "only_second": result.only_b,
        "n": result.n,
    }


def _contribution(wins: Mapping[str, np.ndarray[Any, Any]]) -> dict[str, Any]:
    if not {"base", "layer", "full"} <= wins.keys():
        return {"value": None, "interval": None, "why_null": "there is no full-parameter arm to compare with"}
    result = contribution(wins["base"], wins["layer"], wins["full"])
    interval = result.interval.to_json() if result.interval else None
    return {"value": result.value, "interval": interval, "why_null": result.why_null}


def _cost(training: Mapping[str, Any]) -> dict[str, Any]:
    costs = [row["cost"] for row in training["history"]]
    total = {name: sum(cost[name] for cost in costs) for name in ("seconds", "rollout_seconds", "update_seconds")}
    peak = max((cost["peak_bytes"] for cost in costs), default=0)
    return total | {
        "peak_bytes": peak,
        "optimizer_bytes": training["optimizer_bytes"],
        "sync_bytes": training["sync_bytes"],
    }


def _update_ratio(arms: Mapping[str, Any]) -> float | None:
    """Update time a token of the layer's arm over that of the full one; None if one of them did not train."""
    if "full" not in arms:
        return None
    layer, full = (_update_seconds_a_token(arms[arm]["training"]["history"]) for arm in ("layer", "full"))
    return layer / full if layer and full else None


def _update_seconds_a_token(history: Sequence[Mapping[str, Any]]) -> float:
    """Median over iterations of update seconds a row token: episodes differ in length, machines have bad moments."""
    values = [row["cost"]["update_seconds"] / row["row_tokens"] for row in history if row["row_tokens"]]
    return averages.median(values) if values else 0.0


def table(summary: Mapping[str, Any]) -> Table:
    """The arms side by side."""
    result = Table(title=f"success on {summary['panel']['tasks']} tasks of {summary['panel']['name']}")
    for column in ("", *(_called(arm, summary) for arm in summary["arms"])):
        result.add_column(column, justify="left" if not column else "right")
    for label, values in _table_rows(summary):
        result.add_row(label, *values)
    return result


def _table_rows(summary: Mapping[str, Any]) -> list[tuple[str, list[str]]]:
    arms, costs = summary["arms"], summary["cost"]

    def cost(key: str, form: str, scale: float = 1.0) -> list[str]:
        return [form.format(costs[arm][key] * scale) if arm in costs else "" for arm in arms]

    return [
        ("success", [f"{arm['success']:.3f}" for arm in arms.values()]),
        ("95 % interval", [f"{arm['interval'][0]:.3f} to {arm['interval'][1]:.3f}" for arm in arms.values()]),
        ("temperature", [f"{arm['temperature']:g}" for arm in arms.values()]),
        ("turns an episode", [f"{arm['mean_turns']:.1f}" for arm in arms.values()]),
        ("trained parameters", [f"{arm['trained_parameters']:,}" for arm in arms.values()]),
        ("sampled tokens", [f"{arm['sampled_tokens']:,}" for arm in arms.values()]),
        ("training seconds", cost("seconds", "{:.0f}")),
        ("of them updates", cost("update_seconds", "{:.1f}")),
        *_ratio_rows(summary),
        ("peak memory, MB", cost("peak_bytes", "{:,.0f}", 1e-6)),
        ("optimizer memory, MB", cost("optimizer_bytes", "{:.2f}", 1e-6)),
        ("bytes to sync, MB", cost("sync_bytes", "{:.2f}", 1e-6)),
    ]


def _ratio_rows(summary: Mapping[str, Any]) -> list[tuple[str, list[str]]]:
    """Update time a token as a share of the full arm's, and the least that share can be."""
    ratio, floor = summary["cost"]["update_ratio"], summary["cost"]["update_floor"]
    if ratio is None:
        return []
    shown = {"layer": (f"{ratio:.2f}", f"{floor:.2f}"), "full": ("1.00", "1.00")}
    rows = [shown.get(arm, ("", "")) for arm in summary["arms"]]
    return [
        ("update time a token, of full's", [measured for measured, _ in rows]),
        ("compute floor of that", [least for _, least in rows]),
    ]


def sentences(summary: Mapping[str, Any]) -> list[str]:
    """What the figures say, no more than the intervals allow."""
    lines = [findings.headline(summary), *findings.compared(summary)]
    pairs = {tuple(name.split("_vs_")): pair for name, pair in summary["paired"].items()}
    lines += [
        f"{_called(one, summary)} vs {_called(other, summary)}: {_in_words(pair)}"
        for (one, other), pair in pairs.items()
    ]
    lines += [f"WRONG in training, {sentence}" for sentence in findings.went_wrong(summary)]
    cost = summary["cost"]
    if cost.get("update_ratio") is not None:
        lines.append(
            f"Update time a token, layer over full: {cost['update_ratio']:.2f} "
            f"(compute floor {cost['update_floor']:.2f})."
        )
    for title, points in (
        ("sampled tokens", summary["equal_tokens"]),
        ("training seconds", cost["equal_wall_clock"]),
    ):
        if points:
            parts = ", ".join(f"{arm} {_point(point)}" for arm, point in points.items())
            lines.append(f"At equal {title}: {parts}.")
    return lines


def _called(arm: str, summary: Mapping[str, Any]) -> str:
    """What an arm is called to readers: a run of `layer=full` trains no layer."""
    return "full" if arm == "layer" and findings.trains_everything(summary) else arm


def _in_words(pair: Mapping[str, Any]) -> str:
    return (
        f"{findings.in_points(pair['difference'])} points ({findings.range_of_points(pair['interval'])}), "
        f"exact McNemar p = {pair['p']:.2g}, n = {pair['n']}"
    )


def _point(point: Mapping[str, Any]) -> str:
    if point["success"] is None:
        return f"not known ({point['why_null']})"
    low, high = point["interval"]
    return f"{point['success']:.3f} ({low:.3f} to {high:.3f}) after {point['iteration']} iterations"
