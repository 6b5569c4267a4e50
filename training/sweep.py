"""`python -m training.sweep env=alfworld layers=all seeds=0,1,2,3,4`: the layer-contribution study.

Trains every block alone, everything, and LoRA on one block, from the same start on the same tasks, once a seed, and
scores each on one common panel (arXiv 2607.01232, C(k) = (S_k - S_base) / (S_full - S_base)). Every selector is asked
at the same starts, so that its picks can be judged by what the study found.

Each cell is a small file in `cells/` of the folder `out=`, written once and never computed again: an interrupted study
goes on where it was, on any machine that has these files. A policy that was made on demand (`model=warm`) is kept with
them in `start/`, since another machine would make another one. What lies between is in `work/` and may be deleted.
Every state of the folder is a study: seeds are the outer loop, and base, everything and the middle block come first.
"""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from agents.starts import MADE, WARM, is_made, locate, start_folder
from agents.targets import INSTALL_PEFT, is_peft_installed, middle
from envs.command import run_command
from envs.config import load, save
from envs.config_schema import listed
from envs.errors import InputError
from envs.files import understood
from evals import study
from evals.folder import Folder
from evals.reserve import ReserveConfig
from evals.sampling import read_seeds
from evals.studies import BASE, CELLS, FULL, read_cells
from training import fitting, selectors
from training.cells import Cell, SweepConfig, compute, cost_of
from training.executors import check as check_executor
from training.executors import run_cells
from training.folder import CONFIG, RunFolder
from training.prepare import block_count, layer_of, make_start, model_type
from training.rates import KEPT, kept_search, rates_of, told

WORK, START = "work", "start"


def main(config: SweepConfig) -> int:
    """Runs the command."""
    check_executor(config.executor)
    out, given = Path(config.out or f"runs/sweep-{config.env.name}"), config
    config = at_start(given, out)
    if not config.plan:
        make_start(config)
    cells = cells_of(config)
    check_folder(given, out)
    check_rates(cells, out)
    if not config.plan:
        open_folder(given, out)
        Folder(out).claim()
        keep_start(given, out)
        config = at_start(given, out)
    waiting = [cell for cell in cells if not (out / CELLS / f"{cell.file}.json").is_file()]
    print(f"{len(cells)} cells, {len(cells) - len(waiting)} of them done: {out}")
    print(told({cell.name: cell.rate for cell in cells if cell.kind == "arm"}, search_of(config)))
    if waiting:
        seconds = cost_of(config, out, waiting)
        print(
            f"the others take about {sum(seconds) / 3600 / config.jobs:.1f} h with jobs={config.jobs} "
            f"({sum(seconds) / len(seconds):.0f} s a cell on one thread)",
            flush=True,
        )
    if config.plan:
        return 0
    (out / WORK).mkdir(exist_ok=True)
    return _compute(config, out, waiting)


def at_start(config: SweepConfig, out: Path) -> SweepConfig:
    """The configuration with the starting policy that the study keeps, if it keeps one."""
    if config.model.path != WARM or not is_made(out / START):
        return config
    return replace(config, model=replace(config.model, path=str(out / START)))


def keep_start(config: SweepConfig, out: Path) -> None:
    """Keeps a policy that was made on demand with the study."""
    if config.model.path == WARM and not is_made(out / START):
        aside = out / f"{START}.part"
        shutil.rmtree(aside, ignore_errors=True)
        shutil.copytree(start_folder(config.env), aside)
        with understood(aside / MADE, "the record of a starting policy"):
            how = Folder(aside).read_json(MADE) or {}
            # The study travels; where the policy was made is nobody's business.
            told = how | {"settings": {**how.get("settings", {}), "out": ""}}
        Folder(aside).write_json(MADE, told)
        aside.rename(out / START)


def _compute(config: SweepConfig, out: Path, waiting: Sequence[Cell]) -> int:
    """Computes the cells that are missing and writes the study after each."""
    started, done = time.perf_counter(), 0
    save(config, out / WORK / CONFIG)
    settings = (out / WORK / CONFIG).read_text(encoding="utf-8")
    calls = [(settings, cell, str(out.resolve() / WORK)) for cell in waiting]
    folders = {cell.file: cell.folder for cell in waiting}
    try:
        for row in run_cells(
            compute,
            calls,
            config.jobs,
            config.executor,
            names=[cell.file for cell in waiting],
            idle_seconds=config.idle_seconds,
        ):
            Folder(out / CELLS).write_json(f"{row['cell']}.json", row)
            shutil.rmtree(out / WORK / folders[row["cell"]], ignore_errors=True)
            done += 1
            left = (time.perf_counter() - started) / done * (len(waiting) - done)
            print(f"{row['cell']}: {_line(row)} ({done} of {len(waiting)}, {left / 60:.0f} min left)", flush=True)
            study.write(out)
    except KeyboardInterrupt:
        print(f"stopped. Finished cells are in {out / CELLS}; the same command goes on.")
        return 130
    for line in study.write(out):
        print(line)
    return 0


def _line(row: Mapping[str, Any]) -> str:
    if "panels" not in row:
        return f"picks {','.join(map(str, row['chosen']))} in {row['cost']['seconds']:.0f} s"
    marks = {name: panel["wins"].count("1") / len(panel["wins"]) for name, panel in row["panels"].items()}
    scores = ", ".join(f"{name} {value:.3f}" for name, value in marks.items())
    return f"{scores} in {row['cost']['seconds']:.0f} s"


def cells_of(config: SweepConfig) -> list[Cell]:
    """All cells, each once: seeds outermost; in each base, everything and the middle block first.

    Raises:
        InputError: a key names no seed, block or selector, or what rounded weights forbid.
    """
    if not (seeds := read_seeds(config.seeds)):
        raise InputError("seeds= is empty; a study takes some, such as seeds=0,1,2.")
    num_blocks = block_count(locate(config.model.path, config.env))
    target = layer_of(f"0-{num_blocks - 1}" if config.layers.strip() == "all" else config.layers, num_blocks)
    if target is None or target.name != ",".join(map(str, target.indices)):
        raise InputError(f"layers={config.layers}: a study trains whole blocks, such as all, 0,3 or 2-5.")
    center = middle(num_blocks)[0]
    blocks = sorted(target.indices, key=lambda index: (index != center, index))
    arms = [BASE, *([FULL] if config.full else []), *map(str, blocks[:1])]
    if config.lora:
        layer_of(config.lora, num_blocks)
        if not is_peft_installed():
            raise InputError(
                f"lora={config.lora} trains LoRA adapters beside the blocks, which needs PEFT: {INSTALL_PEFT}. lora= "
                "with nothing behind it leaves them out."
            )
        lora = layer_of(f"lora:{config.lora}", num_blocks)
        assert lora is not None
        arms.append(lora.name)
    arms += map(str, blocks[1:])
    rates = rates_of(config, search_of(config), num_blocks, config.full)
    asked = _selectors(config)
    if config.train.frozen != fitting.PLAIN and (config.full or asked):
        raise InputError(
            f"train.frozen={config.train.frozen} rounds all that is not trained, so nothing can train everything or "
            "try blocks out: a study of it needs full=false selectors=none."
        )
    return list(
        dict.fromkeys(
            cell
            for seed in seeds
            for cell in (
                *(Cell("arm", arm, seed, rates(arm)) for arm in arms),
                # A selector is asked which block to train as blocks are trained.
                *(Cell("selector", name, seed, rates(str(center))) for name in asked),
            )
        )
    )


def search_of(config: SweepConfig) -> Path | None:
    """The folder of the search whose learning rates a study takes; None where all blocks have train.learning_rate."""
    return kept_search(config) if config.rates == KEPT else Path(config.rates) if config.rates else None


def _selectors(config: SweepConfig) -> list[str]:
    given = config.selectors.strip()
    names = [name for name in selectors.names() if name != "random"]
    if given == "all":
        return names
    asked = [] if given in ("", "none") else listed(given)
    for name in asked:
        selectors.find(name)
    return asked


def check_folder(config: SweepConfig, out: Path) -> None:
    """Makes sure that a folder is free for a study, or holds this one.

    Raises:
        InputError: it holds something else, or a study with other settings.
    """
    if not (out / CONFIG).is_file():
        RunFolder.check(out)
    # What was written before a key was there has its default now.
    elif portable(load(SweepConfig, [f"config={out / CONFIG}"])) != portable(config):
        raise InputError(f"out={out} holds a study with other settings ({out / CONFIG}). Choose another folder.")


def open_folder(config: SweepConfig, out: Path) -> None:
    """Makes the study's folder, or opens it to go on.

    Raises:
        InputError: it holds something else, or a study with other settings.
    """
    check_folder(config, out)
    if not (out / CONFIG).is_file():
        out.mkdir(parents=True, exist_ok=True)
        Folder(out).write_json(study.FACTS, _facts(config))
        save(portable(config), out / CONFIG)
    (out / CELLS).mkdir(exist_ok=True)


def check_rates(cells: Sequence[Cell], out: Path) -> None:
    """Makes sure that the cells there are were trained at the rates that the others would be trained at.

    Raises:
        InputError: one was not.
    """
    if not any((out / CELLS).glob("*.json")):
        return
    wanted = {(cell.kind, cell.name): cell.rate for cell in cells}
    with understood(out / CELLS, "a folder of a study's cells"):
        for row in read_cells(out):
            name = ("arm", row["arm"]) if "arm" in row else ("selector", row.get("selector"))
            # Selectors' cells once did not say theirs.
            if name in wanted and "learning_rate" in row and (row["learning_rate"] or 0.0) != wanted[name]:
                raise InputError(
                    f"out={out}: the cell {row['cell']} has the learning rate {row['learning_rate'] or 0.0:g}, and "
                    f"others of {name[1]} would now have {wanted[name]:g}. Give the rates= that the study began with, "
                    "or choose another folder."
                )


def _facts(config: SweepConfig) -> dict[str, Any]:
    """What a study says about itself."""
    path = locate(config.model.path, config.env)
    return {
        "env": config.env.name,
        "model": config.model.name,
        "family": model_type(path),
        "algorithm": config.algorithm.name,
        "blocks": block_count(path),
        "iterations": config.iterations,
        "episodes": config.iterations * config.train.groups * config.train.group_size,
    }


def portable(config: SweepConfig) -> SweepConfig:
    """The configuration without what may differ between machines that continue the same study."""
    env = config.env
    data = str(getattr(env, "data", ""))
    if data not in ("", "generated"):
        # The panels' hashes hold the tasks fast wherever the data lies.
        env = replace(env, data="")
    # What is trained may be extended; what every cell shares may not change.
    asked: dict[str, Any] = {"layers": "", "seeds": "", "full": True, "lora": "", "selectors": "", "rates": ""}
    where: dict[str, Any] = {"out": "", "jobs": 1, "executor": "local", "plan": False, "panel_data": ""}
    kept: dict[str, Any] = {"checkpoint_every": 1, "reserve": ReserveConfig(), "idle_seconds": 1.0}
    return replace(config, env=env, **asked, **where, **kept)


if __name__ == "__main__":
    sys.exit(
        run_command(
            "python -m training.sweep",
            SweepConfig,
            main,
            description="Studies what training each block alone contributes.",
        )
    )
