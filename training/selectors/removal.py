"""`layer=removal`: the block whose removal hurts the prediction of what the world says least.

Each block in turn is passed over (it hands on what it is given) and the shared episodes say by how many nats a token
the prediction gets worse. Minus that is the score: above zero, the policy would predict better without the block, which
is out of order then. One forward pass over a part of the episodes for each block, no reward, no gradient. Standard
errors are a jackknife over groups; where blocks cannot be told apart, the one nearest the middle is taken.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from agents.blocks import find_stack
from training.prediction import losses, passed_over
from training.probing import select_by_groups, too_few
from training.selectors import Choice, Groups, Probe

ASKED = 2
"""Episodes of each group that are asked."""
FEWEST = 3


def select(probe: Probe) -> Choice:
    """Passes over every block and chooses the one that is missed least."""
    groups = [episodes[:ASKED] for episodes in probe.groups() if episodes]
    if len(groups) < FEWEST:
        return too_few(probe, "removal", len(groups), "were played")
    before_P = np.array(probe.memo("removal: before", partial(losses, probe, groups)))
    values_LP = np.stack([before_P - _without(probe, index, groups) for index in range(probe.num_blocks)])
    note = f"probe: {len(groups)} groups"
    return select_by_groups("removal", values_LP, "is missed least in predicting the world", note)


def _without(probe: Probe, index: int, groups: Groups) -> np.ndarray:
    def compute() -> list[float]:
        with passed_over(find_stack(probe.model).modules[index]):
            return losses(probe, groups)

    return np.array(probe.memo(f"removal: block {index}", compute))
