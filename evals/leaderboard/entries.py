"""What an entry of the leaderboard is: one policy, scored on one panel under one set of conditions.

An entry is a JSON object, one row of the database or one file of `evals/results/leaderboard/`:

    schema      1
    name        what people see
    kind        one of KINDS
    env         the world, and `options`, those of it that were set
    panel       name, tasks, sha256 of their names and content_sha256 of what stands behind them, where it is known
    policy      the base policy or the scripted player, with `base_sha256` and `delta_sha256`
    layer       what was trained, as `layer=` writes it, and `algorithm`
    sampling    temperature, seeds, max_turns, max_reply_tokens
    score       success, interval, episodes, tasks, mean_turns, invalid_actions, mean_tokens, by_type
    outcomes    wins a task over the seeds, in the panel's order: what paired comparisons rest on
    training    null, or parameters, iterations, tokens, seconds, ratios against full training, bytes
    command     the line that scores it again
    cost        seconds of its scoring, date, hardware, versions: all that may differ between equal entries
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import cache
from typing import Any

from envs.errors import InputError, shortened
from envs.registry import config_class
from evals.leaderboard.contents import other_content

SCHEMA = 1
KINDS = ("random", "expert", "oracle", "base", "layer", "lora", "full", "committee", "endpoint", "other")
LONGEST_NAME = 80
# Options that say where data lies or how training uses a world, not what a task asks.
_NO_CONDITIONS = ("data", "split", "anchor", "engine", "sandbox")
_SHA256 = re.compile("[0-9a-f]{64}")
_NOTHING = object()

Entry = Mapping[str, Any]


def key_of(entry: Entry) -> str:
    """What tells an entry from others: the hash of its name, panel, conditions, weights and sampling."""
    content = other_content(entry["panel"])
    known = [
        *(entry[name] for name in ("name", "env", "policy", "base_sha256", "delta_sha256", "sampling")),
        entry["panel"]["sha256"],
        conditions(entry),
        *([content] if content else []),
    ]
    return hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()


def conditions(entry: Entry) -> dict[str, Any]:
    """The options under which the panel was played that change what a task asks, where they are not the world's own."""
    usual = _defaults(entry["env"])
    return {
        name: value
        for name, value in sorted(entry["options"].items())
        if name not in _NO_CONDITIONS and (name not in usual or usual[name] != value)
    }


@cache
def _defaults(env: str) -> dict[str, Any]:
    """A world's default options as JSON has them; none if the world is not installed here."""
    try:
        options = config_class(env)()
    except InputError:
        return {}
    found: dict[str, Any] = json.loads(json.dumps(asdict(options), default=str))
    return found


def check(content: Any, where: str) -> dict[str, Any]:  # noqa: ANN401 - whatever JSON gives
    """Makes sure that something is an entry.

    Args:
        content: what a file or a row holds.
        where: the file or row, for messages.

    Returns:
        The entry.

    Raises:
        InputError: it is not an entry, or an entry of a newer schema.
    """
    if not isinstance(content, dict):
        raise InputError(f"{where} holds no leaderboard entry.")
    if isinstance(content.get("schema"), int) and content["schema"] > SCHEMA:
        raise InputError(
            f"{where} is an entry of schema {content['schema']}, this Keystone knows {SCHEMA}. Update Keystone."
        )
    for path, allowed, valid in _FIELDS:
        found = _at(content, path)
        if not valid(found):
            got = "nothing" if found is _NOTHING else shortened(repr(found))
            raise InputError(f"{where}: {path} of the entry must be {allowed}, got {got}.")
    _check_outcomes(content, where)
    return content


def check_name(name: str) -> str:
    """Makes sure that a name can be shown anywhere.

    Raises:
        InputError: it is empty, too long or holds what cannot be printed.
    """
    if not _is_name(name):
        raise InputError(f"name= must be 1 to {LONGEST_NAME} printable characters, got {shortened(repr(name))}.")
    return name


def algorithm_label(algorithm: str) -> str:
    """The name of an algorithm as its paper writes it."""
    return {"gigpo": "GiGPO", "dr_grpo": "Dr. GRPO"}.get(algorithm, algorithm.upper().replace("_", " "))


def trained_name(target: str) -> str:
    """What was trained, in words, from how `layer=` writes it."""
    if target.startswith("lora:"):
        return f"LoRA on layer {target.removeprefix('lora:')}"
    return f"layer {target}" if target[:1].isdecimal() else target


def is_hash(value: object) -> bool:
    """Whether something is a SHA-256, written out."""
    return isinstance(value, str) and _SHA256.fullmatch(value) is not None


def is_number(value: object) -> bool:
    """Whether something is a number, and one that can be reckoned with: whole numbers may have any length in JSON."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def seeds(entry: Entry) -> int:
    """How often each task was played."""
    return len(entry["sampling"]["seeds"])


def _check_outcomes(entry: Entry, where: str) -> None:
    """The outcomes must be those that the score counts."""
    outcomes, tasks, rounds = entry["outcomes"], entry["panel"]["tasks"], seeds(entry)
    if len(outcomes) != tasks or not all(type(wins) is int and 0 <= wins <= rounds for wins in outcomes):
        raise InputError(
            f"{where}: outcomes must be {tasks} whole numbers from 0 to {rounds}, the wins of each task of the panel."
        )
    success, share = entry["score"]["success"], sum(outcomes) / (tasks * rounds)
    if entry["score"]["episodes"] != tasks * rounds or not math.isclose(success, share, abs_tol=1e-6):
        raise InputError(
            f"{where}: the score counts {entry['score']['episodes']} episodes with success {success:.4f}, the outcomes "
            f"{tasks * rounds} with {share:.4f}."
        )


def _at(content: Mapping[str, Any], path: str) -> Any:  # noqa: ANN401
    """The value at a dotted name; `_NOTHING` where there is none."""
    value: Any = content
    for name in path.split("."):
        value = value.get(name, _NOTHING) if isinstance(value, Mapping) else _NOTHING
    return value


def _is_name(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= LONGEST_NAME and value.isprintable() and value == value.strip()


def _is_text(value: object) -> bool:
    return isinstance(value, str) and value.isprintable()


def _is_share(value: object) -> bool:
    return is_number(value) and 0 <= value <= 1  # type: ignore[operator]


def _or_null(valid: Callable[[object], bool]) -> Callable[[object], bool]:
    return lambda value: value is None or valid(value)


def _is_count(value: object) -> bool:
    return type(value) is int and value > 0


def _is_interval(value: object) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(map(_is_share, value))


def _is_training(value: object) -> bool:
    return value is None or (isinstance(value, Mapping) and all(map(_or_null(is_number), value.values())))


def _is_by_type(value: object) -> bool:
    return isinstance(value, Mapping) and all(_is_text(kind) and _is_of_type(found) for kind, found in value.items())


def _is_of_type(value: object) -> bool:
    return (
        isinstance(value, Mapping)
        and _is_share(value.get("success"))
        and _is_interval(value.get("interval"))
        and _is_count(value.get("episodes"))
    )


def _is_cost(value: object) -> bool:
    if not isinstance(value, Mapping):
        return False
    hardware, versions = (value.get(name) or {} for name in ("hardware", "versions"))
    return (
        isinstance(hardware, Mapping)
        and isinstance(versions, Mapping)
        and all(_or_null(is_number)(number) for number in (value.get("seconds"), hardware.get("memory_bytes")))
    )


def _is_seeds(value: object) -> bool:
    return isinstance(value, list) and len(value) > 0 and all(type(seed) is int for seed in value)


def _is_hashes(value: object) -> bool:
    return is_hash(value) or (isinstance(value, list) and len(value) > 1 and all(map(is_hash, value)))


_FIELDS: tuple[tuple[str, str, Callable[[object], bool]], ...] = (
    ("schema", str(SCHEMA), lambda value: value == SCHEMA),
    ("name", f"1 to {LONGEST_NAME} printable characters", _is_name),
    ("kind", f"one of {', '.join(KINDS)}", lambda value: value in KINDS),
    ("env", "a world's name", _is_name),
    ("options", "a mapping", lambda value: isinstance(value, Mapping)),
    ("panel.name", "a name", _is_name),
    ("panel.tasks", "a number of at least 1", _is_count),
    ("panel.sha256", "64 hexadecimal digits", is_hash),
    ("panel.content_sha256", "64 hexadecimal digits, or left out", lambda value: value is _NOTHING or is_hash(value)),
    ("policy", "text", _is_text),
    ("base_sha256", "64 hexadecimal digits or null", _or_null(is_hash)),
    ("delta_sha256", "64 hexadecimal digits, a list of them, or null", _or_null(_is_hashes)),
    ("layer", "text or null", _or_null(_is_text)),
    ("algorithm", "text or null", _or_null(_is_text)),
    ("sampling.temperature", "a number or null", _or_null(is_number)),
    ("sampling.seeds", "a list of whole numbers", _is_seeds),
    ("sampling.max_turns", "a number or null", _or_null(_is_count)),
    ("sampling.max_reply_tokens", "a number or null", _or_null(_is_count)),
    ("score.success", "a number from 0 to 1", _is_share),
    ("score.interval", "two numbers from 0 to 1", _is_interval),
    ("score.episodes", "a number of at least 1", _is_count),
    ("score.tasks", "a number of at least 1", _is_count),
    ("score.mean_turns", "a number or null", _or_null(is_number)),
    ("score.invalid_actions", "a number from 0 to 1, or null", _or_null(_is_share)),
    ("score.mean_tokens", "a number or null", _or_null(is_number)),
    ("score.by_type", "success, interval and episodes by kind of task", _is_by_type),
    ("outcomes", "a list", lambda value: isinstance(value, list)),
    ("training", "a mapping of numbers, or null", _is_training),
    ("command", "one line of text", _is_text),
    ("cost", "a mapping of seconds, date, hardware and versions", _is_cost),
)
