"""The group trainer: rollout, advantages, updates of one target.

`GroupTrainer` is a `transformers.Trainer` (`training.loop`), so its callbacks and trackers come with it. Four seams
differ: the loader yields nothing but turns; `_prepare_inputs` plays the rollout of an iteration when its first update
is due and hands out the rows of each; `training_step` runs token-budgeted micro-batches whose loss is divided by the
update's total, so that their split changes nothing; the loss is `training.loss`. TRL's trainer is not the base class
because rollout, batching, reference, sync and checkpoint code would all have to be overridden.

One *iteration* is one rollout and the optimizer updates made from it: in each of `epochs` passes `updates` of them, or
as many as `update_rows` asks for, each from its own share of the rows (`training.dealing`). The episodes are played in
`training.playing`, the model is run over rows in `training.passes`, and what an iteration comes to is counted in
`training.tally`. Only the target's parameters require gradients, so autograd stops at the lowest trained block.

On several processes (`training.processes`, `training.shares`) each plays its share of the episodes and learns from its
share of every update's rows; DistributedDataParallel sums up the target's gradients, once an update. All of them end
with the same weights, those of one process up to rounding. With `shard` the weights are spread over the processes
(FSDP2, `training.sharding`), with `zero` the optimizer alone (DeepSpeed, `training.zero`).
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from transformers.trainer_utils import TrainOutput

from agents import adapters
from agents.blocks import find_stack
from agents.policies.synced import ModelPolicy, Synced
from agents.prompts import manner_of
from agents.quantized import taken_for_whole
from agents.targets import Target, middle, select
from envs.errors import InputError
from envs.pool import counts_of
from envs.types import TextEnv
from training import sharding, zero
from training.advantages import gigpo
from training.arguments import GroupConfig as GroupConfig
from training.batches import MicroBatch
from training.checkpointing import checkpointed
from training.collect import Collected, Estimator
from training.dealing import Dealing
from training.loss import LossParts
from training.passes import Passes
from training.playing import Player, own_policy
from training.processes import check_launcher, check_same, current
from training.shares import mismatch_together, passes, tell_kept
from training.stepping import TargetLoop
from training.synchronizing import Synchronizer
from training.tally import IterationReport as IterationReport
from training.tally import Tally
from training.watch import Watch


class GroupTrainer(TargetLoop):
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
        GoneWrongError: while it trains, something went wrong too often (`args.watch`).
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
        policy = policy or own_policy(model, args, processing_class, manner_of(self.task_env, args.context))
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
        self.watch = Watch(args.watch)
        self.estimator = args.estimator or Estimator(gigpo, gigpo.Config(), 10.0, 0.1)
        self.on_iteration = on_iteration
        self.progress = progress
        self.language_model = model
        self.trained = (
            adapters.attach(model, self.target, args.lora_rank, args.lora_alpha, args.seed)
            if self.target.lora
            else select(model, self.target)
        )
        rescans = model.dtype != torch.float32 or isinstance(policy, Synced)
        self.passes = Passes(model, self.target, self.trained, args, rescans=rescans)
        # The iteration that is learned from, and its episodes, the updates made of them and what that comes to.
        self._iteration = args.start_iteration - 1
        self._collected = Collected([], [], {})
        self._dealing: Dealing | None = None
        zero.choose_accelerator(args.device)
        with taken_for_whole(model):
            super().__init__(model=model, args=args)
        self._tally = Tally(args.device)
        check_launcher(self.accelerator)
        self.processes = current()
        check_same(self.processes, list(model.parameters()))
        if args.shard and self.processes.count > 1:
            self._shard()

    def _shard(self) -> None:
        """Spreads the weights over the processes; what was read off the whole parameters is made again."""
        if self.target.lora:
            raise InputError(
                f"layer={self.target.name}: adapters cannot be trained with weights spread over processes."
            )
        sharding.shard(self.language_model, self.args.device)
        self.trained = sharding.renewed(self.language_model, self.trained)
        self.passes.renew(self.trained)

    def train(self, *arguments: Any, **options: Any) -> TrainOutput:  # noqa: ANN401
        """Trains. A run whose last iteration is done has nothing to do, which the base class takes for an error."""
        if self.group_config.start_iteration >= self.group_config.iterations:
            return TrainOutput(0, 0.0, {})
        return super().train(*arguments, **options)

    def weights(self) -> dict[str, torch.Tensor]:
        """The target's present weights by the plain model's parameter names; adapters count as merged."""
        if self.target.lora:
            return adapters.merged(self.language_model)
        return {name: sharding.whole(value.detach()) for name, value in self.trained.items()}

    def close(self) -> None:
        """Takes adapters, if there are any, out of the model and leaves their effect in its weights; and DeepSpeed."""
        super().close()
        if self.target.lora:
            adapters.detach(self.language_model)

    def _prepare_inputs(self, inputs: dict[str, Any]) -> dict[str, Any]:
        if self._dealing is None or self._dealing.done:
            self._iteration += 1
            self._dealing = self._start_iteration(self._iteration)
        return {"rows": self._dealing.next()}

    def _start_iteration(self, iteration: int) -> Dealing:
        config = self.group_config
        self._tally = Tally(self.args.device)
        self.watch.begin()
        self.passes.begin()
        self.synchronizer.begin(self.policy, self.weights, iteration)
        before = counts_of(self.make_env)
        with sharding.gathered(self.language_model):
            self._collected = self._roll_out(iteration)
        self._tally.restarts(counts_of(self.make_env).since(before))
        dealing = Dealing(self._collected.rows, config, self.processes)
        own = dealing.own
        if self.passes.rescans:
            found = self.passes.rescan(own)
            self._collected.metrics |= mismatch_together(self.processes, own, found)
            tell_kept(self.processes, self._collected.rows, own)
        self.passes.score_reference(own)
        return dealing

    def _roll_out(self, iteration: int) -> Collected:
        player = Player(
            self.group_config,
            self.make_env,
            self.task_env,
            self.policy,
            self.estimator,
            self.synchronizer,
            self.processes,
            self.progress,
        )
        return player.play(iteration, self._tally.rolled_out)

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
        self._tally.rate(float(self.master_optimizer.param_groups[0]["lr"]))
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
                with contextlib.nullcontext() if last else self.summing(model):
                    total += self._take_part() if batch is None else self._backward(batch)
        self._tally.add({"loss": float(total)})
        return total

    def _take_part(self) -> torch.Tensor:
        """A pass that changes nothing, in step with those of processes that have more rows."""
        self.propagate(self.passes.idle(self.root, self.args.device))
        return torch.zeros((), device=self.args.device)

    def _backward(self, batch: MicroBatch) -> torch.Tensor:
        parts = self._loss(batch)
        # Gradients are averaged over the processes; the loss is a sum over the rows of all.
        self.propagate(parts.loss * self.processes.count)
        self._tally.add(
            {
                "clipped": parts.clipped,
                "kl": parts.kl,
                "reference_kl": parts.reference_kl,
                "entropy": parts.entropy,
                "tokens": parts.num_tokens,
            }
        )
        self._tally.saw(parts.ratio)
        return parts.loss.detach()

    def _loss(self, batch: MicroBatch) -> LossParts:
        return self.passes.loss(batch, self.root)

    def _get_grad_norm(self, model: torch.nn.Module, grad_norm: Any = None) -> Any:  # noqa: ANN401
        norm = super()._get_grad_norm(model, grad_norm)
        self._tally.add({"grad_norm": float(norm)})
        return norm

    def before_step(self) -> None:
        """Leaves out the step if something is wrong with it."""
        refused = self.watch.refuses(self._tally.update(self.processes))
        if refused:
            self.drop()
        self._tally.settle(made=not refused)

    def after_update(self) -> bool:
        """Reports an iteration if its last update is made; True if the run should stop here."""
        if self._dealing is None or not self._dealing.done:
            return False
        metrics = self._tally.metrics(self._collected, self.watch.skipped, self.processes)
        cost = self._tally.cost(metrics["sampled_tokens"], self.synchronizer, self.processes)
        findings = self.watch.iteration(metrics, self._collected.episodes)
        report = IterationReport(self._iteration, metrics, cost, self._collected, findings)
        asked = self.processes.any(bool(self.on_iteration(report)) if self.on_iteration else False)
        self.watch.check(self._iteration)
        return asked or self._iteration + 1 == self.group_config.iterations
