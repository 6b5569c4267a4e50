"""What every stage of a run works with, and how it measures a policy: temperature first, then the panel.

Every evaluation episode is written down turn by turn, with what it was played for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from agents.policies.synced import ModelPolicy
from agents.policies.transformers import Sampling, TransformersPolicy
from agents.policies.vllm.policy import VllmPolicy
from agents.policies.vllm.weights import SyncedWeights
from agents.prompts import manner_of
from agents.rollout import rollout
from agents.types import Episode
from envs.pool import Pool
from envs.registry import env_class
from envs.screen import Screen
from envs.types import TextEnv
from evals.panels import Panel
from evals.scoring import episode_row, panel_keys, score, wins
from evals.stopping import Stop
from training import advantages
from training.collect import Estimator
from training.config import RunConfig
from training.folder import EPISODES, RunFolder
from training.processes import current
from training.shares import played

CHECKPOINTS = "checkpoints"


@dataclass
class Run:
    """What every stage of a run works with.

    Attributes:
        config: the run's configuration.
        folder: its folder.
        screen: prints.
        stop: whether a stop was asked for.
        model: the one model in memory.
        tokenizer: its tokenizer.
        base_sha256: the hash of its weights before training.
        train_env: makes an environment of the training split.
        panel_env: makes an environment of the evaluation split.
        pool: plays their rollouts, if they are not played in this process.
        panel: the evaluation tasks.
        tuning: the tasks for choosing temperatures.
        probe: the tasks that selectors probe with.
        sampler: the weights of the engine that samples, where the model itself does not.
        trackers: what is told the figures of each iteration (`training.trackers`).
    """

    config: RunConfig
    folder: RunFolder
    screen: Screen
    stop: Stop
    model: Any
    tokenizer: Any
    base_sha256: str
    train_env: Callable[[], TextEnv]
    panel_env: Callable[[], TextEnv]
    pool: Pool
    panel: Panel
    tuning: Panel
    probe: Panel
    sampler: SyncedWeights | None = None
    trackers: tuple[str, ...] = ()

    def policy(self, temperature: float, name: str) -> ModelPolicy:
        """The model as it is now, sampling at a temperature."""
        sampling = Sampling(temperature, self.config.model.max_reply_tokens)
        manner = manner_of(
            env_class(self.config.env.name), self.config.model.context, thinking=self.config.model.thinking
        )
        if self.sampler is not None:
            self.sampler.refresh()
            return VllmPolicy(self.sampler, self.tokenizer, sampling, name=name, manner=manner)
        return TransformersPolicy(self.model, self.tokenizer, sampling, name=name, manner=manner)

    def check_stop(self) -> None:
        """Ends the run here if a stop was asked for, in any process; all of them call this.

        Raises:
            StoppedError: it was.
        """
        current().share_of(self.stop.check)

    def estimator(self) -> Estimator:
        """The run's advantage estimator."""
        train, algorithm = self.config.train, self.config.algorithm
        return Estimator(advantages.find(algorithm.name), algorithm, train.success_reward, train.invalid_penalty)

    def play(self, panel: Panel, temperature: float, title: str, *, arm: str, purpose: str | None) -> list[Episode]:
        """Plays a panel with the present weights and writes its episodes down if they have a purpose.

        Raises:
            StoppedError: the user asked for a stop; an unfinished panel is no score.
        """
        make_env = self.train_env if panel is self.tuning else self.panel_env
        with self.screen.bar(title, len(panel.tasks)) as bar:

            def ended(episode: Episode) -> None:
                bar.advance()

            play = partial(rollout, make_env, self.policy(temperature, title), ended=ended, stop=self.stop)
            episodes = played(current(), panel_keys(panel, self.config.seed), play, ended)
            self.check_stop()
            bar.note(f"success {score(episodes).success:.3f}")
        if purpose is None:
            return episodes
        marks = {"arm": arm, "purpose": purpose, "temperature": temperature}
        # A run that was killed before its state was written left them there already.
        self.folder.keep(EPISODES, lambda row: any(row[name] != value for name, value in marks.items()))
        self.folder.append(EPISODES, (episode_row(episode, **marks) for episode in episodes))
        return episodes


def evaluate(run: Run, arm: str) -> dict[str, Any]:
    """Chooses the present policy's temperature on the tuning tasks and plays the panel at it.

    Returns:
        The arm's evaluation: temperature, tuning successes by temperature, and the panel's outcome by task.
    """
    best, tuned = tune(run, arm)
    episodes = run.play(run.panel, best, f"{arm}: panel at temperature {best:g}", arm=arm, purpose="panel")
    return outcome(episodes) | {"temperature": best, "tuning": tuned}


def tune(run: Run, arm: str) -> tuple[float, dict[str, float]]:
    """The present policy's best temperature on the tuning tasks, and its success at each (by name, for JSON).

    Where there is but one to choose from nothing is played.
    """
    choices = run.config.temperatures
    if len(choices) == 1:
        return choices[0], {}
    tuned = {f"{temperature:g}": tuning_success(run, arm, temperature) for temperature in choices}
    return max(choices, key=lambda temperature: tuned[f"{temperature:g}"]), tuned


def tuning_success(run: Run, arm: str, temperature: float) -> float:
    """The present policy's success on the tuning tasks at a temperature."""
    title = f"{arm}: tuning at temperature {temperature:g}"
    return score(run.play(run.tuning, temperature, title, arm=arm, purpose="tuning")).success


def outcome(episodes: Sequence[Episode]) -> dict[str, Any]:
    """What is kept of a played panel: wins by task in the panel's order and the figures of `evals.scoring.score`."""
    summary = score(episodes)
    return {
        "wins": [int(won) for won in wins(episodes)],
        "success": summary.success,
        "interval": summary.interval.to_json(),
        "mean_turns": summary.mean_turns,
        "invalid_actions": summary.invalid_actions,
    }


def arm_folder(run: Run, arm: str) -> Path:
    """Where an arm's checkpoints are kept while the run lasts."""
    return run.folder / CHECKPOINTS / arm
