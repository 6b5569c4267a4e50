"""`transformers.Trainer` as a bare loop of updates, whose batches come from elsewhere.

The loader yields nothing but turns, gradients of several backward passes are summed within an update, and after every
update the subclass is asked whether that was the last.
"""

from __future__ import annotations

import warnings
from contextlib import AbstractContextManager
from typing import Any

from torch import nn
from torch.distributed.fsdp import FSDPModule
from torch.utils.data import DataLoader
from transformers import PreTrainedModel, PrinterCallback, Trainer, TrainerCallback, TrainingArguments
from transformers.trainer_callback import TrainerControl, TrainerState
from transformers.trainer_utils import TrainOutput

from training import sharding


class UpdateLoop(Trainer):
    """Makes one update after the other.

    Args:
        model: the model whose gradients are stepped along.
        args: arguments of the base class.
    """

    def __init__(self, model: PreTrainedModel, args: TrainingArguments) -> None:
        super().__init__(model=model, args=args, callbacks=[_UpdateEnd(self)])
        self.remove_callback(PrinterCallback)

    def train(self, *arguments: Any, **options: Any) -> TrainOutput:  # noqa: ANN401
        """Runs the loop."""
        with warnings.catch_warnings():
            # How accelerate asks DistributedDataParallel for what it now calls otherwise.
            warnings.filterwarnings("ignore", message=".*broadcast_buffers.*", category=FutureWarning)
            # How DeepSpeed calls what PyTorch now calls otherwise.
            warnings.filterwarnings("ignore", message=".*torch.distributed.*is deprecated", category=FutureWarning)
            return super().train(*arguments, **options)

    def before_step(self) -> None:
        """Called before every step of the optimizer, when the gradient is known and clipped."""

    def after_update(self) -> bool:
        """Called after every update; True ends the loop."""
        raise NotImplementedError

    def get_train_dataloader(self) -> DataLoader[int]:
        """One empty item for each update that there can be."""
        updates = range(self.args.max_steps)
        return DataLoader(updates, batch_size=1, shuffle=False, collate_fn=lambda numbers: {})  # type: ignore[arg-type]

    def floating_point_ops(self, inputs: dict[str, Any]) -> int:
        """Not estimated: the base class's formula counts a backward pass through every parameter."""
        return 0

    def summing(self, model: nn.Module) -> AbstractContextManager[None]:
        """While it lasts, backward passes add to each process's own gradients and exchange none."""
        if isinstance(model, FSDPModule):
            return sharding.accumulating(model)
        return self.accelerator.no_sync(model)  # type: ignore[no-any-return]


class _UpdateEnd(TrainerCallback):
    """Tells the loop of each update."""

    def __init__(self, loop: UpdateLoop) -> None:
        self.loop = loop

    def on_pre_optimizer_step(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: Any,  # noqa: ANN401
    ) -> None:
        self.loop.before_step()

    def on_step_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: Any,  # noqa: ANN401
    ) -> None:
        control.should_training_stop |= self.loop.after_update()
