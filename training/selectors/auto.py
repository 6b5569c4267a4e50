"""`layer=auto`: what the cheap signs say together, a race where the budget allows one, else the middle block.

In this order:

0.  The middle block, where `budget=` does not pay for the signs themselves.
1.  A block that seems out of order, by signs that need no reward. Either no other is missed less in predicting what the
    world says (`layer=removal`), without it the policy predicts that not clearly worse, by two standard errors, and it
    is one of the two that learn best to predict it (`layer=adaptation`; the best of fewer than eight blocks). Or it
    learns that best, clearly, and by its first update half as much again as any other.
2.  A block that clearly promises the largest gain of one Adam step on the policy loss (`training.probing`).
3.  A block that clearly outruns the middle one in a race of real training, among those that step 2 could not tell
    apart, if `budget=` leaves enough for one (`training.racing`). A gap between blocks shows only after a good part of
    the training, so no more run than could each be trained for a third of it (two for a quarter), spread over the
    depth: blocks that are neighbours are much alike.
4.  Of the blocks that step 2 could not tell apart the one nearest the middle, "Is One Layer Enough?"'s prior (arXiv
    2607.01232). The choice says so.

The score of a block is its first-order gain; the details have the other signs, and how it did in the race. `python -m
training.planted` tests the first step with blocks that were damaged on purpose.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace

from agents.targets import middle
from training.probing import gain, select_by_gradient
from training.racing import FEWEST, Race, race, spread
from training.selectors import BlockScore, Choice, Groups, Probe, adaptation, prior, removal

RACES = True
MANY = 8
"""Of so many blocks one of the best two by one sign seldom is the best by another one by chance."""
LEAD = 1.5
"""By its first update a block that is out of order learns so many times what any other does."""


def select(probe: Probe) -> Choice:
    """Chooses a block by all signs together."""
    if (share := _signs(probe)) > probe.budget:
        why = f"the signs would cost {share:.0%} of training every block once, above budget={probe.budget:g}"
        return replace(prior.select(probe), selector="auto", why=f"{why}: the middle block, by position alone")
    once = replace(probe, groups=_once(probe.groups))
    missed, learns = removal.select(once), adaptation.select(once)
    gains = select_by_gradient(once, "auto", gain, "promises the largest first-order gain")
    gains = replace(gains, blocks=_with_details(gains, {"removal": missed, "adaptation": learns}))
    suspect, seems = _out_of_order(missed, learns)
    if suspect is not None:
        return replace(gains, indices=(suspect,), why=f"block {suspect} seems out of order: {seems}")
    iterations, center = _affordable(once), middle(probe.num_blocks)[0]
    runners = spread(gains.tied, center, _runners(probe.iterations, iterations))
    if len(gains.tied) < 2 or not runners:
        return gains
    raced = race(once, runners, iterations)
    if raced is None:
        return gains
    gains = replace(gains, blocks=tuple(_with_race(block, raced) for block in gains.blocks))
    # The middle block always runs along; where its gain is clearly smaller it is no answer.
    if raced.winner not in gains.tied:
        return gains
    return replace(gains, indices=(raced.winner,), why=f"{gains.why}; {raced.why}")


def _signs(probe: Probe) -> float:
    """What the signs cost, as a share of training every block once; 0 if that is not known."""
    if not probe.sweep_episodes:
        return 0.0
    # The shared batch is played and learned from once; blocks are adapted one by one.
    episodes = 2 * probe.shared_episodes + probe.num_blocks * adaptation.EPISODES * max(adaptation.LOOKS)
    return episodes / (2 * probe.sweep_episodes)


def _affordable(probe: Probe) -> int:
    """Iterations of a race that the budget still pays, after the signs; playing and learning count alike."""
    if not probe.sweep_episodes:
        return 0
    spent = sum(map(len, probe.groups())) + sum(probe.learned_episodes.values())
    left = probe.budget - spent / (2 * probe.sweep_episodes)
    return max(0, int(left * probe.num_blocks * probe.iterations))


def _runners(training: int, budget: int) -> int:
    """How many blocks may race with the middle one, of so many iterations of a training and of the budget."""
    if budget < 2 * max(math.ceil(training / 4), FEWEST):
        return 0
    return max(budget // max(math.ceil(training / 3), 1) - 1, 1)


def _once(groups: Callable[[], Groups]) -> Callable[[], Groups]:
    """Plays the shared batch for the first of several selectors only."""
    played: list[Groups] = []

    def shared() -> Groups:
        if not played:
            played.append(groups())
        return played[0]

    return shared


def _out_of_order(missed: Choice, learns: Choice) -> tuple[int | None, str]:
    """The block that seems out of order, and why; None if none does, or without scores."""
    named, able = _ranked(missed), _ranked(learns)
    # Of two blocks any two signs agree half of the time.
    if len(named) < 3 or len(able) < 3:
        return None, ""
    score, suspect = named[0]
    clearly_missed = score + 2 * missed.blocks[suspect].details["standard_error"] < 0
    best = [index for _, index in able[: 2 if len(able) >= MANY else 1]]
    if suspect in best and not clearly_missed:
        return suspect, "the world is predicted as well without it, and hardly any other learns that better"
    gained, mended = able[0]
    clearly = gained - 2 * learns.blocks[mended].details["standard_error"] > 0
    first, *others = (learns.blocks[index].details["first_update"] for _, index in able)
    if clearly and first > LEAD * max(0.0, *others):
        return mended, "it learns best to predict the world, and by far the most by its first update"
    return None, ""


def _ranked(choice: Choice) -> list[tuple[float, int]]:
    """Scores and blocks, best first, clear or not; empty without scores."""
    return sorted(((block.score, block.index) for block in choice.blocks if block.score is not None), reverse=True)


def _with_race(block: BlockScore, raced: Race) -> BlockScore:
    """A block's score with how it did in the race, if it ran: what decides where there was one."""
    if block.index not in raced.successes:
        return block
    ran = {"race_success": raced.score(block.index), "race_iterations": float(len(raced.successes[block.index]))}
    return replace(block, details=block.details | ran)


def _with_details(choice: Choice, others: dict[str, Choice]) -> tuple[BlockScore, ...]:
    return tuple(replace(block, details=block.details | dict(_scores(others, block.index))) for block in choice.blocks)


def _scores(others: dict[str, Choice], block: int) -> Iterator[tuple[str, float]]:
    for name, other in others.items():
        score = other.blocks[block].score
        if score is not None:
            yield name, score
            yield from ((f"{name}_{key}", value) for key, value in other.blocks[block].details.items())
