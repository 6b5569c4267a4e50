"""What a study establishes and what it does not, in sentences that claim no more than its intervals allow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from evals import figures, findings
from evals.studies import BASE, FULL


def reading(study: Mapping[str, Any]) -> list[str]:
    """Reads a study.

    Args:
        study: the content of `study.json`, the reading itself left out.

    Returns:
        Sentences, one a line: those of each panel, then those of the selectors.
    """
    lines = [sentence for panel in study["panels"] for sentence in _panel(study, panel)]
    if len(study["seeds"]) == 1:
        # The published noise between runs is as large as what is to be told apart.
        lines.insert(0, "One seed only: the intervals are those of other tasks and leave out how much runs differ.")
    return lines + _selectors(study)


def _panel(study: Mapping[str, Any], panel: str) -> list[str]:
    arms = {name: arm for name, arm in study["arms"].items() if arm["success"].get(panel)}
    blocks = [name for name in arms if name.isdecimal()]
    tasks = study["panels"][panel]["tasks"]
    means = {name: sum(arm["success"][panel]) / len(arm["success"][panel]) for name, arm in arms.items()}
    lines = [f"On {panel} ({tasks} tasks):"]
    lines += [
        f"{what} {findings.percent(means[name])} ({_range(arms[name], panel)}, {_seeds(arms[name], panel)})."
        for name, what in ((BASE, "The base policy solves"), (FULL, "Training everything reaches"))
        if name in arms
    ]
    if not blocks:
        return [*lines, "No block has been trained yet."]
    if len(blocks) < study["blocks"]:
        lines.append(f"{len(blocks)} of {study['blocks']} blocks have been trained so far.")
    best, worst = max(blocks, key=means.__getitem__), min(blocks, key=means.__getitem__)
    lines.append(
        f"Of single blocks, {best} is best with {findings.percent(means[best])} and {worst} worst with "
        f"{findings.percent(means[worst])}."
    )
    lines += [_gains(study, panel, blocks), _beside_full(study, panel, blocks), _pattern(study, panel)]
    lines += [_contributions(study, panel, blocks)] if FULL in arms else []
    lines += [_lora(study, panel, name, means) for name in arms if name.startswith("lora:")]
    return [line for line in lines if line]


def _range(arm: Mapping[str, Any], panel: str) -> str:
    return figures.range_of_percent(arm["interval"][panel])


def _seeds(arm: Mapping[str, Any], panel: str) -> str:
    count = len(arm["success"][panel])
    return f"{count} seed{'s' if count != 1 else ''}"


def _entry(study: Mapping[str, Any], panel: str, name: str, other: str) -> Mapping[str, Any] | None:
    found: Mapping[str, Any] | None = study["differences"][panel].get(name, {}).get(f"minus_{other}")
    return found


def _split(
    study: Mapping[str, Any], panel: str, blocks: Sequence[str], other: str
) -> tuple[list[str], list[str], list[str]] | None:
    """Blocks clearly above, clearly below and not told apart from another arm; None if there is no such arm."""
    entries = {name: _entry(study, panel, name, other) for name in blocks}
    known = {name: entry for name, entry in entries.items() if entry is not None}
    if not known:
        return None
    above = [name for name, entry in known.items() if entry["interval"][0] > 0]
    below = [name for name, entry in known.items() if entry["interval"][1] < 0]
    rest = [name for name in known if name not in (*above, *below)]
    # An interval of one seed leaves out how much runs differ; where others have more, that is said.
    alone = {name for name, entry in known.items() if entry["seeds"] == 1 and len(study["seeds"]) > 1}
    marked = [[f"{name} (one seed)" if name in alone else name for name in names] for names in (above, below, rest)]
    return marked[0], marked[1], marked[2]


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) if names else "none"


def _gains(study: Mapping[str, Any], panel: str, blocks: Sequence[str]) -> str:
    split = _split(study, panel, blocks, BASE)
    if split is None:
        return ""
    above, below, open_ = split
    return (
        f"Clearly above the base: {_listed(above)}; clearly below: {_listed(below)}; not told apart: {_listed(open_)}."
    )


def _beside_full(study: Mapping[str, Any], panel: str, blocks: Sequence[str]) -> str:
    split = _split(study, panel, blocks, FULL)
    if split is None:
        return ""
    above, below, open_ = split
    return (
        f"Beside training everything: better {_listed(above)}; worse {_listed(below)}; not told apart {_listed(open_)}."
    )


def _pattern(study: Mapping[str, Any], panel: str) -> str:
    """Whether the middle blocks stand out: the middle half against the outer ones."""
    if panel not in study["contrast"]:
        return ""
    contrast = study["contrast"][panel]
    verdict = "is established here" if contrast["interval"][0] > 0 else "is not established here"
    if contrast["interval"][1] < 0:
        verdict = "is contradicted here: the outer blocks do better"
    # Of the study's seeds only those with every block count here.
    if contrast["seeds"] == 1 and (contrast["interval"][0] > 0 or contrast["interval"][1] < 0):
        seen = "seen" if contrast["interval"][0] > 0 else "contradicted"
        verdict = f"is {seen} with this one seed; more of them would have to establish it"
    return (
        f"The middle half of the blocks reaches {findings.percent(contrast['middle'])}, the outer half "
        f"{findings.percent(contrast['outer'])}: "
        f"{findings.in_points(contrast['difference'])} points ({findings.range_of_points(contrast['interval'])}). "
        f"That middle blocks do best {verdict}."
    )


def _contributions(study: Mapping[str, Any], panel: str, blocks: Sequence[str]) -> str:
    entries = study["contribution"][panel]
    known = [(name, entries[name]) for name in blocks if entries.get(name, {}).get("value") is not None]
    if not known:
        why = next((entries[name]["why_null"] for name in blocks if name in entries), "base or full is missing")
        return f"Contributions are undefined: {why}."
    said = "; ".join(f"{name}: {entry['value']:.2f}{_bounds(entry['interval'])}" for name, entry in known)
    return f"Contributions C (0 is the base, 1 training everything): {said}."


def _bounds(interval: Sequence[float | None] | None) -> str:
    if interval is None or None in interval:
        return " (unbounded)"
    return f" ({interval[0]:.2f} to {interval[1]:.2f})"


def _lora(study: Mapping[str, Any], panel: str, name: str, means: Mapping[str, float]) -> str:
    entry = _entry(study, panel, name, BASE)
    if entry is None:
        return ""
    gain = f"{findings.in_points(entry['difference'])} points ({findings.range_of_points(entry['interval'])})"
    return f"LoRA on block {name.split(':')[1]} reaches {findings.percent(means[name])}, {gain} over the base."


def _selectors(study: Mapping[str, Any]) -> list[str]:
    judged = study.get("selectors", {})
    if not judged:
        return ["Selectors can be judged once every block has been trained with one seed."]
    lines = ["Selectors (regret: points lost against the best block, on tasks and seeds not used to find it):"]
    for name, entry in sorted(judged.items(), key=lambda item: item[1]["regret"]):
        rank = entry["rank_correlation"]
        ranks = "" if rank is None else f", rank correlation with success {rank:+.2f}"
        picks = ", ".join(f"seed {seed}: {'+'.join(map(str, blocks))}" for seed, blocks in entry["picks"].items())
        cost = f", costs {100 * entry['cost_share']:.1f} % of training every block once" if entry["picks"] else ""
        lines.append(
            f"  {name}: regret {findings.in_points(entry['regret'])}{ranks}{cost}{f' (picks {picks})' if picks else ''}"
        )
    return lines
