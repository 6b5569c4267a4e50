"""Best play: value iteration against known optima, basic strategy against exact expectations."""

from __future__ import annotations

from functools import cache

import gymnasium
import pytest

from envs.toy_text.planning import basic_strategy, best_actions, changing, is_random, transitions_of

CARDS = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 10, 10, 10]


def transitions(name: str, **options: object):
    found = transitions_of(gymnasium.make(name, **options).unwrapped)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("name", "options", "random"),
    [
        ("FrozenLake-v1", {}, True),
        ("FrozenLake-v1", {"is_slippery": False}, False),
        ("Taxi-v4", {}, False),
        ("Taxi-v4", {"is_rainy": True}, True),
        ("CliffWalking-v1", {}, False),
        ("CliffWalkingSlippery-v1", {}, True),
    ],
)
def test_chance_is_seen(name, options, random):
    assert is_random(transitions(name, **options)) is random


def test_blackjack_tells_no_transitions():
    assert transitions_of(gymnasium.make("Blackjack-v1").unwrapped) is None


def test_the_shortest_way_along_the_cliff():
    table = transitions("CliffWalking-v1")
    best, state, steps = best_actions(table), 36, 0
    ended = False
    while not ended:
        [(_, state, reward, ended)] = table[state][int(best[state])]
        assert reward == -1
        steps += 1
    assert steps == 13


def test_the_published_optimum_of_the_slippery_lake():
    table = transitions("FrozenLake-v1")
    best = best_actions(table)
    reached = {state: 1.0 if state == 0 else 0.0 for state in table}
    won = 0.0
    for _ in range(100):
        after = dict.fromkeys(table, 0.0)
        for state, share in reached.items():
            for chance, following, reward, ends in table[state][int(best[state])]:
                won += share * chance * reward
                after[following] += 0.0 if ends else share * chance
        reached = after
    assert won == pytest.approx(0.74, abs=0.005)  # Gymnasium's registry: "optimum = 0.74" within 100 steps.


def test_actions_that_change_nothing_are_left_out():
    assert changing(transitions("FrozenLake-v1", is_slippery=False), 0) == [1, 2]


@cache
def dealer(total: int, ace: bool) -> dict[int, float]:
    """Chances of the dealer's last total, 0 for more than 21; total counts aces as 1."""
    worth = total + 10 if ace and total + 10 <= 21 else total
    if worth >= 17:
        return {worth if worth <= 21 else 0: 1.0}
    chances: dict[int, float] = {}
    for card in CARDS:
        for last, chance in dealer(total + card, ace or card == 1).items():
            chances[last] = chances.get(last, 0.0) + chance / len(CARDS)
    return chances


@cache
def expected(total: int, ace: bool, shown: int, hit: bool) -> float:
    """Expected reward; total counts aces as 1."""
    if not hit:
        worth = total + 10 if ace and total + 10 <= 21 else total
        return sum(
            chance * ((worth > last) - (worth < last))
            for card in CARDS
            for last, chance in dealer(shown + card, 1 in (shown, card)).items()
        ) / len(CARDS)
    outcome = 0.0
    for card in CARDS:
        after = total + card
        both = [expected(after, ace or card == 1, shown, again) for again in (True, False)] if after <= 21 else [-1.0]
        outcome += max(both) / len(CARDS)
    return outcome


@pytest.mark.parametrize("shown", range(1, 11))
@pytest.mark.parametrize("ace", [True, False])
def test_basic_strategy_is_the_best(shown: int, ace: bool):
    for total in range(12 if ace else 4, 22):
        hard = total - 10 if ace else total
        best = expected(hard, ace, shown, True) > expected(hard, ace, shown, False)
        assert basic_strategy(total, shown, ace) == best, (total, shown, ace)
