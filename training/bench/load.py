"""The work that is measured: rows of random tokens in place of episodes, through the trainer as it is."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, cast

import numpy as np
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from agents.policies.transformers import Sampling, TransformersPolicy
from agents.rows import Row
from agents.types import EpisodeKey
from envs.types import Info, TextEnv
from envs.worlds import LocalWorlds
from training.arguments import GroupConfig
from training.batches import MicroBatch, TrainingRow
from training.collect import Collected
from training.loss import LossConfig, LossParts
from training.trainer import GroupTrainer, IterationReport

if TYPE_CHECKING:
    from agents.targets import Target
    from training.bench.__main__ import BenchConfig

GROUP = 4
END = "</s>"


def make_rows(config: BenchConfig, vocabulary: int) -> list[TrainingRow]:
    """Rows of a prompt and a reply of random tokens, with advantages of both signs."""
    random = np.random.default_rng(config.seed)
    rows, length = [], config.prompt_tokens + config.reply_tokens
    for number in range(config.rows):
        sampled = np.arange(length) >= config.prompt_tokens
        logprobs = np.where(sampled, -random.uniform(5, 10, length), 0).astype(np.float32)
        row = Row(random.integers(1, vocabulary, length), sampled, np.zeros(length, np.int64), logprobs)
        advantages = np.full(config.reply_tokens, random.normal(), np.float32)
        rows.append(TrainingRow(row, advantages, logprobs[sampled], group=str(number // GROUP), member=number % GROUP))
    return rows


def group_size(rows: int) -> int:
    """Episodes of a task, so that tasks have all rows between them: as many as are usual, if that is possible."""
    return next((size for size in range(GROUP, 1, -1) if rows % size == 0), rows)


def tokenizer(vocabulary: int) -> PreTrainedTokenizerFast:
    """One word, "1", "2", ..., for every id but 0, which ends a reply."""
    words = {END: 0} | {str(number): number for number in range(1, vocabulary)}
    made = Tokenizer(models.WordLevel(words, unk_token=END))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=made, eos_token=END, pad_token=END)


def prompts(config: BenchConfig, vocabulary: int) -> list[str]:
    """Texts that the policy reads as `prompt_tokens` tokens each."""
    random = np.random.default_rng(config.seed)
    # The prompt's form adds one token of its own.
    numbers = random.integers(1, vocabulary, (config.rows, config.prompt_tokens - 1))
    return [" ".join(map(str, row)) for row in numbers.tolist()]


class _NoWorld(TextEnv):
    """The trainer wants a world; none is played."""

    players: ClassVar = {}

    def sample_tasks(self, seed: int, count: int) -> list[str]:
        return [str(number) for number in range(count)]


class MeasuredTrainer(GroupTrainer):
    """Learns from given rows, and says how long the parts of that take.

    Attributes:
        forward_seconds: in forward passes with gradients, of the last iteration.
        backward_seconds: in backward passes.
    """

    def __init__(self, model: PreTrainedModel, rows: Sequence[TrainingRow], *arguments: Any, **options: Any) -> None:  # noqa: ANN401
        self._rows = rows
        self.forward_seconds = self.backward_seconds = 0.0
        super().__init__(model, _NoWorld, *arguments, **options)

    def _roll_out(self, iteration: int) -> Collected:
        self.forward_seconds = self.backward_seconds = 0.0
        synchronize(self.args.device)
        self._tally.rolled_out()
        return Collected([], list(self._rows), {"sampled_tokens": float(sum(row.num_sampled for row in self._rows))})

    def _loss(self, batch: MicroBatch) -> LossParts:
        started = time.perf_counter()
        parts = super()._loss(batch)
        synchronize(self.args.device)
        self.forward_seconds += time.perf_counter() - started
        return parts

    def _backward(self, batch: MicroBatch) -> torch.Tensor:
        started, before = time.perf_counter(), self.forward_seconds
        loss = super()._backward(batch)
        synchronize(self.args.device)
        self.backward_seconds += time.perf_counter() - started - (self.forward_seconds - before)
        return loss


@dataclass
class Measured:
    """One iteration's updates of one target.

    Attributes:
        update_seconds: from the last step of the rollout to weights ready to sample.
        forward_seconds: of that, in forward passes with gradients.
        backward_seconds: of that, in backward passes.
        peak_bytes: peak memory meanwhile.
        optimizer_bytes: masters and moments.
        sync_bytes: what a sampler elsewhere needs to be sent.
        sync_seconds: copying that once on the device.
    """

    update_seconds: float
    forward_seconds: float
    backward_seconds: float
    peak_bytes: int
    optimizer_bytes: int
    sync_bytes: int
    sync_seconds: float


def measure(model: PreTrainedModel, rows: Sequence[TrainingRow], target: Target, config: BenchConfig) -> Measured:
    """One iteration after one that warms up; the weights are put back."""
    reports: list[tuple[IterationReport, float, float]] = []
    sampling = Sampling(1.0, config.reply_tokens)
    policy = TransformersPolicy(model, tokenizer(2), sampling)
    args = GroupConfig(
        output_dir="runs/bench",
        iterations=2,
        tasks=len(rows) // group_size(len(rows)),
        group_size=group_size(len(rows)),
        updates=config.updates,
        epochs=config.epochs,
        loss=LossConfig(beta=0.01 if config.reference else 0.0),
        micro_batch_tokens=config.micro_batch_tokens,
        checkpointing=config.checkpointing,
        learning_rate=1e-6,
        use_cpu=model.device.type == "cpu",
        seed=config.seed,
    )

    def note(report: IterationReport) -> None:
        reports.append((report, trainer.forward_seconds, trainer.backward_seconds))

    trainer = MeasuredTrainer(model, rows, args, target=target, policy=policy, on_iteration=note)
    before = {name: value.detach().to("cpu", copy=True) for name, value in trainer.trained.items()}
    try:
        trainer.train()
        sync_bytes, sync_seconds = _sync(trainer.weights(), model.device)
    finally:
        trainer.close()
        trainer.passes.write(before)
        model.requires_grad_(False)
        model.zero_grad(set_to_none=True)
    report, forward, backward = reports[-1]
    return Measured(
        update_seconds=report.cost["update_seconds"],
        forward_seconds=forward,
        backward_seconds=backward,
        peak_bytes=int(report.cost["peak_bytes"]),
        optimizer_bytes=trainer.master_optimizer.state_bytes(),
        sync_bytes=sync_bytes,
        sync_seconds=sync_seconds,
    )


def _sync(weights: dict[str, torch.Tensor], device: torch.device) -> tuple[int, float]:
    """Bytes of the weights, and seconds to copy them into tensors that are there."""
    there = [torch.empty_like(value) for value in weights.values()]
    synchronize(device)
    started = time.perf_counter()
    for copy, value in zip(there, weights.values(), strict=True):
        copy.copy_(value)
    synchronize(device)
    return sum(value.numel() * value.element_size() for value in there), time.perf_counter() - started


def sample_seconds(model: PreTrainedModel, config: BenchConfig) -> float:
    """Seconds to sample a reply to every prompt, by the policy as it is."""
    words = tokenizer(model.config.get_text_config().vocab_size)
    policy = TransformersPolicy(model, words, Sampling(1.0, config.reply_tokens))
    texts = prompts(config, len(words))
    info = cast("Info", {"admissible_commands": [], "anchor": "", "won": False})
    keys = [EpisodeKey(config.seed, 0, str(row), 0) for row in range(config.rows)]
    session = policy.open(keys, LocalWorlds(_NoWorld))
    synchronize(model.device)
    started = time.perf_counter()
    session.reply(range(config.rows), texts, [info] * config.rows)
    synchronize(model.device)
    return time.perf_counter() - started


def synchronize(device: torch.device) -> None:
    """Waits for a GPU."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
