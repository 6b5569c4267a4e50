"""The folder of an evaluation that was killed before its first file was whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from envs.errors import InputError
from evals.evaluation import SCORE, EvaluationFolder

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
