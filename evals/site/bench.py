"""`python -m evals.site.bench`: how large a page with many episodes is, and how fast it opens in a real browser.

Two scripted players play generated household games, so the episodes are of real length; the page is the leaderboard's.
Times are taken by the browser itself from the start of loading: until the ranking can be seen, and until the page's
script has unpacked the list of all episodes; then how long one episode takes to open. Medians of several openings are
printed.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from envs.command import run_command
from envs.config_schema import key
from envs.errors import InputError
from envs.files import writing

PLAYERS = ("random", "expert")
"""Between them lie the episodes of policies: 50 turns that lead nowhere, and 9 that win."""

SPLIT = "valid_unseen"
OPENINGS = 5
LIMIT_BYTES, LIMIT_SECONDS = 20_000_000, 2.0


@dataclass(frozen=True)
class BenchConfig:
    """Keys of `python -m evals.site.bench`."""

    episodes: int = key(10_000, "episodes in the page, half by each player", unit="episodes", minimum=2)
    out: str = key("", "a folder to keep the page in; empty keeps none")


def main(config: BenchConfig) -> int:
    """Builds the page, opens it and prints what that took. The exit code is 1 if a limit is not kept."""
    from evals.site.browser import missing

    if lacking := missing():
        raise InputError(lacking)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(config.out or scratch)
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
        entries, episodes = _play(config.episodes // len(PLAYERS), folder)
        from evals.site import build

        started = time.perf_counter()
        index = build(entries, episodes, folder)
        size = index.stat().st_size
        raw = sum(path.stat().st_size for path in episodes.values())
        print(f"{raw / 1e6:.1f} MB of rows in a page of {size / 1e6:.1f} MB, built in {_since(started)}")
        opened = _open(index)
    for name, seconds in opened.items():
        print(f"{name}: {seconds:.2f} s")
    kept = size < LIMIT_BYTES and opened["list of all episodes there"] < LIMIT_SECONDS
    print(f"under {LIMIT_BYTES / 1e6:.0f} MB and {LIMIT_SECONDS:g} seconds: {'yes' if kept else 'no'}")
    return 0 if kept else 1


def _play(tasks: int, folder: Path) -> tuple[list[dict[str, Any]], dict[str, Path]]:
    """Plays all players on the same unseen games; returns their entries and where their rows are."""
    import envs
    from agents.policies.scripted import ScriptedPolicy
    from evals.folder import Folder
    from evals.panels import Panel
    from evals.scoring import episode_row, play, score

    make = partial(envs.make, "alfworld", split=SPLIT)
    panel = Panel("generated", tuple(make().sample_tasks(0, tasks)))
    entries, files = [], {}
    for number, player in enumerate(PLAYERS):
        started = time.perf_counter()
        found = play(make, ScriptedPolicy(player), panel, 0)
        Folder(folder).write_rows(f"{player}.jsonl", (episode_row(episode, temperature=None) for episode in found))
        print(f"{player}: {len(found):,} episodes played in {_since(started)}")
        figures = score(found)
        entries.append(
            {
                "name": player,
                "kind": "other",
                "env": "alfworld",
                "options": {"split": SPLIT},
                "panel": panel.as_json(),
                "policy": player,
                "sampling": {"temperature": None, "seeds": [0]},
                "score": {
                    "success": figures.success,
                    "interval": figures.interval.to_json(),
                    "episodes": figures.episodes,
                    "tasks": len(panel.tasks),
                    "mean_turns": figures.mean_turns,
                    "invalid_actions": figures.invalid_actions,
                },
                "outcomes": [int(episode.won) for episode in found],
                "training": None,
            }
        )
        files[str(number)] = folder / f"{player}.jsonl"
    return entries, files


def _open(index: Path) -> dict[str, float]:
    """Opens the page several times. Returns medians in seconds."""
    from evals.site.browser import browser, ready

    taken: dict[str, list[float]] = {}
    for _ in range(OPENINGS):
        # Each time a new browser, which has nothing of the page in its caches.
        with browser() as driver:
            driver.get(index.resolve().as_uri())
            ready(driver)
            found = driver.execute_script(MEASURE)
            for name, milliseconds in found.items():
                taken.setdefault(name, []).append(milliseconds / 1000)
    return {name: statistics.median(seconds) for name, seconds in taken.items()}


MEASURE = """
const paint = performance.getEntriesByName("first-contentful-paint")[0];
const load = performance.getEntriesByType("navigation")[0];
const begun = performance.now();
await showEpisodes([0]);
document.querySelector("#episode-content").offsetHeight;
return {
  "ranking can be seen": paint ? paint.startTime : load.domInteractive,
  "page loaded": load.loadEventEnd,
  "list of all episodes there": Number(document.documentElement.dataset.ready),
  "one episode opened": performance.now() - begun,
};
"""


def _since(started: float) -> str:
    return f"{time.perf_counter() - started:.1f} s"


if __name__ == "__main__":
    DESCRIPTION = "Measures the leaderboard's page with many episodes: its size, and how fast it opens in Chromium."
    sys.exit(run_command("python -m evals.site.bench", BenchConfig, main, description=DESCRIPTION))
