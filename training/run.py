"""`python -m training.run env=alfworld layer=auto`: the main job.

Trains one layer of a language-model agent with group advantages, the full-parameter policy beside it from the same
start on the same tasks, and compares both with the base policy on held-out tasks. What can be wrong with the arguments
is found before anything slow is imported and before anything is written.

`accelerate launch --multi_gpu --num_processes N -m training.run ...`, or torchrun, runs it on N devices
(`training.processes`): rollouts and evaluations are shared out, updates are made together. With --use_deepspeed in the
place of --multi_gpu the optimizer is spread over them (`training.zero`).
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from envs.command import launched, run_command
from envs.config import load, save
from envs.errors import InputError
from envs.registry import options_of
from training import deepspeed_settings
from training.config import RunConfig
from training.endings import told
from training.folder import CONFIG, RunFolder
from training.prepare import Inputs, check, load_model, make_start, open_run
from training.processes import OtherProcessError, Processes, asked_for, joined
from training.trackers import chosen

if TYPE_CHECKING:
    from training.running import Run

RUNS = Path("runs")


def main(config: RunConfig) -> int:
    """Runs the command."""
    if asked_for("FSDP"):
        raise InputError(
            "accelerate launch --use_fsdp: training.run needs the whole model in each process; only GroupTrainer "
            "spreads weights. Launch with accelerate launch --multi_gpu, or torchrun."
        )
    if config.resume:
        check_resume(sys.argv[1:])
        inputs = check(load(RunConfig, [f"config={RunFolder.open(Path(config.resume)) / CONFIG}"]))
    else:
        inputs = check(config)
    if (settings := deepspeed_settings.asked()) is not None:
        deepspeed_settings.checked(settings, inputs.config.train.max_grad_norm)
    if launched() > 1 and inputs.config.sampler == "vllm":
        raise InputError(
            f"sampler=vllm plays for one process, and {launched()} were launched; use sampler=transformers."
        )
    with joined(inputs.config.device) as processes:
        return work(config, inputs, processes)


def work(config: RunConfig, inputs: Inputs, processes: Processes) -> int:
    """Runs the job on one process or on several; one of them writes and prints."""
    path = Path(config.resume or processes.first(lambda: str(new_folder(config))))
    processes.first(lambda: make_start(inputs.config))
    loaded = load_model(inputs)
    if not config.resume:
        processes.first(lambda: begin(config, path))
    folder = RunFolder(path)
    processes.first(folder.claim)
    with told(path, str(options_of(inputs.config.env).get("data") or "")):
        run = open_run(inputs, loaded, folder)
        run.trackers = chosen(inputs.config.trackers)
        return play(run, inputs, processes)


def play(run: Run, inputs: Inputs, processes: Processes) -> int:
    """Executes the job of an opened run; returns the exit code."""
    from evals.stopping import StoppedError
    from training.job import execute

    run.screen.print("configuration: " + summary_line(inputs.config))
    if processes.main:
        run.screen.log((run.folder / CONFIG).read_text(encoding="utf-8"))
    with run.stop.listening(), run.pool:
        try:
            execute(run, inputs.data)
        except StoppedError:
            why = f": {run.stop.reason}" if run.stop.reason else ""
            run.screen.print(f"stopped{why}. Go on with: python -m training.run resume={run.folder.path}")
            return 1 if why else 130
        except OtherProcessError:
            return 1
    return 0


def new_folder(config: RunConfig) -> Path:
    """Where a new run goes.

    Raises:
        InputError: something else is there.
    """
    path = Path(config.out) if config.out else default_folder(config)
    RunFolder.check(path)
    return path


def begin(config: RunConfig, path: Path) -> None:
    """Makes a run's folder with its configuration."""
    save(replace(config, out="", resume=""), RunFolder.create(path) / CONFIG)


def summary_line(config: RunConfig) -> str:
    """The keys people look for first, on one line; the rest is in config.yaml."""
    train = config.train
    return (
        f"env={config.env.name} model={config.model.name} algorithm={config.algorithm.name} layer={config.layer} "
        f"compare={config.compare} iterations={config.iterations} of {train.groups} tasks x {train.group_size} "
        f"episodes seed={config.seed} learning_rate={train.learning_rate:g} "
        f"full_learning_rate={train.full_learning_rate:g}"
    )


def default_folder(config: RunConfig) -> Path:
    """runs/<time>-<env>-<layer>, with a number behind it if that is taken."""
    name = f"{time.strftime('%Y%m%d-%H%M%S')}-{config.env.name}-{config.layer}".replace(":", "_").replace("/", "_")
    candidates = [RUNS / name, *(RUNS / f"{name}-{number}" for number in range(2, 100))]
    return next(path for path in candidates if not path.exists())


def check_resume(arguments: Sequence[str]) -> None:
    """A resumed run goes on as it was begun.

    Raises:
        InputError: other keys stand beside resume=.
    """
    others = [word for word in arguments if not word.startswith("resume=")]
    if others:
        raise InputError(f"resume= goes on with the run as it was configured; leave out {others[0]!r}.")


if __name__ == "__main__":
    sys.exit(
        run_command(
            "python -m training.run",
            RunConfig,
            main,
            description="Trains one layer of a language-model agent, and compares it with training every parameter.",
            several=True,
        )
    )
