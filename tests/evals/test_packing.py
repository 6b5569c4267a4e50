"""Episodes packed for a page come out as they went in, as far as they fit."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envs.errors import InputError
from evals.site import packing
from evals.site.packing import COLUMNS, Packed, Source, pack, read_rows

# Lone surrogates too: what a model says is not always whole.
TEXTS = st.text(st.characters(), max_size=30)
NUMBERS = st.none() | st.floats() | st.integers(-5, 5)
TURNS = st.fixed_dictionaries(
    {"saw": TEXTS, "said": TEXTS, "action": TEXTS, "valid": st.booleans(), "reward": NUMBERS},
    optional={"anchor": TEXTS, "advantage": NUMBERS, "tokens": st.none() | st.integers(0, 99)},
)
ROWS = st.fixed_dictionaries(
    {"task": TEXTS, "won": st.booleans(), "turns": st.lists(TURNS, max_size=4)},
    optional={
        "task_type": TEXTS,
        "goal": TEXTS,
        "purpose": st.sampled_from(["panel", "training", "tuning", "else"]),
        "temperature": NUMBERS,
        "seed": st.integers(0, 3),
        "iteration": st.integers(-1, 3),
        "member": st.integers(0, 3),
        "stop": TEXTS,
        "final": TEXTS,
        "error": st.none() | TEXTS,
        "cost": st.fixed_dictionaries({}, optional={"seconds": NUMBERS}),
    },
)


def unpacked(text: str) -> Any:
    # As a browser reads it: no NaN, no infinity.
    return json.loads(zlib.decompress(base64.b64decode(text)), parse_constant=pytest.fail)


def contents(packed: Packed) -> list[dict[str, Any]]:
    """The packed episodes in a row's words."""
    index, parts = unpacked(packed.index), [unpacked(part) for part in packed.parts]
    columns = index["columns"]
    assert {len(column) for column in columns.values()} == {packed.count}
    found = []
    for number in range(packed.count):
        facts = {name: columns[name][number] for name in COLUMNS}
        final, error, seconds, turns = parts[columns["part"][number]][columns["place"][number]]
        task, kind, goal = index["tasks"][facts["task"]]
        found.append(
            {
                "source": index["sources"][facts["source"]],
                "task": task,
                "kind": index["kinds"][kind],
                "goal": goal,
                "purpose": index["purposes"][facts["purpose"]],
                "temperature": index["temperatures"][facts["temperature"]],
                "won": bool(facts["won"]),
                "seed": facts["seed"],
                "final": final,
                "error": error,
                "seconds": seconds,
                "turns": [
                    [saw, said, said if action is None else action, bool(valid)]
                    for saw, said, action, valid, *_ in turns
                ],
                "anchors": [turn[0] if turn[6] is True else turn[6] for turn in turns],
                "advantages": [turn[5] for turn in turns],
            }
        )
    return found


def finite(value: Any) -> Any:
    return value if value is None or abs(value) < float("inf") else None


def wanted(source: str, row: dict[str, Any], first: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """What is expected of a row; a task's kind and goal are those of its first row."""
    known = first.setdefault(row["task"], row)
    return {
        "source": source,
        "task": row["task"],
        "kind": known.get("task_type", ""),
        "goal": known.get("goal", ""),
        "purpose": row.get("purpose", "panel"),
        "temperature": finite(row.get("temperature")),
        "won": row["won"],
        "seed": row.get("seed", 0),
        "final": row.get("final"),
        "error": row.get("error"),
        "seconds": finite(row.get("cost", {}).get("seconds")),
        "turns": [[turn["saw"], turn["said"], turn["action"], turn["valid"]] for turn in row["turns"]],
        "anchors": [turn.get("anchor") for turn in row["turns"]],
        "advantages": [finite(turn.get("advantage")) for turn in row["turns"]],
    }


@given(st.lists(st.lists(ROWS, max_size=5), max_size=3), st.sampled_from([1, 300, 1_000_000]))
def test_what_goes_in_comes_out(rows: Sequence[Sequence[dict[str, Any]]], part_bytes: int):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packing, "PART_BYTES", part_bytes)
        found = pack([Source(f"policy {number}", part) for number, part in enumerate(rows)])
    first: dict[str, dict[str, Any]] = {}
    expected = [wanted(f"policy {number}", row, first) for number, part in enumerate(rows) for row in part]
    assert (found.count, found.left_out) == (len(expected), 0)
    key = json.dumps
    assert sorted(contents(found), key=key) == sorted(expected, key=key)


def row(task: str, purpose: str, length: int = 10) -> dict[str, Any]:
    turn = {"saw": f"{task} {purpose} " * length, "said": "go", "action": "go", "valid": True, "reward": 0.0}
    return {"task": task, "purpose": purpose, "won": False, "turns": [turn]}


def test_what_does_not_fit_is_left_out_by_whole_tasks_tuning_first(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(packing, "PART_BYTES", 1)
    tasks = [f"task {number}" for number in range(20)]
    rows = [row(task, purpose) for purpose in ("tuning", "training", "panel") for task in tasks]
    sources = [Source("base", rows), Source("layer", rows)]
    whole = pack(sources)
    sizes = [len(part) for part in whole.parts]
    assert len(sizes) == 60
    part = pack(sources, budget=sum(sizes[:30]))
    assert (part.count, part.left_out) == (60, 60)
    shown = contents(part)
    assert [one["purpose"] for one in shown] == ["panel"] * 40 + ["training"] * 20
    assert {(one["source"], one["task"]) for one in shown[:40]} == {(s, t) for s in ("base", "layer") for t in tasks}


def test_rows_are_read_up_to_a_line_that_a_kill_cut_off(tmp_path: Path):
    path = tmp_path / "episodes.jsonl"
    # A separator that str.splitlines would take for a line end.
    path.write_text(json.dumps(row("a\u2028b", "panel"), ensure_ascii=False) + '\n{"task": "half', encoding="utf-8")
    assert [found["task"] for found in read_rows(path)] == ["a\u2028b"]
    path.write_text('{"task": "half\n{}\n', encoding="utf-8")
    with pytest.raises(InputError, match="line 1, is not valid JSON"):
        list(read_rows(path))
    with pytest.raises(InputError, match="cannot be read"):
        list(read_rows(tmp_path / "nowhere"))


@pytest.mark.parametrize("broken", [{}, {"task": "a", "won": True}, {"task": "a", "won": True, "turns": [{}]}, [1], 7])
def test_what_is_no_episode_is_refused(broken: Any):
    with pytest.raises(InputError, match="row 2 of the episodes of base is not an episode"):
        pack([Source("base", [row("a", "panel"), broken])])
