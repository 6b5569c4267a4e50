"""`python -m envs.alfworld.generate out=DIR games=100 seed=0 split=train`: writes generated games as files.

The files have the format and the layout of ALFWorld's release, `DIR/json_2.1.1/<split>/<task>/<trial>/` with
`game.tw-pddl` and `traj_data.json`, so `data=DIR` and the stock tools play them. They are the games that `env=alfworld
data=generated` draws for the same seed, split and options, and a game that is there already is written again as it was.
Nobody needs the files to play generated games here: those are made from their names, without the disk.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from envs.alfworld.difficulty import Difficulty
from envs.alfworld.games import GAME_FILE, RELEASE_FOLDER, SPLITS
from envs.alfworld.generator import generate, room_number
from envs.alfworld.package import read_game_texts
from envs.alfworld.problem import Problem
from envs.alfworld.tasks import GENERATED, TaskSource, generated_arguments
from envs.alfworld.writing import write_game
from envs.command import run_command
from envs.config_schema import key
from envs.errors import InputError
from envs.files import expanded


@dataclass(frozen=True)
class _OutputConfig:
    out: str = key("", "the folder to write to")
    games: int = key(100, "games to write", unit="games", minimum=1)
    seed: int = key(0, "draws the games", minimum=0)
    split: str = key("train", "whose rooms they play in: train and valid_seen share theirs", choices=SPLITS)


@dataclass(frozen=True)
class GenerateConfig(Difficulty, _OutputConfig):
    """Keys of the command."""


def write_games(config: GenerateConfig) -> Iterator[Path]:
    """Writes games one by one.

    Args:
        config: which, and where to.

    Yields:
        The path of each game file once it is written.

    Raises:
        MissingExtraError: the `alfworld` package is not installed.
        InputError: the folder cannot be written to.
    """
    folder = expanded(config.out) / RELEASE_FOLDER / config.split
    for name in TaskSource(GENERATED, config.split, config).sample(config.seed, config.games):
        problem = generate(*generated_arguments(name))
        try:
            yield write_game(problem, folder / game_folder(problem))
        except OSError as error:
            raise InputError(f"cannot write to out={config.out}: {error.strerror or error}.") from error


def game_folder(problem: Problem) -> Path:
    """Returns a generated game's folder below its split's, named as in the release: task, object, target and room."""
    goal = problem.goal
    names = (goal.task_type, goal.object_type.removesuffix("Type"), "None", goal.target_type.removesuffix("Type"))
    return Path("-".join([*names, str(room_number(problem))])) / f"trial_{problem.name.removeprefix('plan_')}"


def main(config: GenerateConfig) -> None:
    """Writes the games and shows how far it is."""
    from rich.progress import track

    if not config.out:
        raise InputError("out= is missing: the folder to write to, for example out=games.")
    # A missing package is said before a bar is shown.
    read_game_texts()
    written = list(track(write_games(config), "writing games", total=config.games))
    print(f"{len(written)} games ({GAME_FILE}) are in {Path(config.out) / RELEASE_FOLDER / config.split}.")
    print(f"Play them: python -m envs.play env=alfworld env.data={config.out} env.split={config.split}")


if __name__ == "__main__":
    sys.exit(
        run_command(
            "python -m envs.alfworld.generate",
            GenerateConfig,
            main,
            description="Writes generated household games as files for ALFWorld's own tools.",
        )
    )
