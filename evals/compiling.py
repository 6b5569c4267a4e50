"""`python -m evals.compiling blocks=8 width=96`: whether `torch.compile` pays for a decoding step of the sampler.

Random weights of a Qwen3 decode one token for each of many rows through the sampler's own cache, as they are and
compiled by inductor, in turns and on the same shapes. Every step of a rollout has other shapes, since rows end and keys
become more; so the compiled code is made once for this shape alone (the most it can save) or, with `dynamic=on`, for
any, and is then called with fewer rows and more keys too. Seconds are CPU seconds of one thread, with those of the
compiler's processes, so that what else the machine does hardly matters. CPU only; reading prompts is not compiled.
"""

from __future__ import annotations

import os
import platform
import resource
import shutil
import statistics
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from agents.models import quiet
from envs.command import run_command
from envs.config_schema import key
from envs.errors import InputError
from evals.folder import write_json

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

    from agents.policies.ragged import RaggedCache


@dataclass(frozen=True)
class CompilingConfig:
    """Keys of the measurement."""

    blocks: int = key(8, "blocks of the model", minimum=1)
    width: int = key(96, "size of its hidden states, a multiple of 32", unit="numbers", minimum=32)
    vocabulary: int = key(788, "ids it knows", minimum=2)
    rows: int = key(64, "rows that decode together", unit="rows", minimum=1)
    length: int = key(200, "tokens that each row has in the cache", unit="tokens", minimum=1)
    steps: int = key(40, "steps of a round", unit="steps", minimum=1)
    rounds: int = key(3, "how often both are timed", unit="times", minimum=1)
    dynamic: Literal["on", "off"] = key("off", "code for any number of rows and keys, and not for one")
    out: str = key("", "a file for the figures, JSON")


class Decoder:
    """Rows of a random model that decode.

    Args:
        config: the shapes.
    """

    def __init__(self, config: CompilingConfig) -> None:
        import torch
        from transformers import Qwen3Config, Qwen3ForCausalLM

        from agents.policies.ragged import RaggedCache

        torch.manual_seed(0)
        heads = config.width // 32
        shape = Qwen3Config(
            vocab_size=config.vocabulary,
            hidden_size=config.width,
            intermediate_size=3 * config.width,
            num_hidden_layers=config.blocks,
            num_attention_heads=heads,
            num_key_value_heads=heads,
            head_dim=32,
        )
        self.model: PreTrainedModel = Qwen3ForCausalLM(shape).eval()
        self._cache: RaggedCache = RaggedCache(config.blocks)
        self._rows = config.rows

    def run(self, forward: Callable[..., Any], ids: torch.Tensor, start: int, width: int = 1) -> torch.Tensor:
        """Feeds each of the first rows as many new tokens, behind so many; the logits after the last, (R, V)."""
        from agents.policies.packing import plan_chunks
        from agents.policies.ragged import next_logits

        rows = ids.shape[1] // width
        widths = np.full(rows, width)
        plan = plan_chunks(np.arange(rows), np.full(rows, start), widths, 1, next(self.model.parameters()))
        self._cache.reserve(self._rows, start + width)
        self._cache.prepare(plan)
        return next_logits(forward, ids, plan, self._cache)


def main(config: CompilingConfig) -> int:
    """Runs the command."""
    compiler = os.environ.get("CXX", "g++")
    if shutil.which(compiler) is None:
        raise InputError(f"torch.compile needs a C++ compiler, and there is no {compiler}; on Debian, install g++.")
    quiet()
    import torch

    from agents.policies.ragged import ragged

    torch.set_num_threads(1)
    shapes = [(config.rows, config.length)]
    if config.dynamic == "on":
        shapes += [(max(config.rows * share // 4, 1), config.length + 8 * (4 - share)) for share in (3, 2, 1)]
    with torch.inference_mode():
        decoder = Decoder(config)
        compiled = torch.compile(decoder.model.forward, dynamic=config.dynamic == "on")
        with ragged(decoder.model):
            prompts = torch.randint(0, config.vocabulary, (1, config.rows * config.length))
            decoder.run(decoder.model.forward, prompts, 0, config.length)
            rows = [_measure(config, decoder, compiled, *shape) for shape in shapes]
    content = {
        "rows": rows,
        "load": {**asdict(config), "out": ""},
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
    }
    if config.out:
        write_json(Path(config.out), content)
    return 0


def _measure(
    config: CompilingConfig, decoder: Decoder, compiled: Callable[..., Any], rows: int, length: int
) -> dict[str, Any]:
    """Times both on one shape, and prints what came out."""
    import torch

    ids = torch.randint(0, config.vocabulary, (1, rows))
    before = _cpu_seconds()
    ours = decoder.run(compiled, ids, length)
    seconds = _cpu_seconds() - before
    theirs = decoder.run(decoder.model.forward, ids, length)
    times: dict[str, list[float]] = {"plain": [], "compiled": []}
    for _ in range(config.rounds):
        for name, forward in (("plain", decoder.model.forward), ("compiled", compiled)):
            before = _cpu_seconds()
            for _ in range(config.steps):
                decoder.run(forward, ids, length)
            times[name].append((_cpu_seconds() - before) / config.steps)
    step = {name: statistics.median(found) for name, found in times.items()}
    saved = step["plain"] - step["compiled"]
    plain, other = (f"{step[name] * 1e3:.1f} ms" for name in ("plain", "compiled"))
    print(
        f"{rows} rows of {length} tokens: {plain} a step, compiled {other} after {seconds:.1f} s of compiling"
        + (f", which {seconds / saved:,.0f} steps win back" if saved > 0 else ""),
        flush=True,
    )
    return {
        "rows": rows,
        "length": length,
        "compile_seconds": seconds,
        "step_seconds": step,
        "largest_difference": float((ours - theirs).abs().max()),
    }


def _cpu_seconds() -> float:
    """Of this process and of those that it has waited for, as the compiler's."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


if __name__ == "__main__":
    sys.exit(
        run_command(
            "python -m evals.compiling",
            CompilingConfig,
            main,
            description="Measures whether torch.compile pays for a decoding step of the sampler.",
        )
    )
