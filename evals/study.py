"""`python -m evals.study folder=DIR`: reads a layer-contribution study again, and compares it with others.

Builds `study.json`, the plot `contribution.svg` and the plain-language reading from the cells that `training.sweep`
wrote. With against=DIR,DIR it also prints how far the studies rank the blocks alike, what selectors give up against the
best block over all their cells together, and how far `auto` is above a random block and the middle one, over these
studies' seeds and over studies.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from statistics import fmean
from typing import Any

from agents.targets import block_success
from envs.command import run_command
from envs.config_schema import key, listed
from envs.errors import InputError
from envs.files import understood
from evals.figures import p_value
from evals.findings import in_points, range_of_points
from evals.folder import Folder
from evals.selector_validation import AUTO, leads, pooled, rank_correlation, validate
from evals.statistics import mean_interval
from evals.strata import stratified_mean_interval
from evals.studies import arms_of, build, read_cells
from evals.study_chart import chart
from evals.study_reading import reading

FACTS, STUDY, PLOT = "facts.json", "study.json", "contribution.svg"


@dataclass(frozen=True)
class StudyConfig:
    """Keys of `evals.study`."""

    folder: str = key("", "the study's folder, as training.sweep wrote it")
    against: str = key("", "other studies' folders to compare ranks and pool selectors with, separated by commas")


def main(config: StudyConfig) -> int:
    """Runs the command."""
    if not config.folder:
        raise InputError("folder= is needed: the folder of a study, as training.sweep wrote it.")
    for line in write(Path(config.folder)):
        print(line)
    others = [Path(part) for part in listed(config.against)]
    folders = [Path(config.folder), *others]
    for line in [*agreement(folders), *selectors_over(folders)]:
        print(line)
    return 0


def write(path: Path) -> list[str]:
    """Builds the study's files from its cells.

    Returns:
        The reading, line by line.

    Raises:
        InputError: the folder holds no study.
    """
    folder = Folder(path)
    facts = folder.read_json(FACTS)
    if facts is None:
        raise InputError(f"{path} holds no study: it has no {FACTS}.")
    content = load(path, facts)
    panel = next(iter(content["panels"]), None)
    with understood(path, "a study"):
        folder.write_json(STUDY, content)
        if panel is not None:
            folder.write_text(PLOT, chart(content, panel))
    return content["reading"] if panel is not None else ["No arm has been scored yet."]


def load(path: Path, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Builds the content of `study.json` from a folder's cells."""
    rows = read_cells(path)
    with understood(path, "a study"):
        return _built(rows, facts)


def _built(rows: Sequence[Mapping[str, Any]], facts: Mapping[str, Any]) -> dict[str, Any]:
    content = build(facts, rows)
    picks = [row for row in rows if "chosen" in row]
    arms = arms_of(rows)
    panel = next(iter(content["panels"]), None)
    judged = validate(arms, picks, panel, facts["blocks"], facts["episodes"]) if panel is not None else {}
    content["selectors"] = judged
    content["reading"] = reading(content)
    return content


def agreement(folders: Sequence[Path]) -> list[str]:
    """How far studies rank the blocks alike, one line a pair (Spearman, on each study's first panel)."""
    studies = []
    for path in folders:
        content = Folder(path).read_json(STUDY)
        if content is None:
            raise InputError(f"{path} has no {STUDY}: python -m evals.study folder={path}")
        with understood(path / STUDY, "a study"):
            studies.append((path.name, int(content["blocks"]), block_success(content)))
    lines = []
    for (first, deep, one), (second, shallow, other) in combinations(studies, 2):
        found = rank_correlation(one, other) if deep == shallow else None
        if deep != shallow:
            lines.append(
                f"{first} and {second} are of models of {deep} and {shallow} blocks, where blocks of one number lie at "
                "other depths: ranks are not compared."
            )
        elif found is None:
            lines.append(f"{first} and {second} have fewer than three blocks in common: ranks are not compared.")
        else:
            rho, p, count = found
            lines.append(f"Ranks of {count} blocks in {first} and {second}: Spearman {rho:+.2f} (p {p_value(p)}).")
    return lines


def selectors_over(folders: Sequence[Path]) -> list[str]:
    """What selectors give up over the cells of two studies or more, of those of which each cell has a pick.

    Further lines are of `auto`, with intervals: over the seeds of these studies, and over studies.
    """
    asked = [Folder(path).read_json(STUDY) or {} for path in folders]
    with understood(folders[0] / STUDY, "a study"):
        studies = [study for study in asked if any(row["picks"] for row in study.get("selectors", {}).values())]
        if len(studies) < 2:
            return []
        cells, regrets = pooled([study["selectors"] for study in studies])
        found = [ahead for study in studies if (ahead := leads(study, AUTO))]
    told = ", ".join(f"{name} {in_points(regret)}" for name, regret in regrets.items())
    lines = [f"Points given up against the best block, over {cells} cells of {len(studies)} studies: {told}."]
    return lines + (_auto_over(found) if len(found) > 1 else [])


def _auto_over(found: Sequence[Sequence[tuple[float, float]]]) -> list[str]:
    """How far `auto` is above a random block and the middle one, from its leads in each study, seed by seed.

    Seeds of one study share start, panel and mostly the pick, so they say nothing of other studies.
    """
    studies = len(found)
    over = [
        f"{in_points(fmean([lead[side] for leads in found for lead in leads]))} "
        f"({range_of_points(stratified_mean_interval([[lead[side] for lead in leads] for leads in found]))})"
        for side in (0, 1)
    ]
    means = [[fmean(lead[side] for lead in leads) for leads in found] for side in (0, 1)]
    beyond = [f"{in_points(fmean(each))} ({range_of_points(mean_interval(each))})" for each in means]
    return [
        f"What auto takes ends {over[0]} points above a random block and {over[1]} above the middle one (95 % over the "
        f"{sum(map(len, found))} seeds of these {studies} studies).",
        f"For other worlds and models it says less: over the {studies} studies' means, t, it is {beyond[0]} and "
        f"{beyond[1]}.",
    ]


if __name__ == "__main__":
    sys.exit(run_command("python -m evals.study", StudyConfig, main, description="Reads and compares layer studies."))
