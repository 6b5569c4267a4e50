"""What README and CONTRIBUTING promise a newcomer is there: the first result, the commands, the links."""

from __future__ import annotations

import io
import json
import re

import pytest
from rich.console import Console

from envs.installation import REPOSITORY
from training import summary

README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
GUIDES = {name: (REPOSITORY / name).read_text(encoding="utf-8") for name in ("README.md", "CONTRIBUTING.md")}


def test_the_first_result_is_what_the_program_prints_of_the_kept_run():
    section = README.split("\n## A first result\n")[1].split("\n## ")[0]
    kept = json.loads((REPOSITORY / "evals" / "results" / "main_job.json").read_text(encoding="utf-8"))
    run, screen = kept["runs"]["0, continuous sampling"], io.StringIO()
    Console(file=screen, width=100).print(summary.table(run))
    assert [line.rstrip() for line in screen.getvalue().splitlines() if line.rstrip() not in section] == []
    words = " ".join(section.split())
    assert all(sentence in words for sentence in summary.sentences(run)[:2])


@pytest.mark.parametrize("name", GUIDES)
def test_its_commands_are_there(name: str):
    modules = set(re.findall(r"python -m ((?:envs|agents|evals|training|tests)[.][a-z_.]*[a-z])", GUIDES[name]))
    assert len(modules) > 2
    files = {module: REPOSITORY.joinpath(*module.split(".")) for module in modules}
    missing = [
        module
        for module, path in files.items()
        if not path.with_suffix(".py").is_file() and not (path / "__main__.py").is_file()
    ]
    assert missing == []


@pytest.mark.parametrize("name", GUIDES)
def test_its_links_lead_somewhere(name: str):
    titles = re.findall(r"^#+ (.*)$", GUIDES[name], re.MULTILINE)
    places = {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
    for target in re.findall(r"\]\(([^)]+)\)", GUIDES[name]):
        assert target[1:] in places if target.startswith("#") else (REPOSITORY / target).exists(), target


def test_its_lines_that_apply_and_revert_a_delta_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    (lines,) = [code for code in re.findall(r"```python\n(.*?)```", README, re.DOTALL) if "deltas.revert" in code]
    monkeypatch.chdir(REPOSITORY)
    exec(lines, {})  # its last line is an assertion
    assert capsys.readouterr().out.startswith("You are in the middle of a room.")
