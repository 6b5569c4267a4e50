"""The report is built from a run folder, stands alone and escapes what it shows."""

from __future__ import annotations

import base64
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from envs.command import run_command
from envs.errors import InputError
from envs.installation import REPOSITORY
from evals import charts
from evals.clusters import clustered
from evals.report import ReportConfig, build, main, read
from evals.report_view import _curves, _spread
from evals.statistics import wilson
from tests.evals.run_folder import summary, write

VOID = {"meta", "img", "line", "circle", "polyline", "polygon", "rect"}
HOSTILE = "</pre></td><script>alert(1)</script><img src=x onerror=alert(2)>\"'&{{ 7 * 7 }}"


class Page(HTMLParser):
    """Checks that elements nest, and keeps names, attributes and text."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.open: list[str] = []
        self.names: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.text = ""
        self.feed(path.read_text(encoding="utf-8"))
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_shows_every_part_of_a_full_run(tmp_path: Path) -> None:
    path = build(write(tmp_path / "run", summary()))
    assert path == tmp_path / "run" / "report.html"
    page = Page(path)
    assert [page.names.count(name) for name in ("h1", "svg", "main")] == [1, 3, 1]
    for shown in (
        "Training block 4 alone raised success from 33.0 % to 46.0 % of 300 held-out tasks",
        "Contribution, the share of full training's gain that the layer reached: 0.77",
        "98,624",
        "< 0.0001",
        "equal wall clock: full",
        "An update of the layer took 0.55 of the time of a full one",
        "1.5 GiB",
        "Block 4 scored highest.",
        "python -m training.run config=run/config.yaml out=run-again",
        "SHA-256 0123456789ab",
    ):
        assert shown in page.text
    assert [entry.name for entry in tmp_path.rglob("*.part")] == []


def test_iterations_are_counted_from_one_everywhere(tmp_path: Path) -> None:
    run = read(write(tmp_path / "run", summary()))
    curves, _ = _curves(run.metrics)
    assert sorted({row["iteration"] for row in run.metrics}) == list(range(30))
    assert [curve.x for curve in curves] == [list(range(1, 31))] * 2
    drawn = re.findall(r"<text [^>]*>(\d+)</text>", charts.learning_curves(curves, 5))
    assert drawn[-1] == "30"
    assert "0" not in drawn


def test_a_page_that_cannot_be_written_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write(tmp_path / "run", summary())
    (folder / "report.html.part").mkdir()
    assert run_command("report", ReportConfig, main, description="", argv=[f"run={folder}"]) == 1
    assert capsys.readouterr().err.endswith(f"cannot write {folder / 'report.html'}: Is a directory.\n")


def test_is_the_same_every_time(tmp_path: Path) -> None:
    folder = write(tmp_path / "run", summary())
    first = build(folder).read_bytes()
    assert build(folder).read_bytes() == first


def test_refers_to_nothing_outside(tmp_path: Path) -> None:
    path = build(write(tmp_path / "run", summary()))
    page = Page(path)
    assert not {"link", "img", "iframe", "object", "base"} & set(page.names)
    assert not {"src", "xlink:href", "action", "data"} & {name for name, _ in page.attributes}
    assert {value for name, value in page.attributes if name == "href"} == {"#main"}
    assert page.names.count("script") == 1
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    text = path.read_text(encoding="utf-8")
    assert [word for word in ("://", "url(", "@import", str(tmp_path)) if word in text] == []


def test_suits_light_dark_and_phones(tmp_path: Path) -> None:
    text = build(write(tmp_path / "run", summary())).read_text(encoding="utf-8")
    assert "@media (prefers-color-scheme: dark)" in text
    assert '<meta name="viewport" content="width=device-width, initial-scale=1">' in text


def test_escapes_hostile_strings(tmp_path: Path) -> None:
    content = summary()
    for name in ("env", "model", "algorithm"):
        content[name] = HOSTILE
    content["data"] = {HOSTILE: HOSTILE}
    content["panel"]["name"] = content["layer"]["selector"] = HOSTILE
    content["contribution"] = {"value": None, "interval": None, "why_null": HOSTILE}
    folder = write(tmp_path / "a'b\"<i>&", content)
    layers = json.loads((folder / "layers.json").read_text())
    layers |= {"selector": HOSTILE, "why": HOSTILE, "chosen": [4]}
    layers["blocks"][0]["details"] = {HOSTILE: HOSTILE}
    (folder / "layers.json").write_text(json.dumps(layers))
    (folder / "config.yaml").write_text(HOSTILE)
    page = Page(build(folder))
    assert "img" not in page.names
    assert page.names.count("script") == 1  # the page's own, which the policy knows by its hash
    assert page.names.count("i") == 2  # the two keys of the legend, none from the folder's name
    assert page.text.count(HOSTILE) >= 10


def test_a_run_without_the_full_arm(tmp_path: Path) -> None:
    content = summary()
    content["arms"].pop("full")
    content["paired"] = {"layer_vs_base": content["paired"]["layer_vs_base"]}
    content["contribution"] = content["equal_tokens"] = None
    content["cost"] = {"layer": content["cost"]["layer"], "selection_seconds": None, "update_ratio": None}
    folder = write(tmp_path / "run", content)
    (folder / "layers.json").unlink()
    (folder / "metrics.jsonl").unlink()
    page = Page(build(folder))
    assert page.names.count("svg") == 1
    assert "Contribution is undefined" in page.text
    for absent in ("Learning curves", "Choice of the layer", "At equal budgets", "An update of the layer"):
        assert absent not in page.text


def test_a_run_that_trained_everything_alone_says_that_of_itself(tmp_path: Path) -> None:
    content = summary()
    content["arms"].pop("full")
    content["layer"] = {"selector": "full", "target": "full", "indices": [*range(8)], "count": 8}
    content["paired"] = {"layer_vs_base": content["paired"]["layer_vs_base"]}
    content["contribution"] = content["equal_tokens"] = None
    content["cost"] = {"layer": content["cost"]["layer"], "selection_seconds": 0.0, "update_ratio": None}
    page = Page(build(write(tmp_path / "run", content)))
    assert "Training every parameter raised success" in page.text
    assert "full minus base" in page.text
    for absent in ("no comparison with", "Contribution is undefined", "chosen by", "layer minus base", "Choosing the"):
        assert absent not in page.text


def test_the_report_links_to_the_episodes_beside_it(tmp_path: Path) -> None:
    folder = write(tmp_path / "run", summary())
    row = {"arm": "layer", "purpose": "panel", "task": "a task", "won": True, "turns": []}
    (folder / "episodes.jsonl").write_text(json.dumps(row) + "\n")
    page = Page(build(folder))
    assert ("href", "episodes.html") in page.attributes
    beside = (folder / "episodes.html").read_text(encoding="utf-8")
    assert "Episodes of run" in beside
    assert "report.html" in beside
    (folder / "episodes.jsonl").write_text("{}\n")
    with pytest.raises(InputError, match="row 1 of the episodes of run is not an episode"):
        build(folder)


def test_curves_have_intervals_where_the_success_of_each_task_is_known(tmp_path: Path) -> None:
    folder = write(tmp_path / "run", summary())
    whole = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]

    def drawn(**known: Any) -> tuple[int, Page]:
        rows = (json.dumps(row | known) for row in whole)
        (folder / "metrics.jsonl").write_text("".join(row + "\n" for row in rows))
        page = Page(build(folder))
        return [value.split()[0] for name, value in page.attributes if name == "class"].count("whisker"), page

    # Episodes of one task are not independent: their number alone makes no interval.
    assert drawn()[0] == drawn(episodes=32)[0] == 0
    count, page = drawn(episodes=32, task_success=[0.25, 1.0, 0.0, 0.5])
    assert count == len(whole)
    assert "95 % intervals of single iterations, clustered by task" in page.text


def test_the_interval_of_an_iteration_is_clustered_by_task() -> None:
    def spread(*shares: float) -> tuple[float, float]:
        found = _spread({"success": sum(shares) / len(shares), "episodes": 8 * len(shares), "task_success": shares})
        assert found is not None
        return found

    alike, apart = spread(*[0.5] * 8), spread(*[0.0, 1.0] * 4)
    assert alike == clustered([4] * 8, [8] * 8)
    # Tasks whose episodes all end alike are worth one episode each, with Student's quantile.
    assert apart == clustered([0, 8] * 4, [8] * 8)
    assert apart[1] - apart[0] > 2 * (alike[1] - alike[0])
    assert alike[1] - alike[0] >= wilson(32, 64).high - wilson(32, 64).low


@pytest.mark.parametrize("named", [False, True])
def test_the_plot_of_the_study(tmp_path: Path, named: bool) -> None:
    folder = write(tmp_path / "run", summary())
    study = (REPOSITORY / "evals/results/studies/math-grpo/study.json").read_text()
    path = (tmp_path if named else folder) / "study.json"
    path.write_text(study)
    if named:
        (folder / "config.yaml").write_text(f"layer: best:1@{path}\nseed: 0\n")
    page = Page(build(folder))
    (address,) = [value for name, value in page.attributes if name == "src"]
    drawn = base64.b64decode(address.removeprefix("data:image/svg+xml;base64,")).decode()
    assert "success after training one block alone" in drawn
    # What the picture shows can be read without it.
    assert page.text.count("What each block contributes") == 2
    for shown in ("block 0", "everything (full)", "LoRA on block 3"):
        assert shown in page.text
    path.write_text("[]")
    with pytest.raises(InputError, match=r"study\.json of the run must hold a JSON object"):
        build(folder)


def test_an_unscored_choice_has_no_chart(tmp_path: Path) -> None:
    folder = write(tmp_path / "run", summary())
    layers = {"selector": "number", "chosen": [5], "why": "Given.", "blocks": [{"index": 5, "score": None}]}
    (folder / "layers.json").write_text(json.dumps(layers))
    page = Page(build(folder))
    assert page.names.count("svg") == 2
    assert "5 (chosen)" in page.text


def command(*argv: str) -> int:
    return run_command("python -m evals.report", ReportConfig, main, description="", argv=argv)


def test_the_command_rebuilds_the_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write(tmp_path / "run", summary())
    assert command(f"run={folder}") == 0
    assert capsys.readouterr().out.strip() == str(folder / "report.html")
    assert (folder / "report.html").stat().st_size > 5000


def test_bad_input_is_one_line_and_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    unfinished = write(tmp_path / "unfinished", summary())
    (unfinished / "summary.json").unlink()
    broken = write(tmp_path / "broken", summary())
    (broken / "metrics.jsonl").write_text('{"arm": "layer"')
    listed = write(tmp_path / "listed", summary())
    (listed / "layers.json").write_text("[]")
    for argv, message in (
        ([], "Write run=DIR"),
        (["runs=x"], "Did you mean 'run'"),
        ([f"run={tmp_path / 'nowhere'}"], "holds no summary.json"),
        ([f"run={unfinished}"], "holds no summary.json, so no finished run"),
        ([f"run={broken}"], "metrics.jsonl, line 1, of the run is not valid JSON"),
        ([f"run={listed}"], "layers.json of the run must hold a JSON object, not list"),
    ):
        assert command(*argv) == 2
        printed = capsys.readouterr()
        assert message in printed.err
        assert printed.err.count("\n") == 1
        assert printed.out == ""
    assert list(tmp_path.rglob("report.html*")) == []
