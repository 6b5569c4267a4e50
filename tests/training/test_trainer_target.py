"""Exactly the target moves, and backward passes stop at its lowest block."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import nn
from transformers import PreTrainedModel

from agents.blocks import find_stack
from agents.targets import Target, parameters, select
from tests.agents.models import model
from tests.training.rows import CPU, random_rows, weigh
from tests.training.small import TARGETS, contents, target_of, train
from training.batches import micro_batches
from training.checkpointing import checkpointed
from training.logprobs import sampled_logprobs
from training.loss import LossConfig, policy_loss


@TARGETS
@pytest.mark.parametrize("checkpointing", [False, True], ids=["stored", "recomputed"])
def test_exactly_the_targets_tensors_differ(layer: str, checkpointing: bool):
    before = contents(model())
    policy, reports = train(layer, checkpointing=checkpointing)
    after = contents(policy)
    assert reports[0]["zero_groups"] < 1
    changed = {name for name in before if after[name] != before[name]}
    assert changed == set(parameters(policy, target_of(layer)))


@TARGETS
def test_recomputed_activations_give_the_same_weights(layer: str):
    assert contents(train(layer, checkpointing=True)[0]) == contents(train(layer)[0])


@contextmanager
def watched(policy: PreTrainedModel) -> Iterator[dict[str, list[bool]]]:
    """Notes at each forward pass that records gradients whether what each part puts out needs any."""
    seen: dict[str, list[bool]] = {}
    parts = {str(index): block for index, block in enumerate(find_stack(policy).modules)}
    parts["embedding"] = policy.get_input_embeddings()

    def note(_module: nn.Module, _inputs: Any, output: Any, name: str) -> None:
        if torch.is_grad_enabled():
            tensor = output[0] if isinstance(output, tuple) else output
            seen.setdefault(name, []).append(tensor.requires_grad)

    handles = [part.register_forward_hook(functools.partial(note, name=name)) for name, part in parts.items()]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


@TARGETS
@pytest.mark.parametrize("checkpointing", [False, True], ids=["stored", "recomputed"])
def test_nothing_below_the_target_needs_gradients_while_training(layer: str, checkpointing: bool):
    policy, target = model(), target_of(layer)
    with watched(policy) as seen:
        train(layer, policy, checkpointing=checkpointing, iterations=1)
    assert set(seen) == {"embedding", "0", "1", "2"}
    assert set(seen.pop("embedding")) == {target.full}
    for block, needs in seen.items():
        assert set(needs) == {int(block) >= target.lowest}, block


def leaves(loss: torch.Tensor) -> set[int]:
    """The ids of all tensors that a backward pass from here arrives at."""
    waiting, visited, found = [loss.grad_fn], set(), set()
    while waiting:
        node = waiting.pop()
        if node is None or node in visited:
            continue
        visited.add(node)
        if "AccumulateGrad" in type(node).__name__:
            found.add(id(node.variable))
        waiting += [following for following, _ in node.next_functions]
    return found


def loss_of(policy: PreTrainedModel) -> torch.Tensor:
    rows = random_rows(3)
    weigh(rows, "token_mean")
    (batch,) = micro_batches(rows, 10**6, CPU)
    logprobs, _ = sampled_logprobs(policy, batch, 1.0)
    return policy_loss(logprobs, logprobs.detach(), batch.column("advantages"), batch.weights(), LossConfig()).loss


@TARGETS
@pytest.mark.parametrize("checkpointing", [False, True], ids=["stored", "recomputed"])
def test_the_autograd_graph_ends_at_the_target(layer: str, checkpointing: bool):
    policy, target = model(), target_of(layer)
    trained = select(policy, target)
    passes = dict.fromkeys(range(3), 0)
    blocks = find_stack(policy).modules
    for index, block in enumerate(blocks):
        # The innermost thing that runs at every pass, recomputed ones included.
        block.self_attn.register_forward_hook(lambda *_, index=index: passes.update({index: passes[index] + 1}))
    if not checkpointing:
        loss = loss_of(policy)
        assert leaves(loss) == {id(value) for value in trained.values()}
        loss.backward()
    else:
        with checkpointed(policy, target):
            loss = loss_of(policy)
            assert leaves(loss) <= {id(value) for value in trained.values()}
            loss.backward()
        assert [vars(block).get("forward") for block in blocks] == [None] * 3
    assert {name for name, value in policy.named_parameters() if value.grad is not None} == set(trained)
    again = 2 if checkpointing else 1
    assert passes == {index: again if index >= target.lowest else 1 for index in range(3)}


def test_checkpointing_ends_also_when_training_fails():
    policy = model()
    with pytest.raises(RuntimeError, match="no more"), checkpointed(policy, Target((1,))):
        raise RuntimeError("no more")
    assert all("forward" not in vars(block) for block in find_stack(policy).modules)
