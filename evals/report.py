"""The report of a run: one HTML page that needs nothing but itself.

`python -m evals.report run=DIR` reads a run folder (`summary.json`, `config.yaml`, and where present `metrics.jsonl`
and `layers.json`) and writes `report.html` into it. The page has no script and refers to nothing outside it. Every
value is escaped by the template engine.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from envs.command import run_command
from envs.config_schema import key
from envs.errors import InputError
from envs.files import parse_json, read_text, understood

TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class ReportConfig:
    """Keys of `python -m evals.report`."""

    run: str = key("", "the run folder whose report to build")


@dataclass(frozen=True)
class Run:
    """What a run folder holds.

    Attributes:
        name: name of the folder.
        summary: content of `summary.json`.
        config: text of `config.yaml`.
        metrics: rows of `metrics.jsonl`, none if there is no such file.
        layers: content of `layers.json`, empty if there is no such file.
    """

    name: str
    summary: dict[str, Any]
    config: str
    metrics: list[dict[str, Any]]
    layers: dict[str, Any]


def build(run_folder: Path) -> Path:
    """Writes `report.html` into a run folder.

    Args:
        run_folder: a folder with a `summary.json` and a `config.yaml`.

    Returns:
        The path of the report.

    Raises:
        InputError: if the folder holds no finished run, or a file in it is broken.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    from evals.report_view import view

    run = read(run_folder)
    with understood(f"run={run_folder}", "a finished run"):
        variables = view(run)
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    with understood(f"run={run_folder}", "a finished run"):
        page = environment.get_template("report.html").render(variables)
    report, aside = run_folder / "report.html", run_folder / "report.html.part"
    aside.write_text(page, encoding="utf-8")
    os.replace(aside, report)
    return report


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
    return Run(
        name=run_folder.resolve().name,
        summary=_object(read_text(run_folder / "summary.json"), "summary.json"),
        config=read_text(run_folder / "config.yaml"),
        metrics=[_object(line, f"metrics.jsonl, line {number},") for number, line in enumerate(lines, 1)],
        layers=_object(read_text(layers), "layers.json") if layers.is_file() else {},
    )


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
