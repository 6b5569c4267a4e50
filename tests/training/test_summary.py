"""`summary.json` has the keys that users rely on, and the sentences under the table say no more than the intervals."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evals import report_view
from evals.figures import ABSENT
from evals.findings import is_resolved
from evals.statistics import wilson
from training.summary import sentences, summarize, table

PANEL = {"name": "seed 0", "tasks": 200, "sha256": "0" * 64}
FACTS = {
    "env": "alfworld",
    "model": "tiny",
    "algorithm": "gigpo",
    "seed": 0,
    "data": {"training": "made", "evaluation": "made"},
    "panel": PANEL,
    "tuning_panel": PANEL | {"name": "tuning"},
    "update_floor": 0.5,
}


def evaluation(wins: list[int]) -> dict[str, Any]:
    rate = sum(wins) / len(wins)
    return {
        "wins": wins,
        "success": rate,
        "interval": list(wilson(sum(wins), len(wins))),
        "mean_turns": 20.5,
        "invalid_actions": 0.1,
        "temperature": 0.4,
        "tuning": {"0": 0.1, "0.4": 0.3, "1": 0.2},
    }


def training(seconds: float) -> dict[str, Any]:
    cost = {"seconds": 3 * seconds, "rollout_seconds": 2 * seconds, "update_seconds": seconds, "peak_bytes": 10}
    row = {"sampled_tokens": 100, "row_tokens": 400, "success": 0.5, "cost": cost}
    return {
        "target": "3",
        "trained_parameters": 12,
        "learning_rate": 1e-3,
        "sync_bytes": 48,
        "optimizer_bytes": 96,
        "history": [row, row],
    }


def stages(base: list[int], layer: list[int], full: list[int] | None) -> dict[str, Any]:
    made = {
        "base": {"evaluation": evaluation(base)},
        "choice": {"selector": "auto", "target": "3", "chosen": [3], "why": "", "blocks": [], "cost": {"seconds": 4.0}},
        "layer": {"evaluation": evaluation(layer), "training": training(1.0)},
    }
    if full is not None:
        made["full"] = {"evaluation": evaluation(full), "training": training(2.0)}
        made["equal"] = {
            kind: {arm: {"iteration": 1, "success": 0.5, "interval": [0.4, 0.6]} for arm in ("layer", "full")}
            for kind in ("tokens", "wall_clock")
        }
    return made


def outcomes(rate: float, seed: int, count: int = 200) -> list[int]:
    return (np.random.default_rng(seed).random(count) < rate).astype(int).tolist()


def made(with_full: bool = True) -> dict[str, Any]:
    full = outcomes(0.7, 3) if with_full else None
    return summarize(FACTS, stages(outcomes(0.3, 1), outcomes(0.55, 2), full))


def test_the_keys_of_a_comparison():
    summary = json.loads(json.dumps(made(), allow_nan=False))
    assert set(summary) == {
        *("env", "model", "algorithm", "seed", "data", "panel", "tuning_panel", "layer", "arms", "paired"),
        *("contribution", "watch", "equal_tokens", "cost"),
    }
    assert set(summary["panel"]) == set(summary["tuning_panel"]) == {"name", "tasks", "sha256"}
    assert summary["layer"] == {"selector": "auto", "target": "3", "indices": [3], "count": 1}
    assert set(summary["arms"]) == {"base", "layer", "full"}
    wanted = {"success", "episodes", "interval", "mean_turns", "temperature", "trained_parameters", "iterations"}
    for arm in summary["arms"].values():
        assert wanted | {"sampled_tokens"} <= set(arm)
    assert summary["arms"]["base"]["iterations"] == summary["arms"]["base"]["trained_parameters"] == 0
    assert (summary["arms"]["layer"]["iterations"], summary["arms"]["layer"]["sampled_tokens"]) == (2, 200)
    assert set(summary["paired"]) == {"layer_vs_base", "layer_vs_full", "full_vs_base"}
    for pair in summary["paired"].values():
        assert {"difference", "interval", "p"} <= set(pair)
    assert set(summary["contribution"]) == {"value", "interval", "why_null"}
    assert set(summary["equal_tokens"]) == {"layer", "full"}
    cost = summary["cost"]
    assert set(cost) == {"layer", "full", "selection_seconds", "update_ratio", "update_floor", "equal_wall_clock"}
    for arm in ("layer", "full"):
        assert (
            set(summary["equal_tokens"][arm])
            == set(cost["equal_wall_clock"][arm])
            == {
                *("iteration", "success", "interval"),
            }
        )
        assert set(cost[arm]) == {
            *("seconds", "rollout_seconds", "update_seconds", "peak_bytes", "optimizer_bytes", "sync_bytes"),
        }
    assert (cost["layer"]["seconds"], cost["selection_seconds"], cost["update_floor"]) == (6.0, 4.0, 0.5)
    assert cost["update_ratio"] == pytest.approx(0.5)


def test_the_keys_without_a_full_arm():
    summary = made(with_full=False)
    assert set(summary["arms"]) == {"base", "layer"}
    assert set(summary["paired"]) == {"layer_vs_base"}
    assert summary["contribution"]["value"] is None
    assert "no full-parameter arm" in summary["contribution"]["why_null"]
    assert summary["equal_tokens"] == summary["cost"]["equal_wall_clock"] == {}
    assert "full" not in summary["cost"]


def test_a_run_of_everything_alone_is_called_that():
    parts = stages(outcomes(0.3, 1), outcomes(0.55, 2), None)
    parts["choice"] |= {"selector": "full", "target": "full", "chosen": [0, 1, 2, 3]}
    alone, layer = summarize(FACTS, parts), made(with_full=False)
    assert [column.header for column in table(alone).columns] == ["", "base", "full"]
    assert [column.header for column in table(layer).columns] == ["", "base", "layer"]
    assert any(line.startswith("full vs base: ") for line in sentences(alone))
    assert any(line.startswith("layer vs base: ") for line in sentences(layer))
    assert not any("layer" in line for line in sentences(alone))


def without_times(content: Any) -> Any:
    """Everything outside `cost`."""
    if isinstance(content, dict):
        return {name: without_times(value) for name, value in content.items() if name != "cost"}
    return [without_times(value) for value in content] if isinstance(content, list) else content


def test_times_stand_under_cost_only():
    slow = stages(outcomes(0.3, 1), outcomes(0.55, 2), outcomes(0.7, 3))
    for arm in ("layer", "full"):
        slow[arm]["training"] = training(17.0)
    slow["choice"]["cost"]["seconds"] = 99.0
    slow["equal"]["wall_clock"]["full"]["iteration"] = 2
    assert without_times(summarize(FACTS, slow)) == without_times(made())
    assert summarize(FACTS, slow)["cost"] != made()["cost"]


def test_a_success_that_is_not_known_is_said_to_be_so():
    content = stages(outcomes(0.3, 1), outcomes(0.55, 2), outcomes(0.7, 3))
    content["equal"]["tokens"]["full"] = {"iteration": 7, "success": None, "interval": None, "why_null": "it was lost"}
    summary = summarize(FACTS, content)
    (line,) = [line for line in sentences(summary) if line.startswith("At equal sampled tokens")]
    assert line == (
        "At equal sampled tokens: layer 0.500 (0.400 to 0.600) after 1 iterations, full not known (it was lost)."
    )
    assert report_view._budget_table(summary).rows[1] == ["equal sampled tokens: full", "7", ABSENT, "it was lost"]


def test_an_iteration_without_rows_does_not_spoil_the_ratio():
    empty = stages(outcomes(0.3, 1), outcomes(0.5, 2), outcomes(0.7, 3))
    empty["layer"]["training"]["history"][0] = empty["layer"]["training"]["history"][0] | {"row_tokens": 0}
    assert summarize(FACTS, empty)["cost"]["update_ratio"] == pytest.approx(0.5)
    empty["full"]["training"]["history"] = []
    assert summarize(FACTS, empty)["cost"]["update_ratio"] is None


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 60), st.integers(0, 60), st.integers(0, 60), st.integers(0, 20))
def test_sentences_claim_a_difference_only_if_interval_and_test_agree(base: int, layer: int, full: int, shift: int):
    count = 60
    wins = [
        [int((task + move) % count < won) for task in range(count)]
        for won, move in ((base, 0), (layer, shift), (full, 0))
    ]
    summary = summarize(FACTS, stages(*wins))
    headline, against_full, contribution, *others = sentences(summary)
    pairs = summary["paired"]
    raised = is_resolved(pairs["layer_vs_base"]) and pairs["layer_vs_base"]["difference"] > 0
    lowered = is_resolved(pairs["layer_vs_base"]) and pairs["layer_vs_base"]["difference"] < 0
    assert (" raised success " in headline, " lowered success " in headline) == (raised, lowered)
    assert ("cannot tell from none" in headline) == (not raised and not lowered)
    assert (" did better than " in against_full) == is_resolved(pairs["layer_vs_full"])
    assert ("was not resolved" in against_full) == (not is_resolved(pairs["layer_vs_full"]))
    assert ("undefined" in contribution) == (pairs["full_vs_base"]["interval"][0] <= 0.05)
    for word in ("raised", "lowered", "better", "worse", "above", "below", "equal to"):
        assert word not in " ".join(others)


def test_sentences_hold_the_figures():
    text = "\n".join(sentences(made()))
    assert "exact McNemar p = " in text
    assert "Update time a token, layer over full: 0.50 (compute floor 0.50)." in text
    assert "At equal sampled tokens: layer 0.500 (0.400 to 0.600) after 1 iterations, full 0.500" in text
    assert "At equal training seconds: " in text


def test_the_table_has_a_column_an_arm():
    assert [column.header for column in table(made()).columns] == ["", "base", "layer", "full"]
    assert [column.header for column in table(made(with_full=False)).columns] == ["", "base", "layer"]
