"""Reads programming problems from files and from the Hugging Face hub.

Two kinds of rows are known, told apart by their fields:

- MBPP (Austin et al., arXiv 2108.07732): `task_id`, `text` or `prompt`, `code`, `test_list`, and `test_setup_code`
  and `test_imports` where a row has them. The first tests are public (`public_tests` says how many), the others
  hidden. Imports that tests rely on a solution for (`math.isclose`) become part of the tests. `challenge_test_list`
  is left out, as in published evaluations.
- HumanEval (Chen et al., arXiv 2107.03374): `task_id`, `prompt`, `entry_point`, `canonical_solution`, `test`.
  Examples in the docstring whose result is a plain value are public, `check` is hidden. What the prompt gives beside
  the function in question (imports, helpers) is put before every answer, and the tests have their own copy of it.

A row's split is its field `split` ("train", "valid" or "test"); else MBPP's published one by task_id (1 to 10, the
examples for prompts, are left out); else "test" for `HumanEval/...`; else a hash of its task_id puts a tenth into
"valid" and a tenth into "test".
"""

from __future__ import annotations

import ast
import doctest
import hashlib
import json
import warnings
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from envs import hub
from envs.code_problems.problems import Problem, needed_imports, tested_names, used_names
from envs.drawing import split_of_tenth
from envs.errors import InputError, shortened, unknown
from envs.files import named_path, parse_json, read_text

SPLITS = ("train", "valid", "test")
_MBPP = {"task_id": (int, str), "text": (str,), "code": (str,), "test_list": (list,)}
_HUMAN_EVAL = dict.fromkeys(("task_id", "prompt", "entry_point", "canonical_solution", "test"), (str,))
_MBPP_SPLITS = {"test": range(11, 511), "valid": range(511, 601), "train": range(601, 975)}
_MBPP_EXAMPLES = range(1, 11)


class MissingSplitError(InputError):
    """The data has no problem of the split."""


def read(data: str, split: str, public_tests: int) -> list[Problem]:
    """Reads the problems of a split.

    Args: data: a file of JSON lines or a JSON list, a folder of such files, or the name of a dataset on the Hugging
        Face hub.
        split: one of `SPLITS`.
        public_tests: how many of MBPP's tests are shown.

    Returns:
        The problems, in the order of the file.

    Raises:
        InputError: there is no such data, a row has not the fields it should, or the split has no problem.
        MissingExtraError: a hub's dataset is named and the package `datasets` is not installed.
    """
    path = named_path("data=", data)
    rows = _file_rows(path) if path.exists() else _hub_rows(data, split)
    problems: dict[str, Problem] = {}
    for where, row, given in rows:
        place, problem = parse(row, where, public_tests)
        if (given or place) != split:
            continue
        if problem.name in problems:
            raise InputError(f"{where}: the task_id {problem.name!r} stands there a second time.")
        problems[problem.name] = problem
    if not problems:
        raise MissingSplitError(f"{data} has no problem of split={split}. Try another: {', '.join(SPLITS)}.")
    return list(problems.values())


def parse(row: Any, where: str, public_tests: int) -> tuple[str, Problem]:  # noqa: ANN401 - whatever JSON holds
    """Reads one row.

    Args:
        row: the row.
        where: its place, for messages.
        public_tests: how many of MBPP's tests are shown.

    Returns:
        Its split ("" for none) and the problem.

    Raises:
        InputError: a field is missing or of the wrong kind, or the program in it is not Python.
    """
    if not isinstance(row, dict):
        raise InputError(f"{where}: a row should be a JSON object, not {shortened(json.dumps(row))}.")
    row = dict(row)
    row.setdefault("text", row.get("prompt"))
    lacking = {kind: _lacking(row, fields) for kind, fields in (("MBPP", _MBPP), ("HumanEval", _HUMAN_EVAL))}
    kind = min(lacking, key=lambda name: len(lacking[name]))
    if lacking[kind]:
        fields = ", ".join(_MBPP if kind == "MBPP" else _HUMAN_EVAL).replace("text", "text or prompt")
        raise InputError(
            f"{where}: the row has no usable {lacking[kind][0]!r}. Rows like {kind}'s have the fields {fields}."
        )
    try:
        with warnings.catch_warnings():
            # What Python thinks of the style of published programs is no news for their readers.
            warnings.simplefilter("ignore")
            problem = _mbpp(row, public_tests) if kind == "MBPP" else _human_eval(row)
    except (SyntaxError, ValueError, TypeError, AttributeError, RecursionError, MemoryError) as error:
        raise InputError(f"{where}: the program or its tests are not Python: {shortened(str(error), 300)}.") from None
    return _split(row, where), problem


def _lacking(row: Mapping[str, Any], fields: Mapping[str, tuple[type, ...]]) -> list[str]:
    return [name for name, kinds in fields.items() if not isinstance(row.get(name), kinds) or row[name] == []]


def _mbpp(row: Mapping[str, Any], public_tests: int) -> Problem:
    tests = [str(test).replace("\r\n", "\n") for test in row["test_list"]]
    code = row["code"].replace("\r\n", "\n")
    setting_up = str(row.get("test_setup_code") or "").replace("\r\n", "\n")
    reference = ast.parse(code)
    trees = [ast.parse(text) for text in (*tests, setting_up)]
    imports = [*map(str, row.get("test_imports") or ()), *needed_imports(reference, used_names(trees))]
    identifier = row["task_id"]
    shown = min(public_tests, max(len(tests) - 1, 0))
    return Problem(
        name=f"mbpp/{identifier}" if isinstance(identifier, int) else identifier,
        task_type="mbpp",
        statement=row["text"].strip(),
        names=tested_names(reference, trees),
        preamble="",
        setting_up="\n".join([*dict.fromkeys(imports), setting_up]).strip(),
        public=tuple(tests[:shown]),
        hidden=tuple(tests[shown:]),
        reference=code,
    )


def _human_eval(row: Mapping[str, Any]) -> Problem:
    entry = row["entry_point"]
    prompt = ast.parse(row["prompt"])
    asked = [node for node in prompt.body if isinstance(node, ast.FunctionDef) and node.name == entry]
    if not asked:
        raise ValueError(f"the prompt defines no function {entry!r}")
    given = "\n".join(ast.unparse(node) for node in prompt.body if node not in asked)
    ast.parse(row["test"])
    return Problem(
        name=row["task_id"],
        task_type="humaneval",
        statement=f"Complete this function.\n{row['prompt'].strip()}",
        names=(entry,),
        preamble=given,
        setting_up=given,
        public=tuple(_examples(asked[0], entry)),
        hidden=(f"{row['test']}\n\ncheck({entry})",),
        reference=row["prompt"] + row["canonical_solution"],
        examples=True,
    )


def _examples(function: ast.FunctionDef, entry: str) -> Iterator[str]:
    """Yields the examples of a docstring as assertions, those whose result is a plain value."""
    try:
        examples = doctest.DocTestParser().get_examples(ast.get_docstring(function) or "")
    except ValueError:
        return
    for example in examples:
        try:
            ast.literal_eval(example.want.strip())
            called = ast.parse(example.source.strip(), mode="eval")
        except (SyntaxError, ValueError):
            continue
        call = called.body
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == entry:
            yield f"assert {example.source.strip()} == {example.want.strip()}"


def _split(row: Mapping[str, Any], where: str) -> str:
    if "split" in row:
        if row["split"] not in SPLITS:
            raise InputError(f"{where}: {unknown('split', str(row['split']), SPLITS)}")
        return str(row["split"])
    identifier = row["task_id"]
    if isinstance(identifier, int):
        if identifier in _MBPP_EXAMPLES:
            return ""
        for split, identifiers in _MBPP_SPLITS.items():
            if identifier in identifiers:
                return split
    if str(identifier).startswith("HumanEval/"):
        return "test"
    tenth = int(hashlib.sha256(str(identifier).encode()).hexdigest(), 16) % 10
    return split_of_tenth(tenth)


_Row = tuple[str, Any, str]


def _file_rows(path: Path) -> Iterator[_Row]:
    """Yields where a row stands, the row, and the split that its file is for ("" if it does not say)."""
    files = sorted([*path.glob("*.jsonl"), *path.glob("*.json")]) if path.is_dir() else [path]
    if not files:
        raise InputError(f"the folder {path} has no .jsonl or .json files.")
    for file in files:
        text = read_text(file, "file of problems")
        yield from ((where, row, "") for where, row in _rows_of(file, text))


def _rows_of(file: Path, text: str) -> Iterator[tuple[str, Any]]:
    if text.lstrip().startswith("["):
        yield from ((f"{file}, row {number}", row) for number, row in enumerate(_parsed(text, str(file)), 1))
        return
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            where = f"{file}, line {number}"
            yield where, _parsed(line, where)


def _parsed(text: str, where: str) -> Any:  # noqa: ANN401 - whatever JSON holds
    try:
        return parse_json(text, "it")
    except InputError as error:
        raise InputError(f"{where}: not JSON ({error})") from None


def _hub_rows(name: str, split: str) -> Iterable[_Row]:
    """Reads a dataset of the Hugging Face hub, which `datasets` downloads or finds in its cache."""
    if name.endswith((".json", ".jsonl")) or name.count("/") != 1 or name.startswith((".", "/", "~")):
        raise InputError(
            f"data={name}: there is no such file or folder. A dataset of the Hugging Face hub is named owner/name."
        )
    found = hub.load(name)
    for own in hub.NAMES_OF_SPLITS[split]:
        if own in found:
            return [(f"{name}, {own} row {number}", row, split) for number, row in enumerate(found[own], 1)]
    raise MissingSplitError(f"the dataset {name!r} has no split for {split}, only {', '.join(found)}.")
