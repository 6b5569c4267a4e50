"""The exploring expert: it wins from text alone, recovers from noise, and is deterministic."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.alfworld.dialects import CLASSIC, PACKAGED
from envs.alfworld.environment import ALFWorld
from envs.alfworld.experts import ExploringExpert
from envs.alfworld.games import find_games
from envs.alfworld.generator import generate
from envs.alfworld.layout import Layout
from envs.alfworld.observations import Knowledge, kind_of
from envs.alfworld.reading import read_game
from envs.alfworld.world import World

GAMES = 100


def play(layout: Layout, seed: int, noise: float = 0.0, foreign: Sequence[str] = ()) -> int | None:
    """Plays 50 turns at most; with probability `noise` an admissible (or a foreign) command is played instead."""
    world, expert, draw = World(layout), ExploringExpert(None, seed), random.Random(seed)
    text = world.reset()
    for turn in range(1, 51):
        command = expert.act(text)
        if draw.random() < noise:
            command = draw.choice(foreign or world.admissible_commands())
        text = world.step(command)
        if world.won:
            return turn
    return None


def layouts(split: str) -> list[Layout]:
    return [Layout(generate(split, 10_000 + index), PACKAGED) for index in range(GAMES)]


@pytest.mark.parametrize("split", ["train", "unseen"])
def test_it_wins_generated_games(split: str) -> None:
    turns = [play(layout, seed) for seed, layout in enumerate(layouts(split))]
    won = [turn for turn in turns if turn is not None]
    assert len(won) >= 0.97 * GAMES
    assert sum(won) / len(won) < 9.5


@pytest.mark.parametrize(("noise", "foreign"), [(0.2, ()), (0.15, ("dance", "take mug 9 from shelf 9"))])
def test_it_recovers_when_other_commands_are_played(noise: float, foreign: tuple[str, ...]) -> None:
    turns = [play(layout, seed, noise, foreign) for seed, layout in enumerate(layouts("train"))]
    assert sum(turn is not None for turn in turns) >= 0.94 * GAMES


def test_it_learns_the_wording_of_the_older_format() -> None:
    turns = [play(Layout(generate("train", index), CLASSIC), index) for index in range(40)]
    assert sum(turn is not None for turn in turns) >= 38


def test_it_wins_real_games(alfworld_data: Path) -> None:
    index = find_games(str(alfworld_data), "valid_seen")
    assert index is not None
    games = [read_game(index.path(name)) for name in index.names]
    turns = [play(Layout(game.problem, game.dialect), seed) for seed, game in enumerate(games)]
    won = [turn for turn in turns if turn is not None]
    assert len(won) >= 0.98 * len(games)
    assert sum(won) / len(won) < 8.6


def test_a_random_player_wins_almost_nothing() -> None:
    won = 0
    for seed, layout in enumerate(layouts("train")):
        world, draw = World(layout), random.Random(seed)
        for _ in range(50):
            world.step(draw.choice(world.admissible_commands()))
            won += world.won
            if world.won:
                break
    assert won <= 0.05 * GAMES


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 3))
def test_it_is_deterministic_and_uses_only_the_text(index: int, seed: int) -> None:
    env = ALFWorld(split="train", data="generated")
    text, info = env.reset(options={"task": f"generated/train/{index}"})
    with_env, alone = ExploringExpert(env, seed), ExploringExpert(None, seed)
    misled: dict[str, Any] = {**info, "admissible_commands": [], "anchor": "", "goal": "", "task": ""}
    for _ in range(15):
        command = with_env.act(text, info)
        assert alone.act(text, misled) == command  # type: ignore[arg-type]
        text, _, terminated, _, info = env.step(command)
        if terminated:
            break


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.randoms(use_true_random=False))
def test_what_is_known_is_true_whatever_is_played(index: int, draw: random.Random) -> None:
    layout = Layout(generate("train", index), PACKAGED)
    world, known = World(layout), Knowledge()
    known.add(world.reset())
    assert known.receptacles == list(layout.receptacle_names)
    assert known.sentence == layout.sentence
    for _ in range(40):
        known.add(world.step(draw.choice([*world.admissible_commands(), "dance"])))
        assert known.held == (None if world.state.held is None else layout.object_names[world.state.held])
        assert known.here <= {layout.receptacle_names[place] for place in world.state.here}
        for place, names in known.contents.items():
            really = {layout.object_names[item] for item in world.state.contents[layout.receptacle_names.index(place)]}
            assert len(set(names)) == len(names)
            assert set(names) == really
        for state, really_so in (("clean", world.state.clean), ("heat", world.state.hot)):
            treated = {name for name, states in known.treatments.items() if state in states}
            assert treated == {layout.object_names[item] for item in really_so}


def test_kinds() -> None:
    assert kind_of("butterknife 12") == "butterknife"
