"""What a run of a language model takes: memory by its parts, and hours on a named GPU.

Memory counts tensors: weights; float32 masters, two moments and gradients of what is trained; the reference's copy of
it; kept states below the target; activations of one micro-batch; the sampler's keys and values. Time counts arithmetic:
`training.floor` for the updates, a pass over every token read and said for the rollouts, and for each step of sampling
at least the reading of all weights. Both are divided by the share of a GPU's peak that is reached, which is an
assumption: the shares below make the published full-parameter run of Qwen2.5-1.5B on ALFWorld (arXiv 2505.10978: 222 s
of rollout, 141 s of learning) come out, if its two GPUs were H100 and its episodes 30 turns of 400 + 150 tokens. Left
out: attention's own products, the worlds' time, fragmentation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from envs.errors import unknown

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from agents.targets import Target

ROLLOUT_SHARE, UPDATE_SHARE = 0.03, 0.10


@dataclass(frozen=True)
class Gpu:
    """A GPU by its data sheet.

    Attributes:
        flops: dense bfloat16 operations a second.
        bandwidth: bytes a second that its memory gives.
        memory: bytes of it.
    """

    flops: float
    bandwidth: float
    memory: float


GPUS = {
    "h200": Gpu(989e12, 4.80e12, 141e9),
    "h100": Gpu(989e12, 3.35e12, 80e9),
    "a100": Gpu(312e12, 2.04e12, 80e9),
    "l40s": Gpu(362e12, 0.86e12, 48e9),
    "rtx4090": Gpu(165e12, 1.01e12, 24e9),
    "l4": Gpu(121e12, 0.30e12, 24e9),
}


def find_gpu(name: str) -> Gpu:
    """A GPU by name.

    Raises:
        InputError: no such GPU; names the nearest.
    """
    if name.lower() not in GPUS:
        raise unknown("gpu", name, GPUS)
    return GPUS[name.lower()]


@dataclass(frozen=True)
class Load:
    """What an iteration reads, says and learns from.

    Attributes:
        episodes: played together.
        turns: of an episode, on average.
        prompt_tokens: read in a turn, on average.
        reply_tokens: said in a turn, on average.
        windows: whether every turn is a row of its own, with a prompt that tells earlier ones again.
        epochs: passes with gradients.
        extra_passes: passes without: reference, recomputed log-probabilities.
        micro_batch_tokens: of one forward pass.
        prefix_bytes: room for states below the target.
        checkpointing: whether activations are computed again.
    """

    episodes: int
    turns: float
    prompt_tokens: float
    reply_tokens: float
    windows: bool
    epochs: int
    extra_passes: int
    micro_batch_tokens: int
    prefix_bytes: int
    checkpointing: bool

    @property
    def tokens(self) -> float:
        """Read and said in an iteration, each once."""
        return self.episodes * self.turns * (self.prompt_tokens + self.reply_tokens)

    @property
    def context(self) -> float:
        """Tokens of a conversation at its end."""
        return (1 if self.windows else self.turns) * (self.prompt_tokens + self.reply_tokens)


def weight_bytes(model: PreTrainedModel) -> int:
    """Bytes of all weights, tied ones once."""
    return sum(parameter.numel() * parameter.element_size() for parameter in model.parameters())


def state_bytes(model: PreTrainedModel, target: Target, *, reference: bool) -> dict[str, int]:
    """Bytes that training a target needs beside the weights, whatever the load: gradients, optimizer, reference."""
    from agents.targets import parameters

    if target.lora:
        return {}
    size = 4 if str(model.dtype) == "torch.float32" else 2
    count = sum(parameter.numel() for parameter in parameters(model, target).values())
    found = {"gradients": size * count, "masters and moments": (8 if size == 4 else 12) * count}
    return found | ({"reference": size * count} if reference else {})


def memory(
    model: PreTrainedModel, target: Target, load: Load, *, reference: bool, weights: int | None = None
) -> dict[str, int]:
    """Peak bytes by part, of a model that may lie on the meta device.

    Args:
        model: the model.
        target: what is trained.
        load: what is read, said and learned from.
        reference: whether the loss has a divergence from the start.
        weights: bytes of all weights, where they are not stored as the model has them.
    """
    config = model.config.get_text_config()
    size = model.dtype.itemsize
    blocks, key_heads = config.num_hidden_layers, getattr(config, "num_key_value_heads", config.num_attention_heads)
    head = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    cached = 2 * blocks * key_heads * head * size * load.context * load.episodes
    rows = load.context * load.episodes * (load.turns if load.windows else 1)
    passes = load.epochs + load.extra_passes
    kept = min(load.prefix_bytes, rows * config.hidden_size * size) if target.lowest and passes > 1 else 0
    # What autograd keeps of a block for each token: norms' inputs, queries, keys, values, attention's output and
    # log-sums, the two residuals; the gate, what it gates, and their product. Counted for the fused attention kernel.
    block = size * (6 * config.hidden_size + 2 * head * key_heads + 3 * config.intermediate_size)
    above = blocks - target.lowest
    stored = config.hidden_size * size * above + block if load.checkpointing else block * above
    return {
        "weights": weight_bytes(model) if weights is None else weights,
        **state_bytes(model, target, reference=reference),
        "states below the layer": int(kept),
        "activations": int(stored * load.micro_batch_tokens),
        "sampler's keys and values": int(cached),
    }


@dataclass(frozen=True)
class Seconds:
    """Of one iteration.

    Attributes:
        rollout: reading and saying.
        update: learning.
    """

    rollout: float
    update: float


def seconds(model: PreTrainedModel, target: Target, load: Load, gpu: Gpu, gpus: int = 1) -> Seconds:
    """Seconds of one iteration.

    Args:
        model: the model, which may lie on the meta device.
        target: what is trained.
        load: what is read, said and learned from.
        gpu: which GPU.
        gpus: how many, sharing the work evenly.

    Returns:
        Of the rollout and of the updates.
    """
    from training.floor import update_compute

    rate, count = gpu.flops * gpus, sum(parameter.numel() for parameter in model.parameters())
    share = load.reply_tokens / (load.prompt_tokens + load.reply_tokens)
    passes = update_compute(model, target, load.extra_passes, load.epochs, head_share=share)
    said = load.episodes * load.turns * load.reply_tokens
    reading = 2 * count * (load.tokens - said) / rate
    steps = load.turns * load.reply_tokens * weight_bytes(model) / gpu.bandwidth
    saying = max(2 * count * said / rate, steps)
    return Seconds((reading + saying) / ROLLOUT_SHARE, 2 * passes * load.tokens / rate / UPDATE_SHARE)
