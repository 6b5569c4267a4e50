"""`python -m evals.leaderboard.references`: makes the entries that come with Keystone.

On every panel of `configs/panel/` whose data is here, and on those that the committed studies and runs drew: the random
player, the expert and the oracle of the world, the policy that its studies and kept runs started from, and the deltas
of the runs that are kept in `evals/results/leaderboard/runs/`, all scored again; beside them the middle block, the best
one, LoRA and all parameters from the cells of the studies, whose weights are not kept. A cell of which a kept run has
the same arm and seed is left out. What cannot be played here is named with its reason. Entries that are there are kept,
unless `again=true`.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from agents.starts import WARM, locate
from envs import presets
from envs.command import run_command
from envs.config import load
from envs.config_schema import key
from envs.errors import InputError, unknown
from envs.installation import REPOSITORY
from envs.registry import env_class
from evals.folder import Folder
from evals.leaderboard import adding, committed, from_study, kept, scoring, sources
from evals.leaderboard.adding import AddConfig
from evals.leaderboard.entries import algorithm_label, trained_name
from evals.panels import read as read_panel

RUNS = committed.FOLDER / "runs"
STARTS = committed.FOLDER / "starts"
STUDIES = REPOSITORY / "evals" / "results" / "studies"
PLAYERS = ("random", "expert", "oracle")
# What entries call a policy that `training.warmstart` made.
MADE_BASE = "warm start"
# The lines that made the studies' cells, as in the README.
SWEEP = "python -m training.sweep "
SWEEPS = {
    "alfworld-gigpo": f"{SWEEP}env=alfworld data=generated layers=all seeds=0,1,2,3,4 "
    "rates=evals/results/rates/alfworld-gigpo panel=alfworld_generated_unseen panels=alfworld_valid_seen "
    "panel_data=PATH budget=0.15",
    "alfworld-gigpo-llama": f"{SWEEP}env=alfworld data=generated model=tiny-llama layers=all lora= "
    "seeds=0,1,2 rates=evals/results/rates/alfworld-gigpo-llama panel=alfworld_generated_unseen "
    "panels=alfworld_valid_seen panel_data=PATH budget=0.15",
    "alfworld-gigpo-qwen2": f"{SWEEP}env=alfworld data=generated model=tiny-qwen2 layers=all lora= "
    "seeds=0,1,2 rates=evals/results/rates/alfworld-gigpo-qwen2 panel=alfworld_generated_unseen "
    "panels=alfworld_valid_seen panel_data=PATH budget=0.15",
    "code-grpo": f"{SWEEP}env=code model=warm model.max_reply_tokens=64 iterations=8 panel_tasks=300 "
    "train.temperature=0.7 algorithm=grpo layers=all seeds=0,1,2 rates=evals/results/rates/code-grpo budget=0.15",
    "math-grpo": f"{SWEEP}env=math model=warm algorithm=grpo layers=all seeds=0,1,2 "
    "rates=evals/results/rates/math-grpo budget=0.15",
}


@dataclass(frozen=True)
class ReferencesConfig:
    """Keys of `evals.leaderboard.references`."""

    panels: tuple[str, ...] = key((), "the panels to do, such as [alfworld_valid_seen]; empty does all")
    data: tuple[str, ...] = key((), "where the data of worlds or panels is, such as [alfworld:PATH]")
    out: str = key(str(committed.FOLDER.relative_to(REPOSITORY)), "the folder of the entries")
    again: bool = key(False, "whether entries that are there are made again")


@dataclass(frozen=True)
class Place:
    """A panel to score references on.

    Attributes:
        name: its name.
        env: its world.
        words: arguments that choose world and panel.
        base: the base policy.
        base_name: what its entry is called; empty for the policy's own name.
        base_only: whether another place of this panel has its players and runs.
    """

    name: str
    env: str
    words: tuple[str, ...]
    base: str
    base_name: str = ""
    base_only: bool = False


def main(config: ReferencesConfig) -> int:
    """Runs the command."""
    if Path.cwd() != REPOSITORY:
        raise InputError(f"entries name files from the repository's folder: call this in {REPOSITORY}.")
    places = list(_places(config))
    for name in config.panels:
        if name not in {place.name for place in places}:
            raise unknown("panel", name, {place.name for place in places})
    out = Path(config.out)
    out.mkdir(parents=True, exist_ok=True)
    skipped = []
    for place in places:
        if not config.panels or place.name in config.panels:
            skipped += _score_all(place, out, config.again)
    for line in _write_studies(out, config.panels):
        print(line)
    print(f"{out}: {len(committed.entries(out))} entries")
    for line in skipped:
        print(f"not made: {line}")
    return 0


def _places(config: ReferencesConfig) -> Iterator[Place]:
    """The fixed panels, and those that studies and kept runs drew, each once a base policy."""
    seen: set[tuple[str, str]] = set()
    for place in _all_places(config):
        if (place.name, place.base) not in seen:
            yield replace(place, base_only=any(place.name == name for name, _ in seen))
            seen.add((place.name, place.base))


def _all_places(config: ReferencesConfig) -> Iterator[Place]:
    data = dict(word.partition(":")[::2] for word in config.data)
    models = _models()
    for name in presets.names("panel"):
        env, words = _fixed(name, data)
        yield _place(name, env, words, models.get(env))
    for study in _studies():
        content = presets.read_yaml(study / from_study.CONFIG)
        env = content["env"]["name"]
        drawn: tuple[str, ...] = (f"env={env}", "panel=", f"tasks={content['panel_tasks']}", f"seed={content['seed']}")
        for name in Folder(study).read_json("study.json")["panels"]:
            words = _fixed(name, data)[1] if name in presets.names("panel") else drawn
            yield _place(name, env, words, _model_of(study))
    for run in (path for env in models for path in _runs(env)):
        summary = _summary(run)
        of_env = [word for word in sources.read(run).words if word.startswith(("env=", "env."))]
        drawn = (*of_env, "panel=", f"tasks={summary['panel']['tasks']}", f"seed={summary['seed']}")
        yield _place(summary["panel"]["name"], summary["env"], drawn, models[summary["env"]])


def _fixed(name: str, data: Mapping[str, str]) -> tuple[str, tuple[str, ...]]:
    """The world of a fixed panel, and the arguments that choose both."""
    rule = read_panel(name)
    words = [f"env={rule.env}", f"panel={name}", *([f"env.max_turns={rule.turns}"] if rule.turns else [])]
    if (place := data.get(name, data.get(rule.env))) and "data" not in rule.options:
        words.append(f"env.data={place}")
    if "split" in rule.options:
        words.append(f"split={rule.options['split']}")
    return rule.env, tuple(words)


def _place(name: str, env: str, words: Sequence[str], model: Mapping[str, Any] | None) -> Place:
    """A panel with the policy that its world's runs started from; with `warm` where there are none."""
    if model is None:
        return Place(name, env, tuple(words), WARM)
    named, tokens = model["name"], f"policy.max_reply_tokens={model['max_reply_tokens']}"
    if named in presets.names("model") and presets.read("model", named)["model"]["path"] == model["path"]:
        return Place(name, env, (*words, *sources.preset_words(named, env)), named)
    return Place(name, env, (*words, tokens), model["path"], MADE_BASE)


def _models() -> dict[str, Mapping[str, Any]]:
    """The policies that are kept for a world: what its study or its runs started from, else a start without runs."""
    made = presets.read("model", WARM)["model"] | {"name": WARM}
    models = {path.name: made | {"path": str(path.relative_to(REPOSITORY))} for path in sorted(STARTS.glob("*"))}
    kept = [presets.read_yaml(path.parent / from_study.CONFIG) for path in sorted(RUNS.glob("*/summary.json"))]
    models |= {config["env"]["name"]: config["model"] for config in reversed(kept)}
    for study in reversed(_studies()):
        models[presets.read_yaml(study / from_study.CONFIG)["env"]["name"]] = _model_of(study)
    return models


def _model_of(study: Path) -> Mapping[str, Any]:
    model: Mapping[str, Any] = presets.read_yaml(study / from_study.CONFIG)["model"]
    start = study / "start"
    return {**model, "path": str(start.relative_to(REPOSITORY))} if start.is_dir() else model


def _studies() -> list[Path]:
    return sorted(path for path in STUDIES.iterdir() if any(path.glob("cells/*.json")))


def _score_all(place: Place, out: Path, again: bool) -> list[str]:
    """Scores the players, the base and the kept runs on a panel. Returns why some were not."""
    skipped = []
    try:
        players = [name for name in PLAYERS if name in env_class(place.env).players]
    except InputError as error:
        return [f"{place.name}: {error}"]
    jobs: list[tuple[str, Sequence[str]]] = [(name, (f"policy={name}",)) for name in players if not place.base_only]
    base = (f"policy={place.base}", "temperatures=[0]", *([f"name={place.base_name}"] if place.base_name else []))
    jobs.append((f"base {place.base_name or place.base}", base))
    if not place.base_only:
        jobs += [(run.name, (f"source={run}", f"name={_run_name(run)}")) for run in _runs(place.env)]
    for name, words in jobs:
        path = out / _file(place.name, name)
        if not again and _is_whole(path):
            continue
        try:
            _score(place, words, path)
        except InputError as error:
            skipped.append(f"{place.name}, {name}: {error}")
        except Exception as error:  # another project's world may fail in any way; the others are played
            skipped.append(f"{place.name}, {name}: {type(error).__name__}: {error}")
    return skipped


def _is_whole(path: Path) -> bool:
    """Whether an entry is there, with its episodes if they may be kept."""
    return path.is_file() and (kept.episodes_of(path).is_file() or not kept.may_keep(committed.read(path)))


def _score(place: Place, words: Sequence[str], path: Path) -> None:
    """Scores one policy as `add` does, and writes its entry and its episodes."""
    source = next((Path(word.partition("=")[2]) for word in words if word.startswith("source=")), None)
    known = sources.read(source) if source else sources.Source(())
    # A run may have been at another difficulty: the place says what world its panel is of.
    of_run = [word for word in known.words if not word.startswith(("env=", "env."))]
    config = load(AddConfig, [*of_run, *words, *place.words])
    if config.policy.path == WARM:
        locate(WARM, config.env, "policy")
    if config.policy.name in env_class(place.env).players:
        config = replace(config, temperatures=(0.0,))
    job = scoring.prepare(config)
    cards = [sources.card(path) for path in scoring.delta_files(config)]
    with tempfile.TemporaryDirectory(prefix="keystone-references-") as work:
        scored = scoring.play(job, Path(work) / "evaluation")
        if scored is None:
            raise KeyboardInterrupt
        entry = adding.make_entry(config.name, job, scored, cards, known.training)
        if kept.may_keep(entry):
            kept.keep(scored.episodes, path)
    _write(entry, path)


def _runs(env: str) -> list[Path]:
    """The kept runs of a world, from the repository's folder."""
    found = [path.parent.relative_to(REPOSITORY) for path in sorted(RUNS.glob("*/summary.json"))]
    return [path for path in found if _summary(path)["env"] == env]


def _run_name(run: Path) -> str:
    """What a kept run's entry is called: how its layer was asked for, "middle" or "auto", is worth knowing."""
    summary, asked = _summary(run), str(presets.read_yaml(REPOSITORY / run / "config.yaml")["layer"])
    target = summary["layer"]["target"]
    what = "all parameters" if target == "full" else trained_name(target)
    said = f" ({asked})" if asked.isalpha() and asked != target else ""
    return f"{what}{said}, {algorithm_label(summary['algorithm'])}, seed {summary['seed']}"


def _summary(run: Path) -> Mapping[str, Any]:
    content: Mapping[str, Any] = json.loads((REPOSITORY / run / "summary.json").read_text(encoding="utf-8"))
    return content


def _of_studies() -> Iterator[dict[str, Any]]:
    """Entries from cells, but for those whose arm and seed a kept run has.

    Names of those that started from another policy than the world's usual one begin with it.
    """
    usual = _models()
    for study in _studies():
        facts = Folder(study).read_json(from_study.FACTS)
        of = "" if facts["model"] == usual[facts["env"]]["name"] else f"{facts['model']}, "
        kept = {
            (summary["layer"]["target"], summary["seed"], summary["algorithm"])
            for summary in map(_summary, _runs(facts["env"]))
            if summary["model"] == facts["model"]
        }
        for entry in from_study.entries(study, SWEEPS[study.name]):
            target = "full" if entry["kind"] == "full" else entry["layer"]
            if (target, entry["sampling"]["seeds"][0], entry["algorithm"]) not in kept:
                yield entry | {"name": f"{of}{entry['name']}"}


def _write_studies(out: Path, panels: Sequence[str]) -> Iterator[str]:
    """Writes the studies' entries; removes, and names, those of a block that was the best of fewer cells."""
    now = {out / _file(entry["panel"]["name"], entry["name"]): entry for entry in _of_studies()}
    for path, entry in now.items():
        if not panels or entry["panel"]["name"] in panels:
            _write(entry, path)
    for path in sorted({*out.glob("*.json")} - {*now}):
        if json.loads(path.read_text(encoding="utf-8"))["command"].startswith(SWEEP):
            path.unlink()
            yield f"removed: {path.name}, which its study no longer gives"


def _write(entry: Mapping[str, Any], path: Path) -> None:
    Folder(path.parent).write_text(path.name, json.dumps(entry, separators=(",", ":"), allow_nan=False) + "\n")


def _file(panel: str, name: str) -> str:
    words = re.sub(r"[^a-z0-9]+", "_", f"{panel} {Path(name).name}".lower()).strip("_")
    return f"{words}.json"


if __name__ == "__main__":
    sys.exit(
        run_command(
            "python -m evals.leaderboard.references",
            ReferencesConfig,
            main,
            description="Makes the leaderboard's entries that come with Keystone: players, bases, kept runs, studies.",
        )
    )
