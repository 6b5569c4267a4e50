"""`python -m training.planted env=alfworld`: do selectors find a block that was damaged on purpose?

One block of the starting policy is damaged by Gaussian noise on its matrices, as much as it takes to win half as often
on the tuning tasks, or whatever share `damage=` says. Then every selector named is asked which block it would train,
knowing nothing of it. A selector that looks at positions alone cannot pass. Cases that `out=` holds already are not
computed again.
"""

from __future__ import annotations

import hashlib
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from envs.command import run_command
from envs.config_schema import key, listed
from envs.errors import InputError, unknown
from envs.files import read_json, understood
from evals.folder import Folder
from evals.sampling import read_seeds
from training import selectors
from training.config import RunConfig
from training.folder import RunFolder
from training.prepare import check, load_model, make_start, open_run

if TYPE_CHECKING:
    import torch

    from training.running import Run

DEPTHS = 5
TRIALS = 7
"""Amounts of noise that are tried to find one that does the wanted damage."""
WIDEST = (0.1, 10.0)
"""Between these amounts, in standard deviations of each matrix, the search takes place."""
CLOSE = 0.3
"""A damage is as wanted if the remaining success is within this share of it."""


@dataclass(frozen=True)
class PlantedConfig(RunConfig):
    """Keys of the test, beside those of the main job."""

    depths: str = key("", "the blocks to damage, separated by commas; by default five, evenly from first to last")
    seeds: str = key("0,1", "seeds of noise and episodes, separated by commas")
    selectors: str = key("auto,prior", "who is asked, separated by commas")
    damage: float = key(0.5, "share of its success that the policy is to lose", minimum=0.05, maximum=0.95)


def main(config: PlantedConfig) -> int:
    """Runs the command."""
    names = listed(config.selectors)
    for name in names:
        if name not in selectors.names():
            raise unknown("selector", name, selectors.names())
    seeds, depths = read_seeds(config.seeds), read_seeds(config.depths, "depths")
    out = Path(config.out) if config.out else None
    cases = _kept(config, out)
    make_start(config)
    for seed in seeds:
        _compute(replace(config, seed=seed, out=""), depths, names, cases, out)
    wanted = [
        case
        for case in cases
        if case["seed"] in seeds and case["selector"] in names and (not depths or case["damaged"] in depths)
    ]
    Console().print(table(wanted))
    return 0


def _kept(config: PlantedConfig, out: Path | None) -> list[dict[str, Any]]:
    """The cases that are there already.

    Raises:
        InputError: they were computed with other settings, or the file holds something else.
    """
    if out is None or not out.is_file():
        return []
    with understood(f"out={out}", "a file of cases"):
        cases: list[dict[str, Any]] = [_checked(case) for case in read_json(out, "file of cases")]
        if any(case["settings"] != _settings(config) for case in cases):
            raise InputError(f"out={out} holds cases with other settings. Choose another file.")
        table(cases)
    return cases


def _checked(case: dict[str, Any]) -> dict[str, Any]:
    """Makes sure that what tells a case from others is what `_case` writes.

    Raises:
        TypeError: it is not.
    """
    if not (type(case["seed"]) is int and type(case["damaged"]) is int and isinstance(case["selector"], str)):
        raise TypeError("a case has no seed, block or selector")
    return case


def _settings(config: PlantedConfig) -> str:
    """What cases of one file have in common, as a hash."""
    apart = {"depths", "seeds", "selectors", "seed", "out", "pool"}
    content = {name: value for name, value in asdict(config).items() if name not in apart}
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()[:16]


def _compute(
    config: PlantedConfig, depths: Sequence[int], names: Sequence[str], cases: list[dict[str, Any]], out: Path | None
) -> None:
    """Adds the cases of one seed that are missing, and keeps them."""
    import numpy as np

    from agents import deltas
    from agents.blocks import find_stack
    from training.selection import choose

    inputs = check(config)
    loaded = load_model(inputs)
    num_blocks = len(find_stack(loaded.model))
    depths = depths or sorted({round(place) for place in np.linspace(0, num_blocks - 1, DEPTHS)})
    if not all(0 <= depth < num_blocks for depth in depths):
        raise InputError(f"depths={config.depths}: the model has blocks 0 to {num_blocks - 1}.")
    done = {(case["seed"], case["damaged"], case["selector"]) for case in cases}
    for depth in depths:
        missing = [name for name in names if (config.seed, depth, name) not in done]
        if not missing:
            continue
        with tempfile.TemporaryDirectory(prefix="keystone-planted-") as scratch:
            run = open_run(inputs, loaded, RunFolder(Path(scratch)), echo=False)
            base = {name: value.detach().clone() for name, value in run.model.named_parameters()}
            with run.pool:
                noise, successes = damage(run, depth, config.damage, base)
                for name in missing:
                    side = replace(run, folder=RunFolder(Path(scratch) / name))
                    side.folder.path.mkdir()
                    choice = choose(side, name)
                    cases.append(_case(config, depth, noise, successes, choice))
                    print(_line(cases[-1]), flush=True)
                    if out is not None:
                        out.parent.mkdir(parents=True, exist_ok=True)
                        Folder(out.parent).write_text(out.name, json.dumps(cases, indent=1) + "\n")
            deltas.revert(run.model, base)


def damage(run: Run, block: int, wanted: float, base: Mapping[str, torch.Tensor]) -> tuple[float, tuple[float, float]]:
    """Damages a block until the policy loses about a share of its success; bisection on the logarithm of the noise.

    Args:
        run: the run; its model is damaged.
        block: which one.
        wanted: the share to be lost.
        base: the weights to start from.

    Returns:
        The noise in standard deviations of each matrix, and the success on the tuning tasks before and after.
    """
    from agents import deltas
    from agents.blocks import find_stack

    deltas.revert(run.model, base)
    whole = _success(run)
    low, high = WIDEST
    tried: dict[float, float] = {}
    for _ in range(TRIALS):
        noise = (low * high) ** 0.5
        deltas.revert(run.model, base)
        disturb(find_stack(run.model).modules[block], noise, run.config.seed)
        tried[noise] = _success(run)
        if abs(tried[noise] - whole * (1 - wanted)) <= CLOSE * whole * (1 - wanted):
            break
        low, high = (noise, high) if tried[noise] > whole * (1 - wanted) else (low, noise)
    noise = min(tried, key=lambda one: abs(tried[one] - whole * (1 - wanted)))
    deltas.revert(run.model, base)
    disturb(find_stack(run.model).modules[block], noise, run.config.seed)
    return noise, (whole, tried[noise])


def disturb(block: torch.nn.Module, noise: float, seed: int) -> None:
    """Adds Gaussian noise to a block's matrices, `noise` times the standard deviation of each."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for value in block.parameters():
            if value.dim() > 1:
                drawn = torch.randn(value.shape, generator=generator)
                value.add_(noise * float(value.std()) * drawn.to(value.device, value.dtype))


def _success(run: Run) -> float:
    """Success on the tuning tasks, at the temperature of training."""
    from evals.scoring import play, score

    policy = run.policy(run.config.train.temperature, "damaged")
    episodes = play(run.train_env, policy, run.tuning, run.config.seed, stop=run.stop)
    # Half a panel would look like damage.
    run.stop.check()
    return score(episodes).success


def _case(
    config: PlantedConfig, depth: int, noise: float, successes: tuple[float, float], choice: Mapping[str, Any]
) -> dict[str, Any]:
    return {
        "settings": _settings(config),
        "seed": config.seed,
        "damaged": depth,
        "noise": noise,
        "success": {"before": successes[0], "after": successes[1]},
        "selector": choice["selector"],
        "chosen": choice["chosen"],
        "why": choice["why"],
        "scores": [block["score"] for block in choice["blocks"]],
        "share": choice["cost"]["share"],
        "cost": {"seconds": choice["cost"]["seconds"]},
    }


def _line(case: Mapping[str, Any]) -> str:
    fall = f"{case['success']['before']:.0%} to {case['success']['after']:.0%}"
    chosen = ", ".join(map(str, case["chosen"]))
    verdict = "found" if case["chosen"] == [case["damaged"]] else "missed"
    return (
        f"seed {case['seed']}, block {case['damaged']} with noise {case['noise']:.2f} (success {fall}): "
        f"{case['selector']} {verdict}: {chosen}, {case['why']}"
    )


def table(cases: Sequence[Mapping[str, Any]]) -> Table:
    """How often each selector named the damaged block, and what it cost."""
    from evals.statistics import wilson

    result = Table(title="damaged blocks found")
    for column in ("selector", "found", "of", "95 % interval", "share of a sweep"):
        result.add_column(column, justify="left" if column == "selector" else "right")
    for name in dict.fromkeys(case["selector"] for case in cases):
        own = [case for case in cases if case["selector"] == name]
        found = sum(case["chosen"] == [case["damaged"]] for case in own)
        low, high = wilson(found, len(own))
        share = sum(case["share"] for case in own) / len(own)
        result.add_row(name, str(found), str(len(own)), f"{low:.0%} to {high:.0%}", f"{share:.1%}")
    return result


if __name__ == "__main__":
    sys.exit(
        run_command(
            "python -m training.planted",
            PlantedConfig,
            main,
            description="Damages one block after another and asks selectors which one it is.",
        )
    )
