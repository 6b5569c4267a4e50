"""The group trainer: rollout, advantages, updates of one target.

`GroupTrainer` is a `transformers.Trainer`, so its callbacks and trackers come with it. Four seams differ: the loader
yields nothing but turns; `_prepare_inputs` plays the rollout of an iteration when its first update is due and hands out
the rows of each; `training_step` runs token-budgeted micro-batches whose loss is divided by the update's total, so
that their split changes nothing; the loss is `training.loss`. TRL's trainer is not the base class because rollout,
batching, reference, sync and checkpoint code would all have to be overridden.

One *iteration* is one rollout and the optimizer updates made from it: in each of `epochs` passes `updates` of them, or
as many as `update_rows` asks for, each from its own share of the rows. What lies below the target is computed once an
iteration (`agents.prefix`) where several passes need it. Only the target's parameters require gradients, so autograd
stops at the lowest trained block. The reference policy, if `beta` is not 0, is the same model with a frozen copy of the
target's tensors; for the target `full` that copy is a second model in size.

On several processes (`training.processes`, `training.shares`) each plays its share of the episodes and learns from its
share of every update's rows; DistributedDataParallel sums up the target's gradients, once an update. All of them end
with the same weights, those of one process up to rounding. With `shard` the weights are spread over the processes
(FSDP2, `training.sharding`), with `zero` the optimizer alone (DeepSpeed, `training.zero`).
"""

from __future__ import annotations

import contextlib
import copy
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
import torch
from torch.distributed.fsdp import FSDPModule
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader
from transformers import (
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)
from transformers.trainer_callback import TrainerControl, TrainerState
from transformers.trainer_utils import TrainOutput

from agents import adapters
from agents.blocks import find_stack
from agents.policies.synced import ModelPolicy, Synced
from agents.policies.transformers import Sampling, TransformersPolicy
from agents.prefix import FrozenPrefix
from agents.prompts import Manner, manner_of
from agents.rollout import rollout
from agents.targets import Target, middle, prefixes, select
from agents.types import Episode
from envs.errors import InputError
from envs.pool import Counts, counts_of
from envs.types import TextEnv
from training import sharding, zero
from training.advantages import gigpo
from training.arguments import GroupConfig as GroupConfig
from training.batches import MicroBatch, TrainingRow, micro_batches
from training.checkpointing import checkpointed
from training.collect import Collected, Estimator, from_episodes, with_signal
from training.logprobs import sampled_logprobs
from training.loss import LossParts, policy_loss, token_weights
from training.memory import peak_bytes, reset_peak
from training.mismatch import correct
from training.optimizer import MasterAdamW
from training.processes import check_launcher, check_same, current
from training.shares import costs_together, dealt, idle_batch, mismatch_together, passes, played, tell_kept
from training.synchronizing import Synchronizer
from training.tasks import iteration_keys


@dataclass
class IterationReport:
    """What is known after an iteration.

    Attributes:
        iteration: its number.
        metrics: averages over its episodes and tokens.
        cost: seconds, tokens a second, memory, and how often workers and episodes were begun again.
        collected: its episodes and rows.
    """

    iteration: int
    metrics: dict[str, float]
    cost: dict[str, float]
    collected: Collected


class GroupTrainer(Trainer):
    """Trains one target of a causal language model with group advantages.

    Args:
        model: the model; its target's weights change in place.
        env: makes a new environment of the training split, here or in a pool (`envs.pool.Pooled`); or an environment,
            of which copies are played.
        args: see `GroupConfig`.
        target: the trained part; the middle block if None.
        policy: samples with `model`, which it must share, or with weights of its own that are synced before every
            rollout (`agents.policies.synced`); its temperature must be `args.temperature`. If None, one with the
            tokenizer `processing_class` and replies of at most `args.max_reply_tokens`.
        processing_class: the tokenizer; if None and needed, the one in the folder or hub id the model came from.
        on_iteration: called after every iteration's last update, in every process with the same report; returning True
            in any of them stops training there. Only one of them should write (`trainer.processes.main`).
        progress: called with 1 as each episode ends, for those of other processes once all have ended.

    Raises:
        InputError: the policy samples with another model or at another temperature, or there is no tokenizer.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        env: TextEnv | Callable[[], TextEnv],
        args: GroupConfig | None = None,
        *,
        target: Target | None = None,
        policy: ModelPolicy | None = None,
        processing_class: PreTrainedTokenizerBase | None = None,
        on_iteration: Callable[[IterationReport], bool | None] | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> None:
        args = args or GroupConfig()
        self.make_env = partial(copy.deepcopy, env) if isinstance(env, TextEnv) else env
        self.task_env = self.make_env()
        policy = policy or _own_policy(model, args, processing_class, manner_of(self.task_env, args.context))
        if policy.model is not model:
            raise InputError("the policy samples with another model than the one to be trained.")
        if policy.sampling.temperature != args.temperature:
            raise InputError(
                f"the policy samples at temperature {policy.sampling.temperature:g}, "
                f"but args.temperature={args.temperature:g}."
            )
        self.target = target or Target(middle(len(find_stack(model))))
        self.group_config = args
        self.policy: ModelPolicy = policy
        self.synchronizer = Synchronizer()
        self.estimator = args.estimator or Estimator(gigpo, gigpo.Config(), 10.0, 0.1)
        self.on_iteration = on_iteration
        self.progress = progress
        self.language_model = model
        self.trained = (
            adapters.attach(model, self.target, args.lora_rank, args.lora_alpha, args.seed)
            if self.target.lora
            else select(model, self.target)
        )
        self.reference = (
            {name: value.detach().clone() for name, value in self.trained.items()} if args.loss.beta else None
        )
        self.prefix = self._prefix()
        self._collected: Collected | None = None
        # The iteration that is learned from, how many of its updates were begun, and how many there will be.
        self._iteration, self._made, self._due = args.start_iteration - 1, 0, 0
        self._sums: dict[str, float] = {}
        self._rollout_seconds = 0.0
        self._counts = Counts()
        self._started = self._update_started = time.perf_counter()
        zero.choose_accelerator(args.device)
        with _taken_for_whole(model):
            super().__init__(model=model, args=args, callbacks=[_IterationEnd(self)])
        check_launcher(self.accelerator)
        self.processes = current()
        check_same(self.processes, list(model.parameters()))
        if args.shard and self.processes.count > 1:
            self._shard()
        self.remove_callback(PrinterCallback)

    def _shard(self) -> None:
        """Spreads the weights over the processes; what was read off the whole parameters is made again."""
        if self.target.lora:
            raise InputError(
                f"layer={self.target.name}: adapters cannot be trained with weights spread over processes."
            )
        sharding.shard(self.language_model, self.args.device)
        self.trained, self.prefix = sharding.renewed(self.language_model, self.trained), None
        if self.reference is not None:
            self.reference = {name: value.detach().clone() for name, value in self.trained.items()}

    def train(self, *arguments: Any, **options: Any) -> TrainOutput:  # noqa: ANN401
        """Trains. A run whose last iteration is done has nothing to do, which the base class takes for an error."""
        if self.group_config.start_iteration >= self.group_config.iterations:
            return TrainOutput(0, 0.0, {})
        with warnings.catch_warnings():
            # How accelerate asks DistributedDataParallel for what it now calls otherwise.
            warnings.filterwarnings("ignore", message=".*broadcast_buffers.*", category=FutureWarning)
            # How DeepSpeed calls what PyTorch now calls otherwise.
            warnings.filterwarnings("ignore", message=".*torch.distributed.*is deprecated", category=FutureWarning)
            return super().train(*arguments, **options)

    def get_train_dataloader(self) -> DataLoader[int]:
        """One empty item for each update that there can be."""
        updates = range(self.args.max_steps)
        return DataLoader(updates, batch_size=1, shuffle=False, collate_fn=lambda numbers: {})  # type: ignore[arg-type]

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:  # noqa: ANN401
        """AdamW over the target with float32 masters."""
        if self.optimizer is None:
            self.optimizer = self.master_optimizer
        return self.optimizer

    @cached_property
    def master_optimizer(self) -> MasterAdamW | zero.ZeroAdamW:
        """The optimizer itself, as accelerate's wrapper hides it."""
        options: dict[str, Any] = {
            "lr": self.args.learning_rate,
            "betas": (self.args.adam_beta1, self.args.adam_beta2),
            "eps": self.args.adam_epsilon,
            "weight_decay": self.args.weight_decay,
        }
        if not self.group_config.zero or self.processes.count == 1:
            return MasterAdamW(self.trained, self._rates(), **options)
        settings, norm = self.group_config.deepspeed_settings, self.args.max_grad_norm
        return zero.ZeroAdamW(self.language_model, self.trained, self._rates(), settings, max_grad_norm=norm, **options)

    @property
    def _zero(self) -> zero.ZeroAdamW | None:
        """The optimizer once it is made, if DeepSpeed spreads it over the processes."""
        made = self.__dict__.get("master_optimizer")
        return made if isinstance(made, zero.ZeroAdamW) else None

    def _rates(self) -> dict[str, float]:
        """Learning rates that differ from the common one."""
        if not self.target.boosted:
            return {}
        chosen = prefixes(self.language_model, self.target)
        boosted = [name for name in self.trained if name.startswith(chosen)]
        return dict.fromkeys(boosted, self.group_config.boosted_learning_rate)

    def _prefix(self) -> FrozenPrefix | None:
        """Keeps what lies below the target, where more than one pass of an iteration reads it."""
        config = self.group_config
        passes = config.epochs + bool(config.loss.beta) + self._rescans
        if not self.target.lowest or passes < 2 or not config.prefix_bytes:
            return None
        return FrozenPrefix(
            self.language_model, self.target, budget=config.prefix_bytes, host_budget=config.prefix_host_bytes
        )

    @property
    def _rescans(self) -> bool:
        """Whether the sampler's log-probabilities are not the trainer's own to the last bits."""
        return self.language_model.dtype != torch.float32 or isinstance(self.policy, Synced)

    def weights(self) -> dict[str, torch.Tensor]:
        """The target's present weights by the plain model's parameter names; adapters count as merged."""
        if self.target.lora:
            return adapters.merged(self.language_model)
        return {name: sharding.whole(value.detach()) for name, value in self.trained.items()}

    def close(self) -> None:
        """Takes adapters, if there are any, out of the model and leaves their effect in its weights; and DeepSpeed."""
        if self._zero is not None:
            self._zero.close()
        if self.target.lora:
            adapters.detach(self.language_model)

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> LambdaLR:  # noqa: ANN401
        """A constant rate after a linear warm-up, counted over the whole run also where it was resumed."""
        del num_training_steps
        warmup, before = self.args.warmup_steps, self.master_optimizer.updates_made
        scheduler = LambdaLR(
            optimizer or self.master_optimizer, lambda step: min(1.0, (before + step + 1) / (warmup + 1))
        )
        self.lr_scheduler, self._created_lr_scheduler = scheduler, True
        return scheduler

    def floating_point_ops(self, inputs: dict[str, Any]) -> int:
        """Not estimated: the base class's formula counts a backward pass through every parameter."""
        return 0

    def _prepare_inputs(self, inputs: dict[str, Any]) -> dict[str, Any]:
        if self._made == self._due:
            self._iteration += 1
            self._start_iteration(self._iteration)
        assert self._collected is not None
        rows = self._rows_of(self._made)
        self._made += 1
        for row in rows:
            row.weight = 0.0
        rows = [row for row in rows if row.num_kept]
        lengths = np.array([row.num_kept for row in rows], dtype=np.int64)
        weights = token_weights(lengths, self.group_config.aggregation, self.group_config.aggregation_length)
        for row, weight in zip(rows, weights, strict=True):
            row.weight = float(weight)
        return {"rows": rows}

    def _rows_of(self, update: int) -> list[TrainingRow]:
        """The rows of an update of the iteration, those of all processes; every epoch deals them alike."""
        assert self._collected is not None
        shares = self._due // self.group_config.epochs
        return self._collected.rows[update % shares :: shares]

    def _own_rows(self) -> list[TrainingRow]:
        """The rows of the iteration that this process learns from."""
        assert self._collected is not None
        if self.processes.count == 1:
            return self._collected.rows
        updates = map(self._rows_of, range(self._due // self.group_config.epochs))
        return [row for rows in updates for row in dealt(rows, self.processes.count)[self.processes.rank]]

    def _start_iteration(self, iteration: int) -> None:
        config = self.group_config
        self._started = time.perf_counter()
        reset_peak(self.args.device)
        if self.prefix is not None:
            self.prefix.clear()
        self.synchronizer.begin(self.policy, self.weights, iteration)
        before = counts_of(self.make_env)
        with sharding.gathered(self.language_model):
            self._collected = self._roll_out(iteration)
        self._counts = counts_of(self.make_env).since(before)
        self._rollout_seconds = self._update_started - self._started - self.synchronizer.seconds
        self._made, self._due = 0, config.epochs * config.updates_of(len(self._collected.rows))
        self._sums = {"loss": 0.0, "grad_norm": 0.0}
        if self._rescans:
            own = self._own_rows()
            sampled = [row.old for row in own]
            self._score(own, "old")
            found = correct(own, sampled, config.mismatch, config.mismatch_cap)
            self._collected.metrics |= mismatch_together(self.processes, own, found)
            tell_kept(self.processes, self._collected.rows, own)
        if self.reference is not None:
            current = {name: value.detach().clone() for name, value in self.trained.items()}
            self._write(self.reference)
            self._score(self._own_rows(), "reference")
            self._write(current)

    def _roll_out(self, iteration: int) -> Collected:
        """Plays an iteration's episodes; with `rollouts`, further ones in place of groups without a signal."""
        config, episodes, rounds = self.group_config, list[Episode](), 0
        while True:
            # Further tasks come after those of all iterations, so that every arm's iterations begin alike.
            number = iteration + rounds * config.iterations
            keys = iteration_keys(self.task_env, config.seed, number, config.tasks, config.group_size, config.set_aside)
            ended = partial(self._ended, counts=not rounds)
            version = self.synchronizer.version(self.policy, iteration)
            play = partial(rollout, self.make_env, self.policy, ended=ended, policy_version=version)
            episodes += played(self.processes, keys, play, ended)
            self.synchronizer.refuse_stale(episodes, iteration)
            self._update_started = time.perf_counter()
            collected, rounds = from_episodes(episodes, self.estimator), rounds + 1
            if not config.rollouts:
                return collected
            rows = with_signal(collected.rows, config.tasks)
            if rounds >= config.rollouts or len({row.task for row in rows}) == config.tasks:
                break
        collected.metrics["rollouts"] = float(rounds)
        # An update of no rows would be none.
        collected.rows = rows if len(rows) >= config.updates_of(len(rows)) else collected.rows
        return collected

    def _ended(self, episode: Episode, *, counts: bool = True) -> None:
        if self.progress is not None:
            self.progress(int(counts))

    @torch.no_grad()
    def _write(self, values: dict[str, torch.Tensor]) -> None:
        for name, value in values.items():
            self.trained[name].copy_(value)

    @torch.no_grad()
    def _score(self, rows: Sequence[TrainingRow], column: str) -> None:
        """Log-probabilities of all rows under the present weights, written into one of the rows' columns.

        Only needed where the sampler's own are not exact: below float32 cached decoding rounds differently, and an
        engine with weights of its own always does.
        """
        model, config = self.language_model, self.group_config
        with sharding.gathered(model):
            for batch in micro_batches(rows, config.micro_batch_tokens, self.args.device):
                values, _ = sampled_logprobs(model, batch, config.temperature, prefix=self.prefix)
                ends = np.cumsum([row.num_sampled for row in batch.rows])
                for row, part in zip(batch.rows, np.split(values.float().cpu().numpy(), ends[:-1]), strict=True):
                    setattr(row, column, part)

    def training_step(
        self,
        model: torch.nn.Module,
        inputs: dict[str, Any],
        num_items_in_batch: Any = None,  # noqa: ANN401
    ) -> torch.Tensor:
        """Backward passes of one update.

        The model stays in evaluation mode: dropout would make the ratio of an unchanged policy differ from 1.
        """
        model.eval()
        rows = self._prepare_inputs(inputs)["rows"]
        self._sums["learning_rate"] = float(self.master_optimizer.param_groups[0]["lr"])
        total = torch.zeros((), device=self.args.device)
        batches = passes(self.processes, rows, self.group_config.micro_batch_tokens, self.args.device)
        around = (
            checkpointed(self.language_model, self.target)
            if self.group_config.checkpointing
            else contextlib.nullcontext()
        )
        with around:
            for index, batch in enumerate(batches):
                last = index == len(batches) - 1
                with contextlib.nullcontext() if last else self._no_sync(model):
                    total += self._take_part() if batch is None else self._backward(batch)
        self._add({"loss": float(total)})
        return total

    def _no_sync(self, model: torch.nn.Module) -> contextlib.AbstractContextManager[None]:
        if isinstance(model, FSDPModule):
            return sharding.accumulating(model)
        if self._zero is not None:
            return self._zero.accumulating()
        return self.accelerator.no_sync(model)  # type: ignore[no-any-return]

    def _take_part(self) -> torch.Tensor:
        """A pass that changes nothing, in step with those of processes that have more rows."""
        idle = idle_batch(self.args.device)
        logprobs, _ = sampled_logprobs(self.language_model, idle, self.group_config.temperature, through=self._root)
        self._propagate(logprobs.sum() * 0.0)
        return torch.zeros((), device=self.args.device)

    @property
    def _root(self) -> torch.nn.Module:
        """What a pass with gradients calls: with several processes the wrapper that exchanges them."""
        if self._zero is not None:
            return self._zero.engine  # type: ignore[no-any-return]
        return self.language_model if self.processes.count == 1 else self.model_wrapped

    def _propagate(self, loss: torch.Tensor) -> None:
        if self._zero is not None:
            self._zero.backward(loss)
        else:
            self.accelerator.backward(loss)

    def _backward(self, batch: MicroBatch) -> torch.Tensor:
        parts = self._loss(batch)
        # Gradients are averaged over the processes; the loss is a sum over the rows of all.
        self._propagate(parts.loss * self.processes.count)
        self._add(
            {
                "clipped": parts.clipped,
                "kl": parts.kl,
                "reference_kl": parts.reference_kl,
                "entropy": parts.entropy,
                "tokens": parts.num_tokens,
            }
        )
        return parts.loss.detach()

    def _loss(self, batch: MicroBatch) -> LossParts:
        config = self.group_config
        logprobs, entropy = sampled_logprobs(
            self.language_model,
            batch,
            config.temperature,
            entropy_gradient=bool(config.loss.entropy_bonus),
            prefix=self.prefix,
            through=self._root,
        )
        return policy_loss(
            logprobs,
            batch.column("old"),
            batch.column("advantages"),
            batch.weights(),
            config.loss,
            reference_T=batch.column("reference") if config.loss.beta else None,
            entropy_T=entropy,
            replies_T=batch.replies() if config.loss.ratio == "sequence" else None,
        )

    def _add(self, values: dict[str, float]) -> None:
        for name, value in values.items():
            self._sums[name] = self._sums.get(name, 0.0) + value

    def _clip_grad_norm(self, model: torch.nn.Module) -> Any:  # noqa: ANN401
        # DeepSpeed clips as it steps.
        return super()._clip_grad_norm(model) if self._zero is None else None  # type: ignore[no-untyped-call]

    def _get_grad_norm(self, model: torch.nn.Module, grad_norm: Any = None) -> Any:  # noqa: ANN401
        # DeepSpeed knows the norm once it has stepped.
        norm = super()._get_grad_norm(model, grad_norm) if self._zero is None else 0.0  # type: ignore[no-untyped-call]
        self._add({"grad_norm": float(norm)})
        return norm

    def finish_iteration(self) -> bool:
        """Reports an iteration if its last update is made; True if the run should stop here."""
        if self._zero is not None:
            self._add({"grad_norm": self._zero.taken_norm()})
        if self._made < self._due:
            return False
        assert self._collected is not None
        if self.args.device.type == "cuda":
            torch.cuda.synchronize(self.args.device)
        now = time.perf_counter()
        sums = self.processes.total(self._sums)
        updates, tokens = self._due, max(sums.get("tokens", 0.0), 1.0)
        metrics = self._collected.metrics | {
            "loss": sums["loss"] / updates,
            # Every process has the norm of the whole gradient.
            "grad_norm": self._sums["grad_norm"] / updates,
            "clip_share": sums.get("clipped", 0.0) / tokens,
            "kl": sums.get("kl", 0.0) / tokens,
            "reference_kl": sums.get("reference_kl", 0.0) / tokens,
            "entropy": sums.get("entropy", 0.0) / tokens,
            "learning_rate": self._sums["learning_rate"],
            "updates": float(updates),
        }
        cost = {
            "seconds": now - self._started,
            "rollout_seconds": self._rollout_seconds,
            "update_seconds": now - self._update_started + self.synchronizer.seconds,
            "tokens_per_second": metrics["sampled_tokens"] / max(self._rollout_seconds, 1e-9),
            "peak_bytes": peak_bytes(self.args.device),
            **self._counts.as_cost(),
            **self.synchronizer.as_cost(),
        }
        report = IterationReport(self._iteration, metrics, costs_together(self.processes, cost), self._collected)
        asked = self.processes.any(bool(self.on_iteration(report)) if self.on_iteration else False)
        return asked or self._iteration + 1 == self.group_config.iterations


@contextlib.contextmanager
def _taken_for_whole(model: PreTrainedModel) -> Iterator[None]:
    """The base class refuses rounded weights (`agents.quantized`) without asking whether they are what is trained."""
    whole: Any = model
    rounded, whole.is_quantized = getattr(whole, "is_quantized", False), False
    try:
        yield
    finally:
        whole.is_quantized = rounded


def _own_policy(
    model: PreTrainedModel, args: GroupConfig, tokenizer: PreTrainedTokenizerBase | None, manner: Manner
) -> TransformersPolicy:
    """A policy that samples with a model as the arguments say."""
    if tokenizer is None:
        try:
            tokenizer = AutoTokenizer.from_pretrained(model.name_or_path)
        except (OSError, ValueError) as error:
            raise InputError(
                f"no tokenizer at {model.name_or_path!r}, where the model came from; give processing_class=."
            ) from error
    sampling = Sampling(args.temperature, args.max_reply_tokens)
    return TransformersPolicy(model, tokenizer, sampling, manner=manner)


class _IterationEnd(TrainerCallback):
    """Calls the trainer after each update."""

    def __init__(self, trainer: GroupTrainer) -> None:
        self.trainer = trainer

    def on_step_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: Any,  # noqa: ANN401
    ) -> None:
        control.should_training_stop |= self.trainer.finish_iteration()
