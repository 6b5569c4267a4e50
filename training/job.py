"""The main job, stage by stage: base, choice of the layer, layer arm, full arm, comparison at equal cost, summary.

A stage's outcome is written to `state.json` as soon as it is whole. A resumed run takes finished stages from there and
goes on inside an arm's training from its last checkpoint; as every draw is keyed, it ends as it would have without the
stop.
"""

from __future__ import annotations

import itertools
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from agents import deltas
from agents.blocks import find_stack
from agents.draws import stream_seed
from agents.targets import Target, parse
from agents.types import EpisodeKey
from evals.report import build
from training import checkpoint, selectors
from training.arms import CHECKPOINTS, Run, evaluate, outcome, save_delta, snapshot, train
from training.collect import collect
from training.floor import update_floor
from training.folder import DELTA, LAYERS, STATE, SUMMARY
from training.selectors import Probe
from training.summary import sentences, summarize, table

PROBE = -2
PROBE_TASKS = 16
Stages = dict[str, Any]


def execute(run: Run, data: Mapping[str, str]) -> dict[str, Any]:
    """Runs or resumes the job.

    Args:
        run: the run.
        data: which data is used for what, for the summary.

    Returns:
        The summary.

    Raises:
        StoppedError: the user asked for a stop; what is finished is on disk.
    """
    stages: Stages = run.folder.read_json(STATE) or {}
    base = {name: value.detach().clone() for name, value in run.model.named_parameters()}
    base_sha256 = deltas.base_fingerprint(run.model)
    _stage(run, stages, "base", lambda: {"evaluation": evaluate(run, "base")})
    _stage(run, stages, "choice", lambda: choose(run))
    run.folder.write_json(LAYERS, stages["choice"])
    run.screen.print(f"layer {', '.join(map(str, stages['choice']['chosen']))}: {stages['choice']['why']}")
    targets = {"layer": _target(run, stages["choice"])}
    if run.config.compare == "full" and not targets["layer"].full:
        targets["full"] = Target(tuple(range(len(find_stack(run.model)))), full=True)
    for arm, target in targets.items():
        _stage(run, stages, arm, lambda arm=arm, target=target: _arm(run, arm, target, base_sha256))  # type: ignore[misc]
        deltas.revert(run.model, base)
    if len(targets) == 2:
        _stage(run, stages, "equal", lambda: _equal(run, stages, base))
    facts = {
        "env": run.config.env.name,
        "model": run.config.model.name,
        "algorithm": run.config.algorithm.name,
        "seed": run.config.seed,
        "data": dict(data),
        "panel": run.panel.as_json(),
        "tuning_panel": run.tuning.as_json(),
        "update_floor": update_floor(run.model, targets["layer"], _extra_passes(run)),
    }
    summary = summarize(facts, stages)
    run.folder.write_json(SUMMARY, summary)
    shutil.rmtree(run.folder / CHECKPOINTS, ignore_errors=True)
    run.screen.print(table(summary))
    for sentence in sentences(summary):
        run.screen.print(sentence)
    run.screen.print(f"report: {build(run.folder.path)}")
    return summary


def _stage(run: Run, stages: Stages, name: str, work: Callable[[], dict[str, Any]]) -> None:
    if name not in stages:
        run.stop.check()
        stages[name] = work()
        run.folder.write_json(STATE, stages)


def _target(run: Run, choice: Mapping[str, Any]) -> Target:
    if choice["selector"] == "full":
        return Target(tuple(choice["chosen"]), full=True)
    return Target(tuple(choice["chosen"]))


def _extra_passes(run: Run) -> int:
    import torch

    return int(bool(run.config.train.beta)) + int(run.model.dtype != torch.float32)


def choose(run: Run) -> dict[str, Any]:
    """The content of `layers.json`: the target of `layer=`, or what its selector chose and why."""
    num_blocks, layer = len(find_stack(run.model)), run.config.layer.strip().lower()
    fixed = parse(layer, num_blocks)
    if fixed is not None:
        blocks: list[dict[str, Any]] = [{"index": index, "score": None, "details": {}} for index in range(num_blocks)]
        selector = layer if fixed.full else "fixed"
        why = f"layer={run.config.layer} was asked for"
        return {
            "selector": selector,
            "chosen": list(fixed.indices),
            "why": why,
            "blocks": blocks,
            "cost": {"seconds": 0.0},
        }
    started, episodes = time.perf_counter(), 0

    def groups() -> Sequence[Any]:
        nonlocal episodes
        env, size = run.train_env(), run.config.train.group_size
        seed = stream_seed(run.config.seed, "probe")
        tasks = env.sample_tasks(seed, PROBE_TASKS)
        keys = [EpisodeKey(run.config.seed, PROBE, task, member) for task in tasks for member in range(size)]
        with run.screen.bar("choosing the layer: shared episodes", len(keys)) as bar:
            policy = run.policy(run.config.train.temperature, "probe")
            rows = collect(run.train_env, policy, keys, run.estimator(), progress=bar.advance).rows
        episodes = len(keys)
        return [list(group) for _, group in itertools.groupby(rows, key=lambda row: row.task)]

    probe = Probe(
        model=run.model,
        num_blocks=num_blocks,
        groups=groups,
        device=run.model.device,
        temperature=run.config.train.temperature,
        micro_batch_tokens=run.config.train.micro_batch_tokens,
        seed=run.config.seed,
    )
    choice = selectors.find(layer)(probe)
    return choice.as_json({"seconds": time.perf_counter() - started, "episodes": episodes})


def _arm(run: Run, arm: str, target: Target, base_sha256: str) -> dict[str, Any]:
    training = train(run, arm, target)
    rate = run.config.train.full_learning_rate if target.full else run.config.train.learning_rate
    card = save_delta(run, target, base_sha256, DELTA if arm == "layer" else f"{arm}.safetensors")
    if arm != "layer":
        # A delta of every parameter is a second model in size; only the layer's is the product.
        (run.folder / f"{arm}.safetensors").unlink()
    return {
        "training": training | {"learning_rate": rate},
        "evaluation": evaluate(run, arm),
        "delta": card.tensors_sha256,
    }


def _equal(run: Run, stages: Stages, base: Mapping[str, Any]) -> dict[str, Any]:
    """Both arms where they had sampled equally many tokens, and where they had trained for equally many seconds."""
    result: dict[str, Any] = {}
    quantities: dict[str, Callable[[Mapping[str, Any]], float]] = {
        "tokens": lambda row: float(row["sampled_tokens"]),
        "wall_clock": lambda row: float(row["cost"]["seconds"]),
    }
    for kind, quantity in quantities.items():
        spent = {
            arm: np.cumsum([quantity(row) for row in stages[arm]["training"]["history"]]) for arm in ("layer", "full")
        }
        budget = min((values[-1] for values in spent.values() if len(values)), default=0.0)
        result[kind] = {
            arm: _at(run, stages, arm, int(np.searchsorted(values, budget, side="right")), base)
            for arm, values in spent.items()
        }
    return result


def _at(run: Run, stages: Stages, arm: str, iterations: int, base: Mapping[str, Any]) -> dict[str, Any]:
    """The panel's outcome of an arm's policy after so many iterations, at the temperature of its last policy."""
    evaluation = stages[arm]["evaluation"]
    if iterations == 0:
        evaluation = stages["base"]["evaluation"]
    elif iterations < len(stages[arm]["training"]["history"]):
        tensors, _ = checkpoint.load(snapshot(run.folder, arm, iterations - 1))
        deltas.apply(run.model, tensors)
        title = f"{arm} after {iterations} iterations"
        evaluation = outcome(run.play(run.panel, evaluation["temperature"], title))
        deltas.revert(run.model, dict(base))
    return {"iteration": iterations, "success": evaluation["success"], "interval": evaluation["interval"]}
