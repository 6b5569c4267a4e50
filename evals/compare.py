"""`python -m evals.compare a=DIR b=DIR`: whether one policy did better than another on the same panel.

Both are folders of `evals.run` on one panel with as many seeds. Success is compared task by task: the difference with
its interval and a bootstrap interval, the p of the exact McNemar test (of the sign-flip test where tasks were played
several times), the same for every kind of task with p corrected by Holm's method, and the tasks that a smaller
difference would take (`evals.comparison`).
"""

from __future__ import annotations

import sys
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from envs.command import run_command
from envs.config_schema import key
from envs.errors import InputError
from envs.files import understood
from evals.folder import Folder, write_json

if TYPE_CHECKING:
    from rich.table import Table

    from evals.comparison import Comparison

_SCORE, _EPISODES = "score.json", "episodes.jsonl"
Temperature = float | None


@dataclass(frozen=True)
class CompareConfig:
    """Keys of `evals.compare`."""

    a: str = key("", "the folder of an evaluation, as evals.run out=DIR leaves it")
    b: str = key("", "the folder of another one on the same panel")
    out: str = key("", "a JSON file to write the comparison into")


class Evaluated(NamedTuple):
    """An evaluation that was read back.

    Attributes:
        name: what to call it.
        facts: the content of `score.json`.
        wins: plays won of each task by temperature, tasks in the panel's order.
        kinds: the kind of each task.
    """

    name: str
    facts: Mapping[str, Any]
    wins: dict[Temperature, dict[str, int]]
    kinds: dict[str, str]

    @property
    def seeds(self) -> list[int]:
        """The seeds that each task was played with."""
        return list(self.facts.get("seeds") or [self.facts["seed"]])


class Pair(NamedTuple):
    """Two policies at one temperature each.

    Attributes:
        a: name of the one, with its temperature.
        b: name of the other.
        whole: on all tasks.
        kinds: on each kind of task, whose p are corrected by Holm's method.
    """

    a: str
    b: str
    whole: Comparison
    kinds: Mapping[str, Comparison]


def main(config: CompareConfig) -> int:
    """Runs the command."""
    a, b = (read(folder, given_by) for folder, given_by in ((config.a, "a"), (config.b, "b")))
    if a.name == b.name:
        a, b = a._replace(name=f"a ({a.name})"), b._replace(name=f"b ({b.name})")
    check(a, b)
    with understood(f"a={config.a} or b={config.b}", "an evaluation"):
        pairs = compared(a, b)
    _show(a, b, pairs)
    if config.out:
        _write(Path(config.out), a, b, pairs)
    return 0


def read(folder: str, given_by: str) -> Evaluated:
    """Reads an evaluation.

    Args:
        folder: where it is.
        given_by: the key that it was given by, for messages.

    Raises:
        InputError: it is no evaluation, not finished, or broken.
    """
    if not folder:
        raise InputError(f"{given_by}= is missing: give the folders of two evaluations, a=DIR b=DIR.")
    files = Folder(Path(folder))
    facts = files.read_json(_SCORE)
    if facts is None or not (files / _EPISODES).is_file():
        raise InputError(f"{given_by}={folder} is no folder of evals.run: it has no {_SCORE} and {_EPISODES}.")
    with understood(files / _SCORE, "an evaluation's score"):
        if not facts.get("finished"):
            raise InputError(f"{given_by}={folder} is not finished; the command that made it goes on with it.")
        found = Evaluated(f"{facts.get('model') or facts['policy']}{_deltas(facts.get('delta_sha256'))}", facts, {}, {})
        _check_facts(found)
    with understood(files / _EPISODES, "a file of episodes"):
        plays = Counter(_add(found, row) for row in files.rows(_EPISODES))
        tasks, seeds = facts["panel"]["tasks"], len(found.seeds)
        if set(plays.values()) != {seeds} or any(len(of) != tasks for of in found.wins.values()):
            raise ValueError(f"not every one of its {tasks} tasks has an episode of each of {seeds} seeds")
    return found


def _deltas(hashes: object) -> str:
    """Says what lies over the weights: nothing, one delta, or those of a committee."""
    if isinstance(hashes, list):
        return f" as a committee of {len(hashes)} deltas"
    return " with delta" if hashes else ""


def _check_facts(found: Evaluated) -> None:
    """Makes sure that what is shown of an evaluation is there.

    Raises:
        LookupError: a fact is missing.
        TypeError: one is of another kind.
    """
    panel = found.facts["panel"]
    texts = (panel["name"], panel["sha256"], panel.get("content_sha256", ""))
    if not (all(isinstance(text, str) for text in texts) and type(panel["tasks"]) is int):
        raise TypeError("its panel is none")
    if not (found.seeds and isinstance(found.facts["options"], Mapping)):
        raise TypeError("its seeds or options are none")


def _add(found: Evaluated, row: Mapping[str, Any]) -> tuple[Temperature, str]:
    """Counts an episode; returns at what temperature it played which task.

    Raises:
        LookupError, TypeError: it is none.
    """
    temperature, task, kind, won = (row[name] for name in ("temperature", "task", "task_type", "won"))
    if not (isinstance(temperature, float | int | None) and isinstance(won, bool)):
        raise TypeError("an episode's temperature or outcome is none")
    if not (isinstance(task, str) and isinstance(kind, str)):
        raise TypeError("an episode's task is none")
    temperature = None if temperature is None else float(temperature)
    of = found.wins.setdefault(temperature, {})
    of[task] = of.get(task, 0) + won
    # One that broke before it began says nothing of its kind.
    found.kinds[task] = found.kinds.get(task) or kind
    return temperature, task


def check(a: Evaluated, b: Evaluated) -> None:
    """Makes sure that two evaluations can be compared task by task.

    Raises:
        InputError: they were made on other tasks, or with another number of seeds.
    """
    for name in ("sha256", "content_sha256"):
        one, other = (each.facts["panel"].get(name) for each in (a, b))
        # An evaluation of before contents were recorded for generated tasks names none.
        if one and other and one != other:
            panels = " and ".join(f"{each.facts['panel']['name']} ({each.name})" for each in (a, b))
            raise InputError(f"the evaluations are of other tasks: the {name} of their panels differ: {panels}.")
    if len({frozenset(of) for each in (a, b) for of in each.wins.values()}) > 1:
        raise InputError(
            f"the episodes of {a.name} and {b.name} are of other tasks, though their panels have one hash."
        )
    if len(a.seeds) != len(b.seeds):
        raise InputError(
            f"{a.name} was played with {len(a.seeds)} seeds and {b.name} with {len(b.seeds)}. Give both as many."
        )


def compared(a: Evaluated, b: Evaluated) -> list[Pair]:
    """Compares two evaluations at each temperature that both have; a single temperature of one meets all of the other.

    Raises:
        InputError: they have no temperature in common, and several each.
    """
    shared = [temperature for temperature in a.wins if temperature in b.wins]
    meetings = [(each, each) for each in shared]
    if not meetings and min(len(a.wins), len(b.wins)) == 1:
        meetings = [(one, other) for one in a.wins for other in b.wins]
    if not meetings:
        raise InputError(f"{a.name} and {b.name} were played at other temperatures: {list(a.wins)} and {list(b.wins)}.")
    return [_pair(a, b, one, other) for one, other in meetings]


def _pair(a: Evaluated, b: Evaluated, one: Temperature, other: Temperature) -> Pair:
    from evals.comparison import compare, holm
    from evals.evaluation import title

    tasks = list(a.wins[one])
    by_kind: dict[str, list[str]] = defaultdict(list)
    for task in tasks:
        by_kind[a.kinds[task]].append(task)

    def on(chosen: Sequence[str]) -> Comparison:
        won_a, won_b = a.wins[one], b.wins[other]
        return compare([won_a[task] for task in chosen], [won_b[task] for task in chosen], len(a.seeds))

    found = {kind: on(chosen) for kind, chosen in sorted(by_kind.items())}
    corrected = holm([each.p for each in found.values()])
    kinds = {kind: each._replace(p=p) for (kind, each), p in zip(found.items(), corrected, strict=True)}
    return Pair(title(a.name, one), title(b.name, other), on(tasks), kinds)


def _show(a: Evaluated, b: Evaluated, pairs: Sequence[Pair]) -> None:
    from envs.screen import Screen
    from evals.comparison import verdict
    from evals.power import power_line

    screen = Screen()
    panel = a.facts["panel"]
    seeds = f", {len(a.seeds)} seeds" if len(a.seeds) > 1 else ""
    screen.print(f"panel: {panel['name']}, {panel['tasks']} tasks{seeds}, sha256 {panel['sha256']}")
    for name, one, other in _differences(a.facts["options"], b.facts["options"]):
        screen.print(f"note: env.{name} is {one} for {a.name} and {other} for {b.name}.")
    for pair in pairs:
        screen.print(_table(pair))
        screen.print(verdict(pair.a, pair.b, pair.whole))
        screen.print(_bootstrap(pair.whole))
        screen.print(_kinds_told_apart(pair))
        line = power_line(pair.whole.tasks, pair.whole.deviation, pair.whole.plays)
        screen.print(f"power: {line} (4 times in 5, as these two differ).")


def _differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    names = sorted({*one, *other})
    return [(name, one.get(name), other.get(name)) for name in names if one.get(name) != other.get(name)]


def _bootstrap(found: Comparison) -> str:
    from evals.comparison import LEAST_EXCEPTIONS
    from evals.findings import range_of_points

    if found.bootstrap is None:
        return f"No bootstrap: fewer than {LEAST_EXCEPTIONS} tasks came out otherwise than most."
    return f"Bootstrap over tasks: {range_of_points(found.bootstrap)} points."


def _kinds_told_apart(pair: Pair) -> str:
    from evals.findings import in_points, is_resolved

    told = {
        kind: found for kind, found in pair.kinds.items() if is_resolved({"interval": found.interval, "p": found.p})
    }
    count = len(pair.kinds)
    if not told:
        return f"No single kind of task tells them apart (p corrected for {count} kinds)."
    names = ", ".join(f"{kind or 'unknown'} ({in_points(found.difference)} points)" for kind, found in told.items())
    return f"Of {count} kinds of task these tell them apart (p corrected for {count}): {names}."


def _table(pair: Pair) -> Table:
    from rich import box
    from rich.table import Table

    from evals.figures import p_value
    from evals.findings import in_points, range_of_points

    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), caption_justify="left")
    table.title = f"{pair.a} minus {pair.b}, in points"
    table.title_justify = "left"
    table.caption = (
        "a, b: tasks that only the one, or it more often, won. p: McNemar's, or of the sign-flip test where tasks were "
        "played several times; of kinds corrected by Holm."
    )
    table.add_column("kind of task")
    for column in ("tasks", "a", "b", "difference", "95 % interval", "p"):
        table.add_column(column, justify="right")
    for name, found in (("all", pair.whole), *pair.kinds.items()):
        table.add_row(
            name or "unknown",
            str(found.tasks),
            str(found.better),
            str(found.worse),
            in_points(found.difference),
            range_of_points(found.interval),
            p_value(found.p),
        )
    return table


def _write(file: Path, a: Evaluated, b: Evaluated, pairs: Sequence[Pair]) -> None:
    content = {
        "panel": a.facts["panel"],
        "seeds": [a.seeds, b.seeds],
        "comparisons": [
            {
                "a": pair.a,
                "b": pair.b,
                **pair.whole.as_json(),
                "by_type": {kind: found.as_json() for kind, found in pair.kinds.items()},
            }
            for pair in pairs
        ],
    }
    write_json(file, content)


if __name__ == "__main__":
    sys.exit(
        run_command(
            "python -m evals.compare",
            CompareConfig,
            main,
            description="Compares two evaluations on one panel: difference, intervals, exact test, power.",
        )
    )
