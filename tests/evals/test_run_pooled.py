"""`evals.run` on a world that is played in a pool, while its workers are lost: every row is there, none twice."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from envs.command import run_command
from evals import run
from tests.agents.models import byte_tokenizer, model

pytestmark = pytest.mark.fault

WORLD = "tests.envs.pool.troubled:Troubled"
SMALL = ("env.length=30", "env.max_turns=5", "tasks=12", "device=cpu")
POOL = ("pool.workers=2", "pool.worlds=2", "pool.step_seconds=1.5", "pool.tries=2")


def evaluate(out: Path, *words: str, world: str = WORLD) -> int:
    argv = (f"env={world}", *SMALL, *words, f"out={out}")
    return run_command("evals", run.EvalConfig, run.main, description="", argv=argv)


def rows(out: Path) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in (out / "episodes.jsonl").read_text().splitlines()]
    return [{name: value for name, value in row.items() if name != "cost"} for row in found]


def score(out: Path) -> dict[str, Any]:
    return json.loads((out / "score.json").read_text())


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """The rows of the random player where nothing goes wrong, all in one process."""
    out = tmp_path_factory.mktemp("plain")
    assert evaluate(out, "policy=random", world="tests.envs.corridor:Corridor") == 0
    return rows(out)


@pytest.mark.parametrize(
    ("trouble", "cause"), [("die", "was killed by SIGKILL"), ("stop", "gave no answer within 1.5 s")]
)
def test_workers_that_are_lost_leave_no_trace_in_the_rows(
    trouble: str, cause: str, plain: list[dict[str, Any]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    task = plain[3]["task"]
    marks = tmp_path / "marks"
    marks.mkdir()
    words = (f"env.trouble={trouble}", f"env.tasks_of_trouble={task}", f"env.folder={marks}")
    assert evaluate(tmp_path / "out", "policy=random", *words, *POOL) == 0
    assert rows(tmp_path / "out") == plain
    found = score(tmp_path / "out")
    assert (found["cost"]["workers_restarted"], found["cost"]["episodes_replayed"]) == (1, 1)
    said, log = capsys.readouterr().out, (tmp_path / "out" / "log.txt").read_text()
    for text in (said, log):
        assert re.search(rf"worker [01] \(pid \d+\), {WORLD}, task {task}, turn 2: the worker {cause}\.", text)
        assert "workers: 1 restarted, 0 replaced for their memory; episodes: 1 begun again, 0 ended as an error" in text


def test_an_episode_that_cannot_be_played_is_a_row_with_its_cause(
    plain: list[dict[str, Any]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    task = plain[3]["task"]
    assert evaluate(tmp_path, "policy=random", "env.trouble=die", f"env.tasks_of_trouble={task}", *POOL) == 0
    for row, other in zip(rows(tmp_path), plain, strict=True):
        if row["task"] == task:
            assert (row["stop"], row["won"]) == ("error", False)
            assert row["error"] == "the worker was killed by SIGKILL in turn 2"
        else:
            assert row == other
    assert score(tmp_path)["scores"][0]["errors"] == 1
    cause = "the worker was killed by SIGKILL in turn 2"
    assert f"The environment broke 1 episodes. Task {task}: {cause}" in capsys.readouterr().out


def test_a_model_plays_in_a_pool_as_it_does_in_one_process(tmp_path: Path):
    model().save_pretrained(tmp_path / "model")
    byte_tokenizer().save_pretrained(tmp_path / "model")
    marks = tmp_path / "marks"
    marks.mkdir()
    words = (f"policy={tmp_path / 'model'}", "temperatures=[1]", "policy.max_reply_tokens=6")
    assert evaluate(tmp_path / "plain", *words, world="tests.envs.corridor:Corridor") == 0
    assert evaluate(tmp_path / "pooled", *words, "env.trouble=die", f"env.folder={marks}", *POOL) == 0
    assert rows(tmp_path / "pooled") == rows(tmp_path / "plain")
    assert score(tmp_path / "pooled")["cost"]["workers_restarted"] > 2


@pytest.mark.parametrize(
    ("word", "line"),
    [
        ("pool.worker=2", "Did you mean 'pool.workers'?"),
        ("pool.step_seconds=0", "pool.step_seconds must be a number of at least 0.01"),
        ("pool.tries=0", "pool.tries must be a whole number of at least 1"),
    ],
)
def test_wrong_keys_of_the_pool_are_refused(word: str, line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert evaluate(tmp_path / "out", "policy=random", word) == 2
    assert line in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
