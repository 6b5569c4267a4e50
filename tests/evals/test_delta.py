"""The commands around delta files: what they hold, how they differ, other forms, and how two go together."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from agents import deltas
from agents.blocks import find_stack
from agents.delta_bank import DeltaBank
from agents.targets import Target, parameters
from envs.errors import InputError
from evals.delta import DeltaConfig, main
from evals.interference import BASE, TOGETHER, InterferenceConfig, fill, interaction, score_all, sentences, table
from evals.interference import main as interfere
from tests.training.guessing import small_model, write_model


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("delta") / "model", 3)


def write(path: Path, block: int, onto: torch.nn.Module | None = None, scale: float = 0.05) -> Path:
    base = small_model(3) if onto is None else onto
    assert len(find_stack(base)) == 3
    draw = torch.Generator().manual_seed(block)
    own = parameters(base, Target((block,)))
    tensors = {name: value.detach() + scale * torch.randn(value.shape, generator=draw) for name, value in own.items()}
    sha256 = deltas.base_fingerprint(base)
    path.parent.mkdir(exist_ok=True)
    deltas.save(path, tensors, base_sha256=sha256, target=str(block), details={"env": "alfworld"})
    return path


def test_show_diff_and_compose(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    one, two = write(tmp_path / "a.safetensors", 0), write(tmp_path / "b.safetensors", 2)
    assert main(DeltaConfig(str(one), base=str(model))) == 0
    said = capsys.readouterr().out
    for part in ("layer 0,", "(checked)", "env: alfworld", "belongs to this base", "of the norm"):
        assert part in said
    assert main(DeltaConfig(f"{one},{two}", "diff")) == 0
    assert f"only in {one}: " in capsys.readouterr().out
    for number, order in enumerate((f"{one},{two}", f"{two},{one}")):
        assert main(DeltaConfig(order, "compose", out=str(tmp_path / f"both-{number}.safetensors"))) == 0
    assert (tmp_path / "both-0.safetensors").read_bytes() == (tmp_path / "both-1.safetensors").read_bytes()
    assert "layers 0 + 2" in capsys.readouterr().out
    told, cards = (tmp_path / "both-0.md").read_text(), [deltas.read_card(path) for path in (one, two)]
    assert told.startswith("# Delta of layer 0 + 2\n")
    assert f"weights sha256 `{cards[0].base_sha256}`" in told
    for card in cards:
        assert f"- layer {card.target}: tensors_sha256 {card.tensors_sha256}, env alfworld\n" in told
    assert "No scores come with this file." in told


def test_merged_folder_and_adapter(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    one = write(tmp_path / "a.safetensors", 1)
    assert main(DeltaConfig(str(one), "merged", str(model), out=str(tmp_path / "merged"))) == 0
    assert (tmp_path / "merged" / "tokenizer.json").is_file()
    pytest.importorskip("peft", reason="PEFT is not installed: pip install 'keystone-rl[lora]'")
    assert main(DeltaConfig(str(one), "lora", str(model), 2, str(tmp_path / "lora"))) == 0
    said = capsys.readouterr().out
    assert "a LoRA adapter of rank 2 for PEFT" in said
    assert "% of the change's norm" in said
    assert "changed tensors that no adapter holds" in said


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ({"delta": ""}, "delta= is needed"),
        ({"make": "diff"}, "make=diff takes 2 deltas, got 1"),
        ({"make": "merged", "out": "x"}, "make=merged needs base="),
        ({"make": "lora"}, "make=lora needs out="),
        ({"delta": "nowhere"}, "no such file"),
        ({"delta": "agents"}, "delta=agents is a folder; a delta is one file"),
        ({"make": "merged", "base": "tiny", "out": "agents"}, "out=agents exists and is not an empty folder"),
        ({"make": "compose", "out": "README.md"}, "out=README.md: README.md exists"),
        ({"make": "compose", "out": "README.safetensors"}, "out=README.safetensors: README.md exists"),
        ({"base": "tinny"}, "tinny"),
    ],
)
def test_wrong_words_are_refused(words: dict[str, str], line: str, tmp_path: Path):
    given = {"delta": str(write(tmp_path / "a.safetensors", 0))} | words
    with pytest.raises(InputError, match=line):
        main(DeltaConfig(**given))


def config(model: Path, *paths: Path) -> InterferenceConfig:
    from envs.config import load

    words = ["env=tests.training.guessing:Guess", f"policy={model}", "panel_tasks=12", "policy.max_reply_tokens=4"]
    return load(InterferenceConfig, [*words, f"deltas={','.join(map(str, paths))}"])


def test_each_alone_all_together_and_in_sequence(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    first, second = write(tmp_path / "x" / "a.safetensors", 0), write(tmp_path / "y" / "b.safetensors", 2)
    trained = small_model(3)
    deltas.apply(trained, deltas.load(first)[0])
    third = write(tmp_path / "z" / "c.safetensors", 1, onto=trained)
    bank = DeltaBank(small_model(3))
    names = fill(bank, [first, second, third])
    assert names == [BASE, "0 (x)", "2 (y)", TOGETHER, "0 (x), then 1"]
    expected = {}
    for name, files in (("0 (x)", [first]), (TOGETHER, [first, second]), ("0 (x), then 1", [first, third])):
        alone = small_model(3)
        for file in files:
            deltas.apply(alone, deltas.load(file)[0])
        expected[name] = deltas.base_fingerprint(alone)
        assert bank.result_sha256(name) == expected[name]
    wins = score_all(config(model, first, second, third), [first, second, third])
    assert list(wins) == names
    assert all(len(won) == 12 for won in wins.values())
    assert interfere(config(model, first, second)) == 0
    said = capsys.readouterr().out
    assert "Together minus the sum of the gains alone:" in said
    assert "minus base" in said


def test_a_delta_trained_on_the_merged_folder_is_scored_in_sequence(model: Path, tmp_path: Path):
    from agents.policies.transformers import load as load_model
    from envs.config import load, save
    from training.config import RunConfig
    from training.prepare import block_count

    first, merged, kept = write(tmp_path / "a.safetensors", 0), tmp_path / "merged", tmp_path / "config.yaml"
    words = ["env=tests.training.guessing:Guess", f"model={model}", "model.max_reply_tokens=4", "layer=0"]
    save(load(RunConfig, words), kept)
    assert main(DeltaConfig(str(first), "merged", str(model), out=str(merged))) == 0
    run = load(RunConfig, [f"config={kept}", f"model.path={merged}", "layer=1", f"out={tmp_path / 'b'}"])
    assert (block_count(run.model.path), run.model.max_reply_tokens, run.layer) == (3, 4, "1")
    second = write(tmp_path / "b" / "delta.safetensors", 1, onto=load_model(run.model.path)[0])
    name = f"0 ({tmp_path.name})"
    assert fill(DeltaBank(small_model(3)), [first, second]) == [BASE, name, f"{name}, then 1"]


def test_a_delta_of_a_stranger_is_refused(model: Path, tmp_path: Path):
    first = write(tmp_path / "a.safetensors", 0)
    stranger = small_model(3)
    with torch.no_grad():
        next(stranger.parameters()).add_(1)
    other = write(tmp_path / "b.safetensors", 2, onto=stranger)
    with pytest.raises(InputError, match="which is not among those given"):
        fill(DeltaBank(small_model(3)), [first, other])
    with pytest.raises(InputError, match="deltas= needs two files or more"):
        interfere(config(model, first))


def test_the_interaction_is_what_is_lost_or_won_together():
    base, one, two = (np.array([int(mark) for mark in text]) > 0 for text in ("0000", "1100", "0011"))
    wins = {BASE: base, "0 (x)": one, "2 (y)": two, TOGETHER: one | two}
    assert interaction(wins) == (0.0, (0.0, 0.0))
    clash = wins | {TOGETHER: base}
    value, (low, high) = interaction(clash)
    assert value == -1.0
    assert low <= value <= high
    assert "they hurt each other" in sentences(clash)[0]
    assert "no interaction is shown" in sentences(wins)[0]
    assert table(wins).row_count == 4
