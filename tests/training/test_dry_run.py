"""The published recipes: their settings, that each executes, and what it is said to take."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from agents import quantized
from agents.targets import Target, full
from envs.config import load
from envs.errors import InputError
from envs.installation import REPOSITORY
from tests.training.guessing import write_model
from training.bench.shapes import build, find
from training.config import RunConfig
from training.dry_run import CHARACTERS_A_TOKEN, DryRunConfig, main, sample_prompts, shape_of, shrink, tokenizer
from training.estimate import GPUS, Load, find_gpu, memory, seconds

PUBLISHED = sorted(path.stem for path in (REPOSITORY / "configs/recipe").glob("*-1.5b.yaml"))
ALFWORLD = Load(128, 30, 400, 150, True, 1, 2, 16384, 2**31, True)


def test_there_are_recipes_of_both_worlds_and_estimators_in_full_and_of_one_layer():
    full_ones = ["gigpo-alfworld-1.5b", "gigpo-webshop-1.5b", "grpo-alfworld-1.5b"]
    assert sorted([*full_ones, *(f"layer14-{name}" for name in full_ones)]) == PUBLISHED


@pytest.mark.parametrize("recipe", PUBLISHED)
def test_the_published_settings(recipe: str):
    """Feng et al., arXiv 2505.10978, and the scripts and training code of langfengQ/verl-agent and DrMAS."""
    config = load(RunConfig, [f"recipe={recipe}"])
    webshop = "webshop" in recipe
    train = config.train
    assert (train.groups, train.group_size, train.epochs) == (16, 8, 1)
    assert (train.update_rows, config.env.max_turns) == ((64, 15) if webshop else (256, 50))
    assert (config.model.path, config.model.context) == ("Qwen/Qwen2.5-1.5B-Instruct", "window:2")
    assert (config.model.max_reply_tokens, config.iterations) == (512, 150)
    assert (train.beta, train.entropy_bonus, train.dual_clip) == (0.01, 0.001, 3.0)
    assert (train.clip_low, train.clip_high, train.aggregation, train.ratio) == (0.2, 0.2, "token_mean", "token")
    assert (train.success_reward, train.invalid_penalty) == (10.0, 0.1)
    assert (train.temperature, config.temperatures) == (1.0, (0.4,))
    if "gigpo" in recipe:
        algorithm = config.algorithm
        assert (algorithm.gamma, algorithm.step_weight, algorithm.statistics) == (0.95, 1.0, "turn")
        assert algorithm.scale == ("none" if webshop else "std")
    if recipe.startswith("layer14"):
        assert (config.layer, train.learning_rate, config.compare) == ("14", 5e-6, "none")
    else:
        assert (config.layer, train.full_learning_rate, config.compare) == ("full", 1e-6, "none")


@pytest.mark.parametrize("recipe", PUBLISHED)
def test_a_published_recipe_executes(recipe: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    out = tmp_path / "run"
    assert main(load(DryRunConfig, [f"recipe={recipe}", f"out={out}", "train.group_size=2", "turns=30"])) == 0
    printed = capsys.readouterr().out
    arm = "layer=14" if recipe.startswith("layer14") else "layer=full"
    assert re.search(rf"{arm}: \d+\.\d hours \(\d+ s of rollout and \d+ s of updates", printed)
    assert re.search(rf"{arm}: \d+\.\d GB at least, which fits one h100 of 80 GB: weights 3\.09", printed)
    # Twelve rows at most, five an update.
    updates, tensors = map(
        int, re.search(r"done, (\d) updates over 1 arms; its delta holds (\d+) ten", printed).groups()
    )
    assert updates == 3
    assert tensors == 12 if arm == "layer=14" else tensors > 300
    assert (out / "summary.json").is_file()


def qwen(name: str = "qwen2.5-1.5b") -> Any:
    return build(find(name), torch.bfloat16, "meta")


def test_the_published_iteration_comes_out():
    """What the shares of the peak were set by: 222 s of rollout, 25 + 26 + 90 s of learning (arXiv 2505.10978)."""
    took = seconds(qwen(), full(28), ALFWORLD, find_gpu("h100"), gpus=2)
    assert took.rollout == pytest.approx(222, rel=0.05)
    assert took.update == pytest.approx(25 + 26 + 90, rel=0.05)


def test_a_layer_takes_less_than_everything_and_two_gpus_less_than_one():
    model, gpu = qwen(), find_gpu("h100")
    everything, layer = (seconds(model, target, ALFWORLD, gpu) for target in (full(28), Target((14,))))
    assert everything.rollout == layer.rollout
    assert 0.4 < layer.update / everything.update < 0.6
    assert seconds(model, full(28), ALFWORLD, gpu, gpus=2).update == pytest.approx(everything.update / 2)


def test_memory_by_parts():
    """Counted by hand for 1,543,714,304 parameters, 46,797,824 of them in a block."""
    parts = memory(qwen(), Target((14,)), ALFWORLD, reference=True)
    assert parts["weights"] == 2 * 1_543_714_304
    assert parts["gradients"] == parts["reference"] == 2 * 46_797_824
    assert parts["masters and moments"] == 12 * 46_797_824
    assert parts["sampler's keys and values"] == 2 * 28 * 2 * 128 * 2 * 550 * 128
    assert parts["states below the layer"] == 2**31
    assert memory(qwen(), full(28), ALFWORLD, reference=False)["states below the layer"] == 0


def test_a_7b_models_layer_fits_24_gb():
    """With what is frozen in 8 or 4 bits, recomputed activations and a micro-batch of 4,096 tokens."""
    model, target = qwen("qwen2.5-7b"), Target((14,))
    load = replace(ALFWORLD, episodes=64, micro_batch_tokens=4096, checkpointing=True)
    kept = quantized.kept_modules(model, target)
    found = {
        frozen: sum(
            memory(model, target, load, reference=True, weights=quantized.stored_bytes(model, frozen, kept)).values()
        )
        for frozen in ("8bit", "4bit")
    }
    assert found["4bit"] < found["8bit"] < 24e9
    assert sum(memory(model, target, load, reference=True).values()) > 24e9
    assert sum(memory(model, full(28), load, reference=True).values()) > 5 * found["8bit"]


def test_the_small_run_is_a_new_one_sampled_by_the_model_itself(tmp_path: Path):
    words = ["recipe=layer14-gigpo-alfworld-1.5b", "resume=runs/real", "sampler=vllm", "vllm.url=http://localhost:1"]
    words.append("trackers=wandb,trackio")
    small = shrink(load(DryRunConfig, words), tmp_path / "model", tmp_path / "run")
    assert (small.resume, small.sampler, small.vllm.url, small.iterations) == ("", "transformers", "", 1)
    # A user's own records of runs are no place for a trial.
    assert small.trackers == ""
    assert (small.layer, small.train.update_rows, small.env.max_turns, small.panel) == ("14", 5, 3, "")


def test_an_unknown_gpu_names_the_nearest():
    with pytest.raises(InputError, match="h100"):
        find_gpu("h10")
    assert all(gpu.memory > 20e9 for gpu in GPUS.values())


def test_a_folders_shape_is_read(tmp_path: Path):
    config = load(DryRunConfig, [f"model={write_model(tmp_path)}"])
    shape = shape_of(config)
    assert (shape.architecture, shape.hidden, shape.blocks, shape.head_size) == ("qwen3", 16, 8, 8)
    with pytest.raises(InputError, match=r"model=some/where: .* qwen2\.5-1\.5b"):
        shape_of(load(DryRunConfig, ["model=some/where"]))


def test_prompts_are_the_worlds_and_tell_turns_again():
    grown, told = (load(DryRunConfig, ["env=alfworld", f"context={context}"]) for context in ("full", "window:2"))
    first, second = (sample_prompts(config, turns=6, episodes=1) for config in (grown, told))
    assert first[0] == second[0]
    assert len(second[5]) > len(first[5])
    assert "Your task is to" in first[0]
    letters = tokenizer()
    assert len(letters.encode(first[0])) > 0.9 * len(first[0])
    assert len(tokenizer(first).encode(first[0])) < len(first[0]) / CHARACTERS_A_TOKEN
