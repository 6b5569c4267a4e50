"""The folder of an evaluation: killed before its first file was whole, of another process, of another evaluation."""

from __future__ import annotations

from pathlib import Path

import pytest

from envs.command import run_command
from envs.errors import InputError
from envs.pool import Counts
from evals import run
from evals.evaluation import EPISODES, SCORE, EvaluationFolder
from tests.agents.models import byte_tokenizer, model
from tests.evals.claiming import claimed_elsewhere, is_free

FACTS = {"env": "corridor", "seed": 0}


@pytest.mark.fault
def test_a_kill_while_the_first_file_was_written_leaves_a_folder_that_can_be_used(tmp_path: Path):
    (tmp_path / f"{SCORE}.part").write_text('{"env": "corr')
    EvaluationFolder.check(tmp_path, FACTS).open(FACTS)
    assert EvaluationFolder(tmp_path).read_json(SCORE)["env"] == "corridor"
    assert not (tmp_path / f"{SCORE}.part").exists()


def test_other_files_are_still_refused(tmp_path: Path):
    (tmp_path / f"{SCORE}.part").write_text("")
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="holds other files"):
        EvaluationFolder.check(tmp_path, FACTS)


def evaluate(*words: str) -> int:
    return run_command("evals", run.EvalConfig, run.main, description="", argv=words)


WORLD = ("env=tests.envs.corridor:Corridor", "tasks=4")


def test_two_evaluations_may_not_write_one_folder(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    words = (*WORLD, "policy=random", f"out={tmp_path}")
    with claimed_elsewhere(tmp_path):
        assert evaluate(*words) == 2
    assert "another process is writing" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
    assert evaluate(*words) == evaluate(*words) == 0
    assert len((tmp_path / EPISODES).read_text().splitlines()) == 3
    assert is_free(tmp_path)


def test_facts_that_the_folder_alone_states_are_those_of_another_evaluation(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    folder = EvaluationFolder.check(tmp_path / "out", FACTS)
    folder.open(FACTS | {"context": "window:2"})
    folder.append(EPISODES, [{"task": "0"}])
    # What is known before the model is loaded is not all, so it is no reason yet.
    folder = EvaluationFolder.check(tmp_path / "out", FACTS)
    with pytest.raises(InputError, match="its context is window:2, here it is None"):
        folder.open(FACTS)
    model().save_pretrained(tmp_path / "policy")
    byte_tokenizer().save_pretrained(tmp_path / "policy")
    short = ("env.length=60", "env.max_turns=2", "device=cpu", "policy.max_reply_tokens=4", "temperatures=[0]")
    words = (*WORLD, *short, f"policy={tmp_path / 'policy'}", f"out={tmp_path / 'windowed'}")
    assert evaluate(*words, "context=window:2") == 0
    before = (tmp_path / "windowed" / EPISODES).read_bytes()
    assert evaluate(*words) == 2
    assert "its context is window:2, here it is None" in capsys.readouterr().err
    assert (tmp_path / "windowed" / EPISODES).read_bytes() == before


def test_a_folder_without_an_episode_is_anybodys(tmp_path: Path):
    folder = EvaluationFolder.check(tmp_path / "out", FACTS)
    folder.open(FACTS | {"model": "smal"})
    folder.add_cost(3.0, Counts())
    for model_name, seconds in (("small", 0.0), ("small", 3.0)):
        folder = EvaluationFolder.check(tmp_path / "out", FACTS)
        folder.open(FACTS | {"model": model_name})
        stored = folder.read_json(SCORE)
        assert (stored["model"], stored["cost"].get("seconds", 0.0)) == (model_name, seconds)
        folder.add_cost(3.0, Counts())
    folder.append(EPISODES, [{"task": "0"}])
    with pytest.raises(InputError, match="its model is small, here it is smal"):
        EvaluationFolder.check(tmp_path / "out", FACTS).open(FACTS | {"model": "smal"})
