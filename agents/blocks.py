"""A language model as a stack of blocks.

The blocks of a decoder-only model are found by structure: the longest `ModuleList` of modules of one class is its
stack of transformer layers. No table of architectures is kept. What lies outside the stack (embedding, final norm,
head) belongs to no block.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from envs.errors import InputError


@dataclass(frozen=True)
class Stack:
    """The blocks of a model.

    Attributes:
        path: dotted name of the `ModuleList` in the model, for example "model.layers".
        modules: the blocks, lowest first.
    """

    path: str
    modules: tuple[nn.Module, ...]

    def __len__(self) -> int:
        """Number of blocks L."""
        return len(self.modules)

    def prefix(self, index: int) -> str:
        """Dotted name of block `index` with a trailing dot: every parameter of the block starts with it."""
        return f"{self.path}.{index}."


def find_stack(model: nn.Module) -> Stack:
    """Finds the stack of transformer blocks.

    Args:
        model: any decoder-only causal language model.

    Returns:
        The longest `ModuleList` whose members share one class; of equally long ones the one with most parameters.

    Raises:
        InputError: the model has no such list.
    """
    candidates = []
    for path, module in model.named_modules():
        if isinstance(module, nn.ModuleList) and len(module) > 0 and len({type(block) for block in module}) == 1:
            size = sum(parameter.numel() for parameter in module.parameters())
            candidates.append((len(module), size, path, module))
    if not candidates:
        raise InputError(f"{type(model).__name__} has no stack of equal blocks; a decoder-only transformer is needed.")
    _, _, path, modules = max(candidates, key=lambda candidate: candidate[:2])
    return Stack(path=path, modules=tuple(modules))
