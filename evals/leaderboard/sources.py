"""Reading what is handed in: a training run's folder, an evaluation's folder, or a delta file alone.

Whatever it is, it is turned into arguments of `evals.run`, in front of those that the user typed, and into what the new
score is held against: hashes of panel, base and delta. Nothing that is handed in is taken on trust but for what
training cost, which no evaluation can measure again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import yaml

from agents import tensor_header
from agents.deltas import read_card
from agents.models import ModelConfig
from agents.starts import WARM
from envs import presets
from envs.errors import InputError, shortened
from envs.files import understood
from envs.installation import REPOSITORY
from envs.registry import config_class
from evals.folder import Folder
from evals.leaderboard import committed
from evals.leaderboard.entries import is_hash, is_number

CONFIG, SUMMARY, STATE, DELTA, SCORE = "config.yaml", "summary.json", "state.json", "delta.safetensors", "score.json"
# Chosen by the evaluation: the split by the panel.
_NOT_TAKEN = ("name", "split")


@dataclass(frozen=True)
class Source:
    """What was handed in.

    Attributes:
        words: arguments that score it.
        panel: the panel that it was scored on before, as summaries record it; empty if it is not known.
        panel_words: arguments that draw that panel again where it is none of `configs/panel/`.
        base_sha256: hash of the base weights that it names, or None.
        delta_sha256: hash of the delta's tensors that it names, or None.
        success: what it scored before, or None.
        training: what its training took, as entries have it, or None.
    """

    words: tuple[str, ...]
    panel: Mapping[str, Any] = field(default_factory=dict)
    panel_words: tuple[str, ...] = ()
    base_sha256: str | None = None
    delta_sha256: str | None = None
    success: float | None = None
    training: Mapping[str, Any] | None = None


def read(path: Path, env: str = "") -> Source:
    """Reads a run, an evaluation or a delta.

    Args:
        path: a training run's folder or the delta in it, an evaluation's folder, or a delta file.
        env: the world that the user named; a delta's own word is not enough to import another project's code.

    Raises:
        InputError: it is none of these, or not whole.
    """
    if path.name == DELTA and path.is_file() and (path.parent / SUMMARY).is_file():
        path = path.parent
    if path.is_file():
        return _of_delta(path, env)
    if not path.is_dir():
        raise InputError(f"{path}: no such file or folder. Give a run's folder, or a delta file.")
    if (path / SCORE).is_file():
        with understood(path / SCORE, "a score"):
            return _checked(_of_evaluation(path, env))
    if (path / SUMMARY).is_file():
        return _of_run(path, env)
    if (path / STATE).is_file():
        raise InputError(f"{path} is a run that has not ended. Go on with it: python -m training.run resume={path}")
    raise InputError(f"{path} holds neither a run ({SUMMARY}) nor an evaluation ({SCORE}).")


def card(path: Path) -> Mapping[str, Any]:
    """What a delta file says about itself, read from its header alone.

    Raises:
        InputError: it is no delta file, or says of itself what no entry could hold.
    """
    said = dict(vars(read_card(path)))
    details = said["details"]
    wanted: tuple[tuple[Mapping[str, Any], tuple[str, ...], str, Callable[[Any], bool]], ...] = (
        (said, ("base_sha256", "tensors_sha256"), "64 hexadecimal digits", is_hash),
        (said, ("target",), "printable text", str.isprintable),
        (details, ("env", "model", "algorithm"), "printable text", lambda value: value is None or _is_text(value)),
        (details, ("seed", "iterations"), "a number", lambda value: value is None or is_number(value)),
    )
    with understood(f"delta={path}", "a delta"):
        for where, names, allowed, valid in wanted:
            for name in names:
                if not valid(where.get(name)):
                    found = shortened(repr(where[name]))
                    raise InputError(f"delta={path}: {name} of its card must be {allowed}, got {found}.")
    return said


def elements(path: Path) -> int:
    """Number of values in a safetensors file, read from its header alone.

    Raises:
        InputError: it is none.
    """
    return tensor_header.read(path).elements


def preset_words(policy: str, env: str) -> list[str]:
    """The options of a world or its preset that belong to a policy's, such as the turns that `tiny` was made for."""
    content = presets.read("model", policy) if policy in presets.names("model") else {}
    env = presets.read("env", env)["env"]["name"] if env in presets.names("env") else env
    known = {option.name for option in fields(config_class(env))} if content else set()
    return _options("env", content.get("env", {}), known)


def _of_delta(path: Path, typed: str) -> Source:
    said = card(path)
    details = said["details"]
    env, model = typed or details.get("env"), details.get("model")
    _check_world(path, env, typed)
    words = [*([f"env={env}"] if env else [])]
    words += _kept_base(said["base_sha256"]) if model == WARM else [f"policy={model}"] if model else []
    if env and model:
        words += preset_words(model, env)
    return _checked(
        Source(
            words=(*words, f"delta={path}", "temperatures=[0]"),
            base_sha256=said["base_sha256"],
            delta_sha256=said["tensors_sha256"],
            training=training_of(path),
        )
    )


def _kept_base(base_sha256: str) -> list[str]:
    """The policy `warm` of a delta: one that comes with Keystone, if it has these weights, else the cache's."""
    for entry in committed.entries():
        if entry["kind"] == "base" and entry["base_sha256"] == base_sha256 and (REPOSITORY / entry["policy"]).is_dir():
            return [f"policy={entry['policy']}", f"policy.max_reply_tokens={entry['sampling']['max_reply_tokens']}"]
    return [f"policy={WARM}"]


def training_of(delta: Path) -> dict[str, Any]:
    """What a delta file says of its training.

    Raises:
        InputError: it is no delta file.
    """
    # The tensors' bytes are what a sampler must be sent after an update.
    return _nothing_known() | {
        "trained_parameters": _trained(delta),
        "delta_bytes": delta.stat().st_size,
        "iterations": card(delta)["details"].get("iterations"),
        "sync_bytes": tensor_header.read(delta).tensor_bytes,
    }


def _check_world(path: Path, env: object, typed: str) -> None:
    """A world of another project is imported only if the user names it: what is handed in may be a stranger's.

    Raises:
        InputError: it is such a world, and the user has not named it.
    """
    if isinstance(env, str) and ":" in env and env != typed:
        raise InputError(
            f"{path} was trained in env={shortened(env)}, code of another project, which would be run here. If you "
            "trust it, name it yourself with env=."
        )


def _of_run(path: Path, typed: str) -> Source:
    folder = Folder(path)
    summary = _json(folder, SUMMARY)
    config = presets.read_yaml(path / CONFIG)
    if not (path / DELTA).is_file():
        raise InputError(f"{path} has no {DELTA}, the weights that it trained.")
    known = _json(folder, STATE) if (path / STATE).is_file() else {}
    with understood(f"{path}, by its {SUMMARY}, {CONFIG} and {STATE},", "a whole run"):
        _check_world(path, config["env"]["name"], typed)
        layer, panel = summary["arms"]["layer"], summary["panel"]
        drawn = (f"tasks={panel['tasks']}", "panel=")
        words = [
            f"env={config['env']['name']}",
            *_options("env", config["env"], {option.name for option in fields(config_class(config["env"]["name"]))}),
            *_policy_words(config["model"]),
            f"delta={path / DELTA}",
            f"seed={summary['seed']}",
            f"temperatures=[{layer['temperature']:g}]",
        ]
        return _checked(
            Source(
                words=tuple(words),
                panel=panel,
                panel_words=drawn,
                # An older Keystone's summary has none, but its run's state has.
                base_sha256=summary.get("base_sha256") or known.get("inputs", {}).get("base"),
                delta_sha256=summary.get("delta_sha256") or known.get("layer", {}).get("delta"),
                success=layer["success"],
                training=_training(summary, path / DELTA),
            )
        )


def _of_evaluation(path: Path, typed: str) -> Source:
    score = _json(Folder(path), SCORE)
    _check_world(path, score.get("env"), typed)
    with understood(path / CONFIG, "a saved configuration"):
        _check_world(path, presets.read_yaml(path / CONFIG)["env"]["name"], typed)
    if not score.get("finished"):
        raise InputError(f"{path} is an evaluation that has not ended. The command that began it goes on with it.")
    temperatures = score["temperatures"]
    chosen = 0.0 if 0.0 in temperatures else temperatures[0]
    (found,) = (each for each in score["scores"] if each["temperature"] == chosen)
    words = [f"config={path / CONFIG}", *([] if chosen is None else [f"temperatures=[{chosen:g}]"])]
    delta = score.get("delta_sha256")
    return Source(
        words=tuple(words),
        panel=score["panel"],
        panel_words=("panel=",),
        base_sha256=score.get("base_sha256"),
        delta_sha256=delta if isinstance(delta, str) else None,
        success=found["success"],
    )


def _checked(source: Source) -> Source:
    """Makes sure that a source's facts are of the kinds that an entry has, before anything is played.

    Raises:
        TypeError: one of them is not.
    """
    if source.panel:
        texts = (source.panel["name"], source.panel["sha256"], source.panel.get("content_sha256", ""))
        if not all(isinstance(text, str) for text in texts):
            raise TypeError("its panel has no name and hash")
    for name in ("base_sha256", "delta_sha256"):
        if not isinstance(getattr(source, name), str | None):
            raise TypeError(f"{name} is no text")
    for name, value in {"success": source.success, **(source.training or {})}.items():
        if value is not None and not is_number(value):
            raise TypeError(f"{name} is no number")
    return source


def _json(folder: Folder, name: str) -> dict[str, Any]:
    content = folder.read_json(name)
    if not isinstance(content, dict):
        raise InputError(f"{folder / name} does not hold what a run writes.")
    return content


def _is_text(value: object) -> bool:
    return isinstance(value, str) and value.isprintable()


def _policy_words(model: Mapping[str, Any]) -> list[str]:
    """The policy as `policy=` takes it, so that one the user types replaces it, and how it is asked."""
    name, path = model["name"], model["path"]
    is_preset = name in presets.names("model") and presets.read("model", name).get("model", {}).get("path") == path
    known = {option.name for option in fields(ModelConfig)} - {"path"}
    return [f"policy={name if is_preset else path}", *_options("policy", model, known)]


def _options(section: str, values: Mapping[str, Any], known: set[str]) -> list[str]:
    taken = {name: value for name, value in values.items() if name in known and name not in _NOT_TAKEN}
    return [f"{section}.{name}={_written(value)}" for name, value in taken.items()]


def _written(value: Any) -> str:  # noqa: ANN401 - whatever YAML holds
    """Writes a value as a command line takes it: text as it stands, anything else as YAML on one line."""
    return (
        value if isinstance(value, str) else yaml.safe_dump(value, default_flow_style=True, width=10**6).split("\n")[0]
    )


def _nothing_known() -> dict[str, Any]:
    names = (
        *("trained_parameters", "total_parameters", "iterations", "sampled_tokens", "update_seconds", "update_ratio"),
        *("peak_bytes", "peak_ratio", "optimizer_bytes", "delta_bytes", "sync_bytes"),
    )
    return dict.fromkeys(names)


def _trained(delta: Path, said: Any = None) -> Any:  # noqa: ANN401 - whatever JSON gives
    """Number of parameters that were trained: the values in the delta.

    LoRA's matrices were merged into those of the block, so the delta only says how many they may be at most; up to that
    it is what the run says, or nothing.
    """
    held = elements(delta)
    if not card(delta)["target"].startswith("lora:"):
        return held
    return said if is_number(said) and said <= held else None


def _training(summary: Mapping[str, Any], delta: Path) -> dict[str, Any]:
    """What a run's training took. Ratios are against the full-parameter arm of the same run."""
    arms, cost = summary["arms"], summary["cost"]
    layer, own, full = arms["layer"], cost["layer"], cost.get("full")
    ratio = own["peak_bytes"] / full["peak_bytes"] if full and full["peak_bytes"] and own["peak_bytes"] else None
    everything = 1.0 if summary["layer"].get("target") == "full" else None
    measured, floor = cost["update_ratio"], cost.get("update_floor") or 0.0
    # Less than computing allows is no measurement: something else kept the machine busy while the full arm trained.
    update = measured if measured is not None and measured >= floor else everything
    return _nothing_known() | {
        "trained_parameters": _trained(delta, layer["trained_parameters"]),
        "total_parameters": arms["full"]["trained_parameters"] if "full" in arms else None,
        "iterations": layer["iterations"],
        "sampled_tokens": layer["sampled_tokens"],
        "update_seconds": own["update_seconds"],
        "update_ratio": update,
        "peak_bytes": own["peak_bytes"] or None,
        "peak_ratio": ratio if ratio is not None else everything,
        "optimizer_bytes": own["optimizer_bytes"],
        "sync_bytes": own["sync_bytes"],
        "delta_bytes": delta.stat().st_size,
    }
