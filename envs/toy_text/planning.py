"""Best play where an environment tells its transitions, and basic strategy for Blackjack.

Value iteration (Bellman, 1957) over Gymnasium's `P[state][action] = [(probability, next state, reward, ends), ...]`,
for the environment's own rewards. The discount is so close to 1 that it only breaks ties in favour of short ways.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Outcome = tuple[float, int, float, bool]
Transitions = Mapping[int, Mapping[int, Sequence[Outcome]]]

_DISCOUNT = 0.9995
_TOLERANCE = 1e-7
_MOST_SWEEPS = 50_000


def transitions_of(env: Any) -> Transitions | None:  # noqa: ANN401 - any environment, unwrapped
    """Returns an environment's transitions; None if it does not tell them."""
    found = getattr(env, "P", None)
    return found if isinstance(found, Mapping) else None


def is_random(transitions: Transitions) -> bool:
    """Whether an action has several possible outcomes somewhere."""
    return any(
        len({(state, ends) for probability, state, _, ends in outcomes if probability > 0}) > 1
        for actions in transitions.values()
        for outcomes in actions.values()
    )


def changing(transitions: Transitions, state: int) -> list[int]:
    """Lists the actions that may lead to another state or to the end."""
    return [
        action
        for action, outcomes in transitions[state].items()
        if any(probability > 0 and (after != state or ends) for probability, after, _, ends in outcomes)
    ]


def best_actions(transitions: Transitions) -> NDArray[np.int64]:
    """Finds an action for every state that earns most.

    Args:
        transitions: states and actions are numbered from 0, and every state has the same actions.

    Returns:
        An action for each state.
    """
    states, actions = len(transitions), len(transitions[0])
    width = max(len(outcomes) for row in transitions.values() for outcomes in row.values())
    probability = np.zeros((states, actions, width))
    reward = np.zeros((states, actions, width))
    after = np.zeros((states, actions, width), dtype=np.int64)
    going_on = np.zeros((states, actions, width))
    for state, row in transitions.items():
        for action, outcomes in row.items():
            for place, (chance, following, paid, ends) in enumerate(outcomes):
                probability[state, action, place] = chance
                reward[state, action, place] = paid
                after[state, action, place] = following
                going_on[state, action, place] = not ends
    values = np.zeros(states)
    for _ in range(_MOST_SWEEPS):
        earned = (probability * (reward + _DISCOUNT * going_on * values[after])).sum(axis=2)
        change = np.abs(earned.max(axis=1) - values).max()
        values = earned.max(axis=1)
        if change < _TOLERANCE:
            break
    # Equal up to rounding is equal: the first of the best actions, on every machine.
    best: NDArray[np.int64] = np.argmax(np.round(earned, 6), axis=1)
    return best


def basic_strategy(total: int, shown: int, usable_ace: bool) -> bool:
    """Says whether to hit in Blackjack where one can only hit or stick: basic strategy (Thorp, Beat the Dealer, 1966).

    Args:
        total: what the player's cards are worth.
        shown: the dealer's open card, 1 for an ace.
        usable_ace: whether an ace counts 11.
    """
    if usable_ace:
        return total <= (18 if shown in (1, 9, 10) else 17)
    if shown in (4, 5, 6):
        return total <= 11
    return total <= (12 if shown in (2, 3) else 16)
