"""What the fuzzer has found, each as a plain case: a file, and the line that it is refused with."""

from __future__ import annotations

import importlib.util
import json
import sqlite3
import sys
from pathlib import Path

import pytest

from agents import tensor_header
from envs.errors import InputError
from evals.folder import Folder
from tests.fuzz.readers import READERS
from tests.fuzz.trying import Trial

HALF = '"\\ud800"'
DEEP = "[" * 4000 + "]" * 4000
DIGITS = "9" * 5000


@pytest.fixture
def refused(tmp_path: Path):
    """Reads a reader's files with a text in one of them replaced by another."""

    def read(reader: str, file: str, old: str | None, new: bytes | str) -> str:
        (found,) = [one for one in READERS if one.name == reader]
        trial = Trial(found, tmp_path)
        (name,) = [one for one in trial.names if f"/{one}".endswith(f"/{file}")]
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
        ("study", "0-seed0.json", '"learning_rate": 0.001', f'"learning_rate": [{"7, " * 9000}8]', "its learning rate"),
        ("ranking of blocks", "study.json", '"arms": {', '"x": {', "is not a study.json"),
        ("model folder", "config.json", '"num_hidden_layers": 8', '"num_hidden_layers": [8]', "should state from 1 to"),
        ("model folder", "config.json", '"hidden_size"', '"x"', "the configuration of a causal language model"),
        ("learning rates", "cells.jsonl", '"rate": 0.001', '"rate": "fast"', "is not a search of learning rates"),
        ("learning rates", "cells.jsonl", '"rate": 0.001', '"rate": "nan"', "is not a search of learning rates"),
        ("run folder", "episodes.jsonl", '"seed": 0', f'"seed": {DEEP}', "line 1, is not valid JSON"),
        ("leaderboard database", "board.sqlite", "tableentries", b"table\xffntries", "is damaged (a text in it"),
        ("leaderboard database", "board.sqlite", "(number", b"(\xffumber", "is damaged (Could not decode"),
        ("leaderboard database", "board.sqlite", '"temperature"', '"tmperatures"', "got nothing"),
        ("leaderboard database", "board.sqlite", '"interval": [0.4, 0.6]', '"interval": {"":12345}', "must be success"),
        ("leaderboard database", "board.sqlite", '"episodes": 2, ', '"episodes": "",', "must be success, interval"),
        ("leaderboard database", "episodes.jsonl", '"turns": [{', '"turns": [7, {', "is not an episode"),
        ("run to add", "state.json", '{"base"', '[{"base"', "is not valid JSON"),
        ("run to add", "state.json", '"inputs": {', '"inputs": [], "x": {', "is not a whole run"),
        ("run to add", "summary.json", '0.4, "trained_parameters": 9', '"", "trained_parameters": 9', "is not a whole"),
        ("run to add", "summary.json", '"success": 0.46', '"success": {}', "is not a whole run"),
        ("run to add", "summary.json", '"peak_bytes": 1610612736', f'"peak_bytes": 1{"0" * 400}', "is not a whole run"),
        ("evaluation to add", "score.json", '"scores": [', '"scores": [1, ', "is not a score"),
        ("evaluation to add", "score.json", '"name": "seed 0"', '"name": []', "is not a score"),
        ("evaluation to add", "config.yaml", "tasks: 2", f"tasks: {2**63}", "1,000,000, got"),
        ("evaluation to add", "config.yaml", "name: random", f"name: {'x' * 5000}", "unknown policy"),
        ("episodes to view", "run/episodes.jsonl", '"arm": "layer"', '"arm": {}', "its arm or temperature is none"),
        ("episodes to view", "evaluation/episodes.jsonl", '"temperature": 0.4', '"temperature": []', "is no episode"),
        ("episodes to view", "run/episodes.jsonl", '"seed": 0', f'"seed": {DEEP}', "line 1, is not valid JSON"),
        ("episodes to view", "run/episodes.jsonl", '"seed": 0', f'"seed": {DIGITS}', "line 1, is not valid JSON"),
        ("episodes to view", "run/episodes.jsonl", '"iteration": 0', '"iteration": 1e999', "is not valid JSON"),
        ("episodes to view", "run/episodes.jsonl", '{"temperature"', '7, {"temperature"', "line 1, is not valid JSON"),
        ("evaluations to compare", "a/score.json", '{"max_turns": 5}', "7", "is not an evaluation's score"),
        ("evaluations to compare", "b/episodes.jsonl", '"won": true', '"won": {}', "is not a file of episodes"),
        ("evaluations to compare", "b/episodes.jsonl", '"task": "t0"', '"task": "other"', "are of other tasks"),
        ("panel records", "mine.json", None, DEEP, "cannot be read. Delete it."),
        ("planted cases", "cases.json", None, "[{", "is not valid JSON"),
        ("planted cases", "cases.json", '"damaged": 1', '"damaged": []', "is not a file of cases"),
        ("planted cases", "cases.json", '"share": 0.1', '"share": "x"', "is not a file of cases"),
        ("deepspeed settings", "zero.json", None, DEEP, "is not valid JSON"),
        ("deepspeed settings", "zero.json", '"zero_optimization": {', '"zero_optimization": 7, "amp": {', "DeepSpeed"),
        ("deepspeed settings", "zero.json", '"stage": 2', '"stage": true', "ZeRO stage True"),
        ("deepspeed settings", "zero.json", '{"device": "none"}', "7", "offload_optimizer must be a mapping, got 7"),
        ("finished cells of a search", "cells.jsonl", '"rate": 0.001', '"rate": {}', "is not a file of finished cells"),
    ],
)  # fmt: skip
def test_a_clear_line(refused, reader: str, file: str, old: str | None, new: bytes | str, line: str):
    assert line in refused(reader, file, old, new)


def test_a_card_as_deep_as_the_stack(refused, tmp_path: Path):
    header = json.dumps({"__metadata__": {"keystone-delta-1": DEEP}}).encode()
    said = refused("delta", "delta.safetensors", None, len(header).to_bytes(8, "little") + header)
    assert "its card is not valid JSON" in said


CARD = {"base_sha256": "0" * 64, "tensors_sha256": "0" * 64, "target": "4", "details": {}}


@pytest.mark.parametrize(
    ("header", "line"),
    [
        ('{"__metadata__": [1]}', "is not a safetensors file (its header is not that of a safetensors file"),
        ('{"__metadata__": {"keystone-delta-1": 7}}', "its metadata are no texts"),
        ('{"weight": {"shape": [-1], "data_offsets": [0, 0]}}', "a tensor's shape is none"),
        ('{"weight": {"shape": [9], "data_offsets": [0, 0]}}', "a tensor is larger than the file"),
        ('{"weight": {"shape": [0], "data_offsets": [0, 9]}}', "a tensor's place is not in the file"),
        (DEEP, "its header is not valid JSON"),
        (f"[{DIGITS}]", "its header is not valid JSON"),
        ("[]", "is not a safetensors file"),
        ("\xff", "its header is not UTF-8 text"),
        (json.dumps({"__metadata__": {"keystone-delta-1": DIGITS}}), "its card is not valid JSON"),
        (json.dumps({"__metadata__": {"keystone-delta-1": DEEP}}), "its card is not valid JSON"),
        (json.dumps({"__metadata__": {"keystone-delta-1": "{}"}}), "not a readable delta file"),
        (json.dumps({"__metadata__": {"other": "{}"}}), "a safetensors file, but not a keystone-delta-1 file"),
    ],
)
def test_headers_of_deltas_to_add(refused, header: str, line: str):
    content = header.encode("latin-1")
    assert line in refused("delta to add", "mine.safetensors", None, len(content).to_bytes(8, "little") + content)


@pytest.mark.parametrize(
    ("changed", "line"),
    [
        ({"target": "4\n5"}, "target of its card must be printable text"),
        ({"tensors_sha256": "x"}, "tensors_sha256 of its card must be 64 hexadecimal digits, got 'x'"),
        ({"details": {"env": {}}}, "env of its card must be printable text, got {}"),
        ({"details": {"seed": "one"}}, "seed of its card must be a number, got 'one'"),
        # The module opens a page in a browser when it is imported.
        ({"details": {"env": "antigravity:World"}}, "name it yourself with env="),
    ],
)
def test_cards_of_deltas_to_add(refused, changed: dict[str, object], line: str):
    header = json.dumps({"__metadata__": {"keystone-delta-1": json.dumps(CARD | changed)}}).encode()
    said = refused("delta to add", "mine.safetensors", None, len(header).to_bytes(8, "little") + header)
    assert line in said
    assert "antigravity" not in sys.modules


def test_a_header_larger_than_any(tmp_path: Path):
    """It is refused by its length, and nothing of it is read."""
    path = tmp_path / "huge.safetensors"
    with path.open("wb") as file:
        file.write((1 << 40).to_bytes(8, "little"))
        file.truncate(1 << 41)
    with pytest.raises(InputError, match="its header has more than 16,777,216 bytes"):
        tensor_header.read(path)
    with pytest.raises(InputError, match="not an ordinary file"):
        tensor_header.read(tmp_path)
    path.write_bytes(b"\1\0")
    with pytest.raises(InputError, match="its header is cut off"):
        tensor_header.read(path)


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (
            f"UPDATE entries SET content = '{'[' * 100_000}'",
            "row 1 was changed by another program: it is not valid JSON",
        ),
        ("UPDATE entries SET content = x'00ff'", "row 1 holds something else than texts"),
        ("UPDATE entries SET added = x'00'", "row 1 holds something else than texts"),
        (
            "UPDATE entries SET content = replace(content, '12.5', '1' || hex(zeroblob(200)))",
            "must be a number or null",
        ),
        # No file can have that name; the entry has no episodes then.
        ("UPDATE entries SET episodes = hex(zeroblob(3000))", ""),
        ("CREATE TRIGGER t AFTER INSERT ON entries BEGIN DELETE FROM entries; END", "is damaged, or was changed by"),
        (
            "DROP TABLE entries; CREATE VIEW entries AS WITH RECURSIVE e(number, content, added, episodes) AS (VALUES"
            " (1, '', '', '') UNION ALL SELECT number + 1, '', '', '' FROM e) SELECT * FROM e",
            "is damaged, or was changed by another program",
        ),
        ("PRAGMA user_version = -1", "is damaged, or was changed by another program"),
    ],
)
def test_what_another_program_wrote_into_a_leaderboard(tmp_path: Path, change: str, line: str):
    """A view in the place of the table would be read for ever."""
    (reader,) = [one for one in READERS if one.name == "leaderboard database"]
    trial = Trial(reader, tmp_path)
    path = tmp_path / "board.sqlite"
    path.write_bytes(trial.valid["board.sqlite"])
    other = sqlite3.connect(path)
    other.executescript(change)
    other.execute("PRAGMA journal_mode = DELETE")
    other.close()
    assert line in trial.read({"board.sqlite": path.read_bytes()})


def test_a_checkpoint_whose_counters_are_as_deep_as_the_stack(tmp_path: Path):
    """It is passed over where the best one is looked for."""
    (reader,) = [one for one in READERS if one.name == "checkpoints of a run"]
    trial = Trial(reader, tmp_path)
    header = json.dumps({"__metadata__": {"counters": DEEP, "sha256": "0" * 64}}).encode()
    assert trial.read({"iteration-00001.safetensors": len(header).to_bytes(8, "little") + header}) == ""


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
