"""`python -m training.warmstart env=NAME`: a small policy cloned from a world's own player, from scratch.

Makes a tokenizer from the demonstrations' text, then trains a small Qwen3 (or Qwen2, or Llama) on them until it wins as
many tasks as is asked for, or the time or the number of updates is used up, and writes an ordinary model folder.
Without out= it goes into the cache, where `model=warm` finds it.
"""

from __future__ import annotations

import json
import shutil
import sys
import uuid
from collections.abc import Mapping
from contextlib import closing, suppress
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from agents.models import quiet
from agents.starts import is_made, start_folder, warmstart_command, written
from envs.command import run_command
from envs.config_schema import key, listed
from envs.errors import InputError, StorageError, shortened, unknown
from envs.files import check_empty, read_json, understood
from envs.pool import Pool, PoolConfig, place
from envs.registry import config_class, env_class, environment_key, make_from, options_of

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


@dataclass(frozen=True)
class ShapeConfig:
    """Shape of the model that is made."""

    family: Literal["qwen3", "qwen2", "llama"] = key("qwen3", "the model's architecture")
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
    out: str = key("", "the model folder to write, new or empty; by default the cache, where model=warm finds it")
    player: str = key(
        "",
        "the scripted player to clone, or several (oracle,direct); by default what the world says, else"
        " expert, oracle, or all but random",
    )
    demonstrations: int = key(
        2048, "learned from again and again, of a world that is slow (played in worker processes)", minimum=1
    )
    only_wins: bool = key(
        True, "whether to learn only from demonstrations that win; those of several players all count"
    )
    success: float = key(
        0.5, "wind up once the policy wins this share of tasks, greedily; 0 does not look", minimum=0, maximum=1
    )
    decay: float = key(
        0.25, "winding up lets the rate go down over this share of the updates there were", minimum=0, maximum=1
    )
    check_updates: int = key(50, "look how much the policy wins after so many", unit="updates", minimum=1)
    check_tasks: int = key(128, "tasks to look with", unit="tasks", minimum=1)
    minutes: float = key(15.0, "training time at most", unit="minutes", minimum=0.01)
    updates: int = key(0, "stop after this many updates instead; 0 lets success and time decide", minimum=0)
    batch: int = key(0, "demonstrations an update; 0 takes as many as have batch_tokens", minimum=0)
    batch_tokens: int = key(2048, "tokens an update, padding included, where batch=0", unit="tokens", minimum=1)
    learning_rate: float = key(1e-3, "AdamW's peak learning rate", minimum=0)
    observation_weight: float = key(0.1, "weight of predicting what the world says", minimum=0)
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
    folder = make(config)
    print(f"starting policy: {folder}")
    if not config.out:
        train = warmstart_command(config.env).replace("training.warmstart", "training.run")
        print(f"go on with: {train} model=warm layer=auto")
    return 0


def make(config: WarmstartConfig) -> Path:
    """Makes a starting policy, if it is not there.

    Args:
        config: what is made, whole or not at all; without `out` it goes into the cache.

    Returns:
        The model's folder.

    Raises:
        InputError: the player or the folder cannot be used, or the player wins nothing.
    """
    players = players_of(config)
    if not config.out:
        _check_split(config)
    out = Path(config.out) if config.out else start_folder(config.env)
    if not config.out and is_made(out):
        with understood(out / "warmstart.json", "the record of a starting policy"):
            made = read_json(out / "warmstart.json")
            if made["settings"] == _settings(config):
                return out
            how = shortened(str(made["command"]), 500)
        raise InputError(f"{out} holds a starting policy made with other settings ({how}). Give out=, or remove it.")
    check_empty(out)
    work = out if config.out else out.with_name(f"{out.name}.{uuid.uuid4().hex[:8]}")
    try:
        work.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot write {work}: {error.strerror or error}.") from error
    try:
        _make(config, players, work)
    except BaseException:
        # The folder was empty or not there, and the same command writes to it again.
        shutil.rmtree(work, ignore_errors=True)
        raise
    if work != out:
        with suppress(OSError):  # another process may have made it meanwhile
            work.rename(out)
        shutil.rmtree(work, ignore_errors=True)
        if not is_made(out):
            raise InputError(f"cannot write {out}. Set KEYSTONE_CACHE to a folder that can be written, or give out=.")
    return out


def players_of(config: WarmstartConfig) -> tuple[str, ...]:
    """Returns the players that are cloned.

    By default those that the world names (`TextEnv.cloned`), else its expert or its oracle, else all but random.

    Raises:
        InputError: the world has none of that name, or only random.
    """
    # Which players a world has may depend on its options.
    with closing(make_from(config.env)) as world:
        players = world.players
    if config.player:
        given = tuple(listed(config.player))
        for name in given:
            if name not in players:
                raise unknown("player", name, players)
        return given
    single = next(((name,) for name in ("expert", "oracle") if name in players), None)
    found = env_class(config.env.name).cloned or single or tuple(name for name in players if name != "random")
    if not found:
        raise InputError(f"env={config.env.name} has no player to clone but random. Give it an oracle.")
    return found


def _check_split(config: WarmstartConfig) -> None:
    default = getattr(config_class(config.env.name)(), "split", None)
    if getattr(config.env, "split", None) != default:
        raise InputError(
            f"env.split={config.env.split}: the starting policy in the cache is cloned on {default} tasks. Give out=."
        )


def _make(config: WarmstartConfig, players: tuple[str, ...], out: Path) -> None:
    import torch

    from envs.screen import Screen
    from training.architectures import build_model
    from training.cloning import clone, tokenizer_of
    from training.source import Source

    quiet()
    torch.manual_seed(config.seed)
    env = make_from(config.env)
    screen = Screen(out / "log.txt")
    screen.print(
        f"starting policy for {config.env.name}: cloned from its {' and '.join(players)}; {env.describe_data()}"
    )
    with Pool(config.pool, screen.print) as pool:
        source = Source(config, players, env, place(config.env.name, options_of(config.env), pool), screen)
        tokenizer = tokenizer_of(config, source)
        model = build_model(config.shape, len(tokenizer), tokenizer.eos_token_id, tokenizer.pad_token_id)
        count = sum(parameter.numel() for parameter in model.parameters())
        name, vocabulary = type(model).__name__, len(tokenizer)
        screen.print(f"model: {name}, {config.shape.blocks} blocks, {count:,} parameters, {vocabulary} tokens")
        record = clone(config, source, model, tokenizer)
    record |= {"command": command_of(config), "config": asdict(config), "settings": _settings(config)}
    _write(out, model, tokenizer, record)


def _write(out: Path, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, record: Mapping[str, Any]) -> None:
    """Writes the policy.

    Raises:
        StorageError: it cannot be written.
    """
    from safetensors import SafetensorError

    try:
        model.save_pretrained(out)
        tokenizer.save_pretrained(out)
        (out / "warmstart.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise StorageError(f"cannot write the starting policy {out}: {reason}.") from error


def _settings(config: WarmstartConfig) -> dict[str, Any]:
    """What decides about the policy beside the world."""
    content = json.loads(json.dumps(asdict(config)))
    return {name: value for name, value in content.items() if name not in ("env", "out", "pool")}


def command_of(config: WarmstartConfig) -> str:
    """Returns the command that makes this policy, without where it goes."""
    words = [warmstart_command(config.env)]
    for prefix, given, default in (("", config, WarmstartConfig()), ("shape.", config.shape, ShapeConfig())):
        for option in fields(default):
            value = getattr(given, option.name)
            if option.name not in ("env", "out", "shape", "pool") and value != getattr(default, option.name):
                words.append(f"{prefix}{option.name}={written(value)}")
    return " ".join(words)


if __name__ == "__main__":
    sys.exit(
        run_command(
            "python -m training.warmstart",
            WarmstartConfig,
            main,
            description="Makes a starting policy: a small language model cloned from a scripted player.",
        )
    )
