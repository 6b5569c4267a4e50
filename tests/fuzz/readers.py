"""Every reader of files with a maker of valid ones. A new reader is one entry in `READERS`.

`write` puts valid files into an empty folder, small ones, so that many can be tried; `read` reads the folder as
Keystone does and uses what it found as far as its next step would. Left out: the story files of TextWorld beyond what
is checked before the interpreter gets them, as a C library plays them (SECURITY.md says so).
"""

from __future__ import annotations

import functools
import importlib.util
import json
import math
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import torch

from agents import deltas
from agents.models import choose_dtype, locate_model
from agents.targets import parse
from envs import make, presets
from envs.alfworld import dialects, games, goals, reading, tasks, transcripts, verify
from envs.alfworld.compiled import open_compiled
from envs.code_problems import datasets
from envs.config import load, save
from envs.installation import REPOSITORY
from envs.math_problems.records import read_records
from envs.sokoban.files import LevelFiles
from envs.textworld import files as textworld_files
from envs.webshop import catalogue
from evals import panels, report, study
from evals.delta import card_lines
from evals.evaluation import EPISODES, SCORE, EvaluationFolder
from tests.envs.alfworld import tiny
from tests.envs.code_problems.rows import HUMAN_EVAL_ROW, MBPP_ROW
from tests.envs.webshop import shops
from tests.evals import run_folder, test_studies
from training import checkpoint, dry_run, prepare, selection, sweep
from training.config import RunConfig
from training.folder import CONFIG, STATE, RunFolder

PRETRAINED = REPOSITORY / "agents" / "pretrained" / "tiny"
LEVEL = "######\n#@ $.#\n#    #\n######\n"


@dataclass(frozen=True)
class Reader:
    """A reader of files.

    Attributes:
        name: what it reads.
        write: makes valid files in an empty folder.
        read: reads them.
        needs: a package that it cannot do without.
        only: patterns of the names of the files to break.
    """

    name: str
    write: Callable[[Path], object]
    read: Callable[[Path], object]
    needs: str = ""
    only: tuple[str, ...] = ("*",)

    def contents(self, folder: Path) -> dict[str, bytes]:
        """Writes valid files and returns what they hold, by name."""
        self.write(folder)
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}

    def breaks(self, name: str) -> bool:
        """Whether a file is one of those to break."""
        return any(fnmatch(name, pattern) for pattern in self.only)

    @property
    def missing(self) -> bool:
        """Whether its package is not installed."""
        return bool(self.needs) and importlib.util.find_spec(self.needs) is None


def _json(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")


def _lines(path: Path, rows: list[Any]) -> None:
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")


def _printable(*texts: str) -> None:
    """What is read goes to tokenizers, terminals and files, which take UTF-8."""
    for text in texts:
        text.encode("utf-8")


TRIAL = "pick_and_place_simple-Mug-None-Desk-308/trial_1"


def _tiny_known(read: Callable[[Path], object]) -> Callable[[Path], object]:
    @functools.wraps(read)
    def known(folder: Path) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(dialects.DOMAINS, dialects.domain_fingerprint(tiny.DOMAIN), dialects.PUBLISHED)
            patch.setitem(dialects.GRAMMARS, dialects.grammar_fingerprint(tiny.GRAMMAR), dialects.PUBLISHED)
            patch.setenv("KEYSTONE_CACHE", str(folder / "cache"))
            games.forget()
            read(folder)

    return known


def _write_game(folder: Path) -> None:
    game = tiny.write(folder / "json_2.1.1" / "train" / TRIAL)
    rows = [{"task_desc": "Put a mug on the desk", "high_descs": ["Go."]} for _ in range(3)]
    _json(game.with_name(goals.ANNOTATION_FILE), {"turk_annotations": {"anns": rows}})


@_tiny_known
def _read_game(folder: Path) -> None:
    path = folder / "json_2.1.1" / "train" / TRIAL / "game.tw-pddl"
    reading.read_outline(path)
    game = reading.read_game(path)
    env = make("alfworld", data="generated")
    text, info = env.reset(options={"game": str(path)})
    for command in [*info["admissible_commands"][:5], *game.walkthrough[:5]]:
        text, *_ = env.step(command)
    _printable(text)


@_tiny_known
def _read_split(folder: Path) -> None:
    source = tasks.TaskSource(str(folder), "train", goals="human")
    for name in source.sample(0, 2):
        location = source.locate(name)
        _printable(source.describe(), location.goal or "")
        source.game(location)


def _write_cache(folder: Path) -> None:
    _write_game(folder)
    _read_cache(folder)


@_tiny_known
def _read_cache(folder: Path) -> None:
    """Whatever is in the cache, the game comes out."""
    # What the cache says holds for a file as old as it was.
    os.utime(folder / "json_2.1.1" / "train" / TRIAL / "game.tw-pddl", ns=(10**18, 10**18))
    open_compiled.cache_clear()
    index = games.find_games(str(folder), "train")
    assert index is not None
    assert index.names == (f"train/{TRIAL}",)
    open_compiled(index).game(0)


def _read_table(folder: Path) -> None:
    transcripts.read_table(folder / "transcripts.tsv")


def _read_verified(folder: Path) -> None:
    rows = verify._read(folder / "rows.jsonl")
    assert all(isinstance(row, dict) for row in rows)


def _read_levels(folder: Path) -> None:
    for split in ("train", "test"):
        env = make("sokoban", data=str(folder), split=split)
        for task in env.sample_tasks(0, 3):
            text, _ = env.reset(options={"task": task})
            _printable(text)
    LevelFiles(str(folder / "levels.txt"), "train")


def _read_math(folder: Path) -> None:
    env = make("math", data=str(folder / "problems.jsonl"), split="train")
    for task in env.sample_tasks(0, 3):
        text, info = env.reset(options={"task": task})
        _printable(text, info["goal"])
    records = read_records(str(folder), "test")
    _printable(records.describe(), records.problem(records.sample(0, 1)[0]).answer)


def _read_code(folder: Path) -> None:
    for split in ("valid", "test"):
        for problem in datasets.read(str(folder), split, 1):
            _printable(problem.name, problem.statement, problem.reference, problem.setting_up, problem.preamble)
            _printable(*problem.public, *problem.hidden, *problem.names)


def _write_shop(folder: Path) -> None:
    items = [
        shops.item(f"B00{number}", f"Table {number}", customization_options=shops.options(color=["red", "dark/blue"]))
        for number in range(4)
    ]
    told = {"attributes": ["solid"], "instruction": "Find a table", "instruction_attributes": ["solid"]}
    known = {item["asin"]: told for item in items}
    human = {item["asin"]: [shops.instruction("a red table", ["solid"], ["red"])] for item in items}
    shops.written(folder, items, known, human)
    _json(folder / "human_goals.json", ["a red table"] * 4)


def _read_shop(folder: Path) -> None:
    for instructions in ("human", "synthetic"):
        catalogue._read.cache_clear()
        env = make("webshop", data=str(folder), goals=instructions, split="train")
        task = env.sample_tasks(0, 1)[0]
        text, _ = env.reset(options={"task": task})
        for action in ("search[table]", "click[b000]", "click[buy now]"):
            text, *_ = env.step(action)
            _printable(text)


def _write_story(folder: Path) -> None:
    """A story file whose header is right; nothing that can be played."""
    body = bytes(range(256)) * 4
    content = bytearray(64 + len(body))
    content[64:] = body
    content[0], content[26:28] = 8, (len(content) // 8).to_bytes(2, "big")
    content[28:30] = (sum(body) % 65536).to_bytes(2, "big")
    (folder / "game.z8").write_bytes(content)


def _read_story(folder: Path) -> None:
    textworld_files.check_story(folder / "game.z8")


@functools.cache
def _made_game() -> bytes:
    from envs.textworld.families import MadeTask
    from envs.textworld.making import make_game

    return json.dumps(make_game(MadeTask("coin_collector/level=1/train/0")).serialize()).encode()


def _read_textworld(folder: Path) -> None:
    textworld_files.load_facts(folder / "game.json")


TENSORS = {"model.layers.4.mlp.weight": torch.arange(6.0).reshape(2, 3), "model.layers.4.norm": torch.ones(3)}


def _write_delta(folder: Path) -> None:
    deltas.save(folder / "delta.safetensors", TENSORS, base_sha256="0" * 64, target="4", details={"env": "alfworld"})


def _read_delta(folder: Path) -> None:
    path = folder / "delta.safetensors"
    tensors, card = deltas.load(path)
    _printable(*card_lines(path, tensors, card), card.base_sha256[:12], card.target)
    deltas.diff(tensors, TENSORS)


def _write_checkpoint(folder: Path) -> None:
    checkpoint.save(folder / "checkpoint.safetensors", TENSORS, {"iteration": 3, "history": [{"success": 0.5}]})
    facts = {"lengths": [2, 1], "tasks": ["a", "b"]}
    columns = {
        "tokens": torch.tensor([1, 2, 3]),
        "sampled": torch.tensor([False, True, True]),
        "turn": torch.tensor([0, 0, 0], dtype=torch.int32),
        "logprobs": torch.zeros(3),
        "advantages": torch.zeros(2),
        "old": torch.zeros(2),
    }
    checkpoint.save(folder / "rows.safetensors", columns, facts)


def _read_checkpoint(folder: Path) -> None:
    _, counters = checkpoint.load(folder / "checkpoint.safetensors")
    assert isinstance(counters, dict)
    selection.kept_rows(folder / "rows.safetensors")


def _write_config(folder: Path) -> None:
    save(load(RunConfig, []), folder / CONFIG)


def _read_config(folder: Path) -> None:
    config = load(RunConfig, [f"config={folder / CONFIG}"])
    save(config, folder / "again.yaml")


def _read_panel(folder: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(presets, "FOLDER", folder)
        panels.read("alfworld_generated_unseen")
        panel = panels.read("alfworld_valid_seen")
    panel.check_env("alfworld")


def _write_run(folder: Path) -> None:
    run_folder.write(folder, run_folder.summary())
    _json(folder / STATE, {"inputs": {"base": "0" * 64}, "base": {"evaluation": {"success": 0.5}}})


def _read_run(folder: Path) -> None:
    report.build(folder)


FACTS = {"env": "alfworld", "seed": 3}
TURN = {"saw": "a", "said": "b", "action": "c", "valid": True, "reward": 1.0}
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


def _write_evaluation(folder: Path) -> None:
    _json(folder / SCORE, {**FACTS, "finished": False, "scores": [], "cost": {"seconds": 1.0}})
    _lines(folder / EPISODES, [EPISODE | {"task": f"t{number}"} for number in range(5)])


def _read_evaluation(folder: Path) -> None:
    from envs.pool.counts import Counts

    opened = EvaluationFolder.check(folder, FACTS)
    opened.open(FACTS)
    opened.keep(EPISODES, lambda row: True)
    for episode in opened.played().values():
        _printable(episode.final_observation)
    opened.add_cost(1.0, Counts())


def _write_study(folder: Path) -> None:
    rows = [
        *test_studies.cells({"base": 0.3, "full": 0.6, "0": 0.35, "1": 0.5, "2": 0.4}, seeds=2, tasks=20),
        *(test_studies.pick("sharp", seed, 2, [0.1, 0.6, 0.9]) for seed in range(2)),
    ]
    _json(folder / study.FACTS, test_studies.FACTS | {"blocks": 3})
    for row in rows:
        _json(folder / "cells" / f"{row['cell']}.json", row)


def _read_study(folder: Path) -> None:
    _printable(*study.write(folder))


def _write_ranking(folder: Path) -> None:
    arms = {str(number): {"success": {"rooms": [0.1 * number, 0.2]}} for number in range(3)}
    _json(folder / "study.json", {"panels": {"rooms": {"tasks": 5, "sha256": "f" * 64}}, "arms": arms})
    shutil.copy(folder / "study.json", folder / "other.json")


def _read_ranking(folder: Path) -> None:
    parse(f"best:2@{folder / 'study.json'}", 3)
    parse(f"worst:1@{folder / 'study.json'}", 3)
    _printable(*study.agreement([folder, folder]))


def _write_model(folder: Path) -> None:
    for name in ("config.json", "tokenizer_config.json", "generation_config.json", "warmstart.json"):
        shutil.copy(PRETRAINED / name, folder / name)
    _json(folder / "tokenizer.json", {})
    shutil.copy(PRETRAINED / "model.safetensors", folder / "model.safetensors")


def _read_model(folder: Path) -> None:
    path = locate_model(str(folder))
    choose_dtype("auto", path)
    prepare.check_layer("3", path)
    prepare.block_count(path)
    dry_run.shape_of(load(RunConfig, [f"model={folder}"]))


def _write_rates(folder: Path) -> None:
    rows = [{"target": target, "rate": 1e-3, "success": 0.5} for target in ("middle", "full", "lora:1")]
    _lines(folder / sweep.RATE_CELLS, rows)


def _read_rates(folder: Path) -> None:
    config = load(sweep.SweepConfig, [f"rates={folder}"])
    rate = sweep.rates_of(config, 8)
    assert all(math.isfinite(rate(arm)) for arm in ("base", "full", "3"))


def _read_lines(folder: Path) -> None:
    run = RunFolder(folder)
    run.read_json("state.json")
    run.keep("metrics.jsonl", lambda row: row["iteration"] < 20)


MATH_ROWS = [
    *({"question": f"What is {number} + 1?", "answer": f"<<{number}+1>>.\n#### {number + 1}"} for number in range(30)),
    {"problem": "Find $x$ if $2x=1$.", "type": "Algebra", "solution": r"$x=\boxed{\frac{1}{2}}$."},
]


def _write_math(folder: Path) -> None:
    _lines(folder / "problems.jsonl", MATH_ROWS)
    _lines(folder / "train.jsonl", MATH_ROWS)
    _lines(folder / "test.jsonl", MATH_ROWS[:3])


def _write_code(folder: Path) -> None:
    _lines(folder / "mbpp.jsonl", [MBPP_ROW | {"task_id": number} for number in (20, 550, 601)])
    _json(folder / "human.json", [HUMAN_EVAL_ROW])


def _write_table(folder: Path) -> None:
    (folder / "transcripts.tsv").write_text(f"0123456789ab\twalk\t{'0' * 32}\n" * 3, encoding="utf-8")


def _write_levels(folder: Path) -> None:
    (folder / "levels.txt").write_text(f"; one\n{LEVEL}\n; two\n{LEVEL}\n" * 8, encoding="utf-8")
    (folder / "unfiltered_test_000.txt").write_text(f"; 0\n{LEVEL}\n; 1\n{LEVEL}\n", encoding="utf-8")


def _write_textworld(folder: Path) -> None:
    (folder / "game.json").write_bytes(_made_game())


def _write_panel(folder: Path) -> None:
    shutil.copytree(REPOSITORY / "configs" / "panel", folder / "panel")


def _write_verified(folder: Path) -> None:
    _lines(folder / "rows.jsonl", [{"task": "a", "steps": 3}] * 2)


READERS = [
    Reader("alfworld game", _write_game, _read_game, only=("*.tw-pddl",)),
    Reader("alfworld split with annotations", _write_game, _read_split),
    Reader("alfworld cache", _write_cache, _read_cache, only=("cache/*",)),
    Reader("alfworld transcripts", _write_table, _read_table),
    Reader("alfworld verified rows", _write_verified, _read_verified),
    Reader("sokoban levels", _write_levels, _read_levels),
    Reader("math problems", _write_math, _read_math),
    Reader("code problems", _write_code, _read_code),
    Reader("webshop catalogue", _write_shop, _read_shop),
    Reader("textworld story file", _write_story, _read_story),
    Reader("textworld game", _write_textworld, _read_textworld, needs="textworld"),
    Reader("delta", _write_delta, _read_delta),
    Reader("checkpoint", _write_checkpoint, _read_checkpoint),
    Reader("configuration", _write_config, _read_config),
    Reader("panel", _write_panel, _read_panel),
    Reader("run folder", _write_run, _read_run, only=("summary.json", "metrics.jsonl", "layers.json", "config.yaml")),
    Reader("run folder to resume", _write_run, _read_lines, only=("state.json", "metrics.jsonl")),
    Reader("evaluation folder", _write_evaluation, _read_evaluation),
    Reader("study", _write_study, _read_study),
    Reader("ranking of blocks", _write_ranking, _read_ranking),
    Reader("model folder", _write_model, _read_model, only=("config.json",)),
    Reader("learning rates", _write_rates, _read_rates),
]
