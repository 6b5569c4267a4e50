"""Words for Gymnasium's environments: names of actions, what is seen, when an episode is won.

The four environments of Gymnasium's toy_text family have their own words. Any other with discrete actions and
observations is told by numbers, and by its "ansi" rendering where it has one.
"""

from __future__ import annotations

import re
from typing import Any, cast

import gymnasium
import numpy as np
from gymnasium.envs.toy_text.blackjack import BlackjackEnv, sum_hand
from gymnasium.envs.toy_text.cliffwalking import CliffWalkingEnv
from gymnasium.envs.toy_text.frozen_lake import FrozenLakeEnv
from gymnasium.envs.toy_text.taxi import TaxiEnv

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")

Env = gymnasium.Env[Any, Any]


class Wording:
    """Words for an environment that nothing is known about.

    Attributes:
        actions: a name for each action, in the order of the action space.
        goal: the task in words.
    """

    goal = "end the episode with a positive reward"

    def __init__(self, env: Env) -> None:
        """Starts.

        Args:
            env: the environment; its action space is Discrete.
        """
        space = cast(gymnasium.spaces.Discrete, env.action_space)
        self.actions = tuple(f"action {number}" for number in range(int(space.start), int(space.start + space.n)))

    def rules(self, env: Env, random: bool) -> str:
        """Says before the first turn what this is about.

        Args:
            env: the environment.
            random: whether actions have random outcomes, as far as that is known.
        """
        del random
        name = env.spec.id if env.spec is not None else type(env.unwrapped).__name__
        return f"This is {name}. You choose an action by its number. Your commands are {', '.join(self.actions)}."

    def situation(self, env: Env, observation: Any) -> str:  # noqa: ANN401 - of the environment's own type
        """Says what is seen."""
        numbers = f"Observation: {', '.join(str(number) for number in flat(observation))}."
        if env.render_mode != "ansi":
            return numbers
        picture = _COLOURS.sub("", str(env.render())).strip("\n")
        return f"{picture}\n{numbers}"

    def won(self, env: Env, observation: Any, reward: float) -> bool:  # noqa: ANN401
        """Whether an episode that has just ended is won."""
        del env, observation
        return reward > 0

    def ending(self, env: Env, observation: Any, reward: float) -> str:  # noqa: ANN401
        """Says how an episode has ended."""
        return "You win." if self.won(env, observation, reward) else "The episode is over."


class FrozenLakeWording(Wording):
    """FrozenLake: cross the ice without falling into a hole."""

    goal = "reach the goal G without falling into a hole"

    def __init__(self, env: Env) -> None:
        """Starts."""
        super().__init__(env)
        self.actions = ("left", "down", "right", "up")

    def rules(self, env: Env, random: bool) -> str:
        """Says what the letters mean."""
        slips = " The ice is slippery: you may slip to either side of where you want to go." if random else ""
        return (
            "You are on a frozen lake, at @. Go to the goal G and do not step into a hole H; F is firm ice, S the"
            f" start.{slips} Your commands are left, down, right and up."
        )

    def situation(self, env: Env, observation: Any) -> str:  # noqa: ANN401
        """Draws the lake."""
        rows = [[letter.decode() for letter in row] for row in cast(Any, env.unwrapped).desc]
        row, column = divmod(int(observation), len(rows[0]))
        rows[row][column] = "@"
        return _drawn(rows) + f"\nYou are at row {row + 1}, column {column + 1}."

    def won(self, env: Env, observation: Any, reward: float) -> bool:  # noqa: ANN401
        """Whether the goal is reached, whatever that pays."""
        del reward
        return bool(cast(Any, env.unwrapped).desc.ravel()[int(observation)] == b"G")

    def ending(self, env: Env, observation: Any, reward: float) -> str:  # noqa: ANN401
        """Says where the way ended."""
        return "You reach the goal." if self.won(env, observation, reward) else "You fall into a hole."


class CliffWalkingWording(Wording):
    """CliffWalking: go along a cliff to the goal."""

    goal = "reach the goal G without stepping onto the cliff C"

    def __init__(self, env: Env) -> None:
        """Starts."""
        super().__init__(env)
        self.actions = ("up", "right", "down", "left")

    def rules(self, env: Env, random: bool) -> str:
        """Says what the letters mean."""
        slips = " The ground is slippery: you may slip to either side of where you want to go." if random else ""
        return (
            "You stand beside a cliff, at @. Go to the goal G. A step onto the cliff C throws you back to the start and"
            f" costs 100; every other step costs 1.{slips} Your commands are up, right, down and left."
        )

    def situation(self, env: Env, observation: Any) -> str:  # noqa: ANN401
        """Draws the cliff."""
        height, width = cast(CliffWalkingEnv, env.unwrapped).shape
        rows = [["_"] * width for _ in range(height)]
        rows[-1] = ["_", *["C"] * (width - 2), "G"]
        row, column = divmod(int(observation), width)
        rows[row][column] = "@"
        return _drawn(rows) + f"\nYou are at row {row + 1}, column {column + 1}."

    def won(self, env: Env, observation: Any, reward: float) -> bool:  # noqa: ANN401
        """An episode ends at the goal only."""
        return True

    def ending(self, env: Env, observation: Any, reward: float) -> str:  # noqa: ANN401
        """Says so."""
        return "You reach the goal."


class TaxiWording(Wording):
    """Taxi: bring a passenger to their destination."""

    goal = "bring the passenger to their destination"

    _STANDS = ("Red", "Green", "Yellow", "Blue")

    def __init__(self, env: Env) -> None:
        """Starts."""
        super().__init__(env)
        self.actions = ("south", "north", "east", "west", "pick up", "drop off")

    def rules(self, env: Env, random: bool) -> str:
        """Shows the map."""
        picture = "\n".join(b"".join(row).decode() for row in cast(TaxiEnv, env.unwrapped).desc)
        rain = " It rains: the taxi may drift to either side of where it is driven." if random else ""
        return (
            "You drive a taxi. Pick up the passenger and drop them off at their destination. Every step costs 1, a"
            f" wrong pick up or drop off 10.{rain} Your commands are south, north, east, west, pick up and drop off."
            f"\nThe town, where | is a wall and R, G, Y, B are the stands Red, Green, Yellow and Blue:\n{picture}"
        )

    def situation(self, env: Env, observation: Any) -> str:  # noqa: ANN401
        """Says where the taxi and the passenger are."""
        taxi = cast(TaxiEnv, env.unwrapped)
        row, column, passenger, destination = taxi.decode(int(observation))
        places = [f"{name} (row {r + 1}, column {c + 1})" for name, (r, c) in zip(self._STANDS, taxi.locs, strict=True)]
        where = f"The taxi is at row {row + 1}, column {column + 1}."
        if passenger == destination:
            return f"{where} The passenger is at {places[destination]}, as they wanted."
        waits = "sits in the taxi" if passenger == len(places) else f"waits at {places[passenger]}"
        return f"{where} The passenger {waits} and wants to go to {places[destination]}."

    def won(self, env: Env, observation: Any, reward: float) -> bool:  # noqa: ANN401
        """An episode ends when the passenger has arrived only."""
        return True

    def ending(self, env: Env, observation: Any, reward: float) -> str:  # noqa: ANN401
        """Says so."""
        return "The passenger has arrived."


class BlackjackWording(Wording):
    """Blackjack: come closer to 21 than the dealer."""

    goal = "beat the dealer"

    def __init__(self, env: Env) -> None:
        """Starts."""
        super().__init__(env)
        self.actions = ("stick", "hit")

    def rules(self, env: Env, random: bool) -> str:
        """Tells the rules."""
        return (
            "You play Blackjack. Hit to draw a card, stick to stop. Over 21 you lose. After you stick, the dealer draws"
            " up to 17 or more, and whoever is closer to 21 wins. An ace counts 11 where that fits, else 1. Your"
            " commands are hit and stick."
        )

    def situation(self, env: Env, observation: Any) -> str:  # noqa: ANN401
        """Says what the cards are worth."""
        total, shown, ace = (int(number) for number in observation)
        card = "an ace" if shown == 1 else f"a {shown}"
        usable = "an ace that counts 11" if ace else "no ace that counts 11"
        return f"Your cards are worth {total}, with {usable}. The dealer shows {card}."

    def ending(self, env: Env, observation: Any, reward: float) -> str:  # noqa: ANN401
        """Says who has won."""
        dealer = sum_hand(cast(BlackjackEnv, env.unwrapped).dealer)  # type: ignore[no-untyped-call]
        if int(observation[0]) > 21:
            return "You are over 21 and lose."
        result = "You win." if reward > 0 else "You lose." if reward < 0 else "Nobody wins."
        return f"The dealer's cards are worth {dealer}. {result}"


_KNOWN: dict[type[Any], type[Wording]] = {
    FrozenLakeEnv: FrozenLakeWording,
    CliffWalkingEnv: CliffWalkingWording,
    TaxiEnv: TaxiWording,
    BlackjackEnv: BlackjackWording,
}


def wording_of(env: Env) -> Wording:
    """Returns the words for an environment."""
    return _KNOWN.get(type(env.unwrapped), Wording)(env)


def wants_picture(env: Env) -> bool:
    """Whether an environment is told by its "ansi" rendering: it has one, and there are no words for it."""
    return type(env.unwrapped) not in _KNOWN and "ansi" in env.metadata.get("render_modes", ())


def flat(observation: Any) -> list[int]:  # noqa: ANN401 - a number, an array, or a tuple of such
    """Lists the numbers of an observation."""
    if isinstance(observation, tuple):
        return [number for part in observation for number in flat(part)]
    return [int(number) for number in np.ravel(observation)]


def _drawn(rows: list[list[str]]) -> str:
    return "\n".join(" ".join(row) for row in rows)
