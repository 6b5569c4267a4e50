"""One arm of a run: train a target from the base policy, choose its temperature, play the panel.

All arms of a run start from the same weights and meet the same tasks with the same keyed draws. The weights of an arm
at every iteration are kept on disk until the run ends, so that arms can be compared at equal tokens and equal seconds
too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from agents import deltas
from agents.policies.transformers import Sampling, TransformersPolicy
from agents.targets import Target
from agents.types import Episode
from envs.screen import Screen
from envs.types import TextEnv
from evals.panels import Panel
from evals.scoring import episode_row, play, score, wins
from evals.stopping import Stop, StoppedError
from training import advantages, checkpoint
from training.collect import Estimator
from training.config import RunConfig
from training.folder import EPISODES, METRICS, RunFolder
from training.loss import LossConfig
from training.trainer import GroupConfig, GroupTrainer, IterationReport

TEMPERATURES = (0.0, 0.4, 1.0)
CHECKPOINTS = "checkpoints"
LATEST = "latest.safetensors"
SAMPLED_GROUPS = 1


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
        train_env: makes an environment of the training split.
        panel_env: makes an environment of the evaluation split.
        panel: the evaluation tasks.
        tuning: the tasks for choosing temperatures.
    """

    config: RunConfig
    folder: RunFolder
    screen: Screen
    stop: Stop
    model: Any
    tokenizer: Any
    train_env: Callable[[], TextEnv]
    panel_env: Callable[[], TextEnv]
    panel: Panel
    tuning: Panel

    def policy(self, temperature: float, name: str) -> TransformersPolicy:
        """The model as it is now, sampling at a temperature."""
        sampling = Sampling(temperature, self.config.model.max_reply_tokens)
        return TransformersPolicy(self.model, self.tokenizer, sampling, name=name)

    def estimator(self) -> Estimator:
        """The run's advantage estimator."""
        train, algorithm = self.config.train, self.config.algorithm
        return Estimator(advantages.find(algorithm.name), algorithm, train.success_reward, train.invalid_penalty)

    def play(self, panel: Panel, temperature: float, title: str) -> list[Episode]:
        """Plays a panel with the present weights.

        Raises:
            StoppedError: the user asked for a stop; an unfinished panel is no score.
        """
        make_env = self.train_env if panel is self.tuning else self.panel_env
        with self.screen.bar(title, len(panel.tasks)) as bar:
            episodes = play(
                make_env,
                self.policy(temperature, title),
                panel,
                self.config.seed,
                ended=lambda episode: bar.advance(),
                stop=self.stop,
            )
            self.stop.check()
            bar.note(f"success {score(episodes).success:.3f}")
        return episodes


def evaluate(run: Run, arm: str) -> dict[str, Any]:
    """Chooses the present policy's temperature on the tuning tasks and plays the panel at it.

    Returns:
        The arm's evaluation: temperature, tuning successes by temperature, and the panel's outcome by task.
    """
    best, tuned = tune(run, arm)
    episodes = run.play(run.panel, best, f"{arm}: panel at temperature {best:g}")
    # A run that was killed here before its state was written left them there already.
    run.folder.keep(EPISODES, lambda row: (row["arm"], row["purpose"]) != (arm, "panel"))
    run.folder.append(EPISODES, (episode_row(e, arm=arm, purpose="panel", temperature=best) for e in episodes))
    return outcome(episodes) | {"temperature": best, "tuning": tuned}


def tune(run: Run, arm: str) -> tuple[float, dict[str, float]]:
    """The present policy's best temperature on the tuning tasks, and its success at each (by name, for JSON)."""
    tuned = {}
    for temperature in TEMPERATURES:
        episodes = run.play(run.tuning, temperature, f"{arm}: tuning at temperature {temperature:g}")
        tuned[f"{temperature:g}"] = score(episodes).success
    return max(TEMPERATURES, key=lambda temperature: tuned[f"{temperature:g}"]), tuned


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


def group_config(run: Run, target: Target, start_iteration: int) -> GroupConfig:
    """The trainer's arguments for one arm."""
    config, train = run.config, run.config.train
    return GroupConfig(
        output_dir=str(run.folder / CHECKPOINTS),
        iterations=config.iterations,
        start_iteration=start_iteration,
        tasks=train.groups,
        group_size=train.group_size,
        updates=train.updates,
        temperature=train.temperature,
        loss=LossConfig(train.clip_low, train.clip_high, train.beta, train.entropy_bonus),
        aggregation=train.aggregation,
        aggregation_length=train.aggregation_length,
        micro_batch_tokens=train.micro_batch_tokens,
        checkpointing=train.checkpointing,
        estimator=run.estimator(),
        learning_rate=train.full_learning_rate if target.full else train.learning_rate,
        warmup_steps=train.warmup_updates,
        weight_decay=train.weight_decay,
        adam_beta1=train.beta1,
        adam_beta2=train.beta2,
        max_grad_norm=train.max_grad_norm,
        seed=config.seed,
        use_cpu=run.model.device.type == "cpu",
    )


def train(run: Run, arm: str, target: Target) -> dict[str, Any]:
    """Trains one arm from the base weights, or goes on from its last checkpoint. The trained weights stay in the model.

    Raises:
        StoppedError: the user asked for a stop; the checkpoint of the last finished iteration is written.
    """
    latest = run.folder / CHECKPOINTS / arm / LATEST
    tensors, counters = checkpoint.load(latest) if latest.is_file() else ({}, {"iterations": 0, "history": []})
    start, history = int(counters["iterations"]), list(counters["history"])
    run.folder.keep(METRICS, lambda row: row["arm"] != arm or row["iteration"] < start)
    run.folder.keep(EPISODES, lambda row: (row["arm"], row["purpose"]) != (arm, "training") or row["iteration"] < start)
    total = run.config.iterations * run.config.train.groups * run.config.train.group_size
    with run.screen.bar(f"{arm}: training {target.name}", total) as bar:
        bar.advance(start * run.config.train.groups * run.config.train.group_size)

        def finish(report: IterationReport) -> bool:
            history.append(record(run, arm, report, trainer))
            counted = {"iterations": report.iteration + 1, "history": history}
            checkpoint.save(latest, trainer.master_optimizer.export(), counted)
            bar.note(describe(report))
            run.screen.log(f"{arm}: iteration {report.iteration}: {describe(report)}")
            return run.stop.requested

        trainer = GroupTrainer(
            run.model,
            run.train_env,
            group_config(run, target, start),
            target=target,
            policy=run.policy(run.config.train.temperature, arm),
            on_iteration=finish,
            progress=bar.advance,
        )
        if tensors:
            trainer.master_optimizer.restore(tensors)
        trainer.train()
    if len(history) < run.config.iterations:
        raise StoppedError
    return {
        "target": target.name,
        "trained_parameters": sum(parameter.numel() for parameter in trainer.trained.values()),
        "sync_bytes": sum(p.numel() * p.element_size() for p in trainer.trained.values()),
        "optimizer_bytes": trainer.master_optimizer.state_bytes(),
        "history": history,
    }


def record(run: Run, arm: str, report: IterationReport, trainer: GroupTrainer) -> dict[str, Any]:
    """Writes an iteration's rows and its weights; returns what the run still needs of it."""
    run.folder.append(METRICS, [{"arm": arm, "iteration": report.iteration, **report.metrics, "cost": report.cost}])
    shown = report.collected.episodes[: SAMPLED_GROUPS * run.config.train.group_size]
    run.folder.append(
        EPISODES, (episode_row(e, arm=arm, purpose="training", temperature=run.config.train.temperature) for e in shown)
    )
    checkpoint.save(snapshot(run.folder, arm, report.iteration), _contiguous(trainer.trained), {})
    kept = ("sampled_tokens", "row_tokens", "success")
    return {name: report.metrics[name] for name in kept} | {"cost": report.cost}


def snapshot(folder: RunFolder, arm: str, iteration: int) -> Path:
    """Where an arm's weights after an iteration are kept while the run lasts."""
    return folder / CHECKPOINTS / arm / f"iteration-{iteration:05d}.safetensors"


def _contiguous(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}


def describe(report: IterationReport) -> str:
    """The note beside the progress bar."""
    metrics, cost = report.metrics, report.cost
    return (
        f"success {metrics['success']:.2f}, reward {metrics['reward']:.2f}, "
        f"zero-advantage groups {metrics['zero_groups']:.0%}, {cost['tokens_per_second']:,.0f} tokens/s, "
        f"rollout {cost['rollout_seconds']:.1f} s, "
        f"update {cost['update_seconds']:.1f} s"
    )


def save_delta(run: Run, target: Target, base_sha256: str, name: str) -> deltas.Card:
    """Writes the present weights of a target as a delta on the base."""
    from agents.targets import parameters

    details = {
        "env": run.config.env.name,
        "model": run.config.model.name,
        "algorithm": run.config.algorithm.name,
        "seed": run.config.seed,
        "iterations": run.config.iterations,
        "train": asdict(run.config.train),
    }
    tensors = {key: value.detach() for key, value in parameters(run.model, target).items()}
    return deltas.save(run.folder / name, tensors, base_sha256=base_sha256, target=target.name, details=details)
