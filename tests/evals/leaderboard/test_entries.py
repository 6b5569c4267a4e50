"""What an entry must be, and what tells one from another."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from envs.config import load
from envs.errors import InputError, MissingExtraError
from evals import panels
from evals.leaderboard import committed
from evals.leaderboard.contents import tasks_of
from evals.leaderboard.entries import check, check_name, conditions, key_of, trained_name
from evals.leaderboard.ranking import table_key
from evals.run import EvalConfig
from tests.evals.leaderboard.made import entry, sha

WHOLE = entry("layer 3", [1, 0, 1, 1])


def changed(path: str, value: Any) -> dict[str, Any]:
    content = copy.deepcopy(WHOLE)
    *parents, last = path.split(".")
    inner = content
    for name in parents:
        inner = inner[name]
    inner[last] = value
    return content


def test_a_whole_entry_is_taken_as_it_is():
    assert check(json.loads(json.dumps(WHOLE)), "here") == WHOLE
    assert check({**WHOLE, "training": None, "delta_sha256": [sha("a"), sha("b")]}, "here")["training"] is None


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("name", ""),
        ("name", "two\nlines"),
        ("name", "\x1b[31mred"),
        ("name", "x" * 81),
        ("name", "turned\N{RIGHT-TO-LEFT OVERRIDE}round"),
        ("kind", "best"),
        ("panel.sha256", "1234"),
        ("panel.content_sha256", ""),
        ("panel.tasks", 0),
        ("delta_sha256", sha("x").upper()),
        ("sampling.seeds", []),
        ("sampling.temperature", float("nan")),
        ("score.success", 1.2),
        ("score.interval", [0.1]),
        ("score.by_type", {"pick": {}}),
        ("score.by_type", {"pick": {"success": 0.5, "interval": {}, "episodes": 2}}),
        ("score.by_type", {"pick": {"success": 0.5, "interval": [0, 1], "episodes": "2"}}),
        ("cost", {"seconds": "long"}),
        ("cost", {"hardware": {"memory_bytes": "much"}}),
        ("cost", {"versions": ["1"]}),
        ("training", {"sync_bytes": "many"}),
        ("command", "python -m evals.run\nrm -r /"),
        ("options", None),
        ("outcomes", "1011"),
    ],
)
def test_what_an_entry_may_not_hold_is_named(path: str, value: Any):
    with pytest.raises(InputError, match=f"some file: {path.replace('.', '[.]')} of the entry must be"):
        check(changed(path, value), "some file")


def test_what_may_be_null_may_not_be_missing():
    sampling = {name: value for name, value in WHOLE["sampling"].items() if name != "temperature"}
    with pytest.raises(InputError, match=r"sampling[.]temperature of the entry must be a number or null, got nothing"):
        check(changed("sampling", sampling), "some file")


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("outcomes", [1, 0, 1], "outcomes must be 4 whole numbers from 0 to 1"),
        ("outcomes", [1, 0, 2, 0], "outcomes must be 4 whole numbers from 0 to 1"),
        ("outcomes", [True, False, True, True], "outcomes must be 4 whole numbers"),
        ("outcomes", [1, 0, 0, 1], "success 0.7500, the outcomes 4 with 0.5000"),
        ("score.episodes", 8, "the score counts 8 episodes"),
        ("schema", 2, "schema 2, this Keystone knows 1. Update Keystone"),
    ],
)
def test_a_score_must_be_what_its_outcomes_say(path: str, value: Any, said: str):
    with pytest.raises(InputError, match=said):
        check(changed(path, value), "some file")


def test_what_is_no_mapping_is_refused():
    with pytest.raises(InputError, match="holds no leaderboard entry"):
        check([WHOLE], "some file")


def test_entries_that_differ_in_cost_alone_are_the_same_entry():
    other = changed("cost", {"seconds": 9})
    assert key_of(other) == key_of(WHOLE)
    assert key_of(changed("score.mean_turns", 3.0)) == key_of(WHOLE)
    for path, value in [
        ("name", "another"),
        ("panel.sha256", sha("x")),
        ("delta_sha256", sha("y")),
        ("sampling.temperature", 0.4),
        ("sampling.seeds", [1]),
        ("options.max_turns", 50),
    ]:
        assert key_of(changed(path, value)) != key_of(WHOLE)


def test_content_tells_entries_apart_and_none_counts_as_the_pinned_one():
    rule = panels.read("sokoban_generated")
    panel = {"name": rule.name, "tasks": 4, "sha256": rule.sha256}
    absent = changed("panel", panel)
    pinned = changed("panel", panel | {"content_sha256": rule.content_sha256})
    other = changed("panel", panel | {"content_sha256": sha("another generator")})
    assert key_of(absent) == key_of(pinned) != key_of(other)
    assert table_key(absent) == table_key(pinned) != table_key(other)
    # Where nothing is pinned, nobody knows what an entry without a content stands for.
    assert table_key(WHOLE) != table_key(changed("panel.content_sha256", sha("some")))


@pytest.mark.parametrize("env", ["code", "math", "sokoban_tiny", "textworld_tiny"])
def test_the_drawn_panels_of_committed_entries_have_the_content_of_new_ones(env: str):
    world = env.partition("_")[0]
    name = f"{world}-{'test' if world in ('code', 'math') else 'valid'}-seed0"
    (old,) = (entry for entry in committed.panels() if entry["name"] == name)
    try:
        _, panel = panels.choose(load(EvalConfig, [f"env={env}"]).env, "", name.split("-")[1], 0, old["tasks"])
    except MissingExtraError as error:
        pytest.skip(str(error))
    assert (panel.name, panel.sha256) == (name, old["sha256"])
    assert len(panel.content_sha256) == 64
    assert tasks_of(panel.as_json()) == tasks_of(old) == (panel.sha256, "")


def test_conditions_are_what_changes_a_task():
    assert conditions(WHOLE) == {"max_turns": 30}
    more = changed("options", {"data": "PATH", "anchor": "state", "max_turns": 50, "clutter": 4.0, "distractors": 0})
    assert conditions(more) == {"clutter": 4.0}
    assert conditions({**more, "env": "not:Installed"}) == {"max_turns": 50, "clutter": 4.0, "distractors": 0}


def test_names():
    assert check_name("layer 3, GiGPO") == "layer 3, GiGPO"
    with pytest.raises(InputError, match="1 to 80 printable characters"):
        check_name(" ")
    assert [trained_name(target) for target in ("3", "2-4", "lora:3", "3.mlp", "boost:3")] == [
        *("layer 3", "layer 2-4", "LoRA on layer 3", "layer 3.mlp", "boost:3")
    ]
