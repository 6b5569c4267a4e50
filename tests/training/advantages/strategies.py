"""Random groups of episodes, and a slow second reading of the GiGPO paper to compare with."""

from __future__ import annotations

import statistics
from typing import Any

import numpy as np
from hypothesis import strategies as st

from training.advantages.gigpo import Config

REWARDS = st.sampled_from([-1.0, -0.1, 0.0, 0.5, 10.0])


@st.composite
def turns(draw: st.DrawFn, max_groups: int = 3) -> dict[str, list[Any]]:
    """Draws 1 to 3 groups of 1 to 4 episodes of 1 to 5 turns, the turns of all episodes interleaved."""
    rows = [
        (f"task {group}", episode, draw(st.sampled_from("abc")), draw(REWARDS), draw(st.sampled_from([0.0, 0.0, 0.1])))
        for group in range(draw(st.integers(1, max_groups)))
        for episode in range(draw(st.integers(1, 4)))
        for _ in range(draw(st.integers(1, 5)))
    ]
    rows = draw(st.permutations(rows))
    return {name: list(column) for name, column in zip(COLUMNS, zip(*rows, strict=True), strict=True)}


COLUMNS = ("group", "episode", "anchor", "reward", "penalty")
CONFIGS = st.builds(
    Config,
    gamma=st.sampled_from([0.0, 0.5, 0.95, 1.0]),
    step_weight=st.sampled_from([0.0, 0.5, 1.0]),
    scale=st.sampled_from(["std", "none"]),
    statistics=st.sampled_from(["turn", "episode"]),
)


def play_order(order: np.ndarray, turns: dict[str, list[Any]]) -> np.ndarray:
    """Repairs a permutation of turns so that each episode's turns keep their order."""
    keys = list(zip(turns["group"], turns["episode"], strict=True))
    waiting = {key: iter([row for row, other in enumerate(keys) if other == key]) for key in set(keys)}
    return np.array([next(waiting[keys[row]]) for row in order])


def take(turns: dict[str, list[Any]], rows: np.ndarray) -> dict[str, list[Any]]:
    """Takes some turns, in the order given."""
    return {name: [column[row] for row in rows] for name, column in turns.items()}


def slow_gigpo(turns: dict[str, list[Any]], config: Config) -> list[float]:
    """GiGPO turn by turn in plain Python, for rows as `turns` draws them."""
    rows = list(zip(*(turns[name] for name in COLUMNS), strict=True))

    def score(row: int) -> float:
        return sum(r[3] for r in rows if r[:2] == rows[row][:2]) - rows[row][4]

    def step_return(row: int) -> float:
        ahead = [r[3] for r in rows[row:] if r[:2] == rows[row][:2]]
        return sum(reward * config.gamma**k for k, reward in enumerate(ahead)) - rows[row][4]

    def relative(value: float, others: list[float]) -> float:
        if len(others) < 2:
            return 0.0
        unit = statistics.stdev(others) + 1e-6 if config.scale == "std" else 1.0
        return (value - statistics.mean(others)) / unit

    result = []
    for row, (group, _, anchor, _, _) in enumerate(rows):
        mates = [k for k, other in enumerate(rows) if other[0] == group]
        firsts = [k for k in mates if all(rows[j][:2] != rows[k][:2] for j in range(k))]
        counted = firsts if config.statistics == "episode" else mates
        episode = relative(score(row), [score(k) for k in counted]) if len(firsts) > 1 else 0.0
        step = relative(step_return(row), [step_return(k) for k in mates if rows[k][2] == anchor])
        result.append(episode + config.step_weight * step)
    return result
