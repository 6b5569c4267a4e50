"""One arm of a run: train a target from the base policy, choose its temperature, play the panel.

All arms of a run start from the same weights and meet the same tasks with the same keyed draws. Every evaluation
episode is written down turn by turn, with what it was played for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from agents import deltas
from agents.policies.synced import ModelPolicy
from agents.policies.transformers import Sampling, TransformersPolicy
from agents.policies.vllm.policy import VllmPolicy
from agents.policies.vllm.weights import SyncedWeights
from agents.prompts import manner_of
from agents.rollout import rollout
from agents.targets import Target, parameters
from agents.types import Episode
from envs.pool import Pool
from envs.registry import env_class
from envs.screen import Screen
from envs.types import TextEnv
from evals.panels import Panel
from evals.scoring import episode_row, panel_keys, score, wins
from evals.stopping import Stop, StoppedError
from training import advantages, checkpoint
from training.arguments import GroupConfig
from training.collect import Estimator
from training.config import RunConfig
from training.folder import DELTA, EPISODES, METRICS, RunFolder
from training.loss import LossConfig
from training.processes import current
from training.samples import sample_rows
from training.shares import played
from training.trainer import GroupTrainer, IterationReport

Keep = Callable[[Sequence[Mapping[str, Any]], Mapping[str, torch.Tensor]], None]
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
        base_sha256: the hash of its weights before training.
        train_env: makes an environment of the training split.
        panel_env: makes an environment of the evaluation split.
        pool: plays their rollouts, if they are not played in this process.
        panel: the evaluation tasks.
        tuning: the tasks for choosing temperatures.
        probe: the tasks that selectors probe with.
        sampler: the weights of the engine that samples, where the model itself does not.
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
    tuned, choices = dict[str, float](), run.config.temperatures
    if len(choices) == 1:
        return choices[0], tuned
    for temperature in choices:
        title = f"{arm}: tuning at temperature {temperature:g}"
        episodes = run.play(run.tuning, temperature, title, arm=arm, purpose="tuning")
        tuned[f"{temperature:g}"] = score(episodes).success
    return max(choices, key=lambda temperature: tuned[f"{temperature:g}"]), tuned


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
        update_rows=train.update_rows,
        epochs=train.epochs,
        rollouts=train.rollouts,
        temperature=train.temperature,
        loss=LossConfig(train.clip_low, train.clip_high, train.beta, train.entropy_bonus, train.ratio, train.dual_clip),
        aggregation=train.aggregation,
        aggregation_length=train.aggregation_length,
        mismatch=train.mismatch,
        mismatch_cap=train.mismatch_cap,
        micro_batch_tokens=train.micro_batch_tokens,
        checkpointing=train.checkpointing,
        prefix_bytes=train.prefix_megabytes * 2**20,
        prefix_host_bytes=train.prefix_host_megabytes * 2**20,
        estimator=run.estimator(),
        set_aside=(*run.tuning.tasks, *run.probe.tasks),
        learning_rate=train.full_learning_rate if target.everything else train.learning_rate,
        boosted_learning_rate=train.learning_rate,
        lora_rank=train.lora_rank,
        lora_alpha=train.lora_alpha,
        warmup_steps=train.warmup_updates,
        weight_decay=train.weight_decay,
        adam_beta1=train.beta1,
        adam_beta2=train.beta2,
        max_grad_norm=train.max_grad_norm,
        seed=config.seed,
        use_cpu=run.model.device.type == "cpu",
    )


def train(run: Run, arm: str, target: Target, keep: Keep | None = None) -> dict[str, Any]:
    """Trains one arm from the base weights, or goes on from its last checkpoint. The trained weights stay in the model.

    Args:
        run: the run.
        arm: the arm's name.
        target: what it trains.
        keep: called after every iteration with the history so far and the trained tensors, in the process that writes.

    Returns:
        The arm's training: target, sizes and history.

    Raises:
        StoppedError: the user asked for a stop; the checkpoint of the last finished iteration is written.
    """
    latest = arm_folder(run, arm) / LATEST
    begun = current().agree(latest.is_file())
    tensors, counters = checkpoint.load(latest) if begun else ({}, {"iterations": 0, "history": []})
    start, history = int(counters["iterations"]), list(counters["history"])
    run.folder.keep(METRICS, lambda row: row["arm"] != arm or row["iteration"] < start)
    run.folder.keep(EPISODES, lambda row: (row["arm"], row["purpose"]) != (arm, "training") or row["iteration"] < start)
    total = run.config.iterations * run.config.train.groups * run.config.train.group_size
    with run.screen.bar(f"{arm}: training {target.name}", total) as bar:
        bar.advance(start * run.config.train.groups * run.config.train.group_size)

        def advance(count: int) -> None:
            # Nothing of an unfinished iteration is kept: a resumed run plays it again with the same draws.
            run.stop.check()
            bar.advance(count)

        def finish(report: IterationReport) -> bool:
            history.append(record(run, arm, report))
            if current().main:
                if keep is not None:
                    keep(history, trainer.weights())
                counted = {"iterations": report.iteration + 1, "history": history}
                checkpoint.save(latest, trainer.master_optimizer.export(), counted)
            line = f"iteration {report.iteration + 1}/{run.config.iterations}: {describe(report)}"
            bar.note(line)
            run.screen.log(f"{arm}: {line}")
            return run.stop.requested

        trainer = GroupTrainer(
            run.model,
            run.train_env,
            group_config(run, target, start),
            target=target,
            policy=run.policy(run.config.train.temperature, arm),
            on_iteration=finish,
            progress=advance,
        )
        if tensors:
            trainer.master_optimizer.restore(tensors)
        try:
            trainer.train()
        finally:
            trainer.close()
    if len(history) < run.config.iterations:
        raise StoppedError
    return {
        "target": target.name,
        "trained_parameters": sum(parameter.numel() for parameter in trainer.trained.values()),
        "sync_bytes": sum(p.numel() * p.element_size() for p in trainer.trained.values()),
        "optimizer_bytes": trainer.master_optimizer.state_bytes(),
        "history": history,
    }


def record(run: Run, arm: str, report: IterationReport) -> dict[str, Any]:
    """Writes an iteration's rows; returns what the run still needs of it."""
    run.folder.append(METRICS, [{"arm": arm, "iteration": report.iteration, **report.metrics, "cost": report.cost}])
    marks = {"arm": arm, "purpose": "training", "temperature": run.config.train.temperature}
    run.folder.append(EPISODES, sample_rows(report.collected, SAMPLED_GROUPS, **marks))
    kept = ("sampled_tokens", "row_tokens", "success")
    return {name: report.metrics[name] for name in kept} | {"cost": report.cost}


def arm_folder(run: Run, arm: str) -> Path:
    """Where an arm's checkpoints are kept while the run lasts."""
    return run.folder / CHECKPOINTS / arm


def describe(report: IterationReport) -> str:
    """The note beside the progress bar."""
    metrics, cost = report.metrics, report.cost
    return (
        f"success {metrics['success']:.2f}, reward {metrics['reward']:.2f}, "
        f"zero-advantage groups {metrics['zero_groups']:.0%}, {cost['tokens_per_second']:,.0f} tokens/s, "
        f"rollout {cost['rollout_seconds']:.1f} s, "
        f"update {cost['update_seconds']:.1f} s{_mismatch(report)}{_trouble(report)}"
    )


def _mismatch(report: IterationReport) -> str:
    """How far sampler and trainer disagree, where the sampler has weights of its own."""
    if "sync_bytes" not in report.cost:
        return ""
    return f" (sync {report.cost['sync_seconds']:.1f} s), mismatch KL {report.metrics['mismatch_kl']:.1e}"


def _trouble(report: IterationReport) -> str:
    """What went wrong with environments, if anything did."""
    found = {
        "workers restarted": report.cost["workers_restarted"],
        "episodes begun again": report.cost["episodes_replayed"],
        "episodes broken": report.metrics["errors"],
        "episodes out of context": report.metrics["context_stops"],
    }
    return "".join(f", {count:.0f} {what}" for what, count in found.items() if count)


def save_delta(run: Run, target: Target, base_sha256: str) -> deltas.Card:
    """Writes the present weights of a target as the run's delta on the base."""
    details = {
        "env": run.config.env.name,
        "model": run.config.model.name,
        "algorithm": run.config.algorithm.name,
        "seed": run.config.seed,
        "iterations": run.config.iterations,
        "train": asdict(run.config.train),
    }
    tensors = {key: value.detach() for key, value in parameters(run.model, target).items()}
    return deltas.save(run.folder / DELTA, tensors, base_sha256=base_sha256, target=target.name, details=details)
