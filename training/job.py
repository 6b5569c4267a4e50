"""The main job, stage by stage: base, choice of the layer, layer arm, full arm, comparison at equal cost, summary.

A stage's outcome is written to `state.json` as soon as it is whole. A resumed run takes finished stages from there and
goes on inside an arm's training from its last checkpoint; as every draw is keyed, it ends as it would have without the
stop.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from agents import deltas
from agents.blocks import find_stack
from agents.targets import Target, full, parameters, parse
from envs.errors import InputError
from evals.report import build
from training import equal_cost, rates, selection
from training.arms import Keep, save_delta, train
from training.card import CARD, model_card
from training.floor import update_floor
from training.folder import LAYERS, STATE, SUMMARY
from training.processes import current
from training.running import CHECKPOINTS, Run, evaluate
from training.summary import sentences, summarize, table

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
    base_sha256 = run.base_sha256
    _check_inputs(run, stages, {"base": base_sha256, **{f"{use} data": line for use, line in data.items()}})
    # Kept off the device, where memory is scarce and measured. Rounded weights are never trained.
    weights = {name: value for name, value in run.model.named_parameters() if value.is_floating_point()}
    base = {name: value.detach().to("cpu", copy=True) for name, value in weights.items()}
    _stage(run, stages, "base", lambda: {"evaluation": evaluate(run, "base")})
    _stage(run, stages, "choice", lambda: selection.choose(run))
    run.folder.write_json(LAYERS, stages["choice"])
    for line in selection.lines(stages["choice"]):
        run.screen.print(line)
    num_blocks = len(find_stack(run.model))
    targets = {"layer": _target(stages["choice"], num_blocks)}
    if run.config.compare == "full" and not targets["layer"].full:
        targets["full"] = full(num_blocks)
    for target in targets.values():
        if note := rates.advice(run.config, target.name, num_blocks):
            run.screen.print(note)
    # The layer's arm keeps its weights after every iteration; where that is everything it would fill the disk.
    at_equal_cost = len(targets) == 2 and not targets["layer"].everything
    for arm, target in targets.items():
        keep = equal_cost.snapshots(run, arm, stages).keep if at_equal_cost else None
        _stage(run, stages, arm, partial(_arm, run, arm, target, base_sha256, keep))
        deltas.revert(run.model, base)
    if at_equal_cost:
        _stage(run, stages, "equal", lambda: equal_cost.compare(run, stages, base))
    facts = {
        "env": run.config.env.name,
        "model": run.config.model.name,
        "base_sha256": base_sha256,
        "delta_sha256": stages["layer"]["delta"],
        "algorithm": run.config.algorithm.name,
        "seed": run.config.seed,
        "data": dict(data),
        "panel": run.panel.as_json(),
        "tuning_panel": run.tuning.as_json(),
        "update_floor": update_floor(run.model, targets["layer"], _extra_passes(run), run.config.train.epochs),
    }
    summary = summarize(facts, stages)
    if not current().main:
        return summary
    run.folder.write_json(SUMMARY, summary)
    run.folder.write_text(CARD, model_card(run.config, summary, base_sha256, stages["layer"]["delta"]))
    shutil.rmtree(run.folder / CHECKPOINTS, ignore_errors=True)
    run.screen.print(table(summary))
    for sentence in sentences(summary):
        run.screen.print(sentence)
    run.screen.print(f"report: {build(run.folder.path)}")
    return summary


def _stage(run: Run, stages: Stages, name: str, work: Callable[[], dict[str, Any]]) -> None:
    if name not in stages:
        run.check_stop()
        # All processes work; what one of them measured holds for all.
        stages[name] = current().agree(work())
        run.folder.write_json(STATE, stages)


def _check_inputs(run: Run, stages: Stages, found: dict[str, str]) -> None:
    """Notes what a run rests on when it begins; a resumed run must rest on the same.

    Raises:
        InputError: model, data or tasks are others than when the run began.
    """
    found |= {"panel": run.panel.sha256, "tuning tasks": run.tuning.sha256}
    found |= {"panel content": run.panel.content_sha256}
    # A run that an earlier release began has noted no content.
    begun = {"panel content": run.panel.content_sha256, **stages.setdefault("inputs", found)}
    for name, value in found.items():
        if begun.get(name) != value:
            raise InputError(
                f"resume={run.folder.path}: the run's {name} changed since it began, from {begun.get(name)!r} to "
                f"{value!r}. Put it back, or start a new run."
            )


def _target(choice: Mapping[str, Any], num_blocks: int) -> Target:
    target = parse(choice["target"], num_blocks)
    assert target is not None
    return target


def _extra_passes(run: Run) -> int:
    import torch

    rescans = run.model.dtype != torch.float32 or run.sampler is not None
    return int(bool(run.config.train.beta)) + int(rescans)


def _arm(run: Run, arm: str, target: Target, base_sha256: str, keep: Keep | None) -> dict[str, Any]:
    training = train(run, arm, target, keep)
    rate = run.config.train.full_learning_rate if target.full else run.config.train.learning_rate
    if arm == "layer" and current().main:
        # The full arm's delta would be a second model in size; the layer's is the product.
        save_delta(run, target, base_sha256)
    return {
        "training": training | {"learning_rate": rate},
        "evaluation": evaluate(run, arm),
        "delta": deltas.fingerprint(parameters(run.model, target)),
    }
