"""Readers of what training and measuring leave behind: leaderboards, pages, comparisons, records, cases."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from agents import deltas
from envs.config import load
from envs.files import read_json
from evals import compare, panel_records, viewer
from evals.leaderboard import adding, scoring, showing, sources, tables
from evals.leaderboard.database import Database
from tests.evals import run_folder
from tests.evals.leaderboard.made import entry
from tests.fuzz.reader import Reader, printable, write_json, write_lines
from training import checkpoint, deepspeed_settings, planted, tune

SHA = "0123456789abcdef" * 4
TENSORS = {"model.layers.4.mlp.weight": torch.arange(6.0).reshape(2, 3), "model.layers.4.norm": torch.ones(3)}
TURN = {"saw": "a room", "said": "go", "action": "go", "valid": True, "reward": 1.0}
KEY = {"temperature": 0.4, "task": "t", "seed": 0, "iteration": 0, "member": 0}
EPISODE = KEY | {
    "task_type": "p",
    "goal": "g",
    "won": True,
    "stop": "won",
    "error": "",
    "policy_version": 0,
    "turns": [TURN],
    "final": "end",
}
PANEL = {"name": "seed 0", "tasks": 3, "sha256": SHA}


def _silent(read: Callable[[Path], object]) -> Callable[[Path], object]:
    """What is printed must only be printable."""

    def silent(folder: Path) -> None:
        said = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
        with contextlib.redirect_stdout(said):
            read(folder)
            said.flush()

    return silent


def _write_database(folder: Path) -> None:
    # At the temperature of the entry.
    rows = [EPISODE | {"task": f"t{number}", "temperature": 0.0} for number in range(3)]
    write_lines(folder / "episodes.jsonl", rows)
    with Database(folder / "board.sqlite") as database:
        database.add(entry("one", [1, 0, 1]), folder / "episodes.jsonl")
        database.add(entry("two", [1, 1, 1], training=None))


@_silent
def _read_database(folder: Path) -> None:
    path = folder / "board.sqlite"
    with Database(path, patience=1.0) as database:
        database.problems()
        database.entries()
    board = showing.Board(showing.ShowConfig(db=str(path), entries="own"))
    for table in tables.by_table(board.rows):
        printable(str(tables.terminal(table, 100)))
    printable(tables.note(board.rows), tables.as_markdown(board.rows), tables.as_csv(board.rows))
    printable(tables.as_json(board.rows))
    board.build(folder / "site")
    with Database(path, patience=1.0) as database:
        database.add(entry("three", [0, 0, 1]))


def _write_added_delta(folder: Path) -> None:
    details = {"env": "sokoban", "model": "tiny", "algorithm": "gigpo", "seed": 0, "iterations": 3}
    deltas.save(folder / "mine.safetensors", TENSORS, base_sha256=SHA, target="4", details=details)


def _read_added_delta(folder: Path) -> None:
    _add(folder / "mine.safetensors", "panel=", "tasks=2")


def _write_added_run(folder: Path) -> None:
    run_folder.write(folder, run_folder.summary() | {"env": "sokoban"})
    world = {"name": "sokoban", "width": 6, "height": 6, "max_turns": 5}
    model = {"name": "tiny", "path": "tiny", "max_reply_tokens": 4}
    config = yaml.safe_dump({"env": world, "model": model, "seed": 0}, sort_keys=False)
    (folder / "config.yaml").write_text(config, encoding="utf-8")
    _write_added_delta(folder)
    (folder / "mine.safetensors").rename(folder / "delta.safetensors")
    card = deltas.read_card(folder / "delta.safetensors")
    write_json(folder / "state.json", {"inputs": {"base": SHA}, "layer": {"delta": card.tensors_sha256}})


def _read_added_run(folder: Path) -> None:
    _add(folder, "panel=", "tasks=2")


def _write_evaluation(folder: Path) -> None:
    scores = [{"temperature": 0.4, "success": 1.0}]
    facts = {"finished": True, "env": "sokoban", "policy": "random", "seed": 0, "options": {"max_turns": 5}}
    facts |= {"panel": PANEL, "temperatures": [0.4], "scores": scores, "base_sha256": SHA, "delta_sha256": None}
    write_json(folder / "score.json", facts)
    config = yaml.safe_dump({"env": {"name": "sokoban"}, "policy": {"name": "random"}, "tasks": 2, "seed": 0})
    (folder / "config.yaml").write_text(config, encoding="utf-8")
    write_lines(folder / "episodes.jsonl", [EPISODE | {"task": f"t{number}"} for number in range(3)])


def _read_added_evaluation(folder: Path) -> None:
    _add(folder, "temperatures=[0]")


def _add(source: Path, *words: str) -> None:
    """What `evals.leaderboard add` does before it plays."""
    config = load(adding.AddConfig, adding.expand([f"source={source}", *words]))
    found = sources.read(source, config.env.name)
    job = scoring.prepare(config)
    adding._check_panel(found, job)
    cards = [sources.card(path) for path in scoring.delta_files(config)]
    if cards:
        adding._check_hashes(config, found, cards, job)
    printable(adding._name(job, adding._kind(job, cards), cards), adding.command(job))
    json.dumps(adding._training(job, found.training), allow_nan=False)


def _write_viewed(folder: Path) -> None:
    rows = [EPISODE | {"task": f"t{number}", "arm": "layer", "purpose": "panel"} for number in range(3)]
    rows[0] |= {"cost": {"seconds": 1.0}, "turns": [TURN | {"advantage": 0.5, "anchor": "a", "tokens": 3}]}
    write_lines(folder / "run" / "episodes.jsonl", rows)
    write_lines(folder / "evaluation" / "episodes.jsonl", [EPISODE, EPISODE | {"temperature": None}])


def _read_viewed(folder: Path) -> None:
    viewer.build([folder / "run", folder / "evaluation"], folder / "page.html")
    viewer.build([folder / "evaluation"])


def _write_compared(folder: Path) -> None:
    for name in ("a", "b"):
        _write_evaluation(folder / name)


@_silent
def _read_compared(folder: Path) -> None:
    compare.main(compare.CompareConfig(a=str(folder / "a"), b=str(folder / "b"), out=str(folder / "out.json")))
    read_json(folder / "out.json")


def _write_record(folder: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KEYSTONE_CACHE", str(folder))
        panel_records.hold("mine", SHA, SHA)


def _read_record(folder: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KEYSTONE_CACHE", str(folder))
        printable(panel_records.hold("mine", SHA, SHA))


def _write_cases(folder: Path) -> None:
    choice: dict[str, Any] = {"selector": "prior", "chosen": [1], "why": "w", "blocks": [{"score": 0.5}]}
    choice["cost"] = {"share": 0.1, "seconds": 1.0}
    cases = [planted._case(_planted(seed), 1, 0.5, (0.5, 0.25), choice) for seed in range(2)]
    write_json(folder / "cases.json", cases)


def _read_cases(folder: Path) -> None:
    cases = planted._kept(_planted(0), folder / "cases.json")
    # What says which cases are done.
    assert len({(case["seed"], case["damaged"], case["selector"]) for case in cases}) <= len(cases)
    planted.table(cases)


def _planted(seed: int) -> planted.PlantedConfig:
    return load(planted.PlantedConfig, [f"seed={seed}"])


def _write_deepspeed(folder: Path) -> None:
    zero = {"stage": 2, "offload_optimizer": {"device": "none"}, "reduce_bucket_size": "auto", "overlap_comm": True}
    content = {"bf16": {"enabled": "auto"}, "fp16": {"enabled": False}, "zero_optimization": zero}
    write_json(folder / "zero.json", content | {"gradient_clipping": "auto", "steps_per_print": 2000})


def _read_deepspeed(folder: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        # The settings are checked as if DeepSpeed were installed.
        patch.setattr(deepspeed_settings, "find_spec", lambda name: name)
        given = deepspeed_settings.asked(str(folder / "zero.json"))
        assert given is not None
        json.dumps(deepspeed_settings.checked(given, 1.0))


def _write_search(folder: Path) -> None:
    facts = {"seconds": 1.0, "temperature": 0.4}
    rows = [
        {"cell": f"middle-{rate}-0", "target": "middle", "rate": rate, "success": 0.5} | facts for rate in (1e-3, 3e-4)
    ]
    write_lines(folder / tune.CELLS, rows)


def _read_search(folder: Path) -> None:
    printable(*tune.table_lines(list(tune.finished(folder).values())))


def _write_checkpoints(folder: Path) -> None:
    kept = checkpoint.Checkpoints(folder)
    for count in (1, 2):
        kept.save(TENSORS, [{"success": 0.5}] * count)


def _read_checkpoints(folder: Path) -> None:
    """Of two checkpoints one may be broken; and the next is written beside both."""
    kept = checkpoint.Checkpoints(folder, printable)
    _, counters = kept.latest()
    assert len(counters["history"]) in (1, 2)
    kept.save(TENSORS, [{"success": 0.5}] * 3)


RESULT_READERS = [
    Reader("leaderboard database", _write_database, _read_database, only=("board.sqlite", "episodes.jsonl")),
    Reader("delta to add", _write_added_delta, _read_added_delta),
    Reader("run to add", _write_added_run, _read_added_run, only=("*.json", "config.yaml", "delta.safetensors")),
    Reader("evaluation to add", _write_evaluation, _read_added_evaluation, only=("score.json", "config.yaml")),
    Reader("episodes to view", _write_viewed, _read_viewed),
    Reader("evaluations to compare", _write_compared, _read_compared, only=("*/score.json", "*/episodes.jsonl")),
    Reader("panel records", _write_record, _read_record),
    Reader("planted cases", _write_cases, _read_cases),
    Reader("deepspeed settings", _write_deepspeed, _read_deepspeed),
    Reader("finished cells of a search", _write_search, _read_search),
    Reader("checkpoints of a run", _write_checkpoints, _read_checkpoints),
]
