"""Which content a panel's task names stand for, where it is not the one that everybody knows.

A panel's tasks are told by the hash of their names, and where it is recorded by the hash of what stands behind them
(`evals.panels`). Entries of before that was recorded for generated tasks name none; they are of the pinned content.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from envs import presets
from evals.panel_files import NOT_PINNED, read

# Of the drawn panels that committed entries stand on, by the hash of their names; a test draws them again.
_DRAWN = {
    # code-test-seed0
    "1eae71cf851034d9d4b02a6505fbaefe93fc32e4671b4d29d46fc6426d0ef1d2": (
        "39cd094a47baaa0883dd4a56f7cd3a66e4014feec443daa7cd2e02c1fa11e9a1"
    ),
    # math-test-seed0
    "5edf5f5b7e04644f37fa27c598ab33d7a07d5151ec3b36eec09536dc2c0dd2fa": (
        "ee1a7aca57cee84d99095dde8d05abe5152ffc0f0265724c7fbc3cabdc629489"
    ),
    # sokoban-valid-seed0
    "d6a57f5053e010a8d0164e96b185587941a88b45167bc7e8406ed83e47f8e292": (
        "770bb765bdf8aedd0e611cf464a05c7967469c81629495c170877dac321ac34a"
    ),
    # textworld-valid-seed0
    "9cccb0a2ea1ad77fd40e34b4fe80b6e7bcd5b5a860526ec77f3b8c560c640e91": (
        "dd68e01f8cf458a292852ef6802373bb9d6a522c5f77ac26dc36f0e1f8216e74"
    ),
}


def other_content(panel: Mapping[str, Any]) -> str:
    """The hash of what stands behind a panel's names, if that is other than what is pinned for these names.

    Args:
        panel: as summaries and entries record it.

    Returns:
        The hash; empty where it is the pinned one, and where none is recorded, which counts as the pinned one.
    """
    content = str(panel.get("content_sha256") or "")
    return "" if content == _pinned(presets.FOLDER).get(panel["sha256"]) else content


def tasks_of(panel: Mapping[str, Any]) -> tuple[str, str]:
    """What panels of the same tasks have in common: the hash of their names, and their content if it is another."""
    return panel["sha256"], other_content(panel)


@cache
def _pinned(folder: Path) -> dict[str, str]:
    """The pinned content of names, by their hash; `folder` is where panels' files are read."""
    rules = [read(name) for name in presets.names("panel")]
    return _DRAWN | {rule.sha256: rule.content_sha256 for rule in rules if rule.content_sha256 not in ("", NOT_PINNED)}
