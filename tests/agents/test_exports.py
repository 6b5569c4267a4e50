"""Deltas in other tools' forms: the merged folder is the trained policy, the adapter has the error it states."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from agents import deltas
from agents.exports import save_lora, save_merged
from agents.targets import Target, parameters
from envs.errors import InputError, StorageError
from tests.agents.families import build
from tests.agents.models import byte_tokenizer, model
from tests.agents.test_delta_bank import moved
from tests.calling import call
from tests.small_disk import files_of_at_most

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


def test_the_transposed_layers_of_gpt2_are_held_too(tmp_path: Path):
    pytest.importorskip("peft", reason="PEFT is not installed: pip install 'keystone-rl[lora]'")
    from peft import PeftModel

    base = build("gpt2", 3)
    before, own, tensors = deltas.base_fingerprint(base), dict(base.named_parameters()), moved(base, 1)
    whole = sum(float((value - own[name]).detach().square().sum()) for name, value in tensors.items())
    for rank in (1, 4, 16):
        lost = save_lora(base, tensors, rank, tmp_path / str(rank), "base")
        merged = PeftModel.from_pretrained(build("gpt2", 3), str(tmp_path / str(rank))).merge_and_unload()
        gap = sum(
            float((merged.get_parameter(name) - value).detach().square().sum()) for name, value in tensors.items()
        )
        assert lost.relative == pytest.approx((gap / whole) ** 0.5, rel=1e-3)
        assert set(lost.left_out) == {name for name in tensors if "ln_" in name or name.endswith("bias")}
    # The blocks are 8 wide, so that rank 16 holds all that layers can.
    assert lost.relative == pytest.approx(lost.left_out_share**0.5, rel=1e-3)
    assert deltas.base_fingerprint(base) == before


def test_what_no_adapter_can_hold_is_refused(tmp_path: Path):
    pytest.importorskip("peft", reason="PEFT is not installed: pip install 'keystone-rl[lora]'")
    base = build("gpt2", 3)
    norms = {name: value for name, value in moved(base, 1).items() if "ln_" in name}
    with pytest.raises(InputError, match="changes no linear layer"):
        save_lora(base, norms, 2, tmp_path / "adapter", "base")
    with pytest.raises(InputError, match="rank=0 must be 1 or more"):
        save_lora(model(), moved(model(), 1), 0, tmp_path / "adapter", "base")
    assert not (tmp_path / "adapter").exists()


def test_a_folder_that_the_disk_refuses_is_one_line_and_can_be_asked_for_again(tmp_path: Path):
    base, tokenizer, out = model(), byte_tokenizer(), tmp_path / "deep" / "merged"
    before = deltas.base_fingerprint(base)
    tokenizer.add_tokens([f"word{number}" for number in range(9000)])
    with files_of_at_most(4000), pytest.raises(StorageError, match=rf"^cannot write {out}: .*File too large[^\n]*$"):
        save_merged(base, tokenizer, moved(base, 1), out)
    weights = sum(value.numel() * value.element_size() for value in base.parameters())
    with files_of_at_most(weights + 20_000), pytest.raises(StorageError, match=rf"^cannot write {out}: File too large"):
        save_merged(base, tokenizer, moved(base, 1), out)
    assert deltas.base_fingerprint(base) == before
    assert list(out.parent.iterdir()) == []
    out.mkdir()
    save_merged(base, tokenizer, moved(base, 1), out)
    assert (out / "tokenizer.json").stat().st_size > weights + 20_000
    assert [folder.name for folder in out.parent.iterdir()] == ["merged"]
    umask = os.umask(0)
    os.umask(umask)
    assert out.stat().st_mode & 0o777 == 0o777 & ~umask


def test_an_adapter_that_the_disk_refuses_leaves_nothing(tmp_path: Path):
    pytest.importorskip("peft", reason="PEFT is not installed: pip install 'keystone-rl[lora]'")
    base, out = model(), tmp_path / "adapter"
    before, names = deltas.base_fingerprint(base), [name for name, _ in base.named_modules()]
    with files_of_at_most(1000), pytest.raises(StorageError, match=rf"^cannot write {out}: .*File too large"):
        save_lora(base, moved(base, 1), 2, out, "base")
    assert deltas.base_fingerprint(base) == before
    assert [name for name, _ in base.named_modules()] == names
    assert list(tmp_path.iterdir()) == []
    save_lora(base, moved(base, 1), 2, out, "base")
    assert (out / "adapter_config.json").is_file()


def test_the_command_says_in_one_line_what_the_disk_refuses(tmp_path: Path):
    base, files = model(), [tmp_path / "0.safetensors", tmp_path / "2.safetensors"]
    for block, file in zip((0, 2), files, strict=True):
        deltas.save(file, moved(base, block), base_sha256="0" * 64, target=str(block), details={})
    with files_of_at_most(4000):
        done = call("evals.delta", f"delta={files[0]},{files[1]}", "make=compose", f"out={tmp_path / 'both'}")
    assert done.returncode == 1, done.stderr
    assert done.stderr.startswith(f"error: cannot write {tmp_path / 'both'}: ")
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.glob("both*"))
