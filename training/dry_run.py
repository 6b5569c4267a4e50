"""`python -m training.dry_run recipe=gigpo-alfworld-1.5b`: whether a run executes, and what it would take.

The arguments are those of `training.run`. First it says how much memory and how many hours the named model's real shape
would take on `gpu=` (`training.estimate`): its prompts are measured on the world itself, while the turns of an episode
and the length of a reply are assumptions that `turns=` and `reply_tokens=` set. Then the run is made with a model of
random weights that has the same architecture and as many blocks, but narrow ones, for one iteration of few and short
episodes; where the run wants data that is not given, the world's own takes its place. Nothing is downloaded, and
nothing is kept unless `out=` is given.
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agents.models import model_settings, quiet
from agents.prompts import manner_of, parse_context, recalled
from agents.samplers import VllmConfig
from envs.command import run_command
from envs.config_schema import key
from envs.errors import InputError
from envs.files import expanded, understood
from envs.registry import env_class, make_from
from training import fitting
from training.bench.shapes import SHAPES, Shape, build, find
from training.config import RunConfig
from training.estimate import find_gpu

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

    from agents.dialogue import Dialogue
    from training.estimate import Load

CHARACTERS_A_TOKEN = 3.3
"""Of prompts of ALFWorld (3.4) and WebShop (3.2) in Qwen2.5's tokenizer, measured on episodes of a random player."""
_CHATML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@dataclass(frozen=True)
class DryRunConfig(RunConfig):
    """Keys of the dry run, beside those of the main job."""

    gpu: str = key("h100", "the GPU that hours and memory are estimated for: h200, h100, a100, l40s, rtx4090, l4")
    gpus: int = key(1, "how many of them", minimum=1)
    turns: float = key(0.0, "turns of an episode on average; 0 assumes six tenths of the most", minimum=0)
    reply_tokens: int = key(150, "tokens of a reply on average", unit="tokens", minimum=1)


def main(config: DryRunConfig) -> int:
    """Runs the command."""
    find_gpu(config.gpu)
    shape = shape_of(config)
    texts = sample_prompts(config)
    for line in estimate_lines(config, shape, texts):
        print(line, flush=True)
    with tempfile.TemporaryDirectory(prefix="keystone-dry-run-") as scratch:
        small = shrink(config, write_small(shape, Path(scratch) / "model", texts), Path(scratch) / "run")
        print(
            f"dry run: a {shape.architecture} model of {shape.blocks} narrow blocks with random weights, "
            f"{small.train.groups} x {small.train.group_size} episodes of at most {small.env.max_turns} turns",
            flush=True,
        )
        from training import run

        code = run.main(small)
        if not code:
            print(outcome(Path(small.out)), flush=True)
    return code


def shape_of(config: RunConfig) -> Shape:
    """The sizes of the model that a run starts from.

    Raises:
        InputError: they are not known without downloading anything.
    """
    if config.model.name in SHAPES:
        return find(config.model.name)
    file = expanded(config.model.path) / "config.json"
    if not file.is_file():
        raise InputError(
            f"model={config.model.name or config.model.path}: a dry run needs a shape that is known here, "
            f"{', '.join(SHAPES)}, or a model's folder."
        )
    sizes = model_settings(str(file.parent))
    with understood(file, "the configuration of a causal language model"):
        heads = int(sizes["num_attention_heads"])
        return Shape(
            str(sizes["model_type"]),
            int(sizes["hidden_size"]),
            int(sizes["num_hidden_layers"]),
            heads,
            int(sizes.get("num_key_value_heads") or heads),
            int(sizes.get("head_dim") or sizes["hidden_size"] // heads),
            int(sizes["intermediate_size"]),
            int(sizes["vocab_size"]),
            bool(sizes.get("tie_word_embeddings", False)),
        )


def sample_prompts(config: RunConfig, turns: int = 30, episodes: int = 4) -> list[str]:
    """What is read in the turns of a few episodes of random commands."""
    from agents.dialogue import Dialogue

    letters = tokenizer()
    manner = manner_of(env_class(config.env.name), config.model.context, thinking=config.model.thinking)
    dialogue, found = Dialogue(letters, manner), list[str]()
    for number in range(episodes):
        env, draw, past = make_from(config.env), random.Random(number), list[tuple[str, str]]()
        observation, info = env.reset(seed=number)
        for _ in range(turns):
            commands = info["admissible_commands"]
            found.append(str(letters.decode(list(_prompt(dialogue, observation, info["goal"], commands, past)))))
            # A world of free text lists no commands.
            action = draw.choice(commands) if commands else "0"
            past.append((observation, action))
            observation, _, terminated, truncated, info = env.step(action)
            if terminated or truncated:
                break
    return found


def _prompt(
    dialogue: Dialogue, observation: str, goal: str, commands: Sequence[str], past: Sequence[tuple[str, str]]
) -> tuple[int, ...]:
    if dialogue.window is not None and past:
        told = past[max(len(past) - dialogue.window, 0) :]
        return dialogue.opening(recalled(observation, goal, told, len(past), dialogue.format), commands)
    if past:
        return dialogue.bridge(observation, commands, dialogue.end)
    return dialogue.opening(observation, commands)


def tokenizer(texts: Sequence[str] = ()) -> PreTrainedTokenizerFast:
    """A byte-level tokenizer with a chat template and up to 2,000 tokens learned from texts."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    learned = trainers.BpeTrainer(
        vocab_size=2000,
        show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=["<|im_start|>", "<|im_end|>"],
    )
    made.train_from_iterator(texts, learned)
    return PreTrainedTokenizerFast(tokenizer_object=made, eos_token="<|im_end|>", chat_template=_CHATML)


def write_small(shape: Shape, folder: Path, texts: Sequence[str]) -> Path:
    """Writes a model with random weights, of the same architecture and as many blocks, and a tokenizer of texts."""
    import torch

    words = tokenizer(texts)
    narrow = Shape(shape.architecture, 32, shape.blocks, 4, 2, 8, 64, len(words), shape.tied)
    build(narrow, torch.float32, "cpu").save_pretrained(folder)
    words.save_pretrained(folder)
    return folder


def shrink(config: DryRunConfig, model: Path, out: Path) -> RunConfig:
    """The same run with a small model, of one iteration of few short episodes."""
    plain = {field.name: getattr(config, field.name) for field in fields(RunConfig)}
    missing = bool(config.panel) and not getattr(config.env, "data", "")
    changes: dict[str, Any] = {
        "env": replace(config.env, max_turns=min(config.env.max_turns, 3)),
        "model": replace(config.model, path=str(model), dtype="float32", max_reply_tokens=4),
        "iterations": 1,
        "panel": "" if missing else config.panel,
        "panel_tasks": 2,
        "tuning_tasks": 2,
        "device": "cpu",
        # vLLM takes no heads as narrow as these, and no run is to be gone on with.
        "sampler": "transformers",
        "vllm": VllmConfig(),
        "resume": "",
        "trackers": "",
        "out": config.out or str(out),
        # So few rows still make more than one update.
        "train": replace(
            config.train, groups=2, group_size=2, update_rows=min(config.train.update_rows, 5), updates=1, rollouts=0
        ),
    }
    return RunConfig(**(plain | changes))


def load_of(config: DryRunConfig, texts: Sequence[str]) -> Load:
    """What an iteration of the real run reads and says."""
    from training.estimate import Load

    train = config.train
    return Load(
        episodes=train.groups * train.group_size,
        turns=config.turns or 0.6 * config.env.max_turns,
        prompt_tokens=sum(map(len, texts)) / len(texts) / CHARACTERS_A_TOKEN,
        reply_tokens=config.reply_tokens,
        windows=parse_context(config.model.context) is not None,
        epochs=train.epochs,
        # The reference's, and below float32 the sampler's log-probabilities computed again.
        extra_passes=int(bool(train.beta)) + int(config.model.dtype != "float32"),
        micro_batch_tokens=train.micro_batch_tokens,
        prefix_bytes=train.prefix_megabytes * 2**20,
        checkpointing=train.checkpointing,
    )


def estimate_lines(config: DryRunConfig, shape: Shape, texts: Sequence[str]) -> list[str]:
    """The estimate in words, for the run's arm or arms."""
    import torch

    from agents.quantized import stored_bytes
    from training import estimate

    quiet()
    gpu, load = find_gpu(config.gpu), load_of(config, texts)
    dtype = torch.float32 if config.model.dtype == "float32" else torch.bfloat16
    model, frozen = build(shape, dtype, "meta"), config.train.frozen
    weights = None if frozen == fitting.PLAIN else stored_bytes(model, frozen, fitting.kept(config, model))
    lines = [
        f"estimate: {config.model.name} on {config.gpus} x {config.gpu}, {config.iterations} iterations of "
        f"{load.episodes} episodes, if they have {load.turns:.0f} turns of {load.prompt_tokens:.0f} tokens read (the "
        f"world's, by random play) and {load.reply_tokens:.0f} said, at {estimate.ROLLOUT_SHARE:.0%} of the GPU's peak "
        f"in rollouts and {estimate.UPDATE_SHARE:.0%} in updates"
    ]
    for name, target in fitting.arms_of(config, shape.blocks).items():
        took = estimate.seconds(model, target, load, gpu, config.gpus)
        parts = estimate.memory(model, target, load, reference=bool(config.train.beta), weights=weights)
        total, hours = sum(parts.values()), config.iterations * (took.rollout + took.update) / 3600
        fits = "fits" if total < gpu.memory else "does NOT fit"
        lines += [
            f"  {name}: {hours:.1f} hours ({took.rollout:.0f} s of rollout and {took.update:.0f} s of updates an "
            f"iteration)",
            f"  {name}: {total / 1e9:.1f} GB at least, which {fits} one {config.gpu} of {gpu.memory / 1e9:.0f} GB: "
            + ", ".join(f"{part} {size / 1e9:.2f}" for part, size in parts.items() if size),
        ]
    return lines


def outcome(out: Path) -> str:
    """What the small run did, in a line."""
    from safetensors import safe_open

    from training.folder import DELTA, METRICS

    rows = [json.loads(line) for line in (out / METRICS).read_text(encoding="utf-8").splitlines()]
    with safe_open(out / DELTA, "np") as file:
        names = list(file.keys())
    updates = sum(int(row["updates"]) for row in rows)
    return f"dry run: done, {updates} updates over {len(rows)} arms; its delta holds {len(names)} tensors"


if __name__ == "__main__":
    sys.exit(
        run_command(
            "python -m training.dry_run",
            DryRunConfig,
            main,
            description="Says what a run would take, and makes it in small with random weights.",
        )
    )
