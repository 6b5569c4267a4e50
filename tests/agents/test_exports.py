"""Deltas in other tools' forms: the merged folder is the trained policy, the adapter has the error it states."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from agents import deltas
from agents.exports import save_lora, save_merged
from agents.targets import Target, parameters
from envs.errors import InputError
from tests.agents.families import build
from tests.agents.models import byte_tokenizer, model
from tests.agents.test_delta_bank import moved

TEXT = torch.tensor([[5, 6, 7, 8, 9]])


def test_the_merged_folder_is_the_trained_policy(tmp_path: Path):
    base, trained = model(), model()
    tensors = moved(base, 1)
    before = deltas.base_fingerprint(base)
    save_merged(base, byte_tokenizer(), tensors, tmp_path / "merged")
    assert deltas.base_fingerprint(base) == before
    deltas.apply(trained, tensors)
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "merged")
    assert deltas.base_fingerprint(loaded) == deltas.base_fingerprint(trained)
    with pytest.raises(InputError, match="exists and is not an empty folder"):
        save_merged(base, byte_tokenizer(), tensors, tmp_path / "merged")


def low_rank(rank: int) -> dict[str, torch.Tensor]:
    """A block whose linear layers moved by a product of that rank, and nothing else."""
    draw = torch.Generator().manual_seed(0)
    tensors = {}
    for name, value in parameters(model(), Target((1,))).items():
        own = value.detach().clone()
        if own.dim() == 2:
            first = torch.randn(own.shape[0], rank, generator=draw)
            own += 0.05 * first @ torch.randn(rank, own.shape[1], generator=draw)
        tensors[name] = own
    return tensors


def loaded(folder: Path) -> torch.nn.Module:
    from peft import PeftModel

    return PeftModel.from_pretrained(model(), str(folder)).eval()


def test_peft_loads_the_adapter_and_a_change_of_low_rank_is_kept_whole(tmp_path: Path):
    pytest.importorskip("peft", reason="PEFT is not installed: pip install 'keystone-rl[lora]'")
    base, trained, tensors = model(), model(), low_rank(3)
    before, names = deltas.base_fingerprint(base), [name for name, _ in base.named_modules()]
    lost = save_lora(base, tensors, 3, tmp_path / "adapter", "somewhere/base")
    assert lost.relative < 1e-5
    assert lost.left_out == ()
    assert deltas.base_fingerprint(base) == before
    assert [name for name, _ in base.named_modules()] == names
    assert all(value.requires_grad for value in base.parameters())
    deltas.apply(trained, tensors)
    with torch.no_grad():
        found, wanted = loaded(tmp_path / "adapter")(TEXT).logits, trained(TEXT).logits
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)
    assert '"somewhere/base"' in (tmp_path / "adapter" / "adapter_config.json").read_text()


def test_the_stated_error_is_the_true_one_and_falls_with_the_rank(tmp_path: Path):
    pytest.importorskip("peft", reason="PEFT is not installed: pip install 'keystone-rl[lora]'")
    base, tensors = model(), moved(model(), 1)
    own = dict(model().named_parameters())
    whole = sum(float((value - own[name]).detach().square().sum()) for name, value in tensors.items())
    errors = []
    for rank in (1, 4, 16):
        lost = save_lora(base, tensors, rank, tmp_path / str(rank), "base")
        merged = loaded(tmp_path / str(rank)).merge_and_unload()
        gap = sum(
            float((merged.get_parameter(name) - value).detach().square().sum()) for name, value in tensors.items()
        )
        assert lost.relative == pytest.approx((gap / whole) ** 0.5, rel=1e-3)
        assert all("norm" in name for name in lost.left_out)
        errors.append(lost.relative)
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] >= lost.left_out_share**0.5


def test_what_no_adapter_can_hold_is_refused(tmp_path: Path):
    pytest.importorskip("peft", reason="PEFT is not installed: pip install 'keystone-rl[lora]'")
    base = build("gpt2", 3)
    with pytest.raises(InputError, match="changes no linear layer"):
        save_lora(base, moved(base, 1), 2, tmp_path / "adapter", "base")
    with pytest.raises(InputError, match="rank=0 must be 1 or more"):
        save_lora(model(), moved(model(), 1), 0, tmp_path / "adapter", "base")
    assert not (tmp_path / "adapter").exists()
