"""AdamW whose weights and moments are float32 whatever the model's dtype.

At learning rates near 1e-6 a bfloat16 weight would never move: the step is smaller than half its spacing. So the
optimizer keeps a float32 master copy of every trained tensor that is stored in a shorter dtype; the model gets the
rounded values. Float32 models are their own masters. The state is exported by parameter name as plain tensors, without
pickle.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from training.sharding import alike, whole


class MasterAdamW(torch.optim.AdamW):
    """AdamW over named parameters with float32 masters (decoupled weight decay, arXiv 1711.05101).

    Args:
        parameters: the trained parameters by name.
        rates: learning rates of single parameters by name; the others have `lr`.
        **options: `torch.optim.AdamW` options (lr, betas, eps, weight_decay).
    """

    def __init__(
        self,
        parameters: Mapping[str, nn.Parameter],
        rates: Mapping[str, float] | None = None,
        **options: Any,  # noqa: ANN401
    ) -> None:
        self._parameters = dict(parameters)
        self._masters = {
            name: parameter if parameter.dtype == torch.float32 else nn.Parameter(parameter.detach().float().clone())
            for name, parameter in self._parameters.items()
        }
        super().__init__(rate_groups(self._masters, rates or {}), **options)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """One update of the masters, then of the model's own tensors."""
        del closure
        shorter = [(self._parameters[name], master) for name, master in self._masters.items()]
        shorter = [(parameter, master) for parameter, master in shorter if parameter is not master]
        for parameter, master in shorter:
            master.grad = None if parameter.grad is None else parameter.grad.float()
        super().step()
        for parameter, master in shorter:
            parameter.copy_(master)
            master.grad = None

    @property
    def updates_made(self) -> int:
        """Updates so far, those before a restore included."""
        return max((int(state["step"]) for state in self.state.values()), default=0)

    def state_bytes(self) -> int:
        """Bytes held by masters (where they are copies) and moments."""
        masters = sum(
            master.numel() * 4 for name, master in self._masters.items() if master is not self._parameters[name]
        )
        return masters + sum(master.numel() * 8 for master in self._masters.values())

    def export(self) -> dict[str, torch.Tensor]:
        """Masters, moments and step counts by name: all that an exact resume needs."""
        tensors = {}
        for name, master in self._masters.items():
            tensors[f"master/{name}"] = master.detach()
            state = self.state.get(master, {})
            tensors.update({f"{key}/{name}": value for key, value in state.items()})
        return {key: whole(value.detach()).cpu().contiguous().clone() for key, value in tensors.items()}

    @torch.no_grad()
    def restore(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Takes back what `export` gave; the model's tensors follow their masters."""
        for name, master in self._masters.items():
            master.copy_(alike(tensors[f"master/{name}"], master))
            self._parameters[name].copy_(master)
            state = {
                key: tensors[f"{key}/{name}"] for key in ("step", "exp_avg", "exp_avg_sq") if f"{key}/{name}" in tensors
            }
            self.state.pop(master, None)
            if state:
                # Copies: the optimizer works in place, and what was given may be kept for another restore.
                self.state[master] = {
                    key: value.clone() if key == "step" else alike(value.to(master.device, copy=True), master)
                    for key, value in state.items()
                }


def warmed_up(optimizer: torch.optim.Optimizer, warmup: int, made: Callable[[], int]) -> LambdaLR:
    """A constant rate after a linear rise over so many updates.

    Args:
        optimizer: what the schedule sets the rates of.
        warmup: updates over which the rate rises.
        made: says how many updates were made so far, those before a restore included.
    """
    # Those that were skipped or rolled back do not count: a resumed run would not know of them.
    return LambdaLR(optimizer, lambda _: min(1.0, (made() + 1) / (warmup + 1)))


def rate_groups(parameters: Mapping[str, nn.Parameter], rates: Mapping[str, float]) -> list[dict[str, Any]]:
    """Parameters as an optimizer takes them: those of the common learning rate, then those of each other one.

    Args:
        parameters: by name.
        rates: learning rates of those that have others, by name.
    """
    groups: list[dict[str, Any]] = [
        {"params": [parameters[name] for name in rates if rates[name] == rate], "lr": rate}
        for rate in sorted(set(rates.values()))
    ]
    others = [parameter for name, parameter in parameters.items() if name not in rates]
    return [*([{"params": others}] if others else []), *groups]
