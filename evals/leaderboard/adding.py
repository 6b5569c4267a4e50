"""`python -m evals.leaderboard add RUN_OR_DELTA`: scores again what is handed in, and enters it.

The score is made here, by `evals.run` on the base and the panel named, never copied from what was handed in; only what
training cost is taken from the run's own summary. Hashes that do not match are refused before anything is played.
Nothing is written to the database until the score is whole; a stopped or killed evaluation goes on where it was when
the same command is given again, since its episodes are kept beside the database.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from agents.completions import ENDPOINT
from agents.starts import written
from envs.config import load
from envs.config_schema import key
from envs.errors import InputError
from evals.leaderboard import choosing, committed, database, scoring, sources
from evals.leaderboard.contents import tasks_of
from evals.leaderboard.database import Database
from evals.leaderboard.entries import KINDS, SCHEMA, Entry, algorithm_label, check_name, trained_name
from evals.leaderboard.standing import elsewhere, standing
from evals.panel_files import world_words
from evals.panels import read as read_panel
from evals.panels import sampling_of
from evals.run import EvalConfig


@dataclass(frozen=True)
class AddConfig(EvalConfig):
    """Keys of `evals.leaderboard add`, beside those of `evals.run`."""

    source: str = key("", "what to add: a run's folder, an evaluation's folder, or a delta file; empty adds policy=")
    db: str = key(database.DEFAULT, "your leaderboard's file")
    name: str = key("", "what the entry is called; empty makes one from what it is")


def expand(words: list[str]) -> list[str]:
    """Puts in front of the user's words those that the source stands for, and says the panel where none is named.

    Raises:
        InputError: the source cannot be read.
    """
    given = dict(word.partition("=")[::2] for word in words)
    world = world_words(words)
    if not given.keys() & {"source", "policy", "delta", "config"}:
        load(AddConfig, [*world, *words])  # a key that is typed wrong says so itself
        raise InputError(
            "what is to be added? Name a run's folder or a delta file, such as runs/mine, or a policy with policy=NAME."
        )
    if given.get("source"):
        source = sources.read(Path(given["source"]), given.get("env", ""))
    else:
        # Greedy, and with the turns that the policy is made for, unless the user says otherwise.
        env = given.get("env") or next(iter(world), "env=alfworld").removeprefix("env=")
        source = sources.Source(("temperatures=[0]", *sources.preset_words(given.get("policy", "tiny"), env)))
    if (drawn := choosing.drawn(given.get("panel", ""))) is not None:
        typed = (word for word in words if not word.startswith("panel="))
        return [*source.words, *(f"{name}={value}" for name, value in drawn.items()), *typed]
    front = list(source.words)
    if not any(word.startswith(("env=", "config=")) for word in front):
        front = [*world, *front]
    if "panel" not in given:
        chosen, line = choosing.choose(source, given, [*front, *words])
        front += chosen
        if line:
            print(line)
    elif not given["panel"]:
        front += source.panel_words
    elif not source.panel:
        # Nothing says how long it should play: it plays as the others on its panel did.
        usual = committed.conditions_on(given["panel"])
        front += [f"env.{name}={written(value)}" for name, value in usual.items()]
    return [*front, *words]


def main(config: AddConfig) -> int:
    """Scores and enters."""
    source = sources.read(Path(config.source), config.env.name) if config.source else sources.Source(())
    if config.name:
        check_name(config.name)
    job = scoring.prepare(config)
    if choosing.is_own(source, config):
        _check_panel(source, job)
    cards = [sources.card(path) for path in scoring.delta_files(config)]
    _check_hashes(config, source, cards, job)
    path = Path(config.db)
    with Database(path):
        pass  # a file that cannot be used is refused before the panel is played
    folder = Path(config.out) if config.out else path.with_suffix(".episodes") / job.mark
    scored = scoring.play(job, folder)
    if scored is None:
        return 130
    deltas = scoring.delta_files(config)
    training = source.training or (sources.training_of(deltas[0]) if len(deltas) == 1 else None)
    entry = make_entry(config.name, job, scored, cards, training)
    same = [other for other in (stored.entry for stored in database.read(path)) if _are_same(other, entry)]
    known = [*same, *(other for other in committed.entries() if _are_same(other, entry))]
    if known and not config.name:
        entry["name"] = known[0]["name"]  # the same delta again, which somebody may have named
    with Database(path) as opened:
        replaced = opened.add(entry, scored.episodes, same[0] if same else None)
    print(f"{'entered again' if replaced else 'entered'} in {path}: {entry['name']}")
    if source.success is not None:
        print(_against(source, entry))
    mine = [stored.entry for stored in database.read(path)]
    everyone = [*mine, *committed.without(mine)]
    for line in [*standing(entry, everyone), *elsewhere(entry, everyone)]:
        print(line)
    return 0


def _are_same(one: Entry, other: Entry) -> bool:
    return committed.scored(one) == committed.scored(other)


def make_entry(
    name: str,
    job: scoring.Job,
    scored: scoring.Scored,
    cards: Sequence[Mapping[str, Any]],
    training: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """Makes an entry of what an evaluation found.

    Args:
        name: its name, or empty for one made from what it is.
        job: what was played.
        scored: what came of it.
        cards: what its deltas say about themselves.
        training: what training took, or None.

    Returns:
        The entry.
    """
    facts, kind = scored.facts, _kind(job, cards)
    details = cards[0]["details"] if cards else {}
    temperature = facts["temperatures"][0]
    options = {option: _no_place(option, value) for option, value in facts["options"].items()}
    return {
        "schema": SCHEMA,
        "name": name or _name(job, kind, cards),
        "kind": kind,
        "env": facts["env"],
        "options": options,
        "panel": dict(facts["panel"]),
        "policy": facts["policy"],
        "base_sha256": facts.get("base_sha256"),
        "delta_sha256": facts.get("delta_sha256"),
        "layer": cards[0]["target"] if kind in ("layer", "lora") else None,
        "algorithm": details.get("algorithm"),
        "sampling": {
            "temperature": temperature,
            "seeds": scored.seeds,
            "max_turns": facts["options"].get("max_turns"),
            "max_reply_tokens": facts.get("max_reply_tokens"),
        },
        "score": scored.score,
        "outcomes": scored.outcomes,
        "training": _training(job, training),
        "command": command(job),
        # Of when it was played, which an earlier call may have done.
        "cost": {name: facts["cost"].get(name) for name in ("seconds", "date", "hardware", "versions")},
    }


def command(job: scoring.Job) -> str:
    """The line that scores an entry again, from the repository's folder: whatever is not what its names stand for."""
    config = job.config
    names = [f"env={config.env.name}", f"policy={config.policy.name}"]
    usual = load(EvalConfig, names)
    words = [*names, *([f"delta={config.delta}"] if config.delta else [])]
    if len(scoring.delta_files(config)) > 1:
        words.append(f"vote={config.vote}")
    fixed = read_panel(config.panel).options if config.panel else {"split": job.options["split"]}
    words += [f"panel={config.panel}"] if config.panel else [f"tasks={config.tasks}", f"split={fixed['split']}"]
    for name, option in _changed(config.env, usual.env).items():
        if name not in fixed:
            words.append(f"env.{name}={_no_place(name, option)}")
    if job.temperature is not None:
        words += [f"policy.{name}={option}" for name, option in _changed(config.policy, usual.policy).items()]
        words.append(f"temperatures=[{job.temperature:g}]")
    if job.seeds != (config.seed,) or sampling_of(config.panel).seeds:
        words.append(f"seeds={','.join(map(str, job.seeds))}")
    return " ".join(["python -m evals.run", *map(shlex.quote, [*words, f"seed={config.seed}"])])


def _changed(options: Any, usual: Any) -> dict[str, str]:  # noqa: ANN401 - a dataclass of options
    """The options that differ, as a command line takes them."""
    return {
        field.name: written(getattr(options, field.name))
        for field in fields(options)
        if getattr(options, field.name) != getattr(usual, field.name)
    }


def _check_panel(source: sources.Source, job: scoring.Job) -> None:
    """A panel of the same name must be the same tasks, as far as is known of what stands behind their names.

    Raises:
        InputError: it is another one.
    """
    if source.panel.get("name") != job.panel.name:
        return
    here = job.panel.as_json()
    for name, what in (("sha256", "tasks"), ("content_sha256", "contents of tasks")):
        then, now = source.panel.get(name), here.get(name)
        if then and now and then != now:
            raise InputError(
                f"panel {job.panel.name}: what you add was scored on {what} of sha256 {then[:12]}, those here have "
                f"{now[:12]}. Give the data it was scored on (data=PATH), or another panel=."
            )


def _check_hashes(
    config: AddConfig, source: sources.Source, cards: Sequence[Mapping[str, Any]], job: scoring.Job
) -> None:
    """The delta must be the one that its run names, and the base the one that the delta or the evaluation names.

    Raises:
        InputError: one of them is another.
    """
    if source.delta_sha256 and len(cards) == 1 and cards[0]["tensors_sha256"] != source.delta_sha256:
        raise InputError(
            f"delta={config.delta} has tensors of sha256 {cards[0]['tensors_sha256'][:12]}, but {config.source} names "
            f"{source.delta_sha256[:12]}: the file was changed or belongs to another run."
        )
    if not source.base_sha256 or not job.model:
        return
    # Whether the model is the one that a delta was made for, evals.run asks itself.
    found = cards[0]["base_sha256"] if cards else scoring.base_sha256(job)
    if found != source.base_sha256:
        whose = f"delta={config.delta} was made for" if cards else f"policy={config.policy.name} has"
        raise InputError(
            f"{whose} weights of sha256 {found[:12]}, but {config.source} names {source.base_sha256[:12]}. "
            "Give the base that it was made with as policy=."
        )


def _kind(job: scoring.Job, cards: Sequence[Mapping[str, Any]]) -> str:
    if not job.model:
        return str(job.config.policy.name) if job.config.policy.name in KINDS else "other"
    if not cards:
        return "base"
    if len(cards) > 1:
        return "committee"
    target = cards[0]["target"]
    if target == "full":
        return "full"
    if target.startswith("boost"):
        return "other"
    return "lora" if target.startswith("lora") else "layer"


def _name(job: scoring.Job, kind: str, cards: Sequence[Mapping[str, Any]]) -> str:
    """Says what an entry is: "layer 3, GiGPO, seed 0"."""
    base = str(job.config.policy.name).rstrip("/").rpartition("/")[2]
    if job.config.policy.name == ENDPOINT:
        return f"{job.config.policy.model} behind an endpoint"[:80]
    if not cards:
        return base
    if kind == "committee":
        return f"committee ({job.config.vote}) of layers {', '.join(card['target'] for card in cards)}"[:80]
    (said,) = cards
    target, details = said["target"], said["details"]
    what = "all parameters" if kind == "full" else trained_name(target)
    parts = [what, algorithm_label(details.get("algorithm", ""))]
    if "seed" in details:
        parts.append(f"seed {details['seed']}")
    return ", ".join(part for part in parts if part)[:80]


def _training(job: scoring.Job, known: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """What training took, with the base's size where the source does not say it."""
    if known is None:
        return None
    total = known["total_parameters"]
    files = sorted(Path(job.model).glob("*.safetensors")) if Path(job.model).is_dir() else []
    if total is None and files:
        total = sum(map(sources.elements, files))
    return {**known, "total_parameters": total}


def _against(source: sources.Source, entry: Mapping[str, Any]) -> str:
    """Says what it scored before, where the same panel was played."""
    before, now, panel = source.success, entry["score"]["success"], entry["panel"]
    assert before is not None
    if not source.panel or tasks_of(source.panel) != tasks_of(panel):
        return f"it had {100 * before:.1f} % on {source.panel['name']}, another panel"
    return f"it said {100 * before:.1f} % on this panel; scored again it has {100 * now:.1f} %"


def _no_place(option: str, value: Any) -> Any:  # noqa: ANN401 - an option's value
    """Where data lies is a matter of one machine, and no part of an entry."""
    is_place = option == "data" and isinstance(value, str) and value and (os.sep in value or Path(value).exists())
    return "PATH" if is_place else value
