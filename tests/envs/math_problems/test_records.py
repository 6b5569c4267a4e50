"""Problems out of files and data sets: the two formats, splits, and one clear line for what is broken."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import envs.math_problems.records as records_module
from envs.errors import InputError, MissingExtraError
from envs.math_problems.environment import MathProblems
from envs.math_problems.problems import SPLITS
from envs.math_problems.records import load_dataset, read_records

GSM8K = {"question": "What is 6 * 7?", "answer": "It is <<6*7=42>>42.\n#### 42"}
MATH = {
    "problem": "Find $x$ if $2x=1$.",
    "level": "Level 1",
    "type": "Algebra",
    "solution": r"Halve: $x=\boxed{\frac{1}{2}}$.",
}


def write(path: Path, *rows: Any) -> Path:
    path.write_text("".join(row if isinstance(row, str) else json.dumps(row) + "\n" for row in rows))
    return path


def many(count: int) -> list[dict[str, str]]:
    return [{"question": f"What is {number} + 1?", "answer": str(number + 1)} for number in range(count)]


def test_gsm8k_and_math(tmp_path: Path):
    file = write(tmp_path / "both.jsonl", GSM8K, "\n", MATH, *many(100))
    problems = {}
    for split in SPLITS:
        source = read_records(str(file), split)
        problems |= {name.partition("-")[2]: source.problem(name) for name in source.sample(0, 200)}
    assert len(problems) == 102
    gsm8k, math = problems["1"], problems["3"]
    assert (gsm8k.answer, gsm8k.solution, gsm8k.family) == ("42", "It is 42.\n#### 42", "both")
    assert (math.answer, math.solution, math.family) == (r"\frac{1}{2}", MATH["solution"], "Algebra")


def test_an_answer_beside_a_solution_is_the_right_one(tmp_path: Path):
    file = write(tmp_path / "a.jsonl", *({**MATH, "problem": f"{n}", "answer": "0.5"} for n in range(50)))
    source = read_records(str(file), "train")
    problem = source.problem(source.sample(0, 1)[0])
    assert (problem.answer, problem.solution) == ("0.5", MATH["solution"])


def test_splits_with_and_without_files_of_their_own(tmp_path: Path):
    write(tmp_path / "train.jsonl", *many(200))
    cut = {split: {*read_records(str(tmp_path), split).sample(0, 200)} for split in SPLITS}
    questions = {
        split: {read_records(str(tmp_path), split).problem(name).question for name in cut[split]} for split in SPLITS
    }
    assert sum(map(len, questions.values())) == 200 == len(set().union(*questions.values()))
    write(tmp_path / "test.jsonl", GSM8K)
    assert read_records(str(tmp_path), "test").sample(0, 2) == ["test-1", "test-1"]
    train = read_records(str(tmp_path), "train")
    assert len({*train.sample(0, 400)}) == len(questions["train"]) + len(questions["test"])


def test_draws_repeat_only_when_all_are_drawn(tmp_path: Path):
    source = read_records(str(write(tmp_path / "train.jsonl", *many(60))), "train")
    size = len({*source.sample(3, 500)})
    drawn = source.sample(3, size)
    assert len({*drawn}) == size
    assert source.sample(3, 2 * size)[:size] == drawn


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", r"line 2: not JSON: '\{'"),
        ("[1]\n", "line 2: a record is a JSON object with a question and an answer, not list"),
        (json.dumps({"answer": "4"}) + "\n", r"line 2: the field 'question' is missing \(or 'problem', 'prompt'\)"),
        (json.dumps({"question": "4?"}) + "\n", r"line 2: the field 'answer' is missing \(or 'solution'\)"),
        (json.dumps({"question": "4?", "answer": "  "}) + "\n", "line 2: the field 'answer' is missing"),
        (json.dumps({"question": "4?", "answer": None}) + "\n", "line 2: the field 'answer' is missing"),
        (
            json.dumps({"problem": "4?", "solution": "none"}) + "\n",
            "line 2: the field 'solution' holds no final answer",
        ),
        ("[" * 100_000 + "\n", "line 2: not JSON"),
    ],
)
def test_broken_files_are_named_with_line_and_field(tmp_path: Path, content: str, message: str):
    file = write(tmp_path / "broken.jsonl", GSM8K, content)
    with pytest.raises(InputError, match=message) as caught:
        MathProblems(data=str(file))
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_and_binary_files(tmp_path: Path):
    with pytest.raises(InputError, match="there is no file"):
        MathProblems(data=str(tmp_path / "nothing.jsonl"))
    with pytest.raises(InputError, match=r"there is no file .*train\.jsonl"):
        MathProblems(data=str(tmp_path))
    (tmp_path / "binary.jsonl").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="not UTF-8"):
        MathProblems(data=str(tmp_path / "binary.jsonl"))
    with (tmp_path / "large.jsonl").open("wb") as file:
        file.truncate((1 << 30) + 1)
    with pytest.raises(InputError, match="it has more than 1,073,741,824 bytes"):
        MathProblems(data=str(tmp_path / "large.jsonl"))
    with pytest.raises(InputError, match="has no problem in the split 'test'"):
        MathProblems(data=str(write(tmp_path / "one.jsonl", {"question": "1?", "answer": "1"})), split="test")


def test_a_data_set_saved_to_disk(tmp_path: Path):
    datasets = pytest.importorskip("datasets", reason="needs pip install 'keystone-rl[datasets]'")
    train, test = datasets.Dataset.from_list(many(50)), datasets.Dataset.from_list([GSM8K])
    datasets.DatasetDict({"train": train, "test": test}).save_to_disk(str(tmp_path / "saved"))
    env = MathProblems(data=str(tmp_path / "saved"), split="test")
    assert env.reset(seed=0)[0] == "What is 6 * 7?"
    assert env.step("42")[4]["won"]
    assert (
        MathProblems(data=str(tmp_path / "saved"), split="valid").describe_data().startswith(("3", "4", "5", "6", "7"))
    )
    datasets.Dataset.from_list([{"text": "?"}]).save_to_disk(str(tmp_path / "other"))
    with pytest.raises(InputError, match="record 0: the field 'question' is missing"):
        MathProblems(data=str(tmp_path / "other"))


def test_a_data_set_without_the_package(monkeypatch: pytest.MonkeyPatch):
    import sys

    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'keystone-rl\[datasets\]'"):
        load_dataset("openai/gsm8k", "main", "train")
    assert records_module.QUESTION_FIELDS[0] == "question"


def test_the_real_training_set(real_data: Path):
    """The oracle's solution, GSM8K's own, is right for every problem."""
    seen = 0
    for split in SPLITS:
        source = read_records(str(real_data / "gsm8k"), split)
        names = {*source.sample(0, 7473)}
        seen += len(names)
        for name in sorted(names)[:300]:
            assert source.verify(source.problem(name).solution, name).passed
    assert seen == 7473
