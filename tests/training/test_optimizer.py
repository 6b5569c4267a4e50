"""AdamW with float32 masters: short weights move under tiny rates, and its state goes out and comes back exactly."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from training.optimizer import MasterAdamW

OPTIONS = {"lr": 1e-2, "weight_decay": 0.1}


def parameters(dtype: torch.dtype) -> dict[str, nn.Parameter]:
    generator = torch.Generator().manual_seed(0)
    return {
        name: nn.Parameter(torch.randn(shape, generator=generator).to(dtype))
        for name, shape in {"a": (3, 4), "b": (5,)}.items()
    }


def step(values: dict[str, nn.Parameter], optimizer: MasterAdamW, seeds: range) -> None:
    for seed in seeds:
        generator = torch.Generator().manual_seed(seed)
        for value in values.values():
            value.grad = torch.randn(value.shape, generator=generator).to(value.dtype)
        optimizer.step()


def contents(values: dict[str, torch.Tensor]) -> dict[str, bytes]:
    return {name: value.detach().view(torch.uint8).numpy().tobytes() for name, value in values.items() if value.dim()}


def test_float32_weights_move_as_under_torchs_own():
    ours, theirs = parameters(torch.float32), parameters(torch.float32)
    reference = torch.optim.AdamW(theirs.values(), **OPTIONS)
    step(ours, MasterAdamW(ours, **OPTIONS), range(5))
    step(theirs, reference, range(5))
    assert contents(ours) == contents(theirs)


def test_a_short_weight_moves_under_a_rate_below_half_its_spacing():
    """bfloat16 numbers just below 1 are 1/256 apart, and every step here is 1/10000."""
    ours, theirs = (nn.Parameter(torch.ones(4, dtype=torch.bfloat16)) for _ in range(2))
    master = MasterAdamW({"a": ours}, lr=1e-4, weight_decay=0.0)
    plain = torch.optim.AdamW([theirs], lr=1e-4, weight_decay=0.0)
    for _ in range(60):
        for value, optimizer in ((ours, master), (theirs, plain)):
            value.grad = torch.ones_like(value)
            optimizer.step()
    assert torch.equal(theirs, torch.ones_like(theirs))
    assert torch.equal(ours, torch.full_like(ours, 1 - 60e-4))
    exact = master.export()["master/a"]
    assert exact.dtype == torch.float32
    torch.testing.assert_close(exact, torch.full((4,), 1 - 60e-4), atol=1e-5, rtol=0)


def test_the_model_holds_the_rounded_masters():
    values = parameters(torch.bfloat16)
    optimizer = MasterAdamW(values, **OPTIONS)
    step(values, optimizer, range(3))
    for name, value in values.items():
        assert torch.equal(value, optimizer.export()[f"master/{name}"].bfloat16())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_export_and_restore_go_on_exactly(dtype: torch.dtype):
    straight = parameters(dtype)
    optimizer = MasterAdamW(straight, **OPTIONS)
    step(straight, optimizer, range(3))
    exported = optimizer.export()
    kept = contents(exported)
    step(straight, optimizer, range(3, 6))
    assert contents(exported) == kept, "what was exported moved with the optimizer"

    resumed = parameters(dtype)
    again = MasterAdamW(resumed, **OPTIONS)
    again.restore(exported)
    step(resumed, again, range(3, 6))
    assert contents(resumed) == contents(straight)
    assert contents(again.export()) == contents(optimizer.export())
    assert contents(exported) == kept, "what was restored moved with the optimizer"


def test_a_state_before_the_first_step_can_be_restored():
    values = parameters(torch.float32)
    again = MasterAdamW(parameters(torch.float32), **OPTIONS)
    again.restore(MasterAdamW(values, **OPTIONS).export())
    assert contents({name: again.export()[f"master/{name}"] for name in values}) == contents(values)


def test_a_weight_without_a_gradient_stays():
    values = parameters(torch.bfloat16)
    before = contents(values)
    optimizer = MasterAdamW(values, lr=1.0, weight_decay=0.0)
    values["a"].grad = torch.ones_like(values["a"])
    optimizer.step()
    after = contents(values)
    assert after["b"] == before["b"]
    assert after["a"] != before["a"]


@pytest.mark.parametrize(("dtype", "each"), [(torch.float32, 8), (torch.bfloat16, 12)])
def test_state_bytes(dtype: torch.dtype, each: int):
    assert MasterAdamW(parameters(dtype), **OPTIONS).state_bytes() == 17 * each
