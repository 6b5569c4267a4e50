"""A language model as a stack of blocks.

The blocks of a decoder-only model are found by structure: the longest `ModuleList` that stands in no other (as experts
stand in a block) is its stack of transformer layers. Its modules are of one class, or, as in hybrid models that mix
attention and state-space layers, of several that are each made of others. The parts of a block are found
by what they do: attention is what makes one position depend on another. No table of architectures is kept. What lies
outside the stack (embedding, final norm, head) belongs to no block.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
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
        The longest `ModuleList` that stands in no other and whose members share one class or all hold modules; of
        equally long ones the one with most parameters.

    Raises:
        InputError: the model has no such list.
    """
    candidates = []
    outer: list[str] = []
    for path, module in model.named_modules():
        if not isinstance(module, nn.ModuleList) or any(path.startswith(f"{other}.") for other in outer):
            continue
        # What stands in a list is no stack, whatever that list is: it would be a block's experts.
        outer.append(path)
        if len({type(block) for block in module}) == 1 or (module and all(any(block.children()) for block in module)):
            size = sum(parameter.numel() for parameter in module.parameters())
            candidates.append((len(module), size, path, module))
    if not candidates:
        raise InputError(f"{type(model).__name__} has no stack of blocks; a decoder-only transformer is needed.")
    _, _, path, modules = max(candidates, key=lambda candidate: candidate[:2])
    return Stack(path=path, modules=tuple(modules))


class _SeenError(Exception):
    """Ends a forward pass whose rest does not matter."""


@torch.no_grad()
def parts_of(model: nn.Module, stack: Stack) -> Mapping[str, tuple[str, ...]]:
    """Finds the parts of a block by running the lowest one on two texts that differ in their first token.

    What each child of the block reads and writes at the second token is compared: where it reads the same and writes
    something else, it mixes positions, which is what attention does.

    Args:
        model: a causal language model.
        stack: its blocks.

    Returns:
        Names of the block's children by part: "attention", and "mlp" for all others that hold matrices.

    Raises:
        InputError: the blocks have no child of one of these kinds.
    """
    block = stack.modules[0]
    held = {
        name: child for name, child in block.named_children() if any(value.dim() > 1 for value in child.parameters())
    }
    first, second = (_seen(model, block, held, [token, 2]) for token in (0, 1))
    mixing = tuple(
        name
        for name in held
        if name in first and _same(first[name][0], second[name][0]) and not _same(first[name][1], second[name][1])
    )
    others = tuple(name for name in held if name not in mixing)
    if not mixing or not others:
        raise InputError(
            f"the blocks of {type(model).__name__} ({type(block).__name__}) have no separate attention and mlp; "
            "train whole blocks."
        )
    return {"attention": mixing, "mlp": others}


def _same(first: torch.Tensor, second: torch.Tensor) -> bool:
    return torch.allclose(first, second, rtol=1e-5, atol=1e-7)


def _seen(
    model: nn.Module, block: nn.Module, held: Mapping[str, nn.Module], tokens: list[int]
) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """What each child of a block reads and writes at the last token of a text."""
    seen: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}

    def note(name: str) -> Any:  # noqa: ANN401 - a hook
        def hook(_module: nn.Module, inputs: tuple[Any, ...], options: dict[str, Any], output: Any) -> None:  # noqa: ANN401
            given = next(value for value in (*inputs, *options.values()) if isinstance(value, torch.Tensor))
            made = output[0] if isinstance(output, tuple) else output
            # The last row whether it is (1, T, D) or, as routers flatten it, (T, D).
            seen[name] = (_last(given), _last(made))

        return hook

    def stop(*_: Any) -> None:  # noqa: ANN401
        raise _SeenError

    handles = [child.register_forward_hook(note(name), with_kwargs=True) for name, child in held.items()]
    handles.append(block.register_forward_hook(stop))
    try:
        device = next(model.parameters()).device
        model(input_ids=torch.tensor([tokens], device=device), use_cache=False)
    except _SeenError:
        pass
    finally:
        for handle in handles:
            handle.remove()
    return seen


def _last(values: torch.Tensor) -> torch.Tensor:
    return values.reshape(-1, values.shape[-1])[-1].float().clone()
