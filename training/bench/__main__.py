"""`python -m training.bench model=qwen2.5-1.5b layer=middle`: what an update costs, block by block.

A model of the named shape gets random weights, and rows of random tokens stand for the episodes of one iteration, so
that nothing is downloaded and the arithmetic is the real one. Each target makes one iteration's updates through the
trainer as it is: the blocks named by `layer=` (else the first, quarter, middle, three-quarter and last), LoRA on the
middle block, everything, and, where TRL is installed, TRL's own trainer with the middle block's parameters alone
unfrozen, as it ships (with checkpointing) and with stored activations. Targets take turns, round after round, so that
a noisy machine treats them alike; medians are printed.

Beside each stands the floor: the least parameter passes that its mathematics needs over those of full training
(`training.floor`, attention's own products not counted), and the share of a whole iteration that its update is, with
the sampler's time for the same tokens. Everything is kept in bench.json of `out=`.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import platform
import statistics
import sys
import tempfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from rich.console import Console
from rich.table import Table

from agents.targets import Target, is_peft_installed, middle, parse
from envs.command import run_command
from envs.config_schema import key
from envs.errors import InputError
from training.bench.shapes import SHAPES, build, find
from training.folder import RunFolder

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from training.bench.load import Measured

BENCH = "bench.json"


@dataclass(frozen=True)
class BenchConfig:
    """Keys of the benchmark."""

    model: str = key("cpu-small", f"the shape: {', '.join(SHAPES)}")
    layer: str = key("", "the blocks to measure, such as middle or 3,14; empty takes five over the depth")
    rows: int = key(16, "episodes an iteration", unit="rows", minimum=2)
    prompt_tokens: int = key(192, "tokens of each that were read", unit="tokens", minimum=2)
    reply_tokens: int = key(64, "tokens of each that were sampled", unit="tokens", minimum=1)
    updates: int = key(1, "optimizer updates an epoch", minimum=1)
    epochs: int = key(2, "how often the rows are learned from", minimum=1)
    reference: bool = key(True, "whether a KL divergence needs reference log-probabilities")
    rounds: int = key(3, "how often each target is measured", unit="times", minimum=1)
    micro_batch_tokens: int = key(2048, "most tokens in one forward pass", unit="tokens", minimum=1)
    checkpointing: bool = key(False, "recompute activations in our backward pass")
    full: bool = key(True, "measure training of every parameter")
    lora: bool = key(True, "measure LoRA on the middle block, where PEFT is installed")
    trl: bool = key(True, "measure TRL's trainer, where it is installed")
    dtype: Literal["auto", "float32", "bfloat16"] = key("auto", "type of the weights; auto is bfloat16 on a GPU")
    device: Literal["auto", "cpu", "cuda"] = key("auto", "where the model runs")
    seed: int = key(0, "keys the weights and the rows", minimum=0)
    out: str = key("runs/bench", "the folder of bench.json")


def targets_of(config: BenchConfig, blocks: int) -> dict[str, Target]:
    """The targets to measure, by name.

    Raises:
        InputError: `layer=` names no block.
    """
    named = config.layer.strip()
    if named:
        asked = parse(named, blocks)
        if asked is None or asked.full or asked.lora:
            raise InputError(f"layer={named}: the benchmark measures blocks, such as middle, 3,14 or 2-5.")
        single = {str(index): Target((index,)) for index in asked.indices}
    else:
        places = sorted({0, blocks // 4, middle(blocks)[0], 3 * blocks // 4, blocks - 1})
        single = {str(index): Target((index,)) for index in places}
    found = dict(single)
    for name, wanted in (("lora:middle", config.lora and is_peft_installed()), ("full", config.full)):
        target = parse(name, blocks)
        if wanted and target is not None:
            found[target.name] = target
    return found


def main(config: BenchConfig) -> int:
    """Runs the command."""
    shape = find(config.model)
    if config.rows % config.updates:
        raise InputError(f"updates={config.updates} does not divide rows={config.rows}.")
    targets = targets_of(config, shape.blocks)
    from agents.models import choose_device, quiet

    quiet()
    import torch

    from training.bench.load import make_rows, sample_seconds

    device = choose_device(config.device)
    dtype = (
        torch.bfloat16 if config.dtype == "bfloat16" or (config.dtype == "auto" and device != "cpu") else torch.float32
    )
    config = dataclasses.replace(config, device=cast("Any", device))
    model = build(shape, dtype, device, config.seed)
    rows = make_rows(config, shape.vocabulary)
    count = sum(parameter.numel() for parameter in model.parameters())
    print(
        f"{config.model}: {count:,} random parameters, {dtype} on {device}; {config.rows} rows of "
        f"{config.prompt_tokens} + {config.reply_tokens} tokens, {config.epochs} epochs of {config.updates} updates"
        f"{', with a reference' if config.reference else ''}",
        flush=True,
    )
    found, raced = _measure(config, model, rows, targets)
    sampling = statistics.median(sample_seconds(model, config) for _ in range(config.rounds))
    content = report(config, model, targets, found, raced, sampling)
    out = Path(config.out)
    out.mkdir(parents=True, exist_ok=True)
    RunFolder(out).write_json(BENCH, content)
    Console().print(table(content))
    print(f"figures: {out / BENCH}")
    return 0


def _measure(
    config: BenchConfig, model: PreTrainedModel, rows: Sequence[Any], targets: Mapping[str, Target]
) -> tuple[dict[str, list[Measured]], dict[str, list[tuple[float, int]]]]:
    """All rounds of our targets and of TRL's."""
    from agents.blocks import find_stack
    from training.bench.load import measure, tokenizer
    from training.bench.trl import Racer

    found: dict[str, list[Measured]] = defaultdict(list)
    raced: dict[str, list[tuple[float, int]]] = defaultdict(list)
    dtype = str(model.dtype).removeprefix("torch.")
    with tempfile.TemporaryDirectory(prefix="keystone-bench-") as scratch:
        racers: dict[str, Racer] = {}
        if config.trl and all(importlib.util.find_spec(name) for name in ("trl", "datasets")):
            model.save_pretrained(scratch)
            tokenizer(model.config.get_text_config().vocab_size).save_pretrained(scratch)
            block = Target(middle(len(find_stack(model))))
            racers = {
                f"trl:{block.name}": Racer(scratch, block, config, checkpointing=True),
                f"trl:{block.name}, stored": Racer(scratch, block, config, checkpointing=False),
            }
        elif config.trl:
            print("TRL is not measured: it is not installed (pip install 'keystone-rl[trl]').", flush=True)
        for number in range(config.rounds):
            for name, target in targets.items():
                found[name].append(measure(model, rows, target, config))
            for name, racer in racers.items():
                raced[name].append(racer.seconds(rows, dtype))
            print(f"round {number + 1} of {config.rounds} done", flush=True)
    return found, raced


def report(
    config: BenchConfig,
    model: PreTrainedModel,
    targets: Mapping[str, Target],
    found: Mapping[str, Sequence[Measured]],
    raced: Mapping[str, Sequence[tuple[float, int]]],
    sampling: float,
) -> dict[str, Any]:
    """The content of bench.json."""
    import torch
    import transformers

    from training.floor import update_floor

    # Below float32 the sampler's log-probabilities are computed again.
    extra = int(config.reference) + int(model.dtype != torch.float32)
    spoken = config.reply_tokens / (config.prompt_tokens + config.reply_tokens)
    tokens = config.rows * (config.prompt_tokens + config.reply_tokens)
    full = statistics.median(one.update_seconds for one in found["full"]) if "full" in found else None
    rows: list[dict[str, Any]] = []
    for name, measured in found.items():
        row: dict[str, Any] = {"target": name}
        for field in dataclasses.fields(measured[0]):
            row[field.name] = statistics.median(getattr(one, field.name) for one in measured)
        row["floor"] = update_floor(model, targets[name], extra, config.epochs, head_share=spoken)
        rows.append(row)
    for name, seconds in raced.items():
        medians = [statistics.median(values) for values in zip(*seconds, strict=True)]
        rows.append({"target": name, "update_seconds": medians[0], "peak_bytes": medians[1]})
    for row in rows:
        row["ratio_to_full"] = row["update_seconds"] / full if full else None
        row["tokens_per_second"] = tokens / row["update_seconds"]
        row["share_of_iteration"] = row["update_seconds"] / (row["update_seconds"] + sampling)
    device = torch.cuda.get_device_name() if model.device.type == "cuda" else f"{torch.get_num_threads()} CPU threads"
    return {
        "rows": rows,
        "sampling_seconds": sampling,
        "load": dataclasses.asdict(config) | {"out": ""},
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "dtype": str(model.dtype).removeprefix("torch."),
        "device": device,
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "trl": _version("trl"),
        },
    }


def _version(package: str) -> str | None:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(package)
    except PackageNotFoundError:
        return None


COLUMNS = {
    "update s": ("update_seconds", "{:.3f}", 1.0),
    "of full": ("ratio_to_full", "{:.2f}", 1.0),
    "floor": ("floor", "{:.2f}", 1.0),
    "fwd s": ("forward_seconds", "{:.2f}", 1.0),
    "bwd s": ("backward_seconds", "{:.2f}", 1.0),
    "peak MB": ("peak_bytes", "{:.0f}", 2.0**-20),
    "optim.": ("optimizer_bytes", "{:.1f}", 2.0**-20),
    "sync": ("sync_bytes", "{:.1f}", 2.0**-20),
    "share": ("share_of_iteration", "{:.0%}", 1.0),
}


def table(content: Mapping[str, Any]) -> Table:
    """What is printed."""
    note = (
        f"Optimizer and sync in MB; share: of an iteration, with {content['sampling_seconds']:.2f} s of sampling. "
        "On a CPU the peak is the whole process's."
    )
    made = Table(caption=note, box=None, padding=(0, 1, 0, 0))
    made.add_column("target", no_wrap=True)
    for title in COLUMNS:
        made.add_column(title, justify="right", no_wrap=True)
    for row in content["rows"]:
        cells = (
            written.format(row[name] * scale) if row.get(name) is not None else "-"
            for name, written, scale in COLUMNS.values()
        )
        made.add_row(row["target"], *cells)
    return made


if __name__ == "__main__":
    sys.exit(
        run_command("python -m training.bench", BenchConfig, main, description="Measures what updates of a block cost.")
    )
