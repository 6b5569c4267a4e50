"""The stack of blocks is found by structure in every family, and a prefix names its block's parameters alone."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from agents import deltas
from agents.blocks import find_stack, parts_of
from agents.targets import Target, parameters, select
from envs.errors import InputError
from tests.agents.families import PATHS, build, hybrid

BLOCKS = 11


@pytest.mark.parametrize("family", PATHS)
def test_the_stack_of_each_family(family: str):
    model = build(family)
    stack = find_stack(model)
    assert stack.path == PATHS[family]
    assert len(stack) == BLOCKS
    assert list(stack.modules) == list(model.get_submodule(PATHS[family]))


@pytest.mark.parametrize("family", PATHS)
def test_a_prefix_names_the_blocks_own_parameters(family: str):
    model = build(family)
    stack = find_stack(model)
    for index, block in enumerate(stack.modules):
        named = {id(value) for name, value in model.named_parameters() if name.startswith(stack.prefix(index))}
        assert named == {id(value) for value in block.parameters()}


@pytest.mark.parametrize("family", PATHS)
def test_blocks_run_lowest_first(family: str):
    model = build(family).eval()
    order: list[int] = []
    for index, block in enumerate(find_stack(model).modules):
        block.register_forward_hook(lambda *_, index=index: order.append(index))
    with torch.no_grad():
        model(torch.tensor([[1, 2, 3]]), use_cache=False)
    assert order == list(range(BLOCKS))


def test_lists_of_unlike_modules_are_no_stack():
    class Mixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.parts = nn.ModuleList([nn.Linear(2, 2), nn.LayerNorm(2), nn.Linear(2, 2)])
            self.blocks = nn.ModuleList([nn.Linear(2, 2), nn.Linear(2, 2)])

    assert find_stack(Mixed()).path == "blocks"


def test_of_equally_long_lists_the_larger_counts():
    class Twofold(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.large = nn.ModuleList([nn.Linear(9, 9), nn.Linear(9, 9)])
            self.small = nn.ModuleList([nn.Linear(2, 2), nn.Linear(2, 2)])

    assert find_stack(Twofold()).path == "large"


def test_a_longer_list_within_a_block_is_no_stack():
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.experts = nn.ModuleList([nn.Linear(3, 3) for _ in range(5)])

    class Experts(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.ModuleList([Block(), Block()])

    assert find_stack(Experts()).path == "layers"


class Experts(nn.Module):
    """A layer whose experts are a list, longer than the list of layers."""

    def __init__(self) -> None:
        super().__init__()
        self.experts = nn.ModuleList([nn.Linear(3, 3) for _ in range(5)])


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.projection = nn.Linear(3, 3)


def test_layers_of_two_classes_are_the_stack_and_their_experts_are_not():
    class Hybrid(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.ModuleList([Experts(), Attention(), Experts()])

    assert find_stack(Hybrid()).path == "layers"


def test_experts_are_no_stack_where_the_list_around_them_is_none():
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.ModuleList([nn.LayerNorm(3), Experts(), Experts()])

    with pytest.raises(InputError, match="Odd has no stack of blocks"):
        find_stack(Odd())


def test_one_block_of_a_hybrid_model_is_trained_and_taken_back():
    model, text = hybrid(), torch.tensor([[5, 6, 7, 8]])
    stack = find_stack(model)
    assert (stack.path, len(stack), len({type(block) for block in stack.modules})) == ("model.layers", 4, 2)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    for index in (0, 1):
        target = Target((index,))
        own = select(model, target)
        model(text, labels=text, use_cache=False).loss.backward()
        trained = {name: value.detach() - value.grad for name, value in own.items() if value.grad is not None}
        assert {name for name, value in model.named_parameters() if value.grad is not None} == set(trained)
        assert len(trained) > len(own) / 2
        originals = deltas.apply(model, trained)
        changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
        assert changed
        assert changed <= set(parameters(model, target))
        deltas.revert(model, originals)
        assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
        model.zero_grad()


def test_a_part_that_another_kind_of_block_does_not_have_is_refused():
    model = hybrid()
    assert all(".mamba." in name for name in parameters(model, Target((2,), parts=((2, "attention"),))))
    assert all(".feed_forward." in name for name in parameters(model, Target((1,), parts=((1, "mlp"),))))
    with pytest.raises(InputError, match=r"layer=1\.attention: block 1 of JambaForCausalLM has no 'mamba'"):
        parameters(model, Target((1,), parts=((1, "attention"),)))


ATTENTION = {"gpt2": "attn", "gpt_neox": "attention"}


@pytest.mark.parametrize("family", PATHS)
def test_the_parts_of_a_block_are_found_by_what_they_do(family: str):
    model = build(family)
    parts = parts_of(model, find_stack(model))
    assert parts == {"attention": (ATTENTION.get(family, "self_attn"),), "mlp": ("mlp",)}
    assert not any(module._forward_hooks for module in model.modules())


def test_blocks_without_parts_are_refused():
    class Flat(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(4, 4)
            self.layers = nn.ModuleList([nn.Sequential(nn.Linear(4, 4)) for _ in range(2)])

        def forward(self, input_ids: torch.Tensor, use_cache: bool) -> torch.Tensor:
            hidden = self.embedding(input_ids)
            for layer in self.layers:
                hidden = layer(hidden)
            return hidden

    with pytest.raises(InputError, match="have no separate attention and mlp; train whole blocks"):
        parts_of(Flat(), find_stack(Flat()))


def test_a_model_without_blocks_is_refused():
    with pytest.raises(InputError, match="Linear has no stack of blocks"):
        find_stack(nn.Linear(2, 2))
