"""Frozen weights in 8 or 4 bits: what is rounded, what is not, and that one block still learns on them."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import psutil
import pytest
import torch
from torch import nn
from transformers import PreTrainedModel

from agents import deltas, quantized
from agents.policies.transformers import load
from agents.targets import Target, select
from envs.config import load as configure
from envs.errors import InputError
from evals import run as evaluation
from tests.agents.models import byte_tokenizer, model
from training import fitting, run
from training.bench.shapes import build, find
from training.config import RunConfig

FROZEN = ["8bit", "4bit"]
installed = pytest.mark.skipif(
    importlib.util.find_spec("bitsandbytes") is None, reason="pip install 'keystone-rl[quantized]'"
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    model("qwen2").save_pretrained(tmp_path / "model")
    byte_tokenizer().save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def rounded(folder: Path, frozen: str, block: int = 1) -> PreTrainedModel:
    kept = quantized.kept_modules(model("qwen2"), Target((block,)))
    return load(str(folder), "cpu", torch.float32, quantized.settings(frozen, kept, torch.float32))[0]


@installed
@pytest.mark.parametrize("frozen", FROZEN)
def test_all_maps_but_the_targets_and_the_heads_are_rounded(folder: Path, frozen: str):
    found, plain = rounded(folder, frozen), model("qwen2")
    for name, module in found.named_modules():
        if isinstance(module, nn.Linear):
            whole = name.startswith("model.layers.1.") or name == "lm_head"
            assert (type(module) is nn.Linear) == whole, name
    for name, value in plain.named_parameters():
        own = found.get_parameter(name)
        if own.is_floating_point():
            assert torch.equal(own, value), name
    kept = quantized.kept_modules(plain, Target((1,)))
    bytes_of = sum(value.numel() * value.element_size() for value in found.parameters())
    # The scales are not among the parameters.
    assert bytes_of <= quantized.stored_bytes(plain, frozen, kept) < 1.1 * bytes_of


@installed
@pytest.mark.parametrize(("frozen", "like"), [("8bit", 0.999), ("4bit", 0.85)])
def test_gradients_pass_through_rounded_blocks(folder: Path, frozen: str, like: float):
    tokens = torch.randint(0, 400, (2, 12), generator=torch.Generator().manual_seed(0))
    gradients = []
    for each in (model("qwen2"), rounded(folder, frozen, block=0)):
        trained = select(each, Target((0,)))
        each(input_ids=tokens).logits.log_softmax(-1)[..., 7].sum().backward()
        gradients.append(torch.cat([value.grad.flatten() for value in trained.values()]))
    assert torch.cosine_similarity(*gradients, dim=0) > like
    assert not torch.equal(*gradients)


@installed
@pytest.mark.parametrize("frozen", FROZEN)
def test_a_row_does_not_depend_on_the_others(folder: Path, frozen: str):
    """8-bit products may pick outlier columns by the whole batch; these do not."""
    found = rounded(folder, frozen)
    tokens = torch.randint(0, 400, (3, 12), generator=torch.Generator().manual_seed(0))
    together = found(input_ids=tokens).logits
    alone = torch.cat([found(input_ids=row[None]).logits for row in tokens])
    torch.testing.assert_close(together, alone, atol=2e-3, rtol=1e-3)


WORDS = ["env=toy_text", "layer=1", "compare=none", "iterations=2", "panel_tasks=4", "tuning_tasks=4", "device=cpu"]
SMALL = ["train.groups=2", "train.group_size=4", "train.updates=2", "model.max_reply_tokens=4", "env.max_turns=3"]
RATE = "train.learning_rate=1e-2"


@installed
@pytest.mark.parametrize("frozen", FROZEN)
def test_a_block_trained_on_rounded_weights_is_a_delta_of_the_model(
    folder: Path, tmp_path: Path, frozen: str, capsys: pytest.CaptureFixture[str]
):
    out = tmp_path / "run"
    words = [*WORDS, *SMALL, RATE, f"model={folder}", f"train.frozen={frozen}", f"out={out}", "train.entropy_bonus=0.1"]
    assert run.main(configure(RunConfig, words)) == 0
    assert f"what is frozen in {frozen}" in " ".join(capsys.readouterr().out.split())
    tensors, card = deltas.load(out / "delta.safetensors")
    plain = load(str(folder))[0]
    deltas.verify(plain, tensors, card)
    assert {name.split(".")[2] for name in tensors} == {"1"}
    assert any(not torch.equal(value, plain.get_parameter(name)) for name, value in tensors.items())
    summary = json.loads((out / "summary.json").read_text(encoding="utf-8"))
    assert summary["arms"]["layer"]["trained_parameters"] == sum(value.numel() for value in tensors.values())
    scored = [
        *("env=toy_text", f"policy={folder}", f"delta={out / 'delta.safetensors'}", "tasks=2", "temperatures=[0]"),
        *("env.max_turns=3", "policy.max_reply_tokens=4", f"out={tmp_path / 'eval'}"),
    ]
    assert evaluation.main(configure(evaluation.EvalConfig, scored)) == 0


@pytest.mark.parametrize("words", [["layer=auto"], ["layer=1", "compare=full"], ["layer=full"], ["layer=boost:1"]])
def test_only_fixed_blocks_can_be_trained_on_rounded_weights(words: list[str]):
    config = configure(RunConfig, ["model=qwen2.5-1.5b", "train.frozen=8bit", "compare=none", *words])
    for check in (fitting.check_frozen, lambda config: fitting.kept(config, model())):
        with pytest.raises(InputError, match=r"train\.frozen=8bit rounds all that is not trained, so layer= must name"):
            check(config)


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    config = configure(RunConfig, ["model=qwen2.5-1.5b", "train.frozen=4bit", "compare=none", "layer=1"])
    with pytest.raises(InputError, match=r"pip install 'keystone-rl\[quantized\]'"):
        fitting.check_frozen(config)


def test_a_model_that_does_not_fit_is_refused_by_its_sizes():
    config = configure(RunConfig, ["model=qwen2.5-7b", "layer=14", "compare=none"])
    huge = build(find("qwen2.5-7b"), torch.float32, "meta")
    with pytest.MonkeyPatch.context() as patched:
        memory = psutil.virtual_memory()
        patched.setattr(psutil, "virtual_memory", lambda: memory._replace(available=int(20e9)))
        with pytest.raises(InputError, match=r"layer=14 needs at least 3\d\.\d GB on cpu .* 20\.0 GB are free\. Store"):
            fitting.check_fits(config, huge, "cpu")
        patched.setattr(psutil, "virtual_memory", lambda: memory._replace(available=int(60e9)))
        fitting.check_fits(config, huge, "cpu")
        both = configure(RunConfig, ["model=qwen2.5-7b", "layer=14"])
        with pytest.raises(InputError, match=r"full needs at least \d+\.\d GB on cpu .*compare=none"):
            fitting.check_fits(both, huge, "cpu")
