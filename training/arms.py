"""One arm of a run: training a target from the base policy, with what is written and said after every iteration.

All arms of a run start from the same weights and meet the same tasks with the same keyed draws.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import torch

from agents import deltas
from agents.targets import Target, parameters
from envs.screen import Bar
from evals.stopping import StoppedError
from training import checkpoint
from training.arguments import GroupConfig
from training.folder import DELTA, EPISODES, METRICS
from training.loss import LossConfig
from training.memory import give_back
from training.processes import current
from training.running import CHECKPOINTS, Run, arm_folder
from training.samples import sample_rows
from training.trackers import Arm, Trackers
from training.trainer import GroupTrainer, IterationReport
from training.watch import sound

Keep = Callable[[Sequence[Mapping[str, Any]], Mapping[str, torch.Tensor]], None]
SAMPLED_GROUPS = 1
GIVING_BACK = 10
"""Freed memory goes back to the system after so many iterations, as it takes a tenth of a second."""


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
        watch=config.watch,
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
    return _Arm(run, arm, target, keep).train()


class _Arm:
    """One arm in training, from its checkpoint on if it has one."""

    def __init__(self, run: Run, arm: str, target: Target, keep: Keep | None) -> None:
        self._run, self._name, self._target, self._keep = run, arm, target, keep
        self._checkpoints = checkpoint.Checkpoints(arm_folder(run, arm), run.screen.print)
        self._tensors, counters = self._checkpoints.latest()
        self._history, self._watch = list(counters["history"]), counters.get("watch")
        self._start = len(self._history)
        # Iterations behind the last checkpoint.
        self._saved = self._start if self._tensors else -1

    def train(self) -> dict[str, Any]:
        """Trains to the end, or until a stop is asked for."""
        run, arm, start = self._run, self._name, self._start
        self._trackers = self._track()
        run.folder.keep(METRICS, lambda row: row["arm"] != arm or row["iteration"] < start)
        run.folder.keep(
            EPISODES, lambda row: (row["arm"], row["purpose"]) != (arm, "training") or row["iteration"] < start
        )
        episodes = run.config.train.groups * run.config.train.group_size
        with run.screen.bar(f"{arm}: training {self._target.name}", run.config.iterations * episodes) as bar:
            bar.advance(start * episodes)
            trainer = self._trainer(bar)
            if self._tensors:
                trainer.master_optimizer.restore(self._tensors)
            if self._watch:
                trainer.watch.restore(self._watch)
            if run.config.watch.roll_back and not self._start:
                self._save(trainer)
            try:
                trainer.train()
            except StoppedError:
                # The rollout was cut short: the weights are those after the last whole iteration.
                self._save(trainer)
                raise
            finally:
                trainer.close()
                self._trackers.close()
        if len(self._history) < run.config.iterations:
            raise StoppedError
        return {
            "target": self._target.name,
            "trained_parameters": sum(parameter.numel() for parameter in trainer.trained.values()),
            "sync_bytes": sum(p.numel() * p.element_size() for p in trainer.trained.values()),
            "optimizer_bytes": trainer.master_optimizer.state_bytes(),
            "history": self._history,
        }

    def _track(self) -> Trackers:
        """Starts the trackers, in the process that writes."""
        run, arm = self._run, self._name
        again = any(row["arm"] == arm for row in run.folder.rows(METRICS))
        about = Arm(run.folder.path, arm, self._start, again, asdict(run.config))
        return Trackers(run.trackers if current().main else (), about)

    def _trainer(self, bar: Bar) -> GroupTrainer:
        run = self._run

        def advance(count: int) -> None:
            # Nothing of an unfinished iteration is kept: a resumed run plays it again with the same draws.
            run.stop.check()
            bar.advance(count)

        def finish(report: IterationReport) -> bool:
            self._finish(report, trainer, bar)
            return run.stop.requested

        trainer = GroupTrainer(
            run.model,
            run.train_env,
            group_config(run, self._target, self._start),
            target=self._target,
            policy=run.policy(run.config.train.temperature, self._name),
            on_iteration=finish,
            progress=advance,
        )
        return trainer

    def _finish(self, report: IterationReport, trainer: GroupTrainer, bar: Bar) -> None:
        """Writes down what an iteration gave."""
        run, history = self._run, self._history
        back = any(finding.damages for finding in report.findings) and self._roll_back(trainer)
        history.append(record(run, self._name, report) | ({"rolled_back": True} if back else {}))
        self._trackers.log({"iteration": report.iteration, **report.metrics, "cost": report.cost})
        if self._keep is not None and current().main:
            self._keep(history, trainer.weights())
        due = len(history) % run.config.checkpoint_every == 0 or len(history) == run.config.iterations
        if current().any(run.stop()) or due:
            self._save(trainer)
        rolled = ", weights rolled back" if back else ""
        line = f"iteration {report.iteration + 1}/{run.config.iterations}: {describe(report)}{rolled}"
        bar.note(line)
        run.screen.log(f"{self._name}: {line}")
        if len(history) % GIVING_BACK == 0:
            give_back()

    def _roll_back(self, trainer: GroupTrainer) -> bool:
        """Goes back to weights that nothing was wrong with, if that is asked for; whether it did."""
        if not self._run.config.watch.roll_back:
            return False
        tensors, _ = self._checkpoints.latest(sound(self._history, self._run.config.checkpoint_every))
        if tensors:
            trainer.restore(tensors)
        else:
            self._run.screen.print(f"{self._name}: no checkpoint can be gone back to; the weights stay as they are.")
        return bool(tensors)

    def _save(self, trainer: GroupTrainer) -> None:
        """Writes a checkpoint of the finished iterations, if there is none yet."""
        if self._saved < len(self._history):
            # All processes take part where each has but its part.
            masters = trainer.master_optimizer.export() if current().main or trainer.group_config.zero else {}
            config = self._run.config
            back = max(sound(self._history, config.checkpoint_every)) if config.watch.roll_back else None
            self._checkpoints.save(masters, self._history, back, watch=trainer.watch.state())
            self._saved = len(self._history)


def record(run: Run, arm: str, report: IterationReport) -> dict[str, Any]:
    """Writes an iteration's rows; returns what the run still needs of it."""
    found = {finding.detector: finding.words for finding in report.findings}
    wrong: dict[str, Any] = {"found": found} if found else {}
    by_task = {"task_success": report.collected.task_success()}
    row = {"arm": arm, "iteration": report.iteration, **report.metrics, **by_task, **wrong, "cost": report.cost}
    run.folder.append(METRICS, [row])
    marks = {"arm": arm, "purpose": "training", "temperature": run.config.train.temperature}
    run.folder.append(EPISODES, sample_rows(report.collected, SAMPLED_GROUPS, **marks))
    kept = {name: report.metrics[name] for name in ("sampled_tokens", "row_tokens", "success", "skipped_updates")}
    return kept | by_task | wrong | {"cost": report.cost}


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
    """What went wrong, if anything did."""
    found = {
        "workers restarted": report.cost["workers_restarted"],
        "episodes begun again": report.cost["episodes_replayed"],
        "episodes broken": report.metrics["errors"],
        "episodes out of context": report.metrics["context_stops"],
        "updates skipped": report.metrics["skipped_updates"],
    }
    counted = "".join(f", {count:.0f} {what}" for what, count in found.items() if count)
    return counted + "".join(f", WRONG: {one.detector}: {one.words}" for one in report.findings)


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
