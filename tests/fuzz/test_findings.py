"""What the fuzzer has found, each as a plain case: a file, and the line that it is refused with."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from envs.errors import InputError
from evals.folder import Folder
from tests.fuzz.readers import READERS
from tests.fuzz.trying import Trial

HALF = '"\\ud800"'
DEEP = "[" * 4000 + "]" * 4000


@pytest.fixture
def refused(tmp_path: Path):
    """Reads a reader's files with a text in one of them replaced by another."""

    def read(reader: str, file: str, old: str | None, new: bytes | str) -> str:
        (found,) = [one for one in READERS if one.name == reader]
        trial = Trial(found, tmp_path)
        (name,) = [one for one in trial.names if Path(one).name == file]
        whole, put = trial.valid[name], new.encode() if isinstance(new, str) else new
        if old is not None:
            assert old.encode() in whole
            put = whole.replace(old.encode(), put, 1)
        return trial.read({name: put})

    return read


@pytest.mark.parametrize(
    ("reader", "file", "old", "new", "line"),
    [
        ("alfworld transcripts", "transcripts.tsv", None, b"\xff", "is not UTF-8 text"),
        ("alfworld verified rows", "rows.jsonl", None, b"\x80", "is not UTF-8 text"),
        ("webshop catalogue", "items_ins_v2_1000.json", '["solid"]', "[null]", "cannot be understood"),
        ("webshop catalogue", "items_human_ins.json", '["solid"]', "[7]", "an attribute or option is not text"),
        ("webshop catalogue", "items_human_ins.json", '"a red table"', "7", "is not an instruction"),
        ("webshop catalogue", "items_human_ins.json", '[{"instruction"', '{"x": [{"instruction"', "is not valid JSON"),
        ("code problems", "mbpp.jsonl", '"Write a function to add two numbers."', HALF, "not JSON"),
        ("math problems", "problems.jsonl", '"What is 0 + 1?"', HALF, "not JSON"),
        ("math problems", "problems.jsonl", '"What is 0 + 1?"', "NaN", "not JSON"),
        ("checkpoint", "rows.safetensors", "[2, 1]", '["ab"]', "cannot be read"),
        ("configuration", "config.yaml", "seed: 0", f"seed: {DEEP}", "holds what cannot be read"),
        ("configuration", "config.yaml", "seed: 0", "seed: &a [*a]", "has an alias"),
        ("configuration", "config.yaml", "layer: auto", "layer: ${oc.env:HOME}", "layer must be text, got"),
        ("configuration", "config.yaml", "layer: auto", 'layer: "\\ud800"', "holds what cannot be read"),
        ("panel", "alfworld_valid_seen.yaml", "env: alfworld", 'env: "\\ud800"', "holds what cannot be read"),
        ("run folder", "summary.json", '"seed": 0', f'"seed": {HALF}', "is not valid JSON"),
        ("run folder", "summary.json", '"success": 0.33', '"success": null', "is not a finished run"),
        ("run folder", "metrics.jsonl", '"arm"', '"legs"', "is not a finished run"),
        ("run folder to resume", "metrics.jsonl", '"iteration"', '"x"', "is not a file of rows"),
        ("evaluation folder", "score.json", '{"seconds": 1.0}', "[]", "is not that of an evaluation"),
        ("evaluation folder", "score.json", '"alfworld"', json.dumps([[]] * 20000), "holds another evaluation"),
        ("evaluation folder", "episodes.jsonl", '"stop": "won"', '"stop": "gone"', "is not a file of episodes"),
        ("evaluation folder", "episodes.jsonl", '"temperature"', "temperature", "line 1, is broken"),
        ("study", "facts.json", '"blocks": 3', '"blocks": {}', "is not a study"),
        ("study", "base-seed0.json", '"seconds": 1.0', '"seconds": []', "is not a study"),
        ("study", "select-sharp-seed0.json", '"chosen": [2]', '"chosen": []', "it chose no block"),
        ("study", "base-seed0.json", '"wins": "', '"wins": "", "won": "', "or played no task"),
        ("ranking of blocks", "study.json", '"arms": {', '"x": {', "is not a study.json"),
        ("model folder", "config.json", '"num_hidden_layers": 8', '"num_hidden_layers": [8]', "should state from 1 to"),
        ("model folder", "config.json", '"hidden_size"', '"x"', "the configuration of a causal language model"),
        ("learning rates", "cells.jsonl", '"rate": 0.001', '"rate": "fast"', "is not a search of learning rates"),
    ],
)  # fmt: skip
def test_a_clear_line(refused, reader: str, file: str, old: str | None, new: bytes | str, line: str):
    assert line in refused(reader, file, old, new)


def test_a_card_as_deep_as_the_stack(refused, tmp_path: Path):
    header = json.dumps({"__metadata__": {"keystone-delta-1": DEEP}}).encode()
    said = refused("delta", "delta.safetensors", None, len(header).to_bytes(8, "little") + header)
    assert "its card is not valid JSON" in said


def test_more_ways_to_choose_than_can_be_listed(refused):
    options = {name: [{"value": str(number), "image": None} for number in range(1000)] for name in "abcde"}
    old = json.dumps({"color": [{"value": "red", "image": None}, {"value": "dark/blue", "image": None}]})
    said = refused("webshop catalogue", "items_shuffle_1000.json", old, json.dumps(options))
    assert "can be chosen in 1e+15 ways" in said


def test_a_cache_that_lost_its_games(tmp_path: Path):
    """What is kept of a folder is believed only if it is whole; else the folder is read again."""
    (reader,) = [one for one in READERS if one.name == "alfworld cache"]
    trial = Trial(reader, tmp_path)
    (name,) = [one for one in trial.names if one.startswith("cache/alfworld/games-")]
    kept = json.loads(trial.valid[name])
    assert kept["names"]
    assert trial.read({name: json.dumps(kept | {"names": []}).encode()}) == ""
    assert trial.read({name: json.dumps(kept | {"names": kept["names"] * 2}).encode()}) == ""


@pytest.mark.skipif(importlib.util.find_spec("textworld") is None, reason="TextWorld is not installed")
def test_half_a_character_in_a_game_of_textworld(refused):
    assert "is not valid JSON" in refused("textworld game", "game.json", None, f'{{"version": {HALF}}}')


def test_only_the_last_line_may_be_cut(tmp_path: Path):
    file, folder = tmp_path / "rows.jsonl", Folder(tmp_path)
    file.write_bytes(b'{"a": 1}\n{"a": "\xc3')
    assert list(folder.rows("rows.jsonl")) == [{"a": 1}]
    file.write_bytes(b'{"a": 1}\n{"a": \n{"a": 3}\n')
    with pytest.raises(InputError, match="line 2, is broken"):
        folder.keep("rows.jsonl", lambda row: True)
    # What stands behind the broken line is still there.
    assert b'{"a": 3}' in file.read_bytes()
