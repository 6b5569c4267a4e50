"""What a leaderboard entry shows: cells of its row in the ranking, and facts for its own view and for comparisons."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from markupsafe import Markup

from evals import charts, figures, findings

Entry = Mapping[str, Any]


class Cell(NamedTuple):
    """A cell of the ranking.

    Attributes:
        text: what it says.
        value: what it is sorted by; empty comes last in either direction.
        note: a second, quieter line.
        mark: a small drawing.
    """

    text: str
    value: str
    note: str = ""
    mark: Markup | None = None


class Column(NamedTuple):
    """A column of the ranking.

    Attributes:
        title: its heading.
        explanation: what it means, for the list below the tables.
        cell: writes an entry's cell.
        best: the direction that a first click sorts in, "descending" where more is better.
    """

    title: str
    explanation: str
    cell: Callable[[Entry], Cell]
    best: str = "ascending"


def sampling(entry: Entry) -> str:
    """How it was sampled: "greedy", "temperature 0.4, 3 seeds", "scripted"."""
    found = entry.get("sampling") or {}
    temperature, seeds = found.get("temperature"), found.get("seeds") or []
    words = "scripted" if temperature is None else "greedy" if temperature == 0 else f"temperature {temperature:g}"
    return f"{words}, {len(seeds)} seeds" if len(seeds) > 1 else words


def _success(entry: Entry) -> Cell:
    score = entry["score"]
    low, high = score["interval"]
    mark = charts.interval_mark(low, score["success"], high)
    return Cell(
        findings.percent(score["success"]), repr(score["success"]), figures.range_of_percent(score["interval"]), mark
    )


def _score(name: str, write: Callable[[Any], str]) -> Callable[[Entry], Cell]:
    return lambda entry: _cell(entry["score"].get(name), write)


def _training(name: str, write: Callable[[Any], str]) -> Callable[[Entry], Cell]:
    return lambda entry: _cell((entry.get("training") or {}).get(name), write)


def _cell(value: Any, write: Callable[[Any], str]) -> Cell:  # noqa: ANN401
    return Cell(figures.ABSENT, "") if value is None else Cell(write(value), repr(value))


def trained_share(entry: Entry) -> float | None:
    """Trained parameters over all; None if it was not trained or nobody knows."""
    training = entry.get("training") or {}
    trained, total = training.get("trained_parameters"), training.get("total_parameters")
    return trained / total if trained is not None and total else None


def _ratio(value: float) -> str:
    return f"{value:.2f}"


def _tenths(value: float) -> str:
    return f"{value:.1f}"


COLUMNS = (
    Column("Success", "Share of episodes won, with its 95 % interval below.", _success, "descending"),
    Column("Turns", "Mean number of turns an episode.", _score("mean_turns", _tenths)),
    Column("Invalid", "Share of turns whose action was invalid.", _score("invalid_actions", findings.percent)),
    Column("Tokens", "Mean number of sampled tokens an episode.", _score("mean_tokens", _tenths)),
    Column("Trained", "Trained parameters over all.", lambda entry: _cell(trained_share(entry), findings.percent)),
    Column("Update ÷ full", "Update time over full training's in the same run.", _training("update_ratio", _ratio)),
    Column("Memory ÷ full", "Peak memory over full training's in the same run.", _training("peak_ratio", _ratio)),
    Column(
        "Delta", "Size of the delta, the file that carries what was trained.", _training("delta_bytes", figures.size)
    ),
)


def facts(entry: Entry) -> list[tuple[str, str]]:
    """Everything an entry says about itself, as pairs of name and value; the same names for every entry."""
    score, training, cost = entry["score"], entry.get("training") or {}, entry.get("cost") or {}
    share = trained_share(entry)
    layer = entry.get("layer")
    trained = figures.count(training.get("trained_parameters"))
    return [
        ("Success", findings.percent(score["success"])),
        ("95 % interval, %", figures.range_of_percent(score["interval"])),
        ("Episodes", f"{figures.count(score.get('episodes'))} on {figures.count(score.get('tasks'))} tasks"),
        ("Turns an episode", figures.number(score.get("mean_turns"))),
        ("Invalid actions", _or_absent(score.get("invalid_actions"), findings.percent)),
        ("Tokens an episode", figures.number(score.get("mean_tokens"))),
        ("Policy", str(entry.get("policy") or figures.ABSENT)),
        ("Sampling", sampling(entry)),
        ("Trained", figures.ABSENT if layer is None else f"block {layer}" if str(layer).isdecimal() else str(layer)),
        ("Algorithm", str(entry.get("algorithm") or figures.ABSENT)),
        ("Trained parameters", trained if share is None else f"{trained} ({findings.percent(share)})"),
        ("Iterations", figures.count(training.get("iterations"))),
        ("Sampled tokens in training", figures.count(training.get("sampled_tokens"))),
        ("Time of all updates", figures.seconds(training.get("update_seconds"))),
        ("Update time over full's", _or_absent(training.get("update_ratio"), _ratio)),
        ("Peak memory", figures.size(training.get("peak_bytes"))),
        ("Peak memory over full's", _or_absent(training.get("peak_ratio"), _ratio)),
        ("Optimizer state", figures.size(training.get("optimizer_bytes"))),
        ("Delta", figures.size(training.get("delta_bytes"))),
        ("Bytes of a sync", figures.size(training.get("sync_bytes"))),
        ("Scoring took", figures.seconds(cost.get("seconds"))),
        ("Scored on", str(cost.get("date") or figures.ABSENT)),
        ("Hardware", _hardware(cost.get("hardware") or {})),
        ("Versions", ", ".join(f"{name} {version}" for name, version in (cost.get("versions") or {}).items())),
        ("Base weights, SHA-256", str(entry.get("base_sha256") or figures.ABSENT)),
        ("Delta, SHA-256", _hashes(entry.get("delta_sha256"))),
    ]


def kinds(entry: Entry) -> list[tuple[str, str, str, str]]:
    """Success by kind of task: name, success, interval, episodes."""
    found: Mapping[str, Mapping[str, Any]] = entry["score"].get("by_type") or {}
    return [
        (
            name or "(no name)",
            findings.percent(score["success"]),
            figures.range_of_percent(score["interval"]),
            figures.count(score.get("episodes")),
        )
        for name, score in found.items()
    ]


def words(entry: Entry) -> str:
    """What the text filter searches."""
    said: Sequence[Any] = (entry.get("name"), entry.get("kind"), entry.get("policy"), entry.get("algorithm"))
    layer = entry.get("layer")
    parts = [str(part) for part in (*said, entry.get("env"), sampling(entry)) if part]
    return " ".join([*parts, *([f"layer {layer}"] if layer is not None else [])]).lower()


def _or_absent(value: Any, write: Callable[[Any], str]) -> str:  # noqa: ANN401
    return figures.ABSENT if value is None else write(value)


def _hashes(value: Any) -> str:  # noqa: ANN401
    if not value:
        return figures.ABSENT
    return str(value) if isinstance(value, str) else ", ".join(map(str, value))


def _hardware(found: Mapping[str, Any]) -> str:
    parts = [
        str(found["processor"]) if found.get("processor") else "",
        f"{found['cores']} cores" if found.get("cores") else "",
        f"{figures.size(found['memory_bytes'])} memory" if found.get("memory_bytes") else "",
        str(found["gpu"]) if found.get("gpu") else "",
    ]
    return ", ".join(part for part in parts if part) or figures.ABSENT
