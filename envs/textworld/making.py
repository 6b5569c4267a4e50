"""Makes a game with TextWorld's challenges and compiles it with the Inform 7 that the package carries.

The games are those of `tw-make` for the same seeds, in less time. The library parses the rules of a family anew for
every game and compiles every game twice, once only to try its walkthrough; here the rules are parsed once a process,
and the walkthrough is tried on the library's bookkeeping. A test compares both ways.

Inform 7 runs with a folder of its own in place of the user's ~/Inform, and with a deadline.
"""

from __future__ import annotations

import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any
from unittest import mock

from envs.errors import InputError, shortened
from envs.textworld.families import MadeTask
from envs.textworld.library import library

MOST_SECONDS = 300
"""How long compiling a game may take; it takes about one second."""
_MOST_ATTEMPTS = 100
_one_at_a_time = threading.Lock()


def make_game(task: MadeTask) -> Any:  # noqa: ANN401 - the library's own type
    """Makes the game of a name; the same name always gives the same game.

    Args:
        task: what the name says.

    Returns:
        A `textworld.Game`.

    Raises:
        MissingExtraError: TextWorld is not installed.
        InputError: TextWorld finds no such game.
    """
    textworld = library()
    from textworld.challenges import coin_collector, cooking, simple, treasure_hunter
    from textworld.generator import QuestGenerationError

    challenges = {"cooking": cooking, "coin_collector": coin_collector, "treasure_hunter": treasure_hunter}
    challenge = challenges.get(task.family.family, simple)
    # A treasure hunter's map may have no quest of the wanted length; then the next draw is tried.
    for attempt in range(_MOST_ATTEMPTS):
        options = textworld.GameOptions()
        options.seeds = task.seeds(attempt)
        with _quicker():
            # What the library draws without a seed of its own comes from this one.
            textworld.g_rng.set_seed(options.seeds["map"])
            try:
                return challenge.make(task.settings(), options)
            except QuestGenerationError:
                continue
    raise InputError(f"TextWorld makes no game of {task.family.label}. Choose another level.")


def compile_story(game: Any, path: Path) -> None:  # noqa: ANN401
    """Compiles a game.

    Args:
        game: a `textworld.Game`.
        path: of the `.z8` to write.

    Raises:
        InputError: Inform 7 cannot be run, refuses the game or takes too long.
    """
    from textworld.generator.inform7 import generate_inform7_source

    inform = Path(str(files("textworld"))) / "thirdparty" / "inform7-6M62" / "share" / "inform7"
    with tempfile.TemporaryDirectory(prefix="keystone-inform-") as folder:
        project, external = Path(folder) / "project", Path(folder) / "external"
        (project / "Source").mkdir(parents=True)
        (project / "Build").mkdir()
        external.mkdir()
        (project / "Source" / "story.ni").write_text(generate_inform7_source(game), encoding="utf-8")
        (project / "uuid.txt").touch()
        to_inform6: list[str | Path] = [
            inform / "Compilers" / "ni",
            "--internal",
            inform / "Internal",
            "--external",
            external,
        ]
        _run([*to_inform6, "--format=.z8", "--project", project])
        # The library's own switches: messages in one style, no warnings, strict code, version 8, no temporary files.
        _run([inform / "Compilers" / "inform6", "-E2wSv8F0", project / "Build" / "auto.inf", path])


def _run(command: list[str | Path]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, timeout=MOST_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise InputError(f"{Path(command[0]).name} did not compile the game in {MOST_SECONDS} seconds.") from None
    except OSError as error:
        raise InputError(f"Inform 7 cannot be run here: {command[0]}: {error.strerror or error}.") from None
    if done.returncode:
        said = (done.stderr + done.stdout).decode("utf-8", "replace")
        raise InputError(f"{Path(command[0]).name} cannot compile the game: {shortened(' '.join(said.split()), 300)}")


@contextmanager
def _quicker() -> Iterator[None]:
    """Lets the library make a game without doing its slowest work again and again, in one thread at a time."""
    from textworld.generator.data import KnowledgeBase
    from textworld.generator.maker import GameMaker

    load = _load()
    with (
        _one_at_a_time,
        mock.patch.object(KnowledgeBase, "load", load),
        mock.patch.object(GameMaker, "compile", _save),
        mock.patch.object(library(), "start", _start),
    ):
        yield


def _save(maker: Any, path: str) -> str:  # noqa: ANN401
    """Stands in for `GameMaker.compile`: what the library knows of a game is enough to try a walkthrough."""
    game = maker.build()
    facts = str(Path(path).with_suffix(".json"))
    game.save(facts)
    return facts


def _start(path: str, request_infos: Any) -> Any:  # noqa: ANN401
    """Stands in for `textworld.start`, for a walkthrough tried without the story."""
    from textworld.envs import TextWorldEnv

    class Trial(TextWorldEnv):  # type: ignore[misc]
        """What the story does differently from the facts alone.

        Where a command does nothing, the last action stays what it was. Of several actions with the same command, such
        as preparing a meal of one or of more ingredients, the one with the most conditions happens.
        """

        def _gather_infos(self) -> None:
            self._game_progression.valid_actions.sort(key=lambda action: len(action.preconditions), reverse=True)
            super()._gather_infos()

        def step(self, command: str) -> Any:  # noqa: ANN401
            before = self.state["_last_action"]
            stepped = super().step(command)
            if self.state["_last_action"] is None:
                self.state["_last_action"] = before
            return stepped

    trial = Trial(request_infos)
    trial.load(path)
    return trial


@lru_cache(maxsize=1)
def _load() -> Any:  # noqa: ANN401
    """Returns `KnowledgeBase.load`, which parses the rules of a family, as a function that does so once for each."""
    from textworld.generator.data import KnowledgeBase

    return staticmethod(lru_cache(maxsize=8)(KnowledgeBase.load))
