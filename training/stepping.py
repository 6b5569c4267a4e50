"""How a target's gradients are taken and stepped along: by our AdamW with float32 masters, or by DeepSpeed's.

`TargetLoop` is `training.loop` with an optimizer over nothing but the target. With `zero` and several processes
DeepSpeed sums, clips and steps (`training.zero`), and everything that asks which of both it is asks here.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import torch
from torch.optim.lr_scheduler import LambdaLR
from transformers import PreTrainedModel

from agents.targets import Target, prefixes
from training import zero
from training.arguments import GroupConfig
from training.loop import UpdateLoop
from training.optimizer import MasterAdamW, warmed_up
from training.processes import Processes


class TargetLoop(UpdateLoop):
    """Steps one target of a model.

    Attributes:
        language_model: the model, without what wraps it.
        target: the trained part.
        trained: its parameters by name.
        group_config: what the optimizer is made by.
        processes: those that train together.
    """

    language_model: PreTrainedModel
    target: Target
    trained: dict[str, torch.nn.Parameter]
    group_config: GroupConfig
    processes: Processes

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

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> LambdaLR:  # noqa: ANN401
        """A constant rate after a linear warm-up, counted over the whole run also where it was resumed."""
        del num_training_steps
        master = self.master_optimizer
        self.lr_scheduler = warmed_up(optimizer or master, int(self.args.warmup_steps), lambda: master.updates_made)
        self._created_lr_scheduler = True
        return self.lr_scheduler

    def summing(self, model: torch.nn.Module) -> contextlib.AbstractContextManager[None]:
        """While it lasts, backward passes add to each process's own gradients and exchange none."""
        return super().summing(model) if self._zero is None else self._zero.accumulating()

    @property
    def root(self) -> torch.nn.Module:
        """What a pass with gradients calls: with several processes the wrapper that exchanges them."""
        if self._zero is not None:
            return self._zero.engine  # type: ignore[no-any-return]
        return self.language_model if self.processes.count == 1 else self.model_wrapped

    def propagate(self, loss: torch.Tensor) -> None:
        """Runs a backward pass."""
        if self._zero is not None:
            self._zero.backward(loss)
        else:
            self.accelerator.backward(loss)

    def _clip_grad_norm(self, model: torch.nn.Module) -> Any:  # noqa: ANN401
        # DeepSpeed clips as it steps.
        return super()._clip_grad_norm(model) if self._zero is None else None  # type: ignore[no-untyped-call]

    def _get_grad_norm(self, model: torch.nn.Module, grad_norm: Any = None) -> Any:  # noqa: ANN401
        if self._zero is not None:
            return self._zero.norm()
        return super()._get_grad_norm(model, grad_norm)  # type: ignore[no-untyped-call]

    def drop(self) -> None:
        """Forgets the gradients of an update, before the step, which then moves nothing."""
        if self._zero is not None:
            self._zero.drop()
        self.language_model.zero_grad(set_to_none=True)

    def close(self) -> None:
        """Takes DeepSpeed, if it steps, off the model."""
        if self._zero is not None:
            self._zero.close()

    def restore(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Goes back to what `master_optimizer.export` gave, in the midst of training too."""
        self.master_optimizer.restore(tensors)
        if self.lr_scheduler is not None:
            rates = zip(self.master_optimizer.param_groups, self.lr_scheduler.base_lrs, strict=True)
            for group, rate in rates:
                group["lr"] = rate * self.lr_scheduler.lr_lambdas[0](0)
