"""ZeRO through DeepSpeed: the optimizer of the target spread over the processes (arXiv 1910.02054, sections 5.1, 5.2).

At stage 1 every process holds the float32 masters and moments of its part of the trained weights, and they share their
results; at stage 2 it also keeps the summed gradients of that part only, for which they are exchanged in every backward
pass and not once an update. All weights stay whole in each process, so rollouts, log-probabilities and the states kept
below the target are what they are without. Exports are whole tensors under the names that `MasterAdamW` gives them, so
a checkpoint goes on either way. Left out: stage 3 (FSDP2 spreads the frozen weights, `training.sharding`), offload, and
DeepSpeed's own optimizers, schedules and loss scaling.
"""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from envs.errors import InputError
from training.deepspeed_settings import Settings
from training.optimizer import rate_groups

_MOMENTS = ("exp_avg", "exp_avg_sq")
# DeepSpeed's own, which takes 2 GB for buffers however little there is to exchange.
_MOST_EXCHANGED = 500_000_000


class ZeroAdamW(torch.optim.Optimizer):
    """AdamW over named parameters whose masters and moments are spread over the processes. Made by all of them.

    Backward passes go through `backward`, forward passes with gradients through `engine`.

    Args:
        model: the model; its weights must have one dtype, float32 or bfloat16.
        parameters: the trained parameters by name.
        rates: learning rates of single parameters by name; the others have `lr`.
        settings: what `deepspeed_settings.checked` returned.
        max_grad_norm: gradients are clipped to this norm; 0 for not at all.
        **options: `torch.optim.AdamW` options (lr, betas, eps, weight_decay).

    Raises:
        InputError: the model has weights of several dtypes, or not the one that the settings ask for.
    """

    def __init__(
        self,
        model: nn.Module,
        parameters: Mapping[str, nn.Parameter],
        rates: Mapping[str, float],
        settings: Settings,
        *,
        max_grad_norm: float,
        **options: Any,  # noqa: ANN401
    ) -> None:
        short = _is_short(model, settings)
        self._model, self._parameters = model, dict(parameters)
        self._spread = torch.optim.AdamW(rate_groups(self._parameters, rates), **options)
        super().__init__(rate_groups(self._parameters, rates), dict(self._spread.defaults))
        self._members = [group["params"] for group in self.param_groups]
        size = sum(parameter.numel() for parameter in self._parameters.values())
        zero = {"reduce_bucket_size": min(size, _MOST_EXCHANGED), "allgather_bucket_size": min(size, _MOST_EXCHANGED)}
        self.engine: Any = _engine(
            model,
            self._spread,
            {
                "steps_per_print": 2**62,
                **settings,
                "train_micro_batch_size_per_gpu": 1,
                "gradient_accumulation_steps": 1,
                "gradient_clipping": max_grad_norm,
                "bf16": {"enabled": short},
                "zero_allow_untested_optimizer": True,
                "zero_optimization": zero | settings["zero_optimization"],
            },
        )
        # Parts of the trained weights: this process's, one for each group.
        self._parts: list[torch.Tensor] = [group["params"][0] for group in self._spread.param_groups]
        self._due = False
        # Accelerate leaves alone what was prepared before.
        model._is_accelerate_prepared = True  # type: ignore[assignment]

    def backward(self, loss: torch.Tensor) -> None:
        """A backward pass; the gradients of all processes are averaged."""
        self._due = True
        self.engine.backward(loss)

    @contextmanager
    def accumulating(self) -> Iterator[None]:
        """While it lasts, backward passes are not the last of an update."""
        self.engine.set_gradient_accumulation_boundary(False)
        try:
            yield
        finally:
            self.engine.set_gradient_accumulation_boundary(True)

    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """One update; none if there was no backward pass, as where no process had a row."""
        del closure
        for spread, group in zip(self._spread.param_groups, self.param_groups, strict=True):
            spread["lr"] = group["lr"]
        due, self._due = self._due, False
        if due:
            self.engine.step()

    def norm(self) -> float:
        """The norm of the whole gradient that is to be stepped along, not clipped yet; 0 without a backward pass.

        Infinite where the gradient is no number. Called by all.
        """
        if not self._due:
            return 0.0
        made = self.engine.optimizer
        groups = zip(made.averaged_gradients.values(), made.params_in_partition, strict=True)
        norms = [float(made.get_grad_norm_direct(gradients, members)) for gradients, members in groups]
        # It says -1 where the gradient is no number.
        return math.hypot(*norms) if min(norms) >= 0.0 else math.inf

    def drop(self) -> None:
        """Forgets the gradient that is to be stepped along, as DeepSpeed does with one that overflows."""
        self._due = False
        made = self.engine.optimizer
        made.zero_grad(set_to_none=True)
        for group in made.averaged_gradients:
            made.averaged_gradients[group] = made.all_grad_tensors[group] = None

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Nothing: DeepSpeed drops gradients as it steps."""

    @property
    def updates_made(self) -> int:
        """Updates so far, those before a restore included."""
        return max((int(state["step"]) for state in self._spread.state.values()), default=0)

    def state_bytes(self) -> int:
        """Bytes that this process holds of masters and moments."""
        return sum(part.numel() * 12 for part in self._parts)

    def export(self) -> dict[str, torch.Tensor]:
        """Masters, moments and step counts by name, whole and alike in every process. Called by all."""
        from deepspeed.utils import safe_get_full_fp32_param, safe_get_full_optimizer_state

        tensors, updates = {}, self.updates_made
        for name, parameter in self._parameters.items():
            tensors[f"master/{name}"] = safe_get_full_fp32_param(parameter)
            if updates:
                tensors[f"step/{name}"] = torch.tensor(float(updates))
                tensors |= {f"{key}/{name}": safe_get_full_optimizer_state(parameter, key) for key in _MOMENTS}
        return {key: value.detach().cpu().contiguous().clone() for key, value in tensors.items()}

    @torch.no_grad()
    def restore(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Takes back what `export` gave, here or of a `MasterAdamW`; the model's tensors follow their masters."""
        from deepspeed.utils import lazy_init_hp_params_optimizer_state as link
        from deepspeed.utils import safe_set_full_fp32_param, safe_set_full_optimizer_state

        steps = [value for key, value in tensors.items() if key.startswith("step/")]
        for part, members in zip(self._parts, self._members, strict=True):
            if steps:
                self._spread.state[part] = {key: torch.zeros_like(part) for key in _MOMENTS}
                self._spread.state[part]["step"] = steps[0].clone()
                link(members, part, self._spread.state)
        for name, parameter in self._parameters.items():
            whole = {
                key: tensors[f"{key}/{name}"].to(parameter.device) for key in ("master", *_MOMENTS[: 2 * bool(steps)])
            }
            safe_set_full_fp32_param(parameter, whole["master"])
            parameter.copy_(whole["master"])
            for key in whole.keys() - {"master"}:
                safe_set_full_optimizer_state(parameter, whole[key], key)

    def close(self) -> None:
        """Takes DeepSpeed's hooks off the model, so that it may be trained in another way."""
        self.engine.destroy()
        del self._model._is_accelerate_prepared


def _is_short(model: nn.Module, settings: Settings) -> bool:
    """Whether a model is one of bfloat16.

    Raises:
        InputError: its weights have several dtypes, or not the one that the settings ask for.
    """
    kinds = {value.dtype for value in model.parameters()}
    if len(kinds) > 1 or not kinds <= {torch.float32, torch.bfloat16}:
        names = ", ".join(sorted(str(kind).removeprefix("torch.") for kind in kinds))
        raise InputError(
            f"zero={settings['zero_optimization']['stage']}: the model has weights of {names}; DeepSpeed takes float32 "
            "or bfloat16 throughout. Leave zero out, or load the model in one dtype."
        )
    short = kinds == {torch.bfloat16}
    if settings.get("bf16", {"enabled": short})["enabled"] != short:
        raise InputError(
            f"DeepSpeed's bf16={str(not short).lower()}, but the model was loaded in "
            f"{'bfloat16' if short else 'float32'}; leave bf16 out."
        )
    return short


def choose_accelerator(device: torch.device) -> None:
    """Lets DeepSpeed take the trainer's device where that is the CPU: it would take a GPU that it finds.

    To be called before a trainer is made, which imports DeepSpeed wherever that is installed.
    """
    if device.type == "cpu":
        os.environ["DS_ACCELERATOR"] = "cpu"


def _engine(model: nn.Module, optimizer: torch.optim.Optimizer, settings: Settings) -> Any:  # noqa: ANN401
    """DeepSpeed's engine around a model, which spreads an optimizer."""
    import deepspeed

    # It would be compiled here and now, and only inference calls it.
    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=FutureWarning)
        engine, *_ = deepspeed.initialize(model=model, optimizer=optimizer, config=settings, dist_init_required=False)
    return engine
