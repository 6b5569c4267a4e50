r"""Problems out of data sets: GSM8K and MATH as JSON lines, and data sets of the Hugging Face hub.

A record has `question` (or `problem`, `prompt`) and `answer` or `solution`. Where both are there, `answer` is the right
answer and `solution` the way to it. An answer that ends in `#### x` (GSM8K) or a solution with a `\boxed{x}` (MATH)
holds both. A split without a file of its own is cut out of the training file by the hash of the question (`split_of`).
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from envs import hub
from envs.errors import InputError, shortened
from envs.files import named_path, parse_json, read_text
from envs.math_problems.problems import SPLITS, Problem, split_of
from envs.verifiers import Verdict
from envs.verifiers.math_answer import verify
from envs.verifiers.math_answer.extraction import final_answer

QUESTION_FIELDS = ("question", "problem", "prompt")
_FAMILY_FIELDS = ("type", "subject")
_CALCULATOR_NOTE = re.compile(r"<<[^<>]*>>")


class Records:
    """Problems of a data set, one split of them, named `SPLIT-NUMBER` by their place in their file."""

    def __init__(self, split: str, records: Mapping[int, Problem], origin: str) -> None:
        """Takes the problems.

        Args:
            split: train, valid or test.
            records: the problems by their place.
            origin: where they are from, for messages.

        Raises:
            InputError: there is none.
        """
        if not records:
            raise InputError(f"{origin} has no problem in the split {split!r}.")
        self._split = split
        self._records = records
        self._places = sorted(records)
        self._origin = origin

    def sample(self, seed: int, count: int) -> list[str]:
        """Draws names of problems, without repetition until all are drawn."""
        names: list[str] = []
        turn = 0
        while len(names) < count:
            places = list(self._places)
            random.Random(f"{seed} {self._split} {turn}").shuffle(places)
            names += [f"{self._split}-{place}" for place in places[: count - len(names)]]
            turn += 1
        return names

    def problem(self, name: str) -> Problem:
        """Returns the problem of that name.

        Raises:
            InputError: there is none.
        """
        split, _, place = name.partition("-")
        if split == self._split and place.isdecimal() and len(place) < 12 and int(place) in self._records:
            return self._records[int(place)]
        example = f"{self._split}-{self._places[0]}"
        raise InputError(f"{self._origin} has no problem {shortened(name)!r} in its split; names look like {example}.")

    def verify(self, answer: str, name: str) -> Verdict:
        """Compares an answer with the right one."""
        return verify(answer, self.problem(name).answer)

    def describe(self) -> str:
        """Says which problems these are."""
        return f"{len(self._records):,} problems of {self._origin}, {self._split}"

    def characters(self) -> str:
        """Returns all characters beyond ASCII in questions and answers."""
        found: set[str] = set()
        for problem in self._records.values():
            found.update(problem.question, problem.answer, problem.solution)
        return "".join(sorted(character for character in found if not character.isascii()))


def read_records(data: str, split: str) -> Records:
    """Reads a file of JSON lines, or a folder of such files named by split.

    Args:
        data: the path.
        split: train, valid or test.

    Returns:
        The split's problems.

    Raises:
        InputError: there is no such file, or a line of it is not a problem; the message names file, line and field.
    """
    path = named_path("data=", data)
    own = path / f"{split}.jsonl"
    if path.is_dir() and own.is_file() and split != "train":
        return Records(split, _read_file(own), str(own))
    whole = path / "train.jsonl" if path.is_dir() else path
    if not whole.is_file():
        raise InputError(
            f"there is no file {str(whole)!r}. data= takes a file of JSON lines, or a folder of train.jsonl."
        )
    separate = {name for name in SPLITS if name != "train" and path.is_dir() and (path / f"{name}.jsonl").is_file()}
    return Records(split, _cut(_read_file(whole), split, separate), str(whole))


def load_dataset(data: str, subset: str, split: str) -> Records:
    """Loads a data set by its name on the Hugging Face hub, or by the path of one saved with `save_to_disk`.

    Args:
        data: its name, `openai/gsm8k`, or its folder.
        subset: its configuration, `main`, if it has several.
        split: train, valid or test.

    Returns:
        The split's problems.

    Raises:
        MissingExtraError: the package `datasets` is not installed.
        InputError: it cannot be loaded or a record lacks a field.
    """
    loaded = hub.load(data, subset)
    parts = dict(loaded) if isinstance(loaded, dict) else {"train": loaded}
    found = {name: next((one for one in names if one in parts), None) for name, names in hub.NAMES_OF_SPLITS.items()}
    own = found[split] if split != "train" else None
    if own is None and found["train"] is None:
        raise InputError(f"the data set {data!r} has the splits {', '.join(parts)}, none of them for training.")
    chosen = own or found["train"]
    read = {
        number: _problem(record, f"data set {data!r}, split {chosen!r}, record {number}", str(chosen))
        for number, record in enumerate(parts[chosen])
    }
    separate = {name for name in ("valid", "test") if found[name]}
    return Records(split, read if own else _cut(read, split, separate), f"the data set {data}")


def _cut(read: Mapping[int, Problem], split: str, separate: set[str]) -> dict[int, Problem]:
    """Takes one split out of a training file; hashes of splits that have files of their own stay in train."""

    def belongs(question: str) -> str:
        hashed = split_of(question)
        return "train" if hashed in separate else hashed

    return {place: problem for place, problem in read.items() if belongs(problem.question) == split}


def _read_file(path: Path) -> dict[int, Problem]:
    return {place: _problem(record, where, path.stem) for place, where, record in _lines(path)}


def _lines(path: Path) -> Iterator[tuple[int, str, Any]]:
    for number, line in enumerate(read_text(path, "file of problems").split("\n"), start=1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        try:
            yield number, where, parse_json(line, where)
        except InputError:
            raise InputError(f"{where}: not JSON: {shortened(line.strip(), 60)!r}.") from None


def _problem(record: Any, where: str, family: str) -> Problem:  # noqa: ANN401 - what a file holds
    if not isinstance(record, dict):
        raise InputError(
            f"{where}: a record is a JSON object with a question and an answer, not {type(record).__name__}."
        )
    question = _field(record, QUESTION_FIELDS)
    if not question:
        raise InputError(f"{where}: the field 'question' is missing (or 'problem', 'prompt').")
    answer, solution = _text(record.get("answer")), _text(record.get("solution"))
    if not answer and not solution:
        raise InputError(f"{where}: the field 'answer' is missing (or 'solution').")
    if not solution and "####" in answer:
        solution = answer
    if not answer or answer == solution:
        found = final_answer(solution)
        if found is None or not found.text:
            raise InputError(
                f"{where}: the field 'solution' holds no final answer: no \\boxed{{}}, no #### and no number."
            )
        answer = found.text
    kind = _field(record, _FAMILY_FIELDS) or family
    return Problem(question, answer, _CALCULATOR_NOTE.sub("", solution), kind)


def _field(record: Mapping[str, Any], names: tuple[str, ...]) -> str:
    return next((text for name in names if (text := _text(record.get(name)))), "")


def _text(value: Any) -> str:  # noqa: ANN401 - what a file holds
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return ""
    return str(value).strip()
