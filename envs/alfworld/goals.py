"""The goals of real games in the words of ALFRED's annotators (arXiv 1912.01734), from `traj_data.json` beside a game.

ALFWorld's own tool (`alfworld-generate --goal_desc_human_anns_prob`) writes an annotation into the grammar's task line
as it stands, before the full stop that is there. The same is done here, so most of these goals end in two full stops.
Its grammar cannot carry control characters and a few marks (eight line breaks, a semicolon and a backspace in the train
games); they become spaces here. Left out: the annotators' step-by-step instructions.
"""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path

from envs.alfworld.reading import SPECIAL, load_json, read_bytes
from envs.errors import InputError

ANNOTATION_FILE = "traj_data.json"
_MOST_CHARACTERS = 1000


def human_goals(game: str | Path) -> tuple[str, ...]:
    """Reads the task lines that annotators wrote for a game.

    Args:
        game: the path of its `game.tw-pddl`.

    Returns:
        One task line an annotator, in the file's order.

    Raises:
        InputError: there is no `traj_data.json` beside the game, or no annotation in it.
    """
    path = Path(game).with_name(ANNOTATION_FILE)
    if not path.is_file():
        raise InputError(
            f"goals=human needs {path}, which is not there. Give goals=template, or data with annotations."
        )
    return _read(str(path), os.stat(path).st_mtime_ns)


@lru_cache(maxsize=8192)
def _read(path: str, modified: int) -> tuple[str, ...]:
    """Reads a file once; a changed file is another one."""
    content = load_json(read_bytes(path, "annotation file"), path, "annotation file")
    annotated = content.get("turk_annotations")
    rows = annotated.get("anns") if isinstance(annotated, dict) else None
    if not isinstance(rows, list) or not rows:
        raise InputError(f"{path} has no annotations ('turk_annotations', 'anns'). Give goals=template.")
    goals = []
    for row in rows:
        goal = row.get("task_desc") if isinstance(row, dict) else None
        if not isinstance(goal, str) or not goal.strip() or len(goal) > _MOST_CHARACTERS:
            raise InputError(
                f"{path}: an annotation's 'task_desc' should be a text of at most {_MOST_CHARACTERS} characters."
            )
        goals.append(f"{SPECIAL.sub(' ', goal)}.")
    return tuple(goals)
