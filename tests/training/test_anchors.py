from __future__ import annotations

import numpy as np
import pytest

from envs.config import load
from envs.errors import InputError
from training.advantages import gigpo
from training.anchors import AnchorsConfig, figures, main, mixed


def columns(anchors: list[str], rewards: list[float], episodes: list[int]) -> dict[str, np.ndarray]:
    return {
        "group": np.array(["g"] * len(anchors), dtype=object),
        "episode": np.array(episodes),
        "anchor": np.array(anchors, dtype=object),
        "reward": np.array(rewards),
        "penalty": np.zeros(len(anchors)),
    }


# Two episodes of two turns, the first of which wins: step returns 0.5, 1, 0, 0 at gamma 0.5.
PLAYED = ([0.0, 1.0, 0.0, 0.0], [0, 0, 1, 1])
OPTIONS = gigpo.Config(gamma=0.5, scale="none")


def test_figures_of_hand_worked_groups() -> None:
    found = figures(columns(["a", "b", "a", "c"], *PLAYED), OPTIONS)
    assert (found.groups, found.mean_size, found.alone, found.compared) == (3, 4 / 3, 0.5, 0.5)
    # Step advantages 0.25, 0, -0.25, 0; episode advantages 0.5, 0.5, -0.5, -0.5.
    assert found.step_variance == pytest.approx(0.03125)
    assert found.variance == pytest.approx(np.var([0.75, 0.5, -0.75, -0.5]))


def test_one_anchor_for_all_compares_all() -> None:
    found = figures(columns(["a"] * 4, *PLAYED), OPTIONS)
    assert (found.groups, found.mean_size, found.alone, found.compared) == (1, 4.0, 0.0, 1.0)


def test_mixed_groups_are_those_with_several_states() -> None:
    text = columns(["a", "b", "a", "c"], *PLAYED)
    assert mixed(text, columns(["1", "2", "3", "4"], *PLAYED)) == (1 / 3, 0.5)
    assert mixed(text, columns(["1", "2", "1", "4"], *PLAYED)) == (0.0, 0.0)


def test_the_command_compares_the_same_turns(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["batches=1", "train.groups=2", "train.group_size=2", "env.max_turns=6", "env.data=generated"]
    assert main(load(AnchorsConfig, arguments)) == 0
    said = capsys.readouterr().out
    assert "of 4 episodes" in said
    assert "anchor=text" in said
    assert "anchor=state" in said
    assert "hold several states" in said


def test_only_gigpo_has_anchors() -> None:
    with pytest.raises(InputError, match="algorithm=grpo does not use anchors"):
        main(load(AnchorsConfig, ["algorithm=grpo"]))
