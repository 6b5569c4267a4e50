"""What a run found, in sentences that claim no more than its intervals allow.

A difference is called one only if its 95 % interval excludes zero and the exact test agrees (p below 0.05). Otherwise
the sentence says which differences remain possible; it never calls two arms equal.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

SIGNIFICANCE = 0.05


def headline(summary: Mapping[str, Any]) -> str:
    """Says in one sentence what training the layer did to success on the panel.

    Args:
        summary: the content of `summary.json`.

    Returns:
        The sentence.
    """
    tasks, arms = summary["panel"]["tasks"], summary["arms"]
    pair = summary.get("paired", {}).get("layer_vs_base")
    if pair is None:
        return f"The policy solved {percent(arms['base']['success'])} of {tasks} held-out tasks; no layer was trained."
    rates = f"from {percent(arms['base']['success'])} to {percent(arms['layer']['success'])} of {tasks} held-out tasks"
    what = f"Training {target(summary['layer'])}"
    size = f"({in_points(pair['difference'])} points, 95 % interval {range_of_points(pair['interval'])})"
    if not is_resolved(pair):
        return f"{what} took success {rates} {size}, a change that this panel cannot tell from none."
    return f"{what} {'raised' if pair['difference'] > 0 else 'lowered'} success {rates} {size}."


def compared(summary: Mapping[str, Any]) -> list[str]:
    """What training the layer was beside training everything; nothing of a run that trained everything alone.

    Args:
        summary: the content of `summary.json`.

    Returns:
        Sentences.
    """
    return [] if trains_everything(summary) else [against_full(summary), contribution(summary)]


def trains_everything(summary: Mapping[str, Any]) -> bool:
    """Whether all that a run trained is every parameter (`layer=full`)."""
    return bool(summary["layer"]["selector"] == "full" and "full" not in summary["arms"])


def against_full(summary: Mapping[str, Any]) -> str:
    """Compares training the layer with training every parameter.

    Args:
        summary: the content of `summary.json`.

    Returns:
        One sentence.
    """
    pair = summary.get("paired", {}).get("layer_vs_full")
    if pair is None:
        return "There is no comparison with training every parameter in this run."
    if not is_resolved(pair):
        return (
            "Whether training every parameter does better or worse was not resolved: the layer's success minus the "
            f"full one's is {in_points(pair['difference'])} points (95 % interval {range_of_points(pair['interval'])})."
        )
    low, high = sorted(abs(end) for end in pair["interval"])
    better, worse = ("the layer", "every parameter") if pair["difference"] > 0 else ("every parameter", "the layer")
    return (
        f"Training {better} did better than training {worse}, by {100 * abs(pair['difference']):.1f} points "
        f"(95 % interval {100 * low:.1f} to {100 * high:.1f})."
    )


def contribution(summary: Mapping[str, Any]) -> str:
    """Says what share of full training's gain the layer reached, or why that is undefined.

    Args:
        summary: the content of `summary.json`.

    Returns:
        One sentence.
    """
    found = summary.get("contribution")
    if not found:
        return "Contribution is undefined: the full-parameter policy was not trained in this run."
    if found["value"] is None:
        return f"Contribution is undefined: {found['why_null']}."
    low, high = found["interval"]
    bounds = "the tasks do not bound it" if None in (low, high) else f"95 % interval {low:.2f} to {high:.2f}"
    return f"Contribution, the share of full training's gain that the layer reached: {found['value']:.2f} ({bounds})."


def went_wrong(summary: Mapping[str, Any]) -> list[str]:
    """Says what went wrong in training and what was done about it, a sentence a thing; none if nothing did.

    Args:
        summary: the content of `summary.json`.
    """
    said = []
    for arm, watched in summary.get("watch", {}).items():
        for detector, found in watched["found"].items():
            count, first = len(found["iterations"]), found["iterations"][0]
            times = f"iteration {first}" if count == 1 else f"{count} iterations, first in iteration {first}"
            said.append(f"{arm}: {detector} in {times}: {found['first'][:300]}.")
        if watched["skipped_updates"]:
            said.append(f"{arm}: {watched['skipped_updates']} updates were skipped for that.")
        if watched["rolled_back"]:
            after = ", ".join(map(str, watched["rolled_back"]))
            said.append(f"{arm}: the weights were rolled back after iterations {after}.")
    return said


def is_resolved(pair: Mapping[str, Any]) -> bool:
    """Whether a paired difference is told from zero by its interval and by the exact test.

    Args:
        pair: an entry of the summary's `paired`.

    Returns:
        True if both agree that it is not zero.
    """
    low, high = pair["interval"]
    return bool((low > 0 or high < 0) and pair["p"] < SIGNIFICANCE)


def target(layer: Mapping[str, Any]) -> str:
    """Names the trained part: "block 4 alone", "blocks 2 and 5 alone", "LoRA on block 4", "every parameter".

    Args:
        layer: the summary's `layer`: the selector, the target's name and the blocks' indices, counted from 0.

    Returns:
        The name.
    """
    indices: Sequence[int] = layer["indices"]
    if layer["selector"] == "full":
        return "every parameter"
    if not indices:
        return "no block"
    kind, _, items = str(layer.get("target") or ",".join(map(str, indices))).rpartition(":")
    *most, last = [item.replace(".", " ") for item in items.split(",")]
    blocks = f"blocks {', '.join(most)} and {last}" if most else f"block {last}"
    kinds = {"lora": f"LoRA on {blocks}", "boost": f"every parameter, with {blocks} at a higher rate,"}
    return kinds.get(kind, f"{blocks} alone")


def percent(share: float) -> str:
    """Writes a share as a percentage."""
    return f"{100 * share:.1f} %"


def in_points(difference: float) -> str:
    """Writes a difference of shares in percentage points, with its sign."""
    return f"{100 * difference:+.1f}".replace("-", "\N{MINUS SIGN}")


def range_of_points(interval: Sequence[float]) -> str:
    """Writes the interval of a difference in percentage points."""
    low, high = interval
    return f"{in_points(low)} to {in_points(high)}"
