"""`python -m training.warmstart env=alfworld out=DIR`: a small policy cloned from an expert, from scratch.

Makes the tokenizer from the demonstrations' text, then trains a Qwen3 architecture on fresh demonstrations until the
time or the number of updates is used up, and writes an ordinary model folder. The loop is plain rather than TRL's
`SFTTrainer`: rows are made on the fly and every token has its own weight, neither of which that trainer takes.
"""

from __future__ import annotations

import itertools
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from envs.command import run_command
from envs.config_schema import key
from envs.errors import InputError
from envs.pool import Pool, PoolConfig, Pooled, place
from envs.registry import environment_key, make_from, options_of
from envs.worlds import Failure, LocalWorlds, Worlds

CHUNK = 32

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

    from agents.dialogue import Dialogue
    from envs.screen import Screen
    from envs.types import TextEnv
    from training.demonstrations import Step


@dataclass(frozen=True)
class ShapeConfig:
    """Shape of the model that is made."""

    blocks: int = key(8, "transformer blocks", unit="blocks", minimum=1)
    hidden: int = key(96, "width of the residual stream", minimum=8)
    mlp: int = key(192, "width of the feed-forward layer", minimum=8)
    heads: int = key(3, "attention heads", minimum=1)
    key_value_heads: int = key(1, "key and value heads", minimum=1)
    head_width: int = key(32, "width of a head", minimum=2)
    context: int = key(2048, "longest sequence", unit="tokens", minimum=64)


@dataclass(frozen=True)
class WarmstartConfig:
    """All keys of the warm start."""

    aliases: ClassVar[dict[str, str]] = {"data": "env.data"}

    env: Any = environment_key("the world to learn")
    out: str = key("", "the model folder to write; must be new or empty")
    player: str = key("expert", "the scripted player to clone")
    minutes: float = key(7.0, "training time", unit="minutes", minimum=0.01)
    updates: int = key(0, "stop after this many updates instead; 0 lets the time decide", unit="updates", minimum=0)
    batch: int = key(8, "demonstrations an update", minimum=1)
    learning_rate: float = key(3e-3, "AdamW's peak learning rate", minimum=0)
    observation_weight: float = key(0.5, "weight of predicting what the world says", minimum=0)
    vocabulary_episodes: int = key(600, "demonstrations the tokenizer is made from", minimum=10)
    min_phrase: int = key(60, "occurrences that make a phrase one token", minimum=1)
    min_word: int = key(6, "occurrences that make a word one token", minimum=1)
    burst_probability: float = key(0.08, "chance that noise begins at a turn", minimum=0, maximum=1)
    burst_turns: float = key(2.0, "mean length of a burst of noise", unit="turns", minimum=1)
    invalid_share: float = key(0.5, "share of the noise that is garbled commands", minimum=0, maximum=1)
    seed: int = key(0, "keys the demonstrations and the initial weights", minimum=0)
    shape: ShapeConfig = field(default_factory=ShapeConfig)
    pool: PoolConfig = field(default_factory=PoolConfig)


def main(config: WarmstartConfig) -> int:
    """Runs the command."""
    out = Path(config.out)
    if not config.out:
        raise InputError("out= is missing: the model folder to write, for example out=runs/warmstart.")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"out={out} exists and is not an empty folder.")
    import torch

    from envs.screen import Screen

    torch.manual_seed(config.seed)
    out.mkdir(parents=True, exist_ok=True)
    env = make_from(config.env)
    screen = Screen(out / "log.txt")
    screen.print(f"demonstrations: {config.player} on {env.describe_data()}")
    with Pool(config.pool, screen.print) as pool:
        made = place(config.env.name, options_of(config.env), pool)
        source = Source(config, env, made if isinstance(made, Pooled) else LocalWorlds(made))
        tokenizer = _tokenizer(config, source)
        model = build_model(config.shape, len(tokenizer), tokenizer.eos_token_id, tokenizer.pad_token_id)
        count = sum(parameter.numel() for parameter in model.parameters())
        screen.print(f"model: Qwen3, {config.shape.blocks} blocks, {count:,} parameters, {len(tokenizer)} tokens")
        record = _train(config, source, model, tokenizer, screen)
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)
    record |= {"command": " ".join(["python -m training.warmstart", *sys.argv[1:]]), "config": asdict(config)}
    (out / "warmstart.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    screen.print(f"written: {out}")
    return 0


@dataclass(frozen=True)
class Source:
    """Where demonstrations come from.

    Attributes:
        config: says who is cloned, and how that is disturbed.
        env: draws the tasks.
        worlds: where they are played.
    """

    config: WarmstartConfig
    env: TextEnv
    worlds: Worlds

    def play(self, seed: int, count: int) -> list[list[Step]]:
        """Plays demonstrations of the tasks drawn by a seed, without those that the environment breaks.

        Raises:
            InputError: it breaks all of them.
        """
        from training.demonstrations import Noise, demonstrations

        config = self.config
        noise = Noise(config.burst_probability, config.burst_turns, config.invalid_share)
        tasks = self.env.sample_tasks(seed, count)
        played = demonstrations(self.worlds, config.player, tasks, range(seed, seed + count), noise)
        whole = [steps for steps in played if not isinstance(steps, Failure)]
        if not whole:
            causes = [steps.cause for steps in played if isinstance(steps, Failure)]
            raise InputError(f"the environment breaks all of {count} demonstrations, the first so: {causes[0]}.")
        return whole


def _tokenizer(config: WarmstartConfig, source: Source) -> PreTrainedTokenizerFast:
    from agents.draws import stream_seed
    from training.demonstrations import texts
    from training.vocabulary import build_tokenizer

    played = source.play(stream_seed(config.seed, "vocabulary"), config.vocabulary_episodes)
    pieces = [piece for steps in played for piece in texts(steps)]
    return build_tokenizer(
        pieces, min_phrase=config.min_phrase, min_word=config.min_word, max_length=config.shape.context
    )


def build_model(shape: ShapeConfig, vocabulary: int, end: int, pad: int) -> PreTrainedModel:
    """A Qwen3 causal language model with random float32 weights and a tied head."""
    from transformers import Qwen3Config, Qwen3ForCausalLM

    config = Qwen3Config(
        vocab_size=vocabulary,
        hidden_size=shape.hidden,
        intermediate_size=shape.mlp,
        num_hidden_layers=shape.blocks,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.key_value_heads,
        head_dim=shape.head_width,
        max_position_embeddings=shape.context,
        tie_word_embeddings=True,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
        eos_token_id=end,
        pad_token_id=pad,
        bos_token_id=None,
        dtype="float32",
    )
    return Qwen3ForCausalLM(config)


def _batches(
    config: WarmstartConfig, source: Source, dialogue: Dialogue
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Endless batches of fresh demonstrations: ids (B, T) and weights (B, T), zero-padded on the right.

    Rows of similar length share a batch, which halves the padding; the order of the batches is random.
    """
    import numpy as np
    import torch
    from torch.nn.utils.rnn import pad_sequence

    from agents.draws import stream_seed
    from training.demonstrations import tokenize

    seed = stream_seed(config.seed, "demonstrations")
    for start in itertools.count(0, CHUNK * config.batch):
        rows = []
        for steps in source.play(seed + start, CHUNK * config.batch):
            ids, weights = tokenize(steps, dialogue, config.observation_weight)
            rows.append(
                (torch.from_numpy(ids[: config.shape.context]), torch.from_numpy(weights[: config.shape.context]))
            )
        rows.sort(key=lambda row: len(row[0]))
        for batch in np.random.default_rng([seed, start]).permutation(-(-len(rows) // config.batch)):
            chosen = rows[batch * config.batch : (batch + 1) * config.batch]
            yield tuple(pad_sequence(list(column), batch_first=True) for column in zip(*chosen, strict=True))  # type: ignore[misc]


def _train(
    config: WarmstartConfig, source: Source, model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, screen: Screen
) -> dict[str, Any]:
    import torch

    from agents.dialogue import Dialogue
    from agents.prompts import manner_of

    optimizer = torch.optim.AdamW(model.parameters(), lr=config.learning_rate, betas=(0.9, 0.98), weight_decay=0.01)
    started, seconds = time.monotonic(), config.minutes * 60
    update, tokens, loss_sum = 0, 0, 0.0
    total = config.updates or round(seconds)
    with screen.bar("warm start", total) as bar:
        for ids, weights in _batches(config, source, Dialogue(tokenizer, manner_of(source.env))):
            elapsed = time.monotonic() - started
            done = update / config.updates if config.updates else elapsed / seconds
            if done >= 1.0:
                break
            for group in optimizer.param_groups:
                group["lr"] = config.learning_rate * min(1.0, (update + 1) / 100) * (1.0 - 0.98 * done)
            loss = _weighted_loss(model, ids, weights)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            update, tokens = update + 1, tokens + int((weights > 0).sum())
            loss_sum += float(loss.detach())
            if update % 50 == 0:
                step = 50 if config.updates else round(elapsed) - bar.done
                bar.advance(step, f"loss {loss_sum / 50:.3f}, {update * config.batch} demonstrations")
                loss_sum = 0.0
    return {"updates": update, "demonstrations": update * config.batch, "seconds": time.monotonic() - started}


def _weighted_loss(model: PreTrainedModel, ids: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Weighted mean of the next-token cross-entropy. Padding is on the right, so causal attention needs no mask."""
    import torch

    logits = model(input_ids=ids, use_cache=False).logits[:, :-1]
    losses = torch.nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten(), reduction="none")
    wanted = weights[:, 1:].flatten()
    return (losses * wanted).sum() / wanted.sum()


if __name__ == "__main__":
    sys.exit(
        run_command(
            "python -m training.warmstart",
            WarmstartConfig,
            main,
            description="Makes a starting policy: a small language model cloned from a scripted player.",
        )
    )
