"""The report of a run: one HTML page that needs nothing but itself.

`python -m evals.report run=DIR` reads a run folder (`summary.json`, `config.yaml`, and where present `metrics.jsonl`,
`layers.json`, `study.json` and `episodes.jsonl`) and writes `report.html` into it, and beside it `episodes.html` with
every episode turn by turn, to which the report links. Neither page refers to anything else.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from envs.command import run_command
from envs.config_schema import key
from envs.errors import InputError
from envs.files import parse_json, read_text, understood, writing
from evals import viewer
from evals.site.pages import write_page

STYLES, SCRIPTS = ("page.css", "report.css"), ("page.js",)


@dataclass(frozen=True)
class ReportConfig:
    """Keys of `python -m evals.report`."""

    run: str = key("", "the run folder whose report to build")


@dataclass(frozen=True)
class Run:
    """What a run folder holds.

    Attributes:
        name: name of the folder.
        place: its path from the folder that this was called in; empty if it is not within that.
        summary: content of `summary.json`.
        config: text of `config.yaml`.
        metrics: rows of `metrics.jsonl`, none if there is no such file.
        layers: content of `layers.json`, empty if there is no such file.
        study: content of `study.json`, of the study that the layer was chosen from or that the folder holds; empty if
            there is none.
        has_episodes: whether there is an `episodes.jsonl`.
    """

    name: str
    place: str
    summary: dict[str, Any]
    config: str
    metrics: list[dict[str, Any]]
    layers: dict[str, Any]
    study: dict[str, Any]
    has_episodes: bool


def build(run_folder: Path) -> Path:
    """Writes `report.html` into a run folder.

    Args:
        run_folder: a folder with a `summary.json` and a `config.yaml`.

    Returns:
        The path of the report.

    Raises:
        InputError: if the folder holds no finished run, or a file in it is broken.
        StorageError: if a page cannot be written.
    """
    from evals.report_view import view

    run = read(run_folder)
    if run.has_episodes:
        viewer.build([run_folder])
    with understood(f"run={run_folder}", "a finished run"), writing(run_folder / "report.html"):
        variables = view(run)
        return write_page(run_folder / "report.html", "report.html", variables, styles=STYLES, scripts=SCRIPTS)


def read(run_folder: Path) -> Run:
    """Reads a run folder.

    Args:
        run_folder: the folder.

    Returns:
        Its content.

    Raises:
        InputError: if the folder holds no finished run, or a file in it is broken.
    """
    for name in ("summary.json", "config.yaml"):
        if not (run_folder / name).is_file():
            raise InputError(
                f"run={run_folder} holds no {name}, so no finished run. Name the folder of a finished run, or go on "
                f"with a stopped one: python -m training.run resume={run_folder}"
            )
    metrics, layers = run_folder / "metrics.jsonl", run_folder / "layers.json"
    lines = read_text(metrics).splitlines() if metrics.is_file() else []
    config = read_text(run_folder / "config.yaml")
    study = _study(run_folder, config)
    return Run(
        name=run_folder.resolve().name,
        place=_place(run_folder),
        summary=_object(read_text(run_folder / "summary.json"), "summary.json"),
        config=config,
        metrics=[_object(line, f"metrics.jsonl, line {number},") for number, line in enumerate(lines, 1)],
        layers=_object(read_text(layers), "layers.json") if layers.is_file() else {},
        study=_object(read_text(study), study.name) if study else {},
        has_episodes=(run_folder / viewer.EPISODES).is_file(),
    )


def _place(run_folder: Path) -> str:
    """Whose home a run lies in is nobody's business whom its report is given to."""
    here, place = Path.cwd().resolve(), run_folder.resolve()
    return str(place.relative_to(here)) if place.is_relative_to(here) else ""


def _study(run_folder: Path, config: str) -> Path | None:
    """The study in the folder, or the one that the configuration chose its layer from: layer=best:1@study.json."""
    chosen = re.search(r"^layer: '?(?:best|worst):\d+@(.+?)'?$", config, re.MULTILINE)
    named = [Path(chosen[1])] if chosen else []
    return next((path for path in [run_folder / "study.json", *named] if path.is_file()), None)


def _object(text: str, source: str) -> dict[str, Any]:
    """Reads one JSON object."""
    content = parse_json(text, f"{source} of the run")
    if not isinstance(content, dict):
        raise InputError(f"{source} of the run must hold a JSON object, not {type(content).__name__}.")
    return content


def main(config: ReportConfig) -> None:
    """Builds the report and says where it is."""
    if not config.run:
        raise InputError("which run? Write run=DIR, a folder that a training run has made.")
    print(build(Path(config.run)))


if __name__ == "__main__":
    DESCRIPTION = "Builds report.html of a finished run from the files of its folder."
    sys.exit(run_command("python -m evals.report", ReportConfig, main, description=DESCRIPTION))
