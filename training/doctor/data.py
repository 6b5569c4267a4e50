"""Checks of what a planned run would play: the world's data and its hashes, and the pinned panels."""

from __future__ import annotations

import re
from pathlib import Path

from envs import presets
from envs.alfworld.dialects import UncoveredError
from envs.alfworld.games import GameIndex, find_games
from envs.alfworld.reading import read_game
from envs.alfworld.tasks import GENERATED
from envs.errors import InputError
from envs.registry import make, make_from, options_of
from evals import panels
from evals.panel_files import NOT_PINNED
from evals.panels import FixedPanel, Panel
from training.config import RunConfig
from training.doctor.findings import Finding, Level

_ALFWORLD = "alfworld"
_SPLITS = ("train", "valid_seen", "valid_unseen")
_SAMPLED_GAMES = 20
_ANOTHER = "data=PATH of the right data, or leave data= out for generated tasks"


def world(config: RunConfig) -> list[Finding]:
    """Whether the world opens with its data, and which data that is."""
    if config.env.name == _ALFWORLD and config.env.data != GENERATED:
        return _real_games(config.env.data)
    try:
        env = make_from(config.env)
        env.sample_tasks(0, 1)
        return [Finding("fine", f"env={config.env.name}: {env.describe_data()}")]
    except InputError as error:
        # What to do stands in the last sentences of an input error.
        what, *advice = re.split(r"(?<=\.) (?=(?:Install|Give|Make|Choose|Name) )", str(error), maxsplit=1)
        return [Finding("broken", f"env={config.env.name}: {what}", advice[0] if advice else _ANOTHER)]


def _real_games(data: str) -> list[Finding]:
    """Which splits of ALFWorld's real games are here; each game's JSON is read once and its hash kept."""
    found, absent = list[Finding](), list[str]()
    for split in _SPLITS:
        try:
            games = find_games(data, split)
        except InputError as error:
            if "no ALFWorld game of the split" in str(error):
                absent.append(split)
                continue
            return [*found, Finding("broken", str(error), f"alfworld-download -f, or {_ANOTHER}")]
        if games is None:
            what = "no real ALFWorld games on this machine; games are generated"
            return [Finding("note", what, "pip install 'keystone-rl[alfworld]' && alfworld-download")]
        found += _sampled(games)
    if not found:
        what = f"data={data}: no ALFWorld game is there"
        return [Finding("broken", what, f"alfworld-download --data-dir {data or '~/.cache/alfworld'}, or {_ANOTHER}")]
    if absent:
        level: Level = "broken" if "train" in absent else "note"
        found.append(Finding(level, f"the split {', '.join(absent)} is not in the data", "alfworld-download"))
    return found


def _sampled(games: GameIndex) -> list[Finding]:
    """Reads some of a split's games through."""
    step = max(1, len(games.names) // _SAMPLED_GAMES)
    for name in games.names[::step]:
        try:
            read_game(games.path(name))
        except UncoveredError:
            # The stock engine plays it.
            continue
        except InputError as error:
            return [Finding("broken", str(error), f"alfworld-download -f, or {_ANOTHER}")]
    where = f"from {games.root}, sha256 {games.sha256[:12]}"
    return [Finding("fine", f"{len(games.names):,} real ALFWorld games of the split {games.split} {where}")]


def pinned(config: RunConfig) -> list[Finding]:
    """Whether the pinned panels of this world are those that their files name."""
    found = []
    for name in presets.names("panel"):
        rule = panels.read(name)
        if rule.env != config.env.name:
            continue
        # Another panel's tasks may be absent; the one that the run is scored on may not.
        level: Level = "broken" if config.panel == name else "note"
        try:
            panel = _tasks(rule, config)
        except InputError as error:
            # Data that is another panel's, or none, is no fault: only what is made here must be what the file says.
            is_made = level == "broken" or "data" in rule.options or not hasattr(config.env, "data")
            found.append(
                Finding("broken", str(error), _ANOTHER)
                if is_made
                else Finding("note", f"panel {name} is not checked: {error}", "data=PATH of that panel's")
            )
            continue
        if panel is None:
            what = f"panel {name} is not checked: it needs the real games of the split {rule.options.get('split')}"
            found.append(Finding(level, what, "data=PATH, or pip install 'keystone-rl[alfworld]' && alfworld-download"))
        else:
            known = "not yet pinned" if NOT_PINNED in (rule.sha256, rule.content_sha256) else "as pinned"
            what = f"panel {name}: {len(panel.tasks)} tasks, sha256 {panel.sha256[:12]} {known}"
            found.append(Finding("fine", what))
    return found or [Finding("fine", f"no panel of env={config.env.name} is pinned")]


def _tasks(rule: FixedPanel, config: RunConfig) -> Panel | None:
    """A pinned panel's tasks; None where its real games are not here.

    Raises:
        InputError: the tasks here are not those of the file.
    """
    if rule.env != _ALFWORLD or rule.options.get("data") == GENERATED:
        return rule.find(make(rule.env, **(options_of(config.env) | rule.options)), record=False)
    data = "" if config.env.data == GENERATED else config.env.data
    try:
        games = find_games(data, str(rule.options.get("split")))
    except InputError:
        games = None
    if games is None:
        return None
    panel = Panel(rule.name, games.names)
    if rule.sha256 not in ("", NOT_PINNED, panel.sha256):
        raise InputError(
            f"panel={rule.name} has tasks of sha256 {rule.sha256[:12]}, but the {len(panel.tasks)} games in "
            f"{Path(games.root) / games.split} have {panel.sha256[:12]}"
        )
    return panel
