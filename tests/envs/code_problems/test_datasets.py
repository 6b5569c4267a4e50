"""Reading MBPP's and HumanEval's rows, and what is said of rows that are neither."""

from __future__ import annotations

import builtins
import json
import signal
import threading
from pathlib import Path
from typing import Any

import pytest

from envs.code_problems import check_dataset
from envs.code_problems.check_dataset import CheckConfig, Outcome, main
from envs.code_problems.datasets import MissingSplitError, read
from envs.code_problems.environment import CodeProblems
from envs.code_problems.problems import Problem
from envs.errors import InputError, MissingExtraError
from envs.sandbox import MOST_AT_A_TIME
from envs.verifiers.unit_tests import verify
from tests.envs.code_problems.rows import HUMAN_EVAL_ROW, MBPP_ROW, write


def check(problem: Any, program: str) -> bool:
    return verify(f"{problem.preamble}\n{program}", problem.tests, names=problem.names).passed


def test_a_row_of_mbpp(tmp_path: Path):
    (problem,) = read(write(tmp_path / "mbpp.jsonl", MBPP_ROW), "train", 1)
    assert (problem.name, problem.names, problem.setting_up) == ("mbpp/601", ("add",), "import math")
    assert problem.public == ("assert add(1, 2) == 3",)
    assert len(problem.hidden) == 2
    assert check(problem, problem.reference)
    assert not check(problem, "def add(a, b): return 3")
    assert not check(problem, "class math: isclose = lambda *a: True\ndef add(a, b): return {0: 0}.get(a, 3)")


def test_a_row_of_humaneval(tmp_path: Path):
    (problem,) = read(write(tmp_path / "HumanEval.jsonl", HUMAN_EVAL_ROW), "test", 1)
    assert problem.names == ("root",)
    assert problem.public == ("assert root([-1.0, 2.0]) == 0.5", "assert root([0.0, 3.0]) == -0.0")
    assert check(problem, problem.reference)
    assert check(problem, "def root(coefficients): return -coefficients[0] / coefficients[1]")
    assert not check(problem, "def root(coefficients): return 0.0")
    assert not check(problem, "def poly(coefficients, x): return 0\ndef root(coefficients): return -0.5")
    assert not check(problem, "def check(candidate): pass\ndef root(coefficients): return -0.5")


def test_the_setup_of_a_row_uses_the_programs_classes(tmp_path: Path):
    row = {
        **MBPP_ROW,
        "code": "class Node:\n    def __init__(self, x): self.x, self.next = x, None\n"
        "def size(n): return 1 + size(n.next) if n else 0",
        "test_setup_code": "start = Node(1)\nstart.next = Node(2)",
        "test_list": ["assert size(start) == 2", "assert start.next.x == 2"],
    }
    (problem,) = read(write(tmp_path / "a.jsonl", row), "train", 0)
    assert problem.names == ("Node", "size")
    assert (problem.public, check(problem, problem.reference)) == ((), True)


@pytest.mark.parametrize(
    ("identifier", "split"),
    [(1, None), (11, "test"), (510, "test"), (511, "valid"), (600, "valid"), (601, "train"), (974, "train")],
)
def test_the_published_splits_of_mbpp(tmp_path: Path, identifier: int, split: str | None):
    file = write(tmp_path / "a.jsonl", {**MBPP_ROW, "task_id": identifier})
    for name in ("train", "valid", "test"):
        if name == split:
            assert len(read(file, name, 1)) == 1
        else:
            with pytest.raises(MissingSplitError, match=f"no problem of split={name}"):
                read(file, name, 1)


def test_rows_of_ones_own_are_split_by_their_field_or_by_hash(tmp_path: Path):
    rows = [{**MBPP_ROW, "task_id": f"own/{number}"} for number in range(100)]
    file = write(tmp_path / "a.jsonl", *rows)
    names = {split: {problem.name for problem in read(file, split, 1)} for split in ("train", "valid", "test")}
    assert sum(map(len, names.values())) == 100
    assert len(names["train"]) > 60
    file = write(tmp_path / "b.jsonl", *({**row, "split": "valid"} for row in rows))
    assert len(read(file, "valid", 1)) == 100


def test_a_json_list_and_a_folder_are_read(tmp_path: Path):
    (tmp_path / "a.json").write_text(json.dumps([MBPP_ROW, {**MBPP_ROW, "task_id": 602}]))
    write(tmp_path / "b.jsonl", {**MBPP_ROW, "task_id": 603})
    assert [problem.name for problem in read(str(tmp_path), "train", 1)] == ["mbpp/601", "mbpp/602", "mbpp/603"]


def without(row: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in names}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (without(MBPP_ROW, "test_list"), "line 2: the row has no usable 'test_list'. Rows like MBPP's have"),
        (without(MBPP_ROW, "code"), "no usable 'code'"),
        (without(MBPP_ROW, "text"), "no usable 'text'"),
        (without(MBPP_ROW, "task_id"), "no usable 'task_id'"),
        ({**MBPP_ROW, "test_list": []}, "no usable 'test_list'"),
        ({**MBPP_ROW, "test_list": "assert"}, "no usable 'test_list'"),
        (without(HUMAN_EVAL_ROW, "test"), "no usable 'test'. Rows like HumanEval's have"),
        (without(HUMAN_EVAL_ROW, "entry_point"), "no usable 'entry_point'"),
        (without(HUMAN_EVAL_ROW, "canonical_solution"), "no usable 'canonical_solution'"),
        ({**HUMAN_EVAL_ROW, "entry_point": "no_root"}, "defines no function 'no_root'"),
        ({**MBPP_ROW, "code": "print 'old'"}, "not Python"),
        ({**MBPP_ROW, "test_list": ["assert ("]}, "not Python"),
        ({**MBPP_ROW, "split": "trian"}, "Did you mean 'train'"),
        (MBPP_ROW, "stands there a second time"),
        ([1], "should be a JSON object"),
        ({"question": "?", "answer": "!"}, "the row has no usable"),
    ],
)
def test_a_broken_row_is_named(tmp_path: Path, row: Any, message: str):
    file = write(tmp_path / "broken.jsonl", MBPP_ROW, row)
    with pytest.raises(InputError) as caught:
        CodeProblems(data=file)
    assert message in str(caught.value)
    assert str(caught.value).startswith(f"{file}, line 2: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"{", "line 1: not JSON"), (b"\xff\xfe", "not UTF-8"), (b"", "no problem of split=train"), (b"[1", "not JSON")],
)
def test_a_broken_file_is_named(tmp_path: Path, content: bytes, message: str):
    file = tmp_path / "broken.jsonl"
    file.write_bytes(content)
    with pytest.raises(InputError, match=message):
        read(str(file), "train", 1)


@pytest.mark.parametrize("data", ["absent.jsonl", "/absent/file.json", "absent", "./a/b"])
def test_absent_files_are_named(data: str):
    with pytest.raises(InputError, match="no such file"):
        read(data, "train", 1)


def test_a_data_set_by_name(monkeypatch: pytest.MonkeyPatch):
    datasets = pytest.importorskip("datasets", reason="needs pip install 'keystone-rl[datasets]'")
    rows = datasets.Dataset.from_list([MBPP_ROW])
    local = datasets.DatasetDict({"train": rows, "validation": rows})
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets, "load_dataset", lambda name, subset: {"owner/name": local}[name])
    (problem,) = read("owner/name", "valid", 1)
    assert problem.name == "mbpp/601"
    with pytest.raises(MissingSplitError, match="no split for test, only train, validation"):
        read("owner/name", "test", 1)
    with pytest.raises(InputError, match="cannot be loaded"):
        read("owner/other", "test", 1)


def test_a_data_set_by_name_without_the_package(monkeypatch: pytest.MonkeyPatch):
    real = builtins.__import__

    def importing(name: str, *rest: Any) -> Any:
        if name == "datasets":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", importing)
    with pytest.raises(MissingExtraError, match=r"pip install 'keystone-rl\[datasets\]'"):
        read("owner/name", "train", 1)


def test_the_check_finds_unusable_problems(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    good, wrong, blind = ({**MBPP_ROW, "task_id": number} for number in (601, 602, 603))
    wrong["code"] = "def add(a, b): return a - b"
    blind["test_list"] = ["add(1, 2)"]
    file = write(tmp_path / "a.jsonl", good, wrong, blind)
    assert main(CheckConfig(data=file)) == 1
    said = capsys.readouterr().out
    assert "mbpp/602: the reference fails" in said
    assert "mbpp/603: the tests hold for other values too" in said
    assert "mbpp/601" not in said
    assert main(CheckConfig(data=write(tmp_path / "b.jsonl", good, HUMAN_EVAL_ROW))) == 0


def test_ctrl_c_ends_the_check(monkeypatch: pytest.MonkeyPatch):
    begun: list[str] = []
    checked = check_dataset.check

    def interrupting(problem: Problem, *rest: Any) -> Outcome:
        begun.append(problem.name)
        if len(begun) == MOST_AT_A_TIME + 1:
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        return checked(problem, *rest)

    monkeypatch.setattr(check_dataset, "check", interrupting)
    with pytest.raises(KeyboardInterrupt):
        main(CheckConfig(problems=MOST_AT_A_TIME))
    assert MOST_AT_A_TIME < len(begun) <= 3 * MOST_AT_A_TIME


@pytest.mark.parametrize(("file", "count"), [("mbpp.jsonl", 964), ("sanitized-mbpp.json", 420)])
def test_the_real_mbpp_is_read(real_data: Path, file: str, count: int):
    """All of it is verified by `python -m envs.code_problems.check_dataset data=PATH`; this is a sample."""
    problems = [
        problem for split in ("train", "valid", "test") for problem in read(str(real_data / "code" / file), split, 1)
    ]
    assert len(problems) == count
    assert all(problem.names and problem.hidden for problem in problems)
    config = CheckConfig(data=str(real_data / "code" / file), problems=4, changes=0)
    assert main(config) == 0


def test_wrong_examples_of_a_text_are_left_out(tmp_path: Path):
    wrong = HUMAN_EVAL_ROW["prompt"].replace("    0.5\n", "    15.0\n")
    env = CodeProblems(data=write(tmp_path / "h.jsonl", {**HUMAN_EVAL_ROW, "prompt": wrong}), split="test")
    env.reset(seed=0)
    assert env.problem.public == ("assert root([0.0, 3.0]) == -0.0",)
    assert env.step(env.problem.reference)[1] == 1.0
