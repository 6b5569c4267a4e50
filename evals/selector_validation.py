"""How good selectors are, measured by a study that trained every block.

For each selector: the rank correlation (Spearman) between its scores and the blocks' success; the regret of its picks;
and the episodes that it plays and learns from, as a share of those of training every block once. Regret is the success
of the best block minus that of the pick, both on tasks and seeds that were not used to find the best one: the cells are
split into halves by task and, where there are two seeds or more, by seed, again and again; the best block of one half
is looked up in the other. So the best of many noisy blocks is not credited with its luck, and a regret below zero can
happen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agents.targets import middle
from evals.studies import Arm, blocks_of

SPLITS = 400
RANDOM, MIDDLE, AUTO = "random", "middle", "auto"


def validate(
    arms: Mapping[str, Arm], picks: Sequence[Mapping[str, Any]], panel: str, num_blocks: int, episodes: int
) -> dict[str, dict[str, Any]]:
    """Compares selectors with a random block and the middle one.

    Args:
        arms: the study's arms.
        picks: the selectors' cells: selector, seed, chosen, scores (one a block, or None), episodes, learned_episodes.
        panel: the panel to judge on.
        num_blocks: of the model.
        episodes: what training one arm plays.

    Returns:
        By selector: "rank_correlation", "regret", "picks" by seed, "cost_share". Empty if no seed has every block.
    """
    blocks = blocks_of(arms)
    seeds = [seed for seed in _seeds(arms, blocks, panel) if all(seed in arms[name].wins[panel] for name in blocks)]
    if len(blocks) < max(num_blocks, 2) or not seeds:
        return {}
    wins_LSN = np.stack([arms[name].matrix(panel, seeds) for name in blocks]).astype(float)
    regrets_L = block_regrets(wins_LSN)
    means_L = wins_LSN.mean(axis=(1, 2))
    result: dict[str, dict[str, Any]] = {
        RANDOM: {"rank_correlation": None, "regret": float(regrets_L.mean()), "picks": {}, "cost_share": 0.0},
        MIDDLE: {
            "rank_correlation": None,
            "regret": float(regrets_L[middle(len(blocks))[0]]),
            "picks": {},
            "cost_share": 0.0,
        },
    }
    for name in sorted({pick["selector"] for pick in picks}):
        own = [pick for pick in picks if pick["selector"] == name]
        chosen = {pick["seed"]: pick["chosen"] for pick in own}
        per_pick = [float(np.mean([regrets_L[blocks.index(str(block))] for block in pick["chosen"]])) for pick in own]
        result[name] = {
            "rank_correlation": _correlation(own, means_L),
            "regret": float(np.mean(per_pick)),
            "picks": chosen,
            "cost_share": float(np.mean([pick["episodes"] + pick.get("learned_episodes", 0) for pick in own]))
            / max(2 * episodes * len(blocks), 1),
        }
    return result


def block_regrets(wins_LSN: NDArray[np.float64], splits: int = SPLITS, seed: int = 0) -> NDArray[np.float64]:
    """The regret of always picking each block, (L,): cross-fitted, the mean over random halves.

    Args:
        wins_LSN: success of each block, seed and task, (L, S, N).
        splits: how many halvings to average.
        seed: of the halvings.
    """
    blocks, seeds, tasks = wins_LSN.shape
    generator = np.random.default_rng([seed, 0x5717])
    total_L = np.zeros(blocks)
    for _ in range(splits):
        first_tasks = generator.permutation(tasks) < tasks // 2
        first_seeds = generator.permutation(seeds) < seeds // 2 if seeds > 1 else np.ones(1, dtype=bool)
        second_seeds = ~first_seeds if seeds > 1 else first_seeds
        found_L = wins_LSN[:, first_seeds][:, :, first_tasks].mean(axis=(1, 2))
        judged_L = wins_LSN[:, second_seeds][:, :, ~first_tasks].mean(axis=(1, 2))
        # Equal blocks share the crown, so that their order does not matter.
        total_L += judged_L[found_L == found_L.max()].mean() - judged_L
    return total_L / splits


def pooled(studies: Sequence[Mapping[str, Mapping[str, Any]]]) -> tuple[int, dict[str, float]]:
    """The mean regret of each selector over the cells of several studies; a cell is a study's seed.

    Args:
        studies: what `validate` returned for each.

    Returns:
        The number of cells, and the regrets by selector, the best first; of those alone that picked in every cell.
    """
    cells = [max((len(row["picks"]) for row in judged.values()), default=0) for judged in studies]
    total = sum(cells)
    always = [
        name
        for name in dict.fromkeys(name for judged in studies for name in judged)
        if all(
            name in judged and (name in (RANDOM, MIDDLE) or len(judged[name]["picks"]) == count)
            for judged, count in zip(studies, cells, strict=True)
        )
    ]
    means = {
        name: sum(count * judged[name]["regret"] for judged, count in zip(studies, cells, strict=True)) / max(total, 1)
        for name in always
    }
    return total, dict(sorted(means.items(), key=lambda item: item[1]))


def leads(study: Mapping[str, Any], selector: str) -> list[tuple[float, float]]:
    """How far the blocks that a selector took end above a random block and the middle one, seed by seed.

    Nothing is picked here by the success that is compared, so nothing has to be held out.

    Args:
        study: the content of `study.json`.
        selector: its name.

    Returns:
        Differences of success on the first panel, for each seed with a pick and every block.
    """
    panel, arms = next(iter(study["panels"])), study["arms"]
    won = {
        int(name): dict(zip(arm["seeds"], arm["success"][panel], strict=True))
        for name, arm in arms.items()
        # Where some seeds were not scored on this panel, it is not said which.
        if name.isdecimal() and len(arm["success"].get(panel, ())) == len(arm["seeds"])
    }
    found = []
    for seed, chosen in study["selectors"].get(selector, {}).get("picks", {}).items():
        ends = {block: shares[int(seed)] for block, shares in won.items() if int(seed) in shares}
        if len(ends) == study["blocks"]:
            taken = fmean(ends[block] for block in chosen)
            found.append((taken - fmean(ends.values()), taken - ends[middle(len(ends))[0]]))
    return found


def rank_correlation(first: Mapping[int, float], second: Mapping[int, float]) -> tuple[float, float, int] | None:
    """Spearman's correlation between two studies' success, block by block: rho, p and the number of blocks.

    Args:
        first: success by block of one study.
        second: of another one, whose model has as many blocks: else blocks of one number lie at other depths.

    Returns:
        None for fewer than three common blocks.
    """
    common = sorted(set(first) & set(second))
    if len(common) < 3:
        return None
    found = _spearman([first[name] for name in common], [second[name] for name in common])
    return *found, len(common)


def _spearman(first: Sequence[float], second: Sequence[float]) -> tuple[float, float]:
    """Spearman's rho and its p."""
    from scipy import stats  # takes half a second, which commands that refuse their input should not

    found = stats.spearmanr(first, second)
    return float(found.statistic), float(found.pvalue)


def _seeds(arms: Mapping[str, Arm], blocks: Sequence[str], panel: str) -> list[int]:
    return sorted({seed for name in blocks for seed in arms[name].wins.get(panel, {})})


def _correlation(picks: Sequence[Mapping[str, Any]], means_L: NDArray[np.float64]) -> float | None:
    """Mean over seeds of the rank correlation between scores and success; None if the selector does not score."""
    found = []
    for pick in picks:
        scores = pick["scores"]
        if scores is None or any(score is None for score in scores) or len(scores) != len(means_L):
            return None
        if len(set(scores)) < 2 or len(set(means_L.tolist())) < 2:
            return None
        found.append(_spearman(scores, means_L.tolist())[0])
    return float(np.mean(found)) if found else None
