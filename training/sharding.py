"""Weights spread over the processes while they are not needed: FSDP2 (`torch.distributed.fsdp.fully_shard`).

Every block is one unit, what lies outside the blocks another. In a pass with gradients a unit's weights are gathered as
it is reached and dropped behind it, and gradients of the trained ones are averaged into shards; masters and moments are
shards too. Rollouts and log-probabilities without gradients read the weights many times, and every process a different
number of times, so for them all weights are gathered once and held. Left out: rollouts of models that one device cannot
hold, CPU offload, adapters, and kept states below the target.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import distributed, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from agents.blocks import find_stack


def shard(model: nn.Module, device: torch.device) -> None:
    """Spreads a model's weights over all processes, in place. Parameters become other objects, under the same names."""
    mesh = init_device_mesh(device.type, (distributed.get_world_size(),))
    for block in find_stack(model).modules:
        fully_shard(block, mesh=mesh)
    fully_shard(model, mesh=mesh)
    # Accelerate leaves alone what was prepared before.
    model._is_accelerate_prepared = True  # type: ignore[assignment]


@contextmanager
def gathered(model: nn.Module) -> Iterator[None]:
    """While it lasts, every process holds all weights and may run any number of passes without gradients."""
    units = [module for module in model.modules() if isinstance(module, FSDPModule)]
    if not units:
        yield
        return
    for unit in units:
        unit.set_reshard_after_forward(False, recurse=False)
        unit.unshard()
    try:
        yield
    finally:
        for unit in units:
            unit.reshard()
            unit.set_reshard_after_forward(unit is not model, recurse=False)


@contextmanager
def accumulating(model: nn.Module) -> Iterator[None]:
    """While it lasts, backward passes add to each process's own gradients and exchange none."""
    assert isinstance(model, FSDPModule)
    model.set_requires_gradient_sync(False)
    try:
        yield
    finally:
        model.set_requires_gradient_sync(True)


def whole(tensor: torch.Tensor) -> torch.Tensor:
    """A tensor that may be spread over the processes, in one piece; then all of them call this."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def alike(whole_tensor: torch.Tensor, pattern: torch.Tensor) -> torch.Tensor:
    """A whole tensor spread as another one is, if that is."""
    if not isinstance(pattern, DTensor) or not whole_tensor.ndim:
        return whole_tensor
    return distribute_tensor(whole_tensor.to(pattern.device), pattern.device_mesh, pattern.placements)


def renewed(model: nn.Module, trained: Mapping[str, nn.Parameter]) -> dict[str, nn.Parameter]:
    """The trained parameters after `shard`, by name."""
    return {name: value for name, value in model.named_parameters() if name in trained}
