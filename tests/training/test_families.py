"""One block of each of ten families is trained: only it moves, backward stops there, and its delta comes back."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import PreTrainedModel

from agents import deltas
from agents.blocks import find_stack
from agents.policies.transformers import Sampling, TransformersPolicy
from agents.targets import Target, parameters, parse
from envs.errors import InputError
from tests.agents.families import PATHS, build
from tests.agents.models import byte_tokenizer
from tests.training.guessing import Guess
from training.trainer import GroupConfig, GroupTrainer, IterationReport

BLOCKS = 3


def fresh(family: str) -> PreTrainedModel:
    return build(family, BLOCKS, 420)


def contents(model: PreTrainedModel) -> dict[str, bytes]:
    return {name: deltas.fingerprint({"": value}).encode() for name, value in model.state_dict().items()}


def trained(model: PreTrainedModel, layer: str) -> tuple[Target, GroupTrainer]:
    """Trains a target for one iteration, in which something is learned."""
    target = parse(layer, BLOCKS)
    assert target is not None
    reports: list[IterationReport] = []
    arguments = GroupConfig(
        iterations=1, tasks=4, group_size=4, updates=2, learning_rate=1e-2, seed=3, use_cpu=True, weight_decay=0.0
    )
    policy = TransformersPolicy(model, byte_tokenizer(), Sampling(arguments.temperature, 4))
    trainer = GroupTrainer(model, Guess, arguments, target=target, policy=policy, on_iteration=reports.append)
    trainer.train()
    assert reports[0].metrics["zero_groups"] < 1
    assert reports[0].metrics["kl"] > 0
    return target, trainer


@pytest.mark.parametrize("family", PATHS)
def test_one_block_is_trained_shipped_and_taken_back(family: str, tmp_path: Path):
    model = fresh(family)
    before, base = contents(model), deltas.base_fingerprint(model)
    reached: list[int] = []
    for index, block in enumerate(find_stack(model).modules):
        block.register_forward_hook(
            lambda _module, _inputs, output, index=index: (
                reached.append(index)
                if torch.is_grad_enabled() and (output[0] if isinstance(output, tuple) else output).requires_grad
                else None
            )
        )
    target, _ = trained(model, "1")
    after = contents(model)
    own = set(parameters(model, target))
    assert {name for name in before if before[name] != after[name]} <= own
    # Experts that were never asked, and parameters whose gradient is 0, may stay.
    assert sum(before[name] != after[name] for name in own) > len(own) / 2
    assert set(reached) == {1, 2}
    deltas.save(tmp_path / "d.safetensors", parameters(model, target), base_sha256=base, target="1", details={})
    tensors, card = deltas.load(tmp_path / "d.safetensors")
    other = fresh(family)
    deltas.verify(other, tensors, card)
    originals = deltas.apply(other, tensors)
    assert contents(other) == after
    deltas.revert(other, originals)
    assert contents(other) == before


@pytest.mark.parametrize("family", PATHS)
@pytest.mark.parametrize("part", ["attention", "mlp"])
def test_a_part_of_a_block_is_trained_alone(family: str, part: str):
    model = fresh(family)
    before = contents(model)
    target, _ = trained(model, f"1.{part}")
    after = contents(model)
    own = set(parameters(model, target))
    whole = set(parameters(model, Target((1,))))
    assert own < whole
    changed = {name for name in before if before[name] != after[name]}
    assert changed <= own
    assert changed


@pytest.mark.parametrize("family", PATHS)
def test_lora_leaves_merged_weights_of_its_block_alone(family: str):
    pytest.importorskip("peft", reason="PEFT is not installed: pip install 'keystone-rl[lora]'")
    model = fresh(family)
    before, names = contents(model), [name for name, _ in model.named_modules()]
    text = torch.tensor([[5, 6, 7, 8]])
    target, trainer = trained(model, "lora:1")
    with torch.no_grad():
        adapted = model(text).logits
    assert sum(value.numel() for value in trainer.trained.values()) > 0
    merged = trainer.weights()
    trainer.close()
    after = contents(model)
    changed = {name for name in before if before[name] != after[name]}
    assert changed
    assert changed <= set(merged) <= set(parameters(model, target))
    assert [name for name, _ in model.named_modules()] == names
    with torch.no_grad():
        torch.testing.assert_close(model(text).logits, adapted, rtol=1e-4, atol=1e-4)
    for name, value in merged.items():
        assert torch.equal(model.get_parameter(name), value)


def test_lora_needs_linear_layers():
    pytest.importorskip("peft", reason="PEFT is not installed: pip install 'keystone-rl[lora]'")
    # The experts are one tensor, and their router is none of PyTorch's layers.
    with pytest.raises(InputError, match="Qwen3MoeForCausalLM has no linear layers there for LoRA to adapt"):
        trained(fresh("qwen3_moe"), "lora:1.mlp")


@pytest.mark.parametrize("family", ["qwen3", "gpt2"])
def test_a_boosted_block_moves_further_than_all_others(family: str):
    model, base = fresh(family), fresh(family)
    target = parse("boost:1", BLOCKS)
    assert target is not None
    arguments = GroupConfig(
        iterations=1,
        tasks=4,
        group_size=4,
        updates=1,
        learning_rate=1e-5,
        boosted_learning_rate=1e-3,
        seed=3,
        use_cpu=True,
    )
    policy = TransformersPolicy(model, byte_tokenizer(), Sampling(arguments.temperature, 4))
    GroupTrainer(model, Guess, arguments, target=target, policy=policy).train()
    own = set(parameters(model, Target((1,))))
    start = dict(base.named_parameters())
    moved = {
        name: float((value.detach() - start[name].detach()).abs().max()) for name, value in model.named_parameters()
    }
    # Adam's first step is as long as the rate, wherever there is a gradient.
    assert max(moved[name] for name in own) == pytest.approx(1e-3, rel=0.05)
    assert max(moved[name] for name in moved if name not in own) == pytest.approx(1e-5, rel=0.05)
