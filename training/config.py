"""The configuration of the main job, `python -m training.run`.

Defaults follow the published GiGPO code for ALFWorld (arXiv 2505.10978; langfengQ/verl-agent) where it says something;
the number of tasks and iterations is cut to what two CPU cores do in minutes. Learning rates belong to a model and live
in its preset, found once on tuning tasks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from agents.models import ModelConfig, is_path
from agents.samplers import VllmConfig
from envs.config_schema import Group, group, key
from envs.pool import PoolConfig
from envs.registry import environment_key
from evals.reserve import ReserveConfig
from training import advantages
from training.detectors import WatchConfig


@dataclass(frozen=True)
class TrainConfig:
    """One arm's rollouts and updates."""

    groups: int = key(8, "tasks an iteration", unit="tasks", minimum=1)
    group_size: int = key(8, "episodes of each task", unit="episodes", minimum=2)
    updates: int = key(4, "optimizer updates an epoch, each on its share of the rows", minimum=1)
    update_rows: int = key(
        0,
        "most rows (episodes, or turns with model.context=window:K) in an update; as many updates are made as that"
        " takes, and train.updates is not asked. 0 makes train.updates of them",
        unit="rows",
        minimum=0,
    )
    epochs: int = key(1, "how often an iteration's episodes are learned from", minimum=1)
    temperature: float = key(1.0, "sampling temperature of the rollouts", minimum=0.01)
    success_reward: float = key(10.0, "what the environment's reward of 1 is worth")
    invalid_penalty: float = key(0.1, "taken off for a turn whose action is invalid", minimum=0)
    learning_rate: float = key(
        5e-6, "of the layer arm, and of the blocks that layer=boost:... names", unit="an update", minimum=0
    )
    full_learning_rate: float = key(
        1e-6, "of the full-parameter arm, and of the others in boost", unit="an update", minimum=0
    )
    lora_rank: int = key(8, "of the adapters of layer=lora:...", minimum=1)
    lora_alpha: int = key(16, "the adapters' outputs are scaled by lora_alpha / lora_rank", minimum=0)
    warmup_updates: int = key(0, "updates over which the learning rate rises from 0", unit="updates", minimum=0)
    beta1: float = key(0.9, "AdamW's decay of the first moment", minimum=0, maximum=0.999999)
    beta2: float = key(0.999, "AdamW's decay of the second moment", minimum=0, maximum=0.999999)
    weight_decay: float = key(0.0, "AdamW's decoupled weight decay", minimum=0)
    max_grad_norm: float = key(1.0, "gradients are scaled down to this norm", minimum=0)
    clip_low: float = key(0.2, "the probability ratio is clipped at 1 - clip_low", minimum=0, maximum=1)
    clip_high: float = key(0.2, "the probability ratio is clipped at 1 + clip_high", minimum=0)
    dual_clip: float = key(
        0.0, "a negative advantage counts at most this many times; published runs have 3, 0 for no limit", minimum=0
    )
    beta: float = key(0.01, "weight of the KL divergence (k3) from the starting policy in the loss", minimum=0)
    entropy_bonus: float = key(0.0, "weight of the entropy, subtracted from the loss", unit="a nat", minimum=0)
    ratio: Literal["token", "sequence"] = key(
        "token", "what is clipped: each token's probability ratio, or the geometric mean over a reply (GSPO)"
    )
    rollouts: int = key(
        0,
        "rollouts of an iteration at most, until all groups have a learning signal; the others are left out (DAPO)."
        " 0 plays once and leaves nothing out",
        minimum=0,
    )
    aggregation: Literal[
        "token_mean", "sequence_mean_token_mean", "sequence_mean_token_sum", "sequence_mean_token_sum_norm"
    ] = key("token_mean", "how the losses of tokens are summed")
    aggregation_length: int = key(
        512, "the constant that sequence_mean_token_sum_norm divides by", unit="tokens", minimum=1
    )
    mismatch: Literal["token_truncate", "token_mask", "sequence_truncate", "sequence_mask", "none"] = key(
        "token_truncate",
        "what is done where the trainer finds a sampled token, or its whole reply, likelier or less likely than the"
        " sampler did: advantages are weighted by that ratio up to mismatch_cap, or what lies outside is left out",
    )
    mismatch_cap: float = key(2.0, "the largest such ratio; masks leave out below its inverse too", minimum=1)
    micro_batch_tokens: int = key(16384, "most tokens in one forward pass, padding included", unit="tokens", minimum=1)
    checkpointing: bool = key(False, "recompute activations in the backward pass: less memory, more time")
    frozen: Literal["plain", "8bit", "4bit"] = key(
        "plain", "how the weights that are not trained are stored: as they are, or rounded (needs bitsandbytes)"
    )
    prefix_megabytes: int = key(
        2048,
        "hidden states below the layer that are kept on the device for the passes of an iteration; 0 keeps none",
        unit="MB",
        minimum=0,
    )
    prefix_host_megabytes: int = key(
        8192, "further ones in host memory, where the device is a GPU", unit="MB", minimum=0
    )


def _model_path(name: str) -> Mapping[str, Any] | None:
    """A model that is no preset is a folder or a hub id."""
    return {"model": {"path": name}} if is_path(name) else None


_MODEL = Group(
    "tiny", ModelConfig, accept=_model_path, hint="Or a folder, or a hub id such as Qwen/Qwen2.5-1.5B-Instruct."
)
_ALGORITHM = Group("gigpo", lambda name: advantages.find(name).Config, names=advantages.names)


@dataclass(frozen=True)
class RunConfig:
    """All keys of the main job."""

    aliases: ClassVar[Mapping[str, str]] = {"data": "env.data", "anchor": "env.anchor", "context": "model.context"}

    env: Any = environment_key("the world to learn")
    model: ModelConfig = group("the policy to start from", _MODEL)
    algorithm: Any = group("the advantage estimator", _ALGORITHM)
    recipe: str = key("", "a preset that may set any key and choose the presets above", presets="recipe")
    layer: str = key(
        "auto",
        "what is trained: auto (probes and chooses), middle, middle:N, random, last, a block's number (5), a list or "
        "range (2,5 or 2-5), a part (5.mlp, 5.attention), best:N@study.json, worst:N@study.json, full, boost:5 "
        "(everything, that block at the layer's rate), or lora:5 (adapters on it)",
    )
    budget: float = key(0.15, "what choosing the layer may cost, as a share of training every block once", minimum=0)
    iterations: int = key(30, "rollouts of each arm, each followed by its updates", unit="iterations", minimum=0)
    compare: Literal["full", "none"] = key("full", "the arm to compare with: every parameter trained, or none")
    seed: int = key(0, "keys every random draw of the run", minimum=0, maximum=2**32 - 1)
    sampler: Literal["transformers", "vllm"] = key(
        "transformers", "what samples: the trained model itself, or vLLM, whose weights are synced every iteration"
    )
    device: Literal["auto", "cpu", "cuda"] = key("auto", "where the model runs; auto takes a GPU if there is one")
    panel: str = key("", "a fixed panel of evaluation tasks; by default one is drawn from the seed", presets="panel")
    panel_tasks: int = key(300, "size of the drawn panel", unit="tasks", minimum=1, maximum=1_000_000)
    tuning_tasks: int = key(
        128, "tasks for choosing each arm's temperature, apart from the panel", unit="tasks", minimum=1
    )
    temperatures: tuple[float, ...] = key(
        (0.0, 0.4, 1.0), "what an arm's evaluation chooses its sampling temperature from; one of them is simply taken"
    )
    out: str = key("", "the run folder; by default runs/<time>-<env>-<layer>")
    resume: str = key("", "a run folder to continue")
    trackers: str = key(
        "",
        "what is told each iteration's figures beside TensorBoard's files in the run folder: wandb (offline, unless"
        " WANDB_MODE=online), trackio (on this machine), or wandb,trackio",
    )
    train: TrainConfig = field(default_factory=TrainConfig)
    watch: WatchConfig = field(default_factory=WatchConfig)
    checkpoint_every: int = key(
        1, "write a checkpoint after so many iterations; a run that is stopped writes one in any case", minimum=1
    )
    pool: PoolConfig = field(default_factory=PoolConfig)
    reserve: ReserveConfig = field(default_factory=ReserveConfig)
    vllm: VllmConfig = field(default_factory=VllmConfig)
