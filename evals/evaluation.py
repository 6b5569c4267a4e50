"""An evaluation: every task of a panel played once for each temperature and seed, and the folder that keeps its rows.

A row is written as soon as its episode has ended. An evaluation that was stopped or killed is continued by giving its
folder again: rows that are there are not played again, and since every draw is keyed, the rest ends as it would have.
At the end the rows are put in order, by temperature, seed and the panel's tasks, so that two evaluations of one
configuration leave the same file but for what stands under `cost`.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from agents.types import Episode, Policy
from envs.errors import InputError, shortened
from envs.files import check_name, understood
from envs.pool import Counts, counts_of
from envs.screen import Screen
from envs.types import TextEnv
from evals.folder import Folder
from evals.hardware import hardware, versions
from evals.panels import Panel
from evals.scoring import Score, episode_of, episode_row, mean_seconds, play, score, score_by_type
from evals.stopping import Stop

CONFIG, EPISODES, SCORE, LOG = "config.yaml", "episodes.jsonl", "score.json", "log.txt"
# What score.json holds beside the facts that tell one evaluation from another.
_OUTCOME = ("finished", "scores", "cost")

Temperature = float | None
Played = dict[Temperature, list[Episode]]


@dataclass(frozen=True)
class Evaluation:
    """What is played.

    Attributes:
        make_env: makes an environment of the panel.
        panel: the tasks.
        policy: makes the policy that plays at a temperature.
        temperatures: the temperatures; None for a scripted player, which has none.
        seeds: key the draws: at each temperature every task is played once with each.
        batch: episodes played at a time.
    """

    make_env: Callable[[], TextEnv]
    panel: Panel
    policy: Callable[[Temperature], Policy]
    temperatures: Sequence[Temperature]
    seeds: Sequence[int]
    batch: int


class EvaluationFolder(Folder):
    """The folder of one evaluation: `config.yaml`, `episodes.jsonl`, `score.json`, `log.txt`."""

    @classmethod
    def check(cls, path: Path, facts: Mapping[str, Any], *, are_all: bool = False) -> EvaluationFolder:
        """Makes sure that an evaluation may use a folder, without writing anything.

        Args:
            path: the folder; new, empty, of an earlier evaluation of the same configuration, or of one in which no
                episode has ended, such as one of a misspelt model.
            facts: what tells this evaluation from others; more may be checked later.
            are_all: whether these are all facts, so that the folder may state no other.

        Raises:
            InputError: the folder holds another evaluation or something else.
        """
        check_name("out=", str(path))
        if path.exists() and not path.is_dir():
            raise InputError(f"out={path} is a file; a folder is needed.")
        folder = cls(path)
        # A kill while its first file was written left that file's beginning, and nothing else.
        if not path.is_dir() or all(file.name == f"{SCORE}.part" for file in path.iterdir()):
            return folder
        stored = folder.read_json(SCORE)
        if stored is None:
            raise InputError(f"out={path} holds other files, no evaluation. Choose an empty or new folder.")
        if not isinstance(stored, dict) or not isinstance(stored.get("cost"), dict):
            raise InputError(f"out={path}: its {SCORE} is not that of an evaluation. Choose an empty or new folder.")
        if not folder._is_begun(stored):
            return folder
        there, here = dict(_leaves(stored)), dict(_leaves(facts))
        for name in {**here, **(there if are_all else {})}:
            if there.get(name) != here.get(name):
                raise InputError(
                    f"out={path} holds another evaluation: its {name} is {shortened(str(there.get(name)))}, here it is "
                    f"{shortened(str(here.get(name)))}. "
                    "Choose another folder."
                )
        return folder

    def open(self, facts: Mapping[str, Any]) -> None:
        """Makes the folder if it is new, claims it, and notes the facts in it.

        Args:
            facts: all that tells this evaluation from others.

        Raises:
            InputError: it cannot be written, another process writes it, or it holds an evaluation with other facts.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self.claim()
            # Only now, when nobody else can begin an evaluation here.
            self.check(self.path, facts, are_all=True)
            stored = self.read_json(SCORE)
            if stored is None or dict(_leaves(stored)) != dict(_leaves(facts)):
                self.write_json(SCORE, {**facts, "finished": False, "scores": [], "cost": {}})
        except OSError as error:
            raise InputError(f"out={self.path} cannot be written: {error.strerror}.") from error

    def _is_begun(self, stored: Mapping[str, Any]) -> bool:
        """Whether an episode has ended in the evaluation that the folder states."""
        return bool(stored.get("finished")) or any(self.rows(EPISODES))

    def played(self) -> dict[tuple[Temperature, int, str], Episode]:
        """The episodes that are there, by temperature, seed and task."""
        with understood(self / EPISODES, "a file of episodes"):
            return {(row["temperature"], row["seed"], row["task"]): episode_of(row) for row in self.rows(EPISODES)}

    def add_cost(self, seconds: float, counts: Counts, is_there: bool = False) -> float:
        """Notes time spent on playing, on what, and what went wrong with workers; returns the seconds of all calls.

        Where everything was there before, nothing is noted.
        """
        content = self.read_json(SCORE)
        with understood(self / SCORE, "an evaluation"):
            before = content["cost"]
            if is_there and before:
                return float(before["seconds"])
            added = {"seconds": seconds, **counts.as_cost()}
            cost: dict[str, Any] = {name: before.get(name, 0) + value for name, value in added.items()}
            others = [each for each in (*before.get("earlier_hardware", ()), before.get("hardware")) if each]
        cost |= {"date": datetime.now(UTC).date().isoformat(), "hardware": hardware(), "versions": versions()}
        if earlier := [each for each in others if each != cost["hardware"]]:
            cost["earlier_hardware"] = earlier
        self.write_json(SCORE, content | {"cost": cost})
        return float(cost["seconds"])

    def finish(self, played: Played) -> None:
        """Writes the scores, and the rows in order."""
        rows = (_row(episode, temperature) for temperature, episodes in played.items() for episode in episodes)
        self.write_rows(EPISODES, rows)
        scores = [_as_json(temperature, episodes) for temperature, episodes in played.items()]
        content = self.read_json(SCORE)
        content["cost"]["seconds_an_episode"] = [round(mean_seconds(episodes), 3) for episodes in played.values()]
        self.write_json(SCORE, {**content, "finished": True, "scores": scores})


def evaluate(
    evaluation: Evaluation, screen: Screen, stop: Stop, folder: EvaluationFolder | None
) -> tuple[Played, float]:
    """Plays what the folder does not hold yet.

    Args:
        evaluation: what to play.
        screen: shows progress.
        stop: whether a stop was asked for.
        folder: where rows are kept, or None to keep none.

    Returns:
        The episodes of each temperature, seed by seed in the panel's order, and the seconds that playing took, with
        earlier calls.

    Raises:
        StoppedError: a stop was asked for; the rows of all ended episodes are in the folder.
    """
    if folder is not None:
        # A row that a kill cut off must not run into the next one.
        folder.keep(EPISODES, lambda row: True)
    known = {} if folder is None else folder.played()
    everything = itertools.product(evaluation.temperatures, evaluation.seeds, evaluation.panel.tasks)
    is_there = all(key in known for key in everything)
    if is_there:
        screen.print("All of these episodes are there already; nothing is played.")
    played: Played = {}
    started, before = time.perf_counter(), counts_of(evaluation.make_env)
    try:
        for temperature in evaluation.temperatures:
            played[temperature] = []
            for seed in evaluation.seeds:
                keys = {task: (temperature, seed, task) for task in evaluation.panel.tasks}
                done = {task: known[key] for task, key in keys.items() if key in known}
                played[temperature] += _play(evaluation, temperature, seed, done, screen, stop, folder)
    finally:
        seconds = time.perf_counter() - started
        if folder is not None:
            # What was played by an earlier call, on whatever machine that was, costs no more.
            seconds = folder.add_cost(seconds, counts_of(evaluation.make_env).since(before), is_there)
    if folder is not None:
        folder.finish(played)
    return played, seconds


def _play(
    evaluation: Evaluation,
    temperature: Temperature,
    seed: int,
    done: Mapping[str, Episode],
    screen: Screen,
    stop: Stop,
    folder: EvaluationFolder | None,
) -> list[Episode]:
    """Plays the panel's missing tasks at one temperature with one seed."""
    tasks = evaluation.panel.tasks
    policy = evaluation.policy(temperature)
    missing = Panel(evaluation.panel.name, tuple(task for task in tasks if task not in done))
    which = f", seed {seed}" if len(evaluation.seeds) > 1 else ""
    with screen.bar(f"{title(policy.name, temperature)}{which}", len(tasks)) as bar:
        bar.advance(len(done))

        def ended(episode: Episode) -> None:
            if folder is not None:
                folder.append(EPISODES, [_row(episode, temperature)])
            bar.advance()

        new = play(evaluation.make_env, policy, missing, seed, batch=evaluation.batch, ended=ended, stop=stop)
        # What is won ends early: the success of a panel that was stopped says nothing.
        stop.check()
        by_task = {**done, **{episode.key.task: episode for episode in new}}
        episodes = [by_task[task] for task in tasks]
        bar.note(f"success {score(episodes).success:.3f}")
    return episodes


def title(policy: str, temperature: Temperature) -> str:
    """Names a policy at a temperature."""
    return policy if temperature is None else f"{policy} at temperature {temperature:g}"


def _row(episode: Episode, temperature: Temperature) -> dict[str, Any]:
    return episode_row(episode, temperature=temperature)


def _as_json(temperature: Temperature, episodes: Sequence[Episode]) -> dict[str, Any]:
    by_type = {kind: _score_json(found) for kind, found in score_by_type(episodes).items()}
    return {"temperature": temperature, **_score_json(score(episodes)), "by_type": by_type}


def _score_json(found: Score) -> dict[str, Any]:
    return asdict(found) | {"interval": found.interval.to_json()}


def _leaves(facts: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The facts by dotted names."""
    for name, value in facts.items():
        if not prefix and name in _OUTCOME:
            continue
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", list(value) if isinstance(value, tuple) else value
