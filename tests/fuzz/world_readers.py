"""Readers of what worlds are made from: games, levels, problems, catalogues, and ALFWorld's caches and tables.

Left out: the story files of TextWorld beyond what is checked before the interpreter gets them, as a C library plays
them (SECURITY.md says so).
"""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from envs import make
from envs.alfworld import dialects, games, goals, reading, tasks, transcripts, verify
from envs.alfworld.compiled import open_compiled
from envs.code_problems import datasets
from envs.math_problems.records import read_records
from envs.sokoban.files import LevelFiles
from envs.textworld import files as textworld_files
from envs.webshop import catalogue
from tests.envs.alfworld import tiny
from tests.envs.code_problems.rows import HUMAN_EVAL_ROW, MBPP_ROW
from tests.envs.webshop import shops
from tests.fuzz.reader import Reader, printable, write_json, write_lines

LEVEL = "######\n#@ $.#\n#    #\n######\n"
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
    write_json(game.with_name(goals.ANNOTATION_FILE), {"turk_annotations": {"anns": rows}})


@_tiny_known
def _read_game(folder: Path) -> None:
    path = folder / "json_2.1.1" / "train" / TRIAL / "game.tw-pddl"
    reading.read_outline(path)
    game = reading.read_game(path)
    env = make("alfworld", data="generated")
    text, info = env.reset(options={"game": str(path)})
    for command in [*info["admissible_commands"][:5], *game.walkthrough[:5]]:
        text, *_ = env.step(command)
    printable(text)


@_tiny_known
def _read_split(folder: Path) -> None:
    source = tasks.TaskSource(str(folder), "train", goals="human")
    for name in source.sample(0, 2):
        location = source.locate(name)
        printable(source.describe(), location.goal or "")
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
            printable(text)
    LevelFiles(str(folder / "levels.txt"), "train")


def _read_math(folder: Path) -> None:
    env = make("math", data=str(folder / "problems.jsonl"), split="train")
    for task in env.sample_tasks(0, 3):
        text, info = env.reset(options={"task": task})
        printable(text, info["goal"])
    records = read_records(str(folder), "test")
    printable(records.describe(), records.problem(records.sample(0, 1)[0]).answer)


def _read_code(folder: Path) -> None:
    for split in ("valid", "test"):
        for problem in datasets.read(str(folder), split, 1):
            printable(problem.name, problem.statement, problem.reference, problem.setting_up, problem.preamble)
            printable(*problem.public, *problem.hidden, *problem.names)


def _write_shop(folder: Path) -> None:
    items = [
        shops.item(f"B00{number}", f"Table {number}", customization_options=shops.options(color=["red", "dark/blue"]))
        for number in range(4)
    ]
    told = {"attributes": ["solid"], "instruction": "Find a table", "instruction_attributes": ["solid"]}
    known = {item["asin"]: told for item in items}
    human = {item["asin"]: [shops.instruction("a red table", ["solid"], ["red"])] for item in items}
    shops.written(folder, items, known, human)
    write_json(folder / "human_goals.json", ["a red table"] * 4)


def _read_shop(folder: Path) -> None:
    for instructions in ("human", "synthetic"):
        catalogue._read.cache_clear()
        env = make("webshop", data=str(folder), goals=instructions, split="train")
        task = env.sample_tasks(0, 1)[0]
        text, _ = env.reset(options={"task": task})
        for action in ("search[table]", "click[b000]", "click[buy now]"):
            text, *_ = env.step(action)
            printable(text)


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


MATH_ROWS = [
    *({"question": f"What is {number} + 1?", "answer": f"<<{number}+1>>.\n#### {number + 1}"} for number in range(30)),
    {"problem": "Find $x$ if $2x=1$.", "type": "Algebra", "solution": r"$x=\boxed{\frac{1}{2}}$."},
]


def _write_math(folder: Path) -> None:
    write_lines(folder / "problems.jsonl", MATH_ROWS)
    write_lines(folder / "train.jsonl", MATH_ROWS)
    write_lines(folder / "test.jsonl", MATH_ROWS[:3])


def _write_code(folder: Path) -> None:
    write_lines(folder / "mbpp.jsonl", [MBPP_ROW | {"task_id": number} for number in (20, 550, 601)])
    write_json(folder / "human.json", [HUMAN_EVAL_ROW])


def _write_table(folder: Path) -> None:
    (folder / "transcripts.tsv").write_text(f"0123456789ab\twalk\t{'0' * 32}\n" * 3, encoding="utf-8")


def _write_levels(folder: Path) -> None:
    (folder / "levels.txt").write_text(f"; one\n{LEVEL}\n; two\n{LEVEL}\n" * 8, encoding="utf-8")
    (folder / "unfiltered_test_000.txt").write_text(f"; 0\n{LEVEL}\n; 1\n{LEVEL}\n", encoding="utf-8")


def _write_textworld(folder: Path) -> None:
    (folder / "game.json").write_bytes(_made_game())


def _write_verified(folder: Path) -> None:
    write_lines(folder / "rows.jsonl", [{"task": "a", "steps": 3}] * 2)


WORLD_READERS = [
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
]
