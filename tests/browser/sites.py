"""Sites and run folders for the browser's tests, of games that were really played."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import evals.site
from agents.policies.transformers import Sampling, TransformersPolicy
from agents.rollout import rollout
from evals import report
from tests.agents.models import byte_tokenizer, model
from tests.evals import board_entries, run_folder
from tests.training.guessing import Guess
from training.advantages import gigpo
from training.collect import Estimator, from_episodes
from training.samples import sample_rows
from training.tasks import iteration_keys

TASKS = 12
PLAYERS = {"random": ("random", "random"), "exploring": ("expert", "expert"), "planner": ("planner", "oracle")}


def site(folder: Path) -> Path:
    """The page of a leaderboard: three players with episodes, two trained entries without, and one on another panel."""
    entries, episodes = list[dict[str, Any]](), dict[str, Path]()
    for name, (player, kind) in PLAYERS.items():
        panel, found = board_entries.played(player, TASKS, max_turns=20)
        episodes[str(len(entries))] = board_entries.write(folder / f"{name}.jsonl", found, temperature=None)
        entries.append(board_entries.entry(name, kind, panel, found))
    trained = {"sampling": {"temperature": 0.4, "seeds": [0]}, "policy": "tiny", "algorithm": "gigpo"}
    half, most = ([int(task % 4 < wins) for task in range(TASKS)] for wins in (2, 3))
    for name, kind, layer, share, outcomes in (
        ("block 3", "layer", "3", 0.11, half),
        ("everything", "full", "full", 1.0, most),
    ):
        made = board_entries.entry(name, kind, panel, found, **trained, layer=layer, outcomes=outcomes)
        made["score"] |= {"success": sum(outcomes) / TASKS, "interval": [0.2, 0.9], "mean_tokens": 100 * share}
        entries.append(made | {"training": board_entries.trained(share)})
    entries.append(entries[0] | {"name": "elsewhere", "panel": {"name": "other", "tasks": TASKS, "sha256": "f" * 64}})
    return evals.site.build(entries, episodes, folder / "site", own=[3])


def run(folder: Path) -> Path:
    """A run's folder with its pages: a random model's training groups, and games of three arms on the same tasks."""
    run_folder.write(folder, run_folder.summary(), tasks=True)
    rows = []
    estimator = Estimator(gigpo, gigpo.Config(), 10.0, 0.1)
    for arm, seed in (("layer", 0), ("full", 1)):
        policy = TransformersPolicy(model(seed=seed), byte_tokenizer(), Sampling(1.0, 4))
        keys = iteration_keys(Guess(), 5, 0, 2, 4)
        collected = from_episodes(rollout(Guess, policy, keys), estimator)
        rows += list(sample_rows(collected, 2, arm=arm, purpose="training", temperature=1.0))
    with (folder / "episodes.jsonl").open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
    for arm, player in (("base", "random"), ("layer", "expert"), ("full", "planner")):
        _, found = board_entries.played(player, 3, max_turns=20)
        aside = board_entries.write(folder / "part", found, arm=arm, purpose="panel", temperature=0.0)
        with (folder / "episodes.jsonl").open("a", encoding="utf-8") as file:
            file.write(aside.read_text(encoding="utf-8"))
        aside.unlink()
    return report.build(folder)
