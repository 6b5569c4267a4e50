"""`evals.run` with several seeds, and what two runs of one command agree on to the last byte."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, ClassVar

import pytest

from envs.command import run_command
from envs.installation import REPOSITORY
from evals import run
from evals.clusters import clustered
from tests.agents.models import byte_tokenizer, model
from tests.envs.corridor import Corridor


class Stopping(Corridor):
    """Corridors in which a Ctrl-C comes at turn number `interrupt`."""

    steps: ClassVar[int] = 0
    interrupt: ClassVar[int] = -1

    def step(self, action: str) -> Any:
        Stopping.steps += 1
        if Stopping.steps == Stopping.interrupt:
            signal.raise_signal(signal.SIGINT)
        return super().step(action)


WORLD = ("env=tests.evals.test_run_seeds:Stopping", "env.length=12", "env.max_turns=20", "tasks=8")


@pytest.fixture(autouse=True)
def quiet():
    Stopping.steps, Stopping.interrupt = 0, -1


def evaluate(*words: str) -> int:
    return run_command("evals", run.EvalConfig, run.main, description="", argv=words)


def rows(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "episodes.jsonl").read_text().splitlines()]


def score(out: Path) -> dict[str, Any]:
    return json.loads((out / "score.json").read_text())


def agreed(out: Path) -> bytes:
    """The bytes of the rows without their cost."""
    return re.sub(rb', "cost": \{[^{}]*\}\}$', b"}", (out / "episodes.jsonl").read_bytes(), flags=re.M)


@pytest.mark.parametrize("seeds", ["0,1,2", "[0, 1, 2]"])
def test_each_task_is_played_once_with_each_seed(seeds: str, capsys: pytest.CaptureFixture[str], tmp_path: Path):
    assert evaluate(*WORLD, "policy=random", f"seeds={seeds}", f"out={tmp_path}") == 0
    played, found = rows(tmp_path), score(tmp_path)
    count = found["panel"]["tasks"]
    tasks = [row["task"] for row in played[:count]]
    assert [(row["seed"], row["task"]) for row in played] == [(seed, task) for seed in (0, 1, 2) for task in tasks]
    (only,) = found["scores"]
    assert (found["seeds"], only["tasks"], only["episodes"]) == ([0, 1, 2], count, 3 * count)
    wins = [sum(row["won"] for row in played if row["task"] == task) for task in tasks]
    assert 0 < sum(wins) < 3 * count
    assert only["interval"] == list(clustered(wins, [3] * count))
    said = capsys.readouterr().out
    assert f"random, seed 2 {count}/{count}" in said
    assert f"as scripted {count} x 3" in " ".join(said.split())
    assert "power: to see a difference of 3 points you need" in said
    assert "Nothing is drawn" not in said


def test_one_of_the_seeds_is_what_that_seed_plays_alone(tmp_path: Path):
    assert evaluate(*WORLD, "policy=random", "seeds=4,5", f"out={tmp_path / 'two'}") == 0
    assert evaluate(*WORLD, "policy=random", "seeds=5", f"out={tmp_path / 'one'}") == 0
    two, one = (agreed(tmp_path / name).splitlines() for name in ("two", "one"))
    # The panel is drawn by `seed` alone.
    assert two[len(two) // 2 :] == one


@pytest.mark.fault
def test_an_interrupted_evaluation_with_seeds_goes_on(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    model().save_pretrained(tmp_path / "model")
    byte_tokenizer().save_pretrained(tmp_path / "model")
    policy = (f"policy={tmp_path / 'model'}", "policy.max_reply_tokens=6", "env.max_turns=4", "device=cpu")
    words = (*WORLD, *policy, "seeds=0,1", "temperatures=[0,1]", "batch=3")
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert evaluate(*words, f"out={whole}") == 0
    Stopping.steps, Stopping.interrupt = 0, Stopping.steps * 2 // 3
    assert evaluate(*words, f"out={parts}") == 130
    assert len(rows(whole)) // 4 < len(rows(parts)) < len(rows(whole))
    Stopping.interrupt = -1
    assert evaluate(*words, f"out={parts}") == 0
    assert agreed(parts) == agreed(whole)
    assert score(parts)["scores"] == score(whole)["scores"]
    tokens = [turn["tokens"] for row in rows(whole) for turn in row["turns"]]
    assert all(1 <= count <= 6 for count in tokens)
    greedy = [turn["tokens"] for row in rows(whole) if row["temperature"] == 0 for turn in row["turns"]]
    assert score(whole)["scores"][0]["mean_tokens"] == sum(greedy) / (len(rows(whole)) // 2)
    said = capsys.readouterr().out
    assert "tokens an episode" in said
    assert "Nothing is drawn at temperature 0: its 2 seeds play the same episodes; one seed is enough." in said
    half, others = (
        [row | {"seed": 0, "cost": None} for row in rows(whole) if (row["temperature"], row["seed"]) == (0, seed)]
        for seed in (0, 1)
    )
    assert half == others


@pytest.mark.parametrize("seeds", ["0,x", "-1", "0,,1", "0.5"])
def test_what_are_no_seeds(seeds: str, capsys: pytest.CaptureFixture[str]):
    assert evaluate(*WORLD, "policy=random", f"seeds={seeds}") == 2
    line = capsys.readouterr().err
    assert f"seeds must be whole numbers of at least 0 with commas between them, as 0,1,2, got {seeds!r}." in line


def test_what_it_ran_on_stands_under_cost(tmp_path: Path):
    assert evaluate(*WORLD, "policy=random", f"out={tmp_path}") == 0
    cost = score(tmp_path)["cost"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", cost["date"])
    assert {"processor", "cores", "memory_bytes", "gpu"} <= set(cost["hardware"])
    assert cost["hardware"]["cores"] >= 1
    assert cost["hardware"]["memory_bytes"] > 2**28
    assert cost["versions"]["python"] == ".".join(map(str, sys.version_info[:3]))
    assert len(cost["seconds_an_episode"]) == 1
    assert all(row["cost"]["seconds"] >= 0 for row in rows(tmp_path))
    assert all(turn["tokens"] is None for row in rows(tmp_path) for turn in row["turns"])
    # Gone on with elsewhere, it says where it was before.
    content = score(tmp_path)
    content["cost"]["hardware"]["processor"] = "abacus"
    (tmp_path / "score.json").write_text(json.dumps(content))
    assert evaluate(*WORLD, "policy=random", f"out={tmp_path}") == 0
    # Where nothing was left to play, nothing was played here.
    assert score(tmp_path)["cost"]["hardware"]["processor"] == "abacus"
    lines = (tmp_path / "episodes.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "episodes.jsonl").write_text("".join(lines[:-1]))
    assert evaluate(*WORLD, "policy=random", f"out={tmp_path}") == 0
    assert [each["processor"] for each in score(tmp_path)["cost"]["earlier_hardware"]] == ["abacus"]


def test_a_greedy_policy_scored_twice_gives_the_same_bytes(tmp_path: Path):
    words = ["policy=tiny", "data=generated", "tasks=6", "env.max_turns=6", "temperatures=[0]", "device=cpu"]
    command = [sys.executable, "-m", "evals.run", *words, f"out={tmp_path / 'one'}"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert evaluate(*words, f"out={tmp_path / 'two'}") == 0
    threads = {score(tmp_path / name)["cost"]["hardware"]["threads"] for name in ("one", "two")}
    assert len(threads) == 1
    one, two = tmp_path / "one", tmp_path / "two"
    assert agreed(one) == agreed(two)
    assert agreed(one).count(b"\n") == 6
    assert b'"cost"' not in agreed(one)
    assert {**score(one), "cost": 0} == {**score(two), "cost": 0}
