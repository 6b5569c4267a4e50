"""`python -m evals.viewer run=DIR`: a page to read episodes in, turn by turn.

Takes the folders of training runs and of evaluations, anything with an `episodes.jsonl`. A training run makes the page
by itself, beside its report. The page needs nothing but itself, and shows whatever an episode says as text.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from envs.command import run_command
from envs.config_schema import key, listed
from envs.errors import InputError
from envs.files import read_json, understood
from evals import findings
from evals.site.packing import Source, pack, read_rows
from evals.site.pages import write_page

EPISODES, PAGE = "episodes.jsonl", "episodes.html"
ARMS = ("base", "layer", "full")
STYLES = ("page.css", "episodes.css")
SCRIPTS = ("page.js", "store.js", "trajectory.js", "episodes.js", "views.js")


@dataclass(frozen=True)
class ViewerConfig:
    """Keys of `python -m evals.viewer`."""

    run: str = key("", f"a folder with an {EPISODES}, of a training run or an evaluation; several, separated by commas")
    out: str = key("", f"the page to write; empty is {PAGE} in the first folder, of several episodes-beside-NAMES.html")


def build(folders: Sequence[Path], out: Path | None = None) -> Path:
    """Writes the page.

    Args:
        folders: at least one, each with an `episodes.jsonl`.
        out: where it goes; if None beside the first folder's episodes, with several under a name of its own, since the
            first folder's page is that of its episodes alone.

    Returns:
        Its path.

    Raises:
        InputError: a folder holds no episodes, or a row of them is none; or the page cannot be written.
    """
    for folder in folders:
        if not (folder / EPISODES).is_file():
            raise InputError(f"run={folder} holds no {EPISODES}, so there is nothing to read.")
    names = [folder.resolve().name for folder in folders]
    path = out or folders[0] / (f"episodes-beside-{'-'.join(names[1:])}"[:100] + ".html" if names[1:] else PAGE)
    variables = {
        "title": f"Episodes of {', '.join(names)}",
        "episodes": pack([source for folder in folders for source in sources(folder, alone=len(folders) == 1)]),
        "report": path == folders[0] / PAGE and (folders[0] / "summary.json").is_file(),
    }
    try:
        return write_page(path, "episodes.html", variables, styles=STYLES, scripts=SCRIPTS)
    except OSError as error:
        raise InputError(f"out={path} cannot be written: {error.strerror}.") from error


def sources(folder: Path, *, alone: bool) -> list[Source]:
    """The arms of a run, or the policy of an evaluation at each of its temperatures.

    Raises:
        InputError: a row is broken, or is no episode.
    """
    rows: dict[tuple[Any, Any], list[Mapping[str, Any]]] = {}
    for number, row in enumerate(read_rows(folder / EPISODES), 1):
        arm = row.get("arm")
        temperature = None if arm is not None else row.get("temperature")
        if not (isinstance(arm, str | None) and isinstance(temperature, float | int | None)):
            raise InputError(f"{folder / EPISODES}, row {number}, is no episode: its arm or temperature is none.")
        rows.setdefault((arm, temperature), []).append(row)
    name = folder.resolve().name
    several = len(rows) > 1
    called = {"layer": "full"} if _trains_everything(folder) else {}
    return [
        Source(_name(name, called.get(arm, arm), temperature, alone=alone, several=several), rows[arm, temperature])
        for arm, temperature in sorted(rows, key=_order)
    ]


def _trains_everything(folder: Path) -> bool:
    """Whether the folder is of a run with `layer=full` alone."""
    summary = folder / "summary.json"
    if not summary.is_file():
        return False
    with understood(summary, "the summary of a run"):
        return findings.trains_everything(read_json(summary))


def _order(whose: tuple[Any, Any]) -> int:
    """The known arms in their usual order; others stay in that of the file."""
    return ARMS.index(whose[0]) if whose[0] in ARMS else len(ARMS)


def _name(folder: str, arm: Any, temperature: Any, *, alone: bool, several: bool) -> str:  # noqa: ANN401
    if arm is not None:
        return str(arm) if alone else f"{folder}: {arm}"
    return f"{folder} at temperature {temperature}" if several else folder


def main(config: ViewerConfig) -> None:
    """Builds the page and says where it is."""
    folders = [Path(part) for part in listed(config.run)]
    if not folders:
        raise InputError("which run? Write run=DIR, the folder of a training run or an evaluation.")
    print(build(folders, Path(config.out) if config.out else None))


if __name__ == "__main__":
    DESCRIPTION = "Builds a page to read the episodes of a run or an evaluation in, turn by turn."
    sys.exit(run_command("python -m evals.viewer", ViewerConfig, main, description=DESCRIPTION))
